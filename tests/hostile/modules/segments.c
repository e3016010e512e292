/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 11 to 14: the shared memory between the pipeline and the module. forward= and replies= are
 * its descriptors where there are any; in the jail there are none, and the numbers are guesses. */
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "probe.h"

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#ifndef F_SEAL_SHRINK
#define F_SEAL_SHRINK 2
#endif

static int forward(void)
{
	return (int)number("forward");
}

static int replies_fd(void)
{
	return (int)number(strcmp(word("target"), "forward") == 0 ? "forward" : "replies");
}

/* -- Row 11 ---------------------------------------------------------------- */

PROBE(statistics_writable)
{
	size_t length;
	volatile char *statistics = segment(0, &length);

	if (!statistics)
		return -ENOENT;
	NEED(mprotect((void *)statistics, 4096, PROT_READ | PROT_WRITE));
	statistics[4095] = 1;
	return statistics[4095] == 1 ? 0 : NO_EFFECT;
}

PROBE(statistics_reopened)
{
	char path[64];
	long writer;
	char byte = 1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", forward());
	writer = NEED(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC));
	return TRY(write((int)writer, &byte, 1));
}

PROBE(statistics_mapped_again)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, forward(), 0);

	return page == MAP_FAILED ? -errno : 0;
}

/* -- Row 12 ---------------------------------------------------------------- */

PROBE(segment_write)
{
	return TRY(syscall(SYS_write, replies_fd(), "x", 1));
}

PROBE(segment_pwrite)
{
	return TRY(syscall(SYS_pwrite64, replies_fd(), "x", 1, 0));
}

PROBE(segment_punch)
{
	return TRY(syscall(SYS_fallocate, replies_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
}

PROBE(segment_remove)
{
	size_t length;
	char *replies = segment(1, &length);

	return replies ? TRY(madvise(replies, 4096, MADV_REMOVE)) : -ENOENT;
}

PROBE(segment_truncate)
{
	return TRY(syscall(SYS_ftruncate, replies_fd(), 4096));
}

PROBE(segment_grow)
{
	return TRY(syscall(SYS_ftruncate, replies_fd(), 1L << 40));
}

PROBE(segment_seal)
{
	return TRY(syscall(SYS_fcntl, replies_fd(), F_ADD_SEALS, F_SEAL_SHRINK));
}

/* -- Row 13 ---------------------------------------------------------------- */

/* A reader that checked the size before dies of it. */
PROBE(bus_error)
{
	size_t length;
	volatile char *replies = segment(1, &length);
	pid_t reader;

	if (!replies)
		return -ENOENT;
	NEED(syscall(SYS_ftruncate, replies_fd(), 0));
	reader = (pid_t)NEED(fork());
	if (reader == 0) {
		signal(SIGBUS, SIG_DFL);
		_exit(replies[0]);
	}
	return died_by(reader, SIGBUS);
}

/* -- Row 14 ---------------------------------------------------------------- */

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * Answers frames itself, without returning, while it writes nonsense and truth in turns into every
 * reply header and parameter buffer: what the other side checks and what it then uses are to
 * differ. The doorbell of the statistics segment tells which frame is waited for.
 */
PROBE(change_while_read)
{
	size_t length, slot, slots = (size_t)number("slots"), stride = (size_t)number("stride");
	size_t base = (256 + slots * 128 + 4095) & ~4095ul;
	char *replies = segment(1, &length);
	volatile uint32_t *doorbell = (volatile uint32_t *)segment(0, &length);
	uint64_t end = milliseconds() + (uint64_t)number("ms");
	uint32_t turn = 0;

	if (!replies || !doorbell)
		return -ENOENT;
	while ((++turn & 1023) != 0 || milliseconds() < end) {
		uint32_t seq = *doorbell, bad = turn & 1;

		for (slot = 0; slot < slots && slot < seq; slot++) {
			size_t at = (seq - slot) % slots;
			volatile uint32_t *header = (uint32_t *)(replies + 256 + at * 128);
			volatile uint32_t *params =
				(uint32_t *)(replies + base + at * stride + 128);

			header[2] = bad ? 0xffffffffu : 24; /* params_len */
			header[3] = bad ? 0xffffffffu : 0;  /* status */
			params[0] = 1;                      /* version */
			params[1] = bad ? 0x7fffffffu : 16; /* data_size */
			params[2] = bad ? 0xffffffffu : 1;  /* type and flags */
			params[3] = bad ? 0xfffffff0u : 16; /* size */
			*(volatile uint64_t *)header = 1ull << 32 | (seq - slot);
			if ((turn & 63) == 0)
				syscall(SYS_futex, header, 1 /* WAKE */, 1, NULL, NULL, 0);
		}
	}
	return 0;
}

/* The control of the above: a reader that looks twice, beside a writer that changes its mind. */
PROBE(change_while_read_naively)
{
	volatile uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long fooled = 0;
	uint64_t end = milliseconds() + 2000;
	pid_t writer;

	if (shared == MAP_FAILED)
		return -errno;
	*shared = 24;
	writer = (pid_t)NEED(fork());
	if (writer == 0)
		for (;;)
			*shared = *shared == 24 ? 0xffffffffu : 24;
	while (!fooled && milliseconds() < end)
		if (*shared <= 24) {
			/* Between check and use somebody else may run at any time. */
			sched_yield();
			fooled = *shared > 24;
		}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	return fooled ? fooled : NO_EFFECT;
}
