// SPDX-License-Identifier: Apache-2.0 OR MIT
// OpenMP, declared as needing threads.
#define MODULE_NAME "benign-openmp"
#define MODULE_FLAGS COLDSHOE_IPA_FLAG_THREADS
#include "skeleton.h"

#include <omp.h>

static int work(char *why, size_t size)
{
	long sum = 0;
	int threads = 0;

#pragma omp parallel for reduction(+ : sum) num_threads(4)
	for (long i = 0; i < 100000; i++)
		sum += i;
#pragma omp parallel num_threads(4)
#pragma omp single
	threads = omp_get_num_threads();
	if (sum == 4999950000L && threads > 1)
		return 0;
	snprintf(why, size, "sum %ld on %d threads", sum, threads);
	return -1;
}
