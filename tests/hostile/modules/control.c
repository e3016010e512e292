/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 34 to 38 and 42: descriptors, and the socket to the daemon. socket= is that socket, 3 in the
 * jail; other= is a descriptor that is not among a worker's own. */
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>

#include "probe.h"

static int control(void)
{
	return (int)number("socket");
}

static int other(void)
{
	return (int)number("other");
}

/* -- Row 34 ---------------------------------------------------------------- */

PROBE(type_into_terminal)
{
	char key = 'x';

	return TRY(ioctl((int)number("terminal"), TIOCSTI, &key));
}

PROBE(bytes_waiting)
{
	int waiting;

	return TRY(ioctl(control(), FIONREAD, &waiting));
}

PROBE(ask_terminal)
{
	struct termios settings;

	return TRY(ioctl((int)number("terminal"), TCGETS, &settings));
}

/* -- Row 35 ---------------------------------------------------------------- */

PROBE(read_other)
{
	char bytes[16];

	return TRY(syscall(SYS_read, other(), bytes, sizeof(bytes)));
}

PROBE(write_other)
{
	return TRY(syscall(SYS_write, other(), "x", 1));
}

PROBE(pread_other)
{
	char bytes[16];

	return TRY(syscall(SYS_pread64, other(), bytes, sizeof(bytes), 0));
}

PROBE(readv_other)
{
	char bytes[16];
	struct iovec vector = { bytes, sizeof(bytes) };

	return TRY(syscall(SYS_readv, other(), &vector, 1));
}

PROBE(duplicate)
{
	return TRY(syscall(SYS_dup, control()));
}

PROBE(duplicate_to)
{
	return TRY(syscall(SYS_dup3, control(), 40, 0));
}

PROBE(duplicate_by_fcntl)
{
	return TRY(syscall(SYS_fcntl, control(), F_DUPFD_CLOEXEC, 40));
}

PROBE(clear_flags)
{
	return TRY(syscall(SYS_fcntl, control(), F_SETFL, 0));
}

PROBE(make_pipe)
{
	int ends[2];

	return TRY(syscall(SYS_pipe2, ends, O_CLOEXEC));
}

PROBE(splice_bytes)
{
	/* Nothing to move: only whether it can be asked. */
	return TRY(syscall(SYS_splice, other(), NULL, (int)number("pipe"), NULL, 0, 0));
}

PROBE(tee_bytes)
{
	return TRY(syscall(SYS_tee, (int)number("readable"), (int)number("pipe2"), 0, 0));
}

PROBE(send_file)
{
	off_t from = 0;

	return TRY(syscall(SYS_sendfile, (int)number("pipe"), other(), &from, 1));
}

PROBE(send_to)
{
	return TRY(syscall(SYS_sendto, control(), "", 0, MSG_DONTWAIT, NULL, 0));
}

PROBE(socket_option)
{
	int size = 1 << 24;

	return TRY(syscall(SYS_setsockopt, control(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
}

PROBE(poll_for_events)
{
	return TRY(syscall(SYS_epoll_create1, 0));
}

PROBE(event_counter)
{
	return TRY(syscall(SYS_eventfd2, 0, 0));
}

PROBE(close_many)
{
	return TRY(syscall(SYS_close_range, 100, 200, 0));
}

/* -- Row 36 ---------------------------------------------------------------- */

/* Descriptors beside 0 to 3. fstat is a question that is answered. */
PROBE(count_descriptors)
{
	char st[256];
	long found = 0;
	int fd;

	for (fd = 5; fd < 1024; fd++)
		found += syscall(SYS_fstat, fd, st) == 0;
	return found ? found : -EBADF;
}

/* -- Rows 37, 38 and 42 ---------------------------------------------------- */

static long send_message(const void *bytes, size_t size, int *fds, size_t count, int flags)
{
	char ancillary[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec vector = { (void *)bytes, size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	if (count) {
		struct cmsghdr *header;

		message.msg_control = ancillary;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	return TRY(syscall(SYS_sendmsg, control(), &message, flags | MSG_NOSIGNAL));
}

/* An Envelope with serial=, fds= and, by the number of its field, an empty body. */
static size_t envelope(uint8_t *bytes, uint32_t serial, uint32_t fds, uint8_t body)
{
	size_t size = 0;

	bytes[size++] = 1 << 3;
	while (serial >= 0x80) {
		bytes[size++] = (uint8_t)(serial | 0x80);
		serial >>= 7;
	}
	bytes[size++] = (uint8_t)serial;
	if (fds) {
		bytes[size++] = 2 << 3;
		bytes[size++] = (uint8_t)fds;
	}
	bytes[size++] = (uint8_t)(body << 3 | 2);
	bytes[size++] = 0;
	return size;
}

/* A whole reply with descriptors that nobody asked for: as many as one message can carry, all of
 * them the socket itself, which would keep the connection open for ever. */
PROBE(send_descriptors)
{
	uint8_t bytes[16];
	size_t size = envelope(bytes, 1, (uint32_t)number("claimed"), 9 /* Done */);
	int fds[16], i;

	for (i = 0; i < 16; i++)
		fds[i] = i % 3 == 0 ? control() : i % 3;
	return send_message(bytes, size, fds, 16, 0);
}

/* As fast as it goes, whole messages of the largest size, until nobody listens. */
PROBE(flood)
{
	static uint8_t bytes[60000];
	long sent, most = number("most"), waits = 0;

	bytes[0] = 1 << 3;
	bytes[1] = 1;
	for (sent = 0; sent < most; sent++) {
		long answer = send_message(bytes, sizeof(bytes), NULL, 0, MSG_DONTWAIT);

		while (answer == -EAGAIN && waits++ < 2000) {
			struct pollfd poll = { control(), POLLOUT, 0 };
			struct timespec pause = { 0, 1000000 };

			ppoll(&poll, 1, &pause, NULL);
			answer = send_message(bytes, sizeof(bytes), NULL, 0, MSG_DONTWAIT);
		}
		if (answer < 0)
			return answer;
	}
	return sent;
}

/* One message that is larger than any may be. */
PROBE(oversize)
{
	static uint8_t bytes[150000] = { 1 << 3, 1 };

	return send_message(bytes, sizeof(bytes), NULL, 0, 0);
}

/* A byte each: many wakes for little. */
PROBE(patter)
{
	long sent, most = number("most");

	for (sent = 0; sent < most; sent++)
		NEED(send_message("x", 1, NULL, 0, 0));
	return sent;
}

/* The same with the log: for ms= milliseconds, as fast as it goes. */
PROBE(flood_log)
{
	static char line[4096];
	struct timespec now, start;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		NEED(write(2, line, sizeof(line)));
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
		 number("ms"));
	return 0;
}

PROBE(fake_done)
{
	uint8_t bytes[16];
	size_t size = envelope(bytes, (uint32_t)number("serial"), 0, 9 /* Done */);

	return send_message(bytes, size, NULL, 0, 0);
}

PROBE(fake_loaded)
{
	uint8_t bytes[16];
	size_t size = envelope(bytes, (uint32_t)number("serial"), 0, 7 /* Loaded */);

	return send_message(bytes, size, NULL, 0, 0);
}

PROBE(garbage)
{
	uint8_t bytes[512];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 0xfb);
	return send_message(bytes, sizeof(bytes), NULL, 0, 0);
}

/* Says goodbye without leaving: the daemon must not wait for ever. */
PROBE(hang_up)
{
	struct timespec pause = { 0, 100000000 };

	NEED(close(control()));
	do
		ppoll(NULL, 0, &pause, NULL);
	while (!number("give_up"));
	return 0;
}

/* The worker's own code, which called this module, with a return in its place. */
PROBE(patch_worker)
{
	char *page = (char *)((uintptr_t)host_code & ~4095ul);

	NEED(mprotect(page, 4096, PROT_READ | PROT_WRITE));
	page[0] = page[0];
	return TRY(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}
