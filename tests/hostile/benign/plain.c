/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Plain C: arithmetic, memory, a line on stdout. */
#define MODULE_NAME "benign-plain"
#define MODULE_FLAGS 0
#include "skeleton.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int work(char *why, size_t size)
{
	/* Large enough for the allocator to map it, and to give it back. */
	size_t count = 64 << 10, i;
	double *values = malloc(count * sizeof(*values)), *more;

	if (!values) {
		snprintf(why, size, "no memory");
		return -1;
	}
	for (i = 0; i < count; i++)
		values[i] = sin((double)i);
	qsort(values, count, sizeof(*values), ascending);
	more = realloc(values, 4 * count * sizeof(*values));
	if (!more || more[0] > more[count - 1]) {
		snprintf(why, size, "sorting or growing failed");
		return -1;
	}
	free(more);
	printf("sorted %zu values\n", count);
	fflush(stdout);
	return 0;
}
