/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * probe.h - one attempt to escape each, by name.
 *
 * A probe answers what it achieved: 0 or more if the attack worked, as far as that can be seen from
 * inside, or a negative errno value with the kernel's very answer. One that is killed answers
 * nothing. The same function runs in the jail and, as its control, in a process without one.
 *
 * Arguments come as text, "probe=NAME key=value ...": the tuning data of the module.
 */
#ifndef PROBE_H
#define PROBE_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct probe {
	const char *name;
	long (*attempt)(void);
};

/* Every probe of every file ends up in one array, between two symbols of the linker. */
#define PROBE(name)                                                                      \
	static long name(void);                                                          \
	static struct probe probe_##name                                                 \
		__attribute__((used, section("probes"), aligned(sizeof(void *)))) = {    \
			#name, name                                                      \
		};                                                                       \
	static long name(void)

/* A call's answer, or -errno. */
#define TRY(call)                                     \
	({                                            \
		long try_ = (long)(call);             \
		try_ == -1 ? -(long)errno : try_;     \
	})

/* A step that must succeed for the attack to go on. */
#define NEED(call)                                    \
	({                                            \
		long need_ = TRY(call);               \
		if (need_ < 0)                        \
			return need_;                 \
		need_;                                \
	})

/* The attack went through and did nothing. */
#define NO_EFFECT (-ENODATA)

/* A word of the arguments; "" and 0 without. Compiled with -D_GNU_SOURCE. */
const char *word(const char *key);
long number(const char *key);

/* A file in the directory that the arguments name, or the directory itself. */
const char *file(const char *name);

/* The shared memory of the frame path, found without being told where it is: the segment that can
 * only be read (statistics), or the one that can be written (replies). NULL if it is not there. */
char *segment(int writable, size_t *length);

/* An address in the code of whoever loaded the module. */
extern const void *host_code;

/* Whether this child ended by that signal; 0 or -errno. */
long died_by(pid_t child, int signal);

#endif
