/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 39 to 41 and 44: memory, time, crashes, and what was left lying about. */
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "probe.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif

extern char **environ;

static const size_t GIB = (size_t)1 << 30;

/* -- Row 39 ---------------------------------------------------------------- */

static long map(size_t size, int protection, int flags)
{
	void *memory = mmap(NULL, size, protection, flags, -1, 0);

	return memory == MAP_FAILED ? -errno : 0;
}

PROBE(map_a_gibibyte)
{
	return map(GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
}

PROBE(map_a_gibibyte_in_pieces)
{
	size_t total;

	for (total = 0; total < GIB; total += GIB / 64)
		NEED(map(GIB / 64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
	return 0;
}

PROBE(allocate_a_gibibyte)
{
	return malloc(GIB) ? 0 : -errno;
}

PROBE(grow_the_heap)
{
	char *end = (char *)syscall(SYS_brk, 0);

	return syscall(SYS_brk, end + GIB) == (long)(end + GIB) ? 0 : -ENOMEM;
}

/* Not writable at first: is it counted when it becomes so? */
PROBE(make_a_gibibyte_writable)
{
	char *memory = mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	return TRY(mprotect(memory, GIB, PROT_READ | PROT_WRITE));
}

PROBE(grow_a_mapping)
{
	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	return mremap(memory, 4096, GIB, MREMAP_MAYMOVE) == MAP_FAILED ? -errno : 0;
}

PROBE(map_droppable)
{
	return map(GIB, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS);
}

PROBE(map_shared)
{
	return map(GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
}

PROBE(map_growing)
{
	return map(8 * GIB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE);
}

/* Page tables are memory, too: 64 GiB of a zero page need 128 MiB of them. */
PROBE(page_tables)
{
	size_t size = 64 * GIB, at;
	volatile char *memory = mmap(NULL, size, PROT_READ,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	madvise((void *)memory, size, MADV_NOHUGEPAGE);
	for (at = 0; at < size; at += 2ul << 20)
		(void)memory[at];
	return 0;
}

/* Takes all that it can get, a mebibyte at a time, and uses it. A gibibyte is success enough. */
PROBE(touch_all_memory)
{
	size_t taken, at, piece = 1 << 20;

	for (taken = 0; taken < GIB; taken += piece) {
		volatile char *memory = mmap(NULL, piece, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return -errno;
		for (at = 0; at < piece; at += 4096)
			memory[at] = 1;
	}
	return 0;
}

/* -- Row 40 ---------------------------------------------------------------- */

static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

/* give_up= milliseconds end it, for the control: there nobody else does. */
static long spin(void)
{
	struct timespec now, start;
	long most = number("give_up");

	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (!most || (now.tv_sec - start.tv_sec) * 1000 +
				(now.tv_nsec - start.tv_nsec) / 1000000 < most);
	return 0;
}

PROBE(spin_for_ever)
{
	return spin();
}

PROBE(spin_with_signals_blocked)
{
	block_signals();
	return spin();
}

PROBE(sleep_for_ever)
{
	struct timespec day = { 86400, 0 }, while_ = { 0, number("give_up") * 1000000 };

	nanosleep(number("give_up") ? &while_ : &day, NULL);
	return 0;
}

/* -- Row 41 ---------------------------------------------------------------- */

PROBE(crash)
{
	*(volatile int *)8 = 1;
	return 0;
}

PROBE(abort_itself)
{
	abort();
}

PROBE(corrupt_stack)
{
	volatile char *here = __builtin_frame_address(0);
	size_t i;

	for (i = 0; i < 1ul << 26; i++)
		here[i] = 0x41;
	return 0;
}

PROBE(divide_by_zero)
{
	volatile int zero = 0;

	return 1000 / zero;
}

/* -- Row 44 ---------------------------------------------------------------- */

PROBE(environment)
{
	long variables = 0;

	while (environ && environ[variables])
		variables++;
	return variables ? variables : -ENOENT;
}

/* What the kernel put above the stack when the program began: arguments and environment, whatever
 * became of environ since. */
PROBE(secrets_above_the_stack)
{
	const char *secret = "HOSTILE_SECRET=";
	const char *top = (const char *)(getauxval(AT_RANDOM) & ~4095ul);
	size_t length = strlen(secret);

	if (!top)
		return -ENOSYS;
	/* The kernel reads the mask before it refuses the verb: a page is asked for by that. */
	for (;; top += 4096) {
		const char *at;

		if (syscall(SYS_rt_sigprocmask, 99, top, NULL, sizeof(uint64_t)) == -1 && errno == EFAULT)
			return -ENOENT;
		for (at = top; at < top + 4096 - length; at++)
			if (memcmp(at, secret, length) == 0)
				return 1;
	}
}

/* Any variable that the dynamic loader listens to. */
PROBE(loader_variables)
{
	const char *names[] = { "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_DEBUG" };
	long found = 0;
	size_t i;

	for (i = 0; i < 4; i++)
		found += getenv(names[i]) != NULL;
	return found ? found : -ENOENT;
}
