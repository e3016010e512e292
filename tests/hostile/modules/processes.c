/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 18 to 21, 29 to 31 and 45: other processes, and more of one's own. pid= is the victim: the
 * parent, or a sibling worker. */
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "probe.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static pid_t victim(void)
{
	return (pid_t)number("pid");
}

/* Where the victim has something of value: the same program, started in the same way. */
static long address(void)
{
	return number("address");
}

/* -- Row 18 ---------------------------------------------------------------- */

PROBE(kill_parent)
{
	return TRY(syscall(SYS_kill, victim(), SIGUSR1));
}

/* Answers 0 under Landlock's scope though nobody got it: the runner looks at the victim. */
PROBE(kill_everybody)
{
	return TRY(syscall(SYS_kill, -1, SIGUSR1));
}

PROBE(kill_by_pidfd)
{
	long fd = NEED(syscall(SYS_pidfd_open, victim(), 0));

	return TRY(syscall(SYS_pidfd_send_signal, (int)fd, SIGUSR1, NULL, 0));
}

PROBE(signal_by_any_pidfd)
{
	int fd = (int)number("fd");

	if (fd == 0)
		fd = (int)NEED(syscall(SYS_pidfd_open, victim(), 0));
	return TRY(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
}

PROBE(signal_by_descriptor)
{
	int pair[2] = { -1, -1 }, fd = (int)number("fd");

	if (fd == 0) {
		NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		fd = pair[0];
	}
	NEED(syscall(SYS_fcntl, fd, F_SETOWN, victim()));
	NEED(syscall(SYS_fcntl, fd, F_SETSIG, SIGUSR1));
	NEED(syscall(SYS_fcntl, fd, F_SETFL, O_ASYNC));
	return TRY(write(pair[1], "x", 1));
}

PROBE(tgkill_other)
{
	return TRY(syscall(SYS_tgkill, victim(), victim(), SIGUSR1));
}

PROBE(tkill_other)
{
	return TRY(syscall(SYS_tkill, victim(), SIGUSR1));
}

PROBE(queue_signal)
{
	siginfo_t info = { .si_code = SI_QUEUE };

	return TRY(syscall(SYS_rt_sigqueueinfo, victim(), SIGUSR1, &info));
}

/* -- Row 19 ---------------------------------------------------------------- */

PROBE(trace)
{
	return TRY(syscall(SYS_ptrace, PTRACE_SEIZE, victim(), 0, 0));
}

PROBE(read_memory)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)address(), 1 };

	return TRY(syscall(SYS_process_vm_readv, victim(), &here, 1, &there, 1, 0));
}

PROBE(write_memory)
{
	char byte = 'x';
	struct iovec here = { &byte, 1 }, there = { (void *)address(), 1 };

	return TRY(syscall(SYS_process_vm_writev, victim(), &here, 1, &there, 1, 0));
}

PROBE(take_descriptor)
{
	int fd = (int)number("fd");

	if (fd == 0)
		fd = (int)NEED(syscall(SYS_pidfd_open, victim(), 0));
	return TRY(syscall(SYS_pidfd_getfd, fd, 1, 0));
}

PROBE(compare_resources)
{
	return TRY(syscall(SYS_kcmp, getpid(), victim(), KCMP_VM, 0, 0));
}

/* -- Row 20 ---------------------------------------------------------------- */

PROBE(limit_parent)
{
	struct rlimit limit = { 32, 1024 };

	return TRY(syscall(SYS_prlimit64, victim(), RLIMIT_NOFILE, NULL, &limit));
}

PROBE(limit_myself)
{
	struct rlimit limit = { 0, 0 };

	NEED(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL));
	return 0;
}

PROBE(raise_limit)
{
	struct rlimit limit = { 256, 256 };

	return TRY(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL));
}

PROBE(move_parent)
{
	unsigned long mask = 1;

	return TRY(syscall(SYS_sched_setaffinity, victim(), sizeof(mask), &mask));
}

PROBE(look_where_parent_runs)
{
	unsigned long mask[16];

	return TRY(syscall(SYS_sched_getaffinity, victim(), sizeof(mask), mask));
}

PROBE(slow_parent)
{
	return TRY(syscall(SYS_setpriority, PRIO_PROCESS, victim(), 10));
}

/* -- Row 21 ---------------------------------------------------------------- */

PROBE(clock_of_parent)
{
	struct timespec time;
	clockid_t clock = (clockid_t)((~(unsigned)victim() << 3) | 2);

	return TRY(syscall(SYS_clock_gettime, clock, &time));
}

/* -- Row 29 ---------------------------------------------------------------- */

static long reap(long child)
{
	if (child == 0)
		_exit(0);
	return died_by((pid_t)child, 0) == NO_EFFECT ? 0 : NO_EFFECT;
}

PROBE(clone_process)
{
	return reap(NEED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
}

#ifdef SYS_fork
PROBE(fork_process)
{
	return reap(NEED(syscall(SYS_fork)));
}

/* The child leaves at once; nothing is returned through. */
PROBE(vfork_process)
{
	pid_t child = vfork();

	if (child == 0)
		_exit(0);
	return child < 0 ? -errno : reap(child);
}
#endif

/* A child of the parent's: out of one's own tree. */
PROBE(clone_beside)
{
	long child = NEED(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));

	if (child == 0)
		_exit(0);
	return 0;
}

PROBE(clone_by_record)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return reap(NEED(syscall(SYS_clone3, &args, sizeof(args))));
}

/* -- Rows 30 and 31 -------------------------------------------------------- */

static void *nothing(void *argument)
{
	return argument;
}

static void *for_ever(void *argument)
{
	for (;;) {
		struct timespec day = { 86400, 0 };

		nanosleep(&day, NULL);
	}
	return argument;
}

PROBE(one_thread)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);

	if (error)
		return -error;
	pthread_join(thread, NULL);
	return 0;
}

/* Threads until there are no more, 200 at most: how many, if none was refused. */
PROBE(thread_bomb)
{
	static pthread_t threads[200];
	pthread_attr_t attributes;
	long started = 0;
	int error = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	while (!error && started < 200) {
		error = pthread_create(&threads[started], &attributes, for_ever, NULL);
		started += !error;
	}
	return error ? -error : started;
}

/* How many threads there can be before one is refused. */
PROBE(count_threads)
{
	pthread_t thread;
	pthread_attr_t attributes;
	long started = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	while (started < 200 && pthread_create(&thread, &attributes, for_ever, NULL) == 0)
		started++;
	return started;
}

/* -- Row 43 ---------------------------------------------------------------- */

static volatile int helper_asked, helper_answered;
static volatile long helper_result;

static void *help(void *argument)
{
	while (!helper_asked)
		sched_yield();
	helper_result = TRY(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC));
	helper_answered = 1;
	return argument;
}

/* In a constructor: somebody who was there before anything was decided. */
PROBE(start_helper)
{
	pthread_t thread;

	return -pthread_create(&thread, NULL, help, NULL);
}

PROBE(ask_helper)
{
	helper_asked = 1;
	while (!helper_answered)
		sched_yield();
	return helper_result;
}

/* The helper was never confined by what came after it, if it could be. */
PROBE(ask_helper_for_socket)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);

	if (error)
		return -error;
	pthread_join(thread, NULL);
	return TRY(socket(AF_UNIX, SOCK_STREAM, 0));
}
