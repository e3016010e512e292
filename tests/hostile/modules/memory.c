/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 7 to 10: new code. */
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>

#include "probe.h"

/* A function that answers 42. */
#if defined(__x86_64__)
static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
#elif defined(__aarch64__)
static const unsigned char code[] = { 0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6 };
#else
static const unsigned char code[] = { 0x13, 0x05, 0xa0, 0x02, 0x67, 0x80, 0x00, 0x00 };
#endif

static long call(void *page)
{
	__builtin___clear_cache(page, (char *)page + sizeof(code));
	return ((int (*)(void))page)() == 42 ? 42 : NO_EFFECT;
}

static void *anonymous(int protection)
{
	return mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* -- Row 7 ----------------------------------------------------------------- */

PROBE(execute)
{
	char *argv[] = { "/bin/sh", "-c", "echo 'probe execute: 0'", NULL };
	char *envp[] = { NULL };

	return TRY(syscall(SYS_execve, argv[0], argv, envp));
}

PROBE(execute_at)
{
	char *argv[] = { "/bin/sh", "-c", "echo 'probe execute_at: 0'", NULL };
	char *envp[] = { NULL };

	return TRY(syscall(SYS_execveat, AT_FDCWD, argv[0], argv, envp, 0));
}

PROBE(execute_from_memory)
{
	static const char script[] = "#!/bin/sh\necho 'probe execute_from_memory: 0'\n";
	long fd = NEED(memfd_create("x", 0));
	char path[64], *argv[] = { path, NULL }, *envp[] = { NULL };

	NEED(write((int)fd, script, sizeof(script) - 1));
	snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
	return TRY(syscall(SYS_execveat, (int)fd, "", argv, envp, AT_EMPTY_PATH));
}

/* -- Row 8 ----------------------------------------------------------------- */

PROBE(memory_file)
{
	return TRY(memfd_create("x", MFD_CLOEXEC));
}

PROBE(secret_memory)
{
	return TRY(syscall(SYS_memfd_secret, 0));
}

/* -- Row 9 ----------------------------------------------------------------- */

PROBE(map_code)
{
	void *page = anonymous(PROT_READ | PROT_WRITE | PROT_EXEC);

	if (page == MAP_FAILED)
		return -errno;
	memcpy(page, code, sizeof(code));
	return call(page);
}

PROBE(data_to_code)
{
	void *page = anonymous(PROT_READ | PROT_WRITE);

	if (page == MAP_FAILED)
		return -errno;
	memcpy(page, code, sizeof(code));
	NEED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	return call(page);
}

PROBE(data_to_code_by_key)
{
	void *page = anonymous(PROT_READ | PROT_WRITE);

	if (page == MAP_FAILED)
		return -errno;
	memcpy(page, code, sizeof(code));
	NEED(syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1));
	return call(page);
}

__attribute__((noinline, aligned(4096))) static int own_code(void)
{
	__asm__ volatile(".skip 8192, 0");
	return 1;
}

PROBE(write_to_code)
{
	char *page = (char *)own_code + 4096;

	NEED(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
	memcpy(page, code, sizeof(code));
	return call(page);
}

PROBE(shared_code)
{
	long id = NEED(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700));
	void *page = shmat((int)id, NULL, SHM_EXEC);
	long answer = page == (void *)-1 ? -errno : 0;

	shmctl((int)id, IPC_RMID, NULL);
	if (answer < 0)
		return answer;
	memcpy(page, code, sizeof(code));
	return call(page);
}

PROBE(attach_shared_code)
{
	return TRY(syscall(SYS_shmat, -1, NULL, SHM_EXEC)) == -EINVAL ? 0 : -errno;
}

PROBE(reading_is_executing)
{
	void *page;

	NEED(syscall(SYS_personality, READ_IMPLIES_EXEC));
	page = anonymous(PROT_READ | PROT_WRITE);
	if (page == MAP_FAILED)
		return -errno;
	memcpy(page, code, sizeof(code));
	return call(page);
}

/* -- Row 10 ---------------------------------------------------------------- */

PROBE(code_in_segment)
{
	size_t length;
	char *replies = segment(1, &length);

	if (!replies)
		return -ENOENT;
	memcpy(replies + length - 4096, code, sizeof(code));
	NEED(mprotect(replies + length - 4096, 4096, PROT_READ | PROT_EXEC));
	return call(replies + length - 4096);
}

PROBE(map_segment_as_code)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, (int)number("replies"), 0);

	return page == MAP_FAILED ? -errno : 0;
}
