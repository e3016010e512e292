/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The control: loads a module and calls its verbs as the worker does, in a plain process.
 *
 *	host MODULE ARGUMENTS [OPTION...]
 *
 *	user             in a user namespace of its own, where one is root
 *	pids             in a process namespace of its own: nobody outside can be hit
 *	victim           with another process of the same user; its number goes to the probe
 *	peer             with somebody at the other end of the socket who takes everything
 *	terminal         with a controlling terminal
 *	leak             with a descriptor that nobody meant to pass on
 *	segments=F,R     with these files as its shared memory
 *	landlock, namespaces, pivot, no-new-privs, filter=FILE
 *	                 with this layer of the jail, laid between create() and start()
 *
 * What the probe finds goes to stdout in the module's words. A layer that cannot be laid ends it, with
 * a line that begins "layer: ".
 */
#include <dlfcn.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "coldshoe_ipa.h"
#include "probe.h"

#ifndef MREMAP_FIXED
#error "compile with -D_GNU_SOURCE"
#endif

static char arguments[2048];
static char precious[64] = "precious";
static int options;
static char **option;
static pid_t victim, peer;
static int laying;

static void must(const char *what, long answer)
{
	if (answer >= 0)
		return;
	printf("%s: %s: %s\n", laying ? "layer" : "host", what, strerror(errno));
	fflush(stdout);
	exit(3);
}

static const char *has(const char *name)
{
	size_t length = strlen(name);
	int i;

	for (i = 0; i < options; i++)
		if (strncmp(option[i], name, length) == 0 &&
		    (option[i][length] == '\0' || option[i][length] == '='))
			return option[i][length] ? option[i] + length + 1 : "";
	return NULL;
}

static void tell(const char *key, long value)
{
	size_t used = strlen(arguments);

	snprintf(arguments + used, sizeof(arguments) - used, " %s=%ld", key, value);
}

/* What the module logs goes to stdout. */
static void log_line(void *context, uint32_t level, const char *message)
{
	(void)context;
	(void)level;
	printf("%s\n", message);
	fflush(stdout);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must(path, fd);
	must(path, write(fd, text, strlen(text)));
	close(fd);
}

/* A user namespace in which this process is user `inside`, as it is outside or as root. */
static void enter(int flags, unsigned inside_uid, unsigned inside_gid)
{
	char map[64];
	unsigned uid = geteuid(), gid = getegid();

	must("unshare", unshare(CLONE_NEWUSER | flags));
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", inside_uid, uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", inside_gid, gid);
	write_file("/proc/self/gid_map", map);
}

static void start_victim(void)
{
	pid_t host = getpid();

	victim = fork();

	must("victim", victim);
	if (victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != host)
			_exit(0);
		for (;;)
			pause();
	}
	tell("pid", victim);
	tell("address", (long)precious);
}

/* Somebody who trusts what comes: takes every message and descriptor, and tells how much it was. */
static void take_everything(int fd)
{
	static char bytes[1 << 20];
	long messages = 0, descriptors = 0, size = 0;

	for (;;) {
		char ancillary[CMSG_SPACE(64 * sizeof(int))];
		struct iovec vector = { bytes, sizeof(bytes) };
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1,
					  .msg_control = ancillary,
					  .msg_controllen = sizeof(ancillary) };
		struct cmsghdr *header;
		ssize_t got = recvmsg(fd, &message, 0);

		if (got < 0 || (got == 0 && message.msg_controllen == 0))
			break;
		messages++;
		size += got;
		header = CMSG_FIRSTHDR(&message);
		if (header) {
			long i, count = (long)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));

			descriptors += count;
			for (i = 0; i < count; i++)
				close(((int *)CMSG_DATA(header))[i]);
		}
	}
	printf("peer: %ld messages, %ld bytes, %ld descriptors\n", messages, size, descriptors);
	fflush(stdout);
	_exit(0);
}

static void give_socket(void)
{
	int pair[2], room = 1 << 20;

	must("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (has("peer")) {
		peer = fork();
		must("peer", peer);
		if (peer == 0) {
			close(pair[0]);
			take_everything(pair[1]);
		}
		close(pair[1]);
	}
	tell("socket", pair[0]);
}

/* What became of the others once the probe is over. */
static void look_around(void)
{
	int tries, status;

	/* A signal that is on its way arrives before the next look, or a little later. */
	for (tries = 0; victim && tries < 50; tries++) {
		if (waitpid(victim, &status, WNOHANG) == victim) {
			printf("victim: hit\n");
			victim = 0;
		} else {
			poll(NULL, 0, 1);
		}
	}
	if (victim)
		kill(victim, SIGKILL);
	if (peer) {
		/* Its end of the socket is the last one. */
		closefrom(3);
		waitpid(peer, NULL, 0);
	}
}

/* Goes on in a child, and ends as the child does. */
static void descend(void)
{
	pid_t child = fork();
	int status;

	must("fork", child);
	if (child == 0) {
		victim = peer = 0;
		return;
	}
	must("waitpid", waitpid(child, &status, 0));
	look_around();
	if (WIFSIGNALED(status))
		printf("host: killed by signal %d%s\n", WTERMSIG(status),
		       WCOREDUMP(status) ? ", core dumped" : "");
	exit(WIFSIGNALED(status) ? 5 : WEXITSTATUS(status));
}

static void give_descriptors(void)
{
	int pipe1[2], pipe2[2];
	FILE *other = tmpfile();

	must("tmpfile", other ? 0 : -1);
	fputs("bytes", other);
	rewind(other);
	must("pipe", pipe(pipe1));
	must("pipe", pipe(pipe2));
	tell("other", fileno(other));
	tell("pipe", pipe1[1]);
	tell("pipe2", pipe2[1]);
	tell("readable", pipe1[0]);
}

static void give_terminal(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), slave;
	char name[64];
	int number = 0, unlock = 0;

	must("ptmx", master);
	must("unlock", ioctl(master, TIOCSPTLCK, &unlock));
	must("ptn", ioctl(master, TIOCGPTN, &number));
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	setsid();
	slave = open(name, O_RDWR);
	must("pts", slave);
	tell("terminal", slave);
}

static void give_segments(const char *paths)
{
	char forward[256];
	const char *replies = strchr(paths, ',');
	int fds[2];
	struct stat st;

	must("segments", replies ? 0 : -1);
	snprintf(forward, sizeof(forward), "%.*s", (int)(replies - paths), paths);
	fds[0] = open(forward, O_RDWR | O_CLOEXEC);
	fds[1] = open(replies + 1, O_RDWR | O_CLOEXEC);
	must(forward, fds[0]);
	must(replies, fds[1]);
	must("fstat", fstat(fds[0], &st));
	if (mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fds[0], 0) == MAP_FAILED)
		must("map statistics", -1);
	must("fstat", fstat(fds[1], &st));
	if (mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0) ==
	    MAP_FAILED)
		must("map replies", -1);
	tell("forward", fds[0]);
	tell("replies", fds[1]);
}

/* -- Layers ---------------------------------------------------------------- */

static void lay_landlock(void)
{
	/* All that the kernel knows: files, network, scopes. */
	static const uint64_t files[] = { 0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1,
					  (1 << 15) - 1, (1 << 16) - 1 };
	long abi = syscall(444, NULL, 0, 1), ruleset;
	uint64_t handled[3] = { 0, 0, 0 };
	struct {
		uint64_t allowed;
		int32_t parent;
	} __attribute__((packed)) beneath = { 1 << 2 /* read files */, 0 };
	const char *libraries[] = { "/usr/lib", "/usr/lib64", "/lib", "/lib64" };
	size_t i;

	must("landlock", abi);
	handled[0] = files[abi > 5 ? 5 : abi];
	handled[1] = abi >= 4 ? 3 : 0;
	handled[2] = abi >= 6 ? 3 : 0;
	ruleset = syscall(444, handled, sizeof(handled), 0);
	must("landlock_create_ruleset", ruleset);
	for (i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		beneath.parent = open(libraries[i], O_PATH | O_CLOEXEC);
		if (beneath.parent >= 0)
			must("landlock_add_rule",
			     syscall(445, (int)ruleset, 1, &beneath, 0));
	}
	must("landlock_restrict_self", syscall(446, (int)ruleset, 0));
	close((int)ruleset);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	int cap;

	for (cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	must("capset", syscall(SYS_capset, &header, data));
}

static void lay_namespaces(int pivot)
{
	enter(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWPID, geteuid(),
	      getegid());
	descend();
	must("private mounts", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (pivot) {
		must("tmpfs", mount("none", "/mnt", "tmpfs", MS_NOSUID | MS_NODEV, NULL));
		must("chdir", chdir("/mnt"));
		must("mkdir", mkdir("usr", 0755));
		must("mkdir", mkdir("usr/lib", 0755));
		must("bind", mount("/usr/lib", "usr/lib", NULL, MS_BIND | MS_REC, NULL));
		must("pivot_root", syscall(SYS_pivot_root, ".", "."));
		must("umount", umount2(".", MNT_DETACH));
		must("read-only", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	}
	drop_capabilities();
}

/* A program for seccomp, with the gate's questions answered by death: nobody listens here. */
static void lay_filter(const char *path)
{
	static struct sock_filter instructions[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, instructions, sizeof(instructions));
	struct sock_fprog program = { 0, instructions };
	ssize_t i;

	must(path, size);
	close(fd);
	program.len = (unsigned short)((size_t)size / sizeof(instructions[0]));
	for (i = 0; i < program.len; i++)
		if (instructions[i].code == (BPF_RET | BPF_K) &&
		    instructions[i].k == 0x7fc00000u /* USER_NOTIF */)
			instructions[i].k = 0x80000000u /* KILL_PROCESS */;
	must("seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void lay_layers(void)
{
	int i;

	laying = 1;
	if (has("namespaces") || has("pivot"))
		lay_namespaces(has("pivot") != NULL);
	if (has("no-new-privs"))
		must("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (has("landlock"))
		lay_landlock();
	for (i = 0; i < options; i++)
		if (strncmp(option[i], "filter=", 7) == 0)
			lay_filter(option[i] + 7);
	laying = 0;
}

/* -- One life of a module -------------------------------------------------- */

static int live(const char *path)
{
	static const struct coldshoe_ipa_host host = { sizeof(host), 0, NULL, log_line };
	static const struct coldshoe_ipa_sensor sensor = { .struct_size = sizeof(sensor) };
	static const struct coldshoe_ipa_frame_in in = { .struct_size = sizeof(in) };
	static uint8_t params[4096] __attribute__((aligned(8)));
	const struct coldshoe_ipa_init init = {
		.struct_size = sizeof(init),
		.host = &host,
		.camera = "control",
		.stats_format = "coldshoe-stats-1",
		.params_format = "coldshoe-soft",
		.tuning = (const uint8_t *)arguments,
		.tuning_size = strlen(arguments),
	};
	struct coldshoe_ipa_frame_out out = { .struct_size = sizeof(out),
					      .params = params,
					      .params_capacity = sizeof(params) };
	const struct coldshoe_ipa_module *(*entry)(void);
	const struct coldshoe_ipa_module *module;
	void *instance = NULL, *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int code;

	if (!library) {
		printf("host: %s\n", dlerror());
		return 4;
	}
	*(void **)&entry = dlsym(library, "coldshoe_ipa_module");
	if (!entry) {
		printf("host: no module\n");
		return 4;
	}
	module = entry();
	code = module->create(&init, &instance);
	lay_layers();
	if (code == 0)
		code = module->configure(instance, &sensor);
	if (code == 0)
		code = module->start(instance);
	if (code == 0)
		code = module->process(instance, &in, &out);
	if (code == 0)
		code = module->stop(instance);
	module->destroy(instance);
	return code == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	option = argv + 3;
	options = argc - 3;
	snprintf(arguments, sizeof(arguments), "%s", argv[2]);
	if (has("pids")) {
		if (geteuid() == 0)
			must("unshare", unshare(CLONE_NEWPID));
		else
			enter(CLONE_NEWPID, geteuid(), getegid());
		descend();
	}
	if (has("victim"))
		start_victim();
	give_socket();
	descend();
	if (has("user"))
		enter(CLONE_NEWNS | CLONE_NEWUTS, 0, 0);
	give_descriptors();
	if (has("terminal"))
		give_terminal();
	if (has("leak"))
		must("leak", dup2(0, 700));
	if (has("segments"))
		give_segments(has("segments"));
	return live(argv[1]);
}
