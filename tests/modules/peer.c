/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A worker without a jail: it has the segments and the bell of a session, and does its worst with
 * them until it is killed.
 *
 *	peer ATTACK RETURN_LENGTH SLOTS
 *
 * Standard input is the forward segment, standard output the return segment, standard error the
 * bell. What it may not do to the forward segment it tries, and ends with code 1 if it can.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FORWARD = 0, RETURN = 1, BELL = 2 };
enum { LINE = 128, DONE = 0, PARAMS_LEN = 8, STATUS = 12 };
enum { GENERATION = 1, SUCCEEDED = 1, CANNOT = 2 };

static size_t length;
static uint64_t slots;
static volatile uint8_t *back;
static const volatile uint8_t *forward;

static uint64_t noise(void)
{
	static __thread uint64_t state;

	if (!state)
		state = 0x9e3779b97f4a7c15u ^ (uintptr_t)&state;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static volatile uint8_t *header(uint64_t seq)
{
	return back + 2 * LINE + seq % slots * LINE;
}

/* The newest frame that was published; the upper half is never needed here. */
static uint64_t newest(void)
{
	return *(const volatile uint32_t *)forward;
}

static void done(uint64_t seq, uint32_t generation, uint32_t params, uint32_t status)
{
	*(volatile uint32_t *)(header(seq) + PARAMS_LEN) = params;
	*(volatile uint32_t *)(header(seq) + STATUS) = status;
	__atomic_store_n((volatile uint64_t *)(header(seq) + DONE),
			 (uint64_t)generation << 32 | (uint32_t)seq, __ATOMIC_SEQ_CST);
}

static void wake(uint64_t seq)
{
	syscall(SYS_futex, header(seq) + DONE, FUTEX_WAKE, 1, 0, 0, 0);
}

static void ring(void)
{
	uint64_t one = 1;

	if (write(BELL, &one, sizeof one) < 0)
		errno = 0;
}

/* Tells the waiting side in both ways. */
static void tell(uint64_t seq)
{
	wake(seq);
	ring();
}

static void refused(long answer)
{
	if (answer >= 0)
		_exit(SUCCEEDED);
}

/* -- One turn of each attack ------------------------------------------------------------------ */

static void *scribble(void *unused)
{
	(void)unused;
	for (;;) {
		*(volatile uint64_t *)(back + noise() % (length / 8) * 8) = noise();
		tell(newest());
	}
	return NULL;
}

static void scribbles(void)
{
	pthread_t thread;
	int i;

	for (i = 0; i < 3; i++)
		if (pthread_create(&thread, NULL, scribble, NULL))
			_exit(CANNOT);
	scribble(NULL);
}

/* Numbers around the right one, of this generation and of others. */
static void wrong_numbers(void)
{
	uint64_t seq = newest() + noise() % (2 * slots) - slots;

	if (seq == newest())
		done(seq, GENERATION + 1 + (uint32_t)(noise() % 9), 0, 0);
	else
		done(seq, GENERATION, 0, 0);
	tell(newest());
}

/* The right number, with what cannot be. */
static void long_answers(void)
{
	static const uint32_t lengths[] = { UINT32_MAX, 1u << 31, 16u << 20, 1u << 20, 65537 };

	done(newest(), GENERATION, lengths[noise() % 5], 0);
	tell(newest());
}

static void odd_statuses(void)
{
	done(newest(), GENERATION, 0, 2 + (uint32_t)noise() % 1000);
	tell(newest());
}

/* The right number at once, and then the answer is written on and on. */
static void torn_answers(void)
{
	uint64_t seq = newest();
	int i;

	done(seq, GENERATION, 64, 0);
	tell(seq);
	for (i = 0; i < 4096; i++)
		back[noise() % length] = (uint8_t)noise();
}

/* It says that it sleeps, and that it does not. */
static void lying_flags(void)
{
	*(volatile uint32_t *)back = (uint32_t)noise();
}

static void punch_holes(void)
{
	refused(fallocate(FORWARD, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	/* Its own segment it can: the data turns to zeros. */
	if (fallocate(RETURN, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)length))
		_exit(CANNOT);
}

static void remove_pages(void)
{
	refused(madvise((void *)forward, 4096, MADV_REMOVE));
	if (madvise((void *)back, length, MADV_REMOVE))
		_exit(CANNOT);
}

static void truncates(void)
{
	int fd;

	for (fd = FORWARD; fd <= RETURN; fd++) {
		refused(ftruncate(fd, 0));
		refused(ftruncate(fd, (off_t)1 << 40));
	}
}

static void seals(void)
{
	refused(fcntl(FORWARD, F_ADD_SEALS, F_SEAL_GROW));
	refused(fcntl(RETURN, F_ADD_SEALS, F_SEAL_GROW));
}

static void reopens(void)
{
	int fd = open("/proc/self/fd/0", O_RDWR);

	if (fd < 0)
		return;
	refused(write(fd, "x", 1));
	refused((long)(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ?
		       -1 : 0));
	refused(mprotect((void *)forward, 4096, PROT_READ | PROT_WRITE));
	close(fd);
}

/* A reader of the bell would wait for ever now, and be sent a signal. */
static void blocking_bell(void)
{
	uint64_t count;

	if (fcntl(BELL, F_SETFL, O_ASYNC) || fcntl(BELL, F_SETOWN, getppid()))
		_exit(CANNOT);
	ring();
	if (fcntl(BELL, F_SETFL, O_NONBLOCK))
		_exit(CANNOT);
	if (read(BELL, &count, sizeof count) < 0)
		errno = 0;
	if (fcntl(BELL, F_SETFL, 0))
		_exit(CANNOT);
}

static void full_bell(void)
{
	uint64_t most = UINT64_MAX - 1;

	if (fcntl(BELL, F_SETFL, O_NONBLOCK) || write(BELL, &most, sizeof most) < 0)
		errno = 0;
}

static void wake_flood(void)
{
	*(volatile uint64_t *)(header(newest()) + DONE) = noise() | 1ull << 63;
	wake(newest());
}

static void bell_flood(void)
{
	ring();
}

/* Sleepers are moved to a word that nobody rings. */
static void requeue(void)
{
	static uint32_t nowhere;
	uint64_t seq;

	for (seq = 0; seq < slots; seq++)
		syscall(SYS_futex, header(seq) + DONE, FUTEX_REQUEUE, 0, 100, &nowhere, 0);
}

static void stops(void)
{
	raise(SIGSTOP);
}

/* The end in the middle of an answer. */
static void ends_half_way(void)
{
	if (newest() < 3)
		return;
	*(volatile uint32_t *)(header(newest()) + PARAMS_LEN) = 64;
	_exit(0);
}

static const struct {
	const char *name;
	void (*turn)(void);
} attacks[] = {
	{ "scribbles", scribbles },
	{ "wrong numbers", wrong_numbers },
	{ "long answers", long_answers },
	{ "odd statuses", odd_statuses },
	{ "torn answers", torn_answers },
	{ "lying flags", lying_flags },
	{ "punched holes", punch_holes },
	{ "removed pages", remove_pages },
	{ "truncated segments", truncates },
	{ "added seals", seals },
	{ "re-opened segments", reopens },
	{ "a bell that blocks", blocking_bell },
	{ "a full bell", full_bell },
	{ "a flood of wakes", wake_flood },
	{ "a flood of rings", bell_flood },
	{ "requeued sleepers", requeue },
	{ "a stop", stops },
	{ "an end half-way", ends_half_way },
};

int main(int argc, char **argv)
{
	struct stat st;
	size_t i;

	if (argc != 4 || prctl(PR_SET_PDEATHSIG, SIGKILL) || fstat(FORWARD, &st))
		return CANNOT;
	length = strtoul(argv[2], NULL, 10);
	slots = strtoul(argv[3], NULL, 10);
	back = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, RETURN, 0);
	forward = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, FORWARD, 0);
	if (back == MAP_FAILED || forward == MAP_FAILED)
		return CANNOT;
	for (i = 0; i < sizeof attacks / sizeof *attacks; i++)
		if (!strcmp(argv[1], attacks[i].name))
			for (;;)
				attacks[i].turn();
	return CANNOT;
}
