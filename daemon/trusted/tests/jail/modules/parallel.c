/* OpenMP: a loop over all processors that it finds. */
#define THREADS
#include "table.h"

static int work(void)
{
	int sum = 0;
#pragma omp parallel for reduction(+ : sum)
	for (int i = 0; i < 42000; i++)
		sum += 1;
	return sum == 42000 ? 0 : -1;
}

static int frame(void)
{
	return work();
}
