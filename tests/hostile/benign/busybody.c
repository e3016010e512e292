/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Asks the C library for things that need files: it must get along without them. */
#define MODULE_NAME "benign-busybody"
#define MODULE_FLAGS 0
#include "skeleton.h"

#include <iconv.h>
#include <locale.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int work(char *why, size_t size)
{
	static int loaded;
	time_t now = time(NULL);
	struct tm *local = localtime(&now);
	iconv_t latin;

	/* The first time is in create(): there the C library's files can be had. */
	if (!loaded++) {
		latin = iconv_open("UTF-8", "ISO-8859-1");
		if (latin != (iconv_t)-1)
			iconv_close(latin);
		return 0;
	}
	/* Each may fail; none may kill. */
	setlocale(LC_ALL, "");
	setlocale(LC_ALL, "en_US.UTF-8");
	(void)sysconf(_SC_NPROCESSORS_ONLN);
	(void)sysconf(_SC_PHYS_PAGES);
	(void)sysconf(_SC_OPEN_MAX);
	latin = iconv_open("UTF-8", "ISO-8859-1");
	if (latin != (iconv_t)-1)
		iconv_close(latin);
	(void)getenv("HOME");
	if (isatty(STDOUT_FILENO)) {
		snprintf(why, size, "stdout is a terminal");
		return -1;
	}
	if (!local) {
		snprintf(why, size, "localtime failed");
		return -1;
	}
	printf("%d:%02d %.3f\n", local->tm_hour, local->tm_min, 1.5);
	fprintf(stderr, "and on stderr\n");
	return 0;
}
