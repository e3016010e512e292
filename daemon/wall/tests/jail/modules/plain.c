// A well-meaning module in C: heap, stdio, time, a large block that grows.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int run(void)
{
    char *block = malloc(1 << 20);
    if (!block)
        return 1;
    memset(block, 7, 1 << 20);
    block = realloc(block, 64 << 20);
    if (!block || block[(1 << 20) - 1] != 7)
        return 2;
    free(block);
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now))
        return 3;
    printf("plain: %.3f\n", sqrt((double)time(NULL)));
    fflush(stdout);
    fprintf(stderr, "plain: on stderr\n");
    return 42;
}
