/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 1 to 6: files, devices, and what their existence tells. */
#include <linux/openat2.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "probe.h"

static long open_at(const char *path, int flags)
{
	return TRY(syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600));
}

static long open_of(const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/%s", number("pid"), what);
	return open_at(path, O_RDONLY);
}

/* -- Row 1 ----------------------------------------------------------------- */

PROBE(open_passwd)
{
	char byte;
	long fd = NEED(open_at("/etc/passwd", O_RDONLY));

	return TRY(read((int)fd, &byte, 1));
}

PROBE(open_root)
{
	return open_at("/", O_RDONLY | O_DIRECTORY);
}

PROBE(open_parent_mem)
{
	return open_of("mem");
}

PROBE(open_parent_environ)
{
	return open_of("environ");
}

PROBE(open_own_maps)
{
	return open_at("/proc/self/maps", O_RDONLY);
}

PROBE(open_sys)
{
	return open_at("/sys/kernel", O_RDONLY | O_DIRECTORY);
}

PROBE(open_dev)
{
	return open_at("/dev", O_RDONLY | O_DIRECTORY);
}

PROBE(open_device)
{
	return open_at(word("path"), O_RDONLY | O_NONBLOCK);
}

PROBE(open_video)
{
	return open_at("/dev/video0", O_RDWR | O_NONBLOCK);
}

PROBE(open_media)
{
	return open_at("/dev/media0", O_RDWR);
}

PROBE(open_dri)
{
	return open_at("/dev/dri/renderD128", O_RDWR);
}

PROBE(open_mem)
{
	return open_at("/dev/mem", O_RDONLY);
}

PROBE(open_through_openat2)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };

	return TRY(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how)));
}

#ifdef SYS_open
PROBE(open_the_old_way)
{
	return TRY(syscall(SYS_open, "/etc/passwd", O_RDONLY | O_CLOEXEC));
}
#endif

/* -- Row 2 ----------------------------------------------------------------- */

__attribute__((noinline)) static int victim_code(void)
{
	__asm__ volatile("");
	return 1;
}

PROBE(rewrite_own_code)
{
	long fd = NEED(open_at("/proc/self/mem", O_RDWR));
	unsigned char byte, back;
	void *code = (void *)victim_code;

	NEED(pread((int)fd, &byte, 1, (off_t)(uintptr_t)code));
	NEED(pwrite((int)fd, &byte, 1, (off_t)(uintptr_t)code));
	NEED(pread((int)fd, &back, 1, (off_t)(uintptr_t)code));
	return victim_code() == 1 && back == byte ? 0 : NO_EFFECT;
}

/* -- Row 3 ----------------------------------------------------------------- */

PROBE(create_file)
{
	return open_at(file("created"), O_WRONLY | O_CREAT);
}

PROBE(create_unnamed)
{
	return open_at(word("dir"), O_WRONLY | O_TMPFILE);
}

PROBE(make_directory)
{
	return TRY(syscall(SYS_mkdirat, AT_FDCWD, file("directory"), 0700));
}

PROBE(make_symlink)
{
	return TRY(syscall(SYS_symlinkat, "/etc/passwd", AT_FDCWD, file("symlink")));
}

PROBE(make_link)
{
	return TRY(syscall(SYS_linkat, AT_FDCWD, file("victim"), AT_FDCWD, file("link"), 0));
}

PROBE(unlink_file)
{
	return TRY(syscall(SYS_unlinkat, AT_FDCWD, file("victim"), 0));
}

PROBE(truncate_file)
{
	return TRY(syscall(SYS_truncate, file("victim"), 0));
}

PROBE(rename_file)
{
	return TRY(syscall(SYS_renameat2, AT_FDCWD, file("victim"), AT_FDCWD, file("renamed"), 0));
}

PROBE(make_fifo)
{
	return TRY(syscall(SYS_mknodat, AT_FDCWD, file("fifo"), S_IFIFO | 0600, 0));
}

/* -- Row 4 ----------------------------------------------------------------- */

PROBE(change_mode)
{
	return TRY(syscall(SYS_fchmodat, AT_FDCWD, file("victim"), 0777));
}

PROBE(change_owner)
{
	return TRY(syscall(SYS_fchownat, AT_FDCWD, file("victim"), -1, -1, 0));
}

PROBE(set_attribute)
{
	return TRY(setxattr(file("victim"), "user.coldshoe", "x", 1, 0));
}

PROBE(read_attribute)
{
	char list[256];

	return TRY(listxattr(file("victim"), list, sizeof(list)));
}

PROBE(set_times)
{
	return TRY(syscall(SYS_utimensat, AT_FDCWD, file("victim"), NULL, 0));
}

PROBE(change_directory)
{
	return TRY(chdir("/"));
}

PROBE(look_at_file_system)
{
	struct statfs fs;

	return TRY(statfs("/", &fs));
}

PROBE(watch_files)
{
	return TRY(inotify_init1(IN_CLOEXEC));
}

/* -- Row 5 ----------------------------------------------------------------- */

PROBE(stat_oracle)
{
	struct stat st;

	return TRY(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0));
}

PROBE(statx_oracle)
{
	char st[256];

	return TRY(syscall(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0x7ff, st));
}

#ifdef SYS_access
PROBE(access_oracle)
{
	return TRY(syscall(SYS_access, "/etc/passwd", F_OK));
}

PROBE(readlink_oracle)
{
	char target[256];

	return TRY(syscall(SYS_readlink, file("pointer"), target, sizeof(target)));
}

PROBE(stat_the_old_way)
{
	struct stat st;

	return TRY(syscall(SYS_stat, "/etc/passwd", &st));
}

PROBE(lstat_the_old_way)
{
	struct stat st;

	return TRY(syscall(SYS_lstat, "/etc/passwd", &st));
}
#endif

PROBE(faccessat_oracle)
{
	return TRY(syscall(SYS_faccessat, AT_FDCWD, "/etc/passwd", F_OK));
}

PROBE(faccessat2_oracle)
{
	return TRY(syscall(SYS_faccessat2, AT_FDCWD, "/etc/passwd", F_OK, 0));
}

PROBE(readlinkat_oracle)
{
	char target[256];

	return TRY(syscall(SYS_readlinkat, AT_FDCWD, file("pointer"), target, sizeof(target)));
}

PROBE(where_am_i)
{
	char path[512];

	return TRY(syscall(SYS_getcwd, path, sizeof(path)));
}

/* -- Row 6 ----------------------------------------------------------------- */

PROBE(file_handle)
{
	char handle[8 + 128] = { 128 };
	int mount;

	return TRY(syscall(SYS_name_to_handle_at, AT_FDCWD, "/etc/passwd", handle, &mount, 0));
}

PROBE(fanotify)
{
	return TRY(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC, 0));
}
