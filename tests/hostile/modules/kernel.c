/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 22 to 28, 32 and 33: the kernel's larger interfaces, the jail's own, and the old ones. */
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#if defined(__x86_64__)
#include <asm/ldt.h>
#include <sys/io.h>
#endif

#include "probe.h"

/* -- Row 22 ---------------------------------------------------------------- */

PROBE(io_uring)
{
	char parameters[120] = { 0 };

	return TRY(syscall(SYS_io_uring_setup, 4, parameters));
}

PROBE(fault_handler)
{
	return TRY(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

PROBE(add_key)
{
	return TRY(syscall(SYS_add_key, "user", "coldshoe", "x", 1, -2 /* process keyring */));
}

PROBE(list_keys)
{
	return TRY(syscall(SYS_keyctl, 0, -3 /* session keyring */, 1));
}

PROBE(bpf_map)
{
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.map_type = BPF_MAP_TYPE_ARRAY;
	attribute.key_size = attribute.value_size = 4;
	attribute.max_entries = 1;
	return TRY(syscall(SYS_bpf, BPF_MAP_CREATE, &attribute, sizeof(attribute)));
}

PROBE(perf_event)
{
	struct perf_event_attr attribute = { .type = PERF_TYPE_SOFTWARE,
					     .size = sizeof(attribute),
					     .config = PERF_COUNT_SW_TASK_CLOCK,
					     .exclude_kernel = 1 };

	return TRY(syscall(SYS_perf_event_open, &attribute, 0, -1, -1, 0));
}

/* -- Rows 23 and 24 -------------------------------------------------------- */

static struct sock_filter lies[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444 /* landlock_create_ruleset */, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };

/* From now on the worker's own attempt to confine itself "succeeds", and does nothing. */
PROBE(forge_by_seccomp)
{
	struct sock_fprog program = { sizeof(lies) / sizeof(lies[0]), lies };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	NEED(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	/* Forged: a call that must fail is told to have worked. */
	return TRY(syscall(SYS_seccomp, 4711, 4711, NULL));
}

/* The same without asking first: a worker has renounced new privileges already. */
PROBE(forge_at_once)
{
	struct sock_fprog program = { sizeof(lies) / sizeof(lies[0]), lies };

	if (number("free"))
		NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	return TRY(syscall(SYS_seccomp, 4711, 4711, NULL));
}

PROBE(forge_by_prctl)
{
	struct sock_fprog program = { sizeof(lies) / sizeof(lies[0]), lies };

	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
	return TRY(syscall(SYS_seccomp, 4711, 4711, NULL));
}

PROBE(forge_by_handler)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	return TRY(sigaction(SIGSYS, &ignore, NULL));
}

PROBE(second_listener)
{
	struct sock_fprog program = { 1, nothing };

	if (number("free"))
		NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return TRY(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			   &program));
}

/* Asks which actions the kernel has: harmless, and still not its business. */
PROBE(ask_seccomp)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return TRY(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

/* -- Row 25 ---------------------------------------------------------------- */

PROBE(landlock_again)
{
	uint64_t handled[3] = { 1, 0, 0 };

	return TRY(syscall(444, handled, sizeof(handled), 0));
}

PROBE(become_dumpable)
{
	return TRY(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

PROBE(outlive_parent)
{
	return TRY(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

PROBE(move_memory_marks)
{
	return TRY(prctl(PR_SET_MM, PR_SET_MM_BRK, sbrk(0), 0, 0));
}

PROBE(forbid_time)
{
	NEED(prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
	return TRY(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0));
}

PROBE(invite_tracers)
{
	return TRY(prctl(PR_SET_PTRACER, -1L, 0, 0, 0));
}

PROBE(rename_process)
{
	return TRY(prctl(PR_SET_NAME, "coldshoed", 0, 0, 0));
}

PROBE(free_speculation)
{
	return TRY(prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_ENABLE, 0, 0));
}

/* -- Row 26 ---------------------------------------------------------------- */

PROBE(new_user_namespace)
{
	return TRY(syscall(SYS_unshare, CLONE_NEWUSER));
}

PROBE(clone_user_namespace)
{
	long child = NEED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));

	if (child == 0)
		_exit(0);
	return TRY(waitpid((pid_t)child, NULL, 0)) > 0 ? 0 : -errno;
}

PROBE(join_namespace)
{
	int fd = (int)number("fd");

	if (fd == 0)
		fd = (int)NEED(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
	return TRY(syscall(SYS_setns, fd, CLONE_NEWUTS));
}

PROBE(mount_tmpfs)
{
	return TRY(syscall(SYS_mount, "none", word("dir"), "tmpfs", 0, NULL));
}

PROBE(open_file_system)
{
	return TRY(syscall(SYS_fsopen, "tmpfs", 1));
}

PROBE(open_mount)
{
	return TRY(syscall(SYS_open_tree, AT_FDCWD, "/", 0x8001 /* OPEN_TREE_CLONE, recursive */));
}

PROBE(change_root)
{
	return TRY(syscall(SYS_chroot, "/"));
}

PROBE(pivot)
{
	if (number("free")) {
		NEED(syscall(SYS_mount, "none", word("dir"), "tmpfs", 0, NULL));
		NEED(syscall(SYS_chdir, word("dir")));
	}
	return TRY(syscall(SYS_pivot_root, ".", "."));
}

/* -- Row 27 ---------------------------------------------------------------- */

#if defined(__x86_64__)
/* getpid in the 32-bit table; the same number is writev in the 64-bit one. */
PROBE(interrupt_0x80)
{
	long pid;

	__asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return pid > 0 && pid == getpid() ? 0 : NO_EFFECT;
}

PROBE(x32)
{
	return TRY(syscall(0x40000000 | SYS_getpid));
}

/* -- Row 28 ---------------------------------------------------------------- */

PROBE(fault_on_cpuid)
{
	NEED(syscall(SYS_arch_prctl, 0x1012 /* ARCH_SET_CPUID */, 1));
	return 0;
}

PROBE(thread_pointer)
{
	unsigned long base;

	return TRY(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &base));
}

PROBE(segment_descriptor)
{
	struct user_desc descriptor = { .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1,
					.useable = 1 };

	return TRY(syscall(SYS_modify_ldt, 1, &descriptor, sizeof(descriptor)));
}

PROBE(io_privilege)
{
	return TRY(syscall(SYS_iopl, 3));
}

PROBE(io_ports)
{
	return TRY(syscall(SYS_ioperm, 0x80, 1, 1));
}

PROBE(shadow_stack)
{
	return TRY(syscall(453, 0, 4096, 0));
}
#endif

/* -- Row 32 ---------------------------------------------------------------- */

PROBE(real_time)
{
	struct sched_param parameter = { 1 };

	return TRY(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &parameter));
}

PROBE(batch)
{
	struct sched_param parameter = { 0 };

	return TRY(syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &parameter));
}

PROBE(nicer)
{
	return TRY(syscall(SYS_setpriority, PRIO_PROCESS, 0, 5));
}

PROBE(io_priority)
{
	return TRY(syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 7));
}

PROBE(lock_memory)
{
	return TRY(syscall(SYS_mlockall, MCL_CURRENT));
}

PROBE(lock_a_page)
{
	static char page[8192];

	return TRY(syscall(SYS_mlock, page, 4096));
}

/* -- Row 33 ---------------------------------------------------------------- */

PROBE(shared_memory)
{
	long id = NEED(syscall(SYS_shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0600));

	return TRY(shmctl((int)id, IPC_RMID, NULL));
}

PROBE(message_queue)
{
	long id = NEED(syscall(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600));

	return TRY(msgctl((int)id, IPC_RMID, NULL));
}

PROBE(semaphores)
{
	long id = NEED(syscall(SYS_semget, IPC_PRIVATE, 1, IPC_CREAT | 0600));

	return TRY(semctl((int)id, 0, IPC_RMID));
}

PROBE(posix_queue)
{
	struct mq_attr attribute = { .mq_maxmsg = 1, .mq_msgsize = 16 };
	char name[64];

	snprintf(name, sizeof(name), "coldshoe-hostile-%d", getpid());
	NEED(syscall(SYS_mq_open, name, O_RDWR | O_CREAT, 0600, &attribute));
	return TRY(syscall(SYS_mq_unlink, name));
}

PROBE(name_the_machine)
{
	return TRY(syscall(SYS_sethostname, "coldshoe", 8));
}
