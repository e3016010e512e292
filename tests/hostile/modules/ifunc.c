/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Row 43: code that the loader runs while it resolves symbols, before any constructor and before
 * the C library can be called. */
#include <sys/syscall.h>

#include "probe.h"

static long answer;

/* A socket, without the C library. */
static long raw_socket(void)
{
	long result;

#if defined(__x86_64__)
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_socket), "D"(1), "S"(1), "d"(0)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_socket, x0 __asm__("x0") = 1;
	register long x1 __asm__("x1") = 1, x2 __asm__("x2") = 0;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
	result = x0;
#else
	register long a7 __asm__("a7") = SYS_socket, a0 __asm__("a0") = 1;
	register long a1 __asm__("a1") = 1, a2 __asm__("a2") = 0;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
	result = a0;
#endif
	return result;
}

static long found(void)
{
	return answer;
}

/* Runs during relocation. */
static long (*resolve(void))(void)
{
	answer = raw_socket();
	return found;
}

long resolved(void) __attribute__((ifunc("resolve"), visibility("default")));

PROBE(socket_in_resolver)
{
	return resolved();
}
