/* C: heap, stdio, mathematics. What a frame does is given on the compiler's command line. */
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "table.h"

#ifndef IN_CONSTRUCTOR
#define IN_CONSTRUCTOR
#endif
#ifndef IN_CREATE
#define IN_CREATE
#endif
#ifndef IN_FRAME
#define IN_FRAME
#endif

__attribute__((constructor)) static void constructor(void)
{
	IN_CONSTRUCTOR;
}

static int work(void)
{
	char *block = malloc(1 << 20);
	memset(block, 7, 1 << 20);
	block = realloc(block, 8 << 20);
	int well = block[(1 << 20) - 1] == 7;
	free(block);
	printf("%f\n", sqrt((double)well));
	fflush(stdout);
	IN_CREATE;
	return well ? 0 : -1;
}

static int frame(void)
{
	IN_FRAME;
	return 0;
}
