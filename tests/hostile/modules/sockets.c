/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rows 15 to 17: anybody to talk to. */
#include <arpa/inet.h>
#include <linux/if_alg.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "probe.h"

/* Begins with @ for the abstract namespace. */
static socklen_t unix_address(struct sockaddr_un *address, const char *name)
{
	size_t length = strlen(name);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, length);
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static long connect_unix(int type, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, name);
	long fd = NEED(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
	long answer = TRY(connect((int)fd, (struct sockaddr *)&address, length));

	close((int)fd);
	return answer;
}

static struct sockaddr_in loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)number("port")),
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };

	return address;
}

/* -- Row 15 ---------------------------------------------------------------- */

PROBE(connect_path)
{
	return connect_unix(SOCK_STREAM, file("stream"));
}

PROBE(datagram_to_path)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, file("datagram"));
	long fd = NEED(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	return TRY(sendto((int)fd, "x", 1, 0, (struct sockaddr *)&address, length));
}

PROBE(socket_pair)
{
	int pair[2];

	return TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

/* Its own socket, if it has one, to somebody else. */
PROBE(reconnect)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, file("seqpacket"));
	int fd = (int)number("socket");

	if (number("free"))
		fd = (int)NEED(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	return TRY(connect(fd, (struct sockaddr *)&address, length));
}

/* -- Row 16 ---------------------------------------------------------------- */

PROBE(connect_abstract)
{
	return connect_unix(SOCK_STREAM, word("abstract"));
}

PROBE(listen_abstract)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, "@coldshoe-hostile");
	long fd = NEED(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	return TRY(bind((int)fd, (struct sockaddr *)&address, length));
}

/* -- Row 17 ---------------------------------------------------------------- */

PROBE(connect_tcp)
{
	struct sockaddr_in address = loopback();
	long fd = NEED(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	return TRY(connect((int)fd, (struct sockaddr *)&address, sizeof(address)));
}

PROBE(listen_tcp)
{
	struct sockaddr_in address = loopback();
	long fd = NEED(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	address.sin_port = 0;
	NEED(bind((int)fd, (struct sockaddr *)&address, sizeof(address)));
	return TRY(listen((int)fd, 1));
}

PROBE(send_udp)
{
	struct sockaddr_in address = loopback();
	long fd = NEED(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	return TRY(sendto((int)fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)));
}

/* Which interfaces the machine has, and an answer that there are any but its own loopback. */
PROBE(ask_netlink)
{
	struct {
		struct nlmsghdr header;
		char family[16];
	} request = { { sizeof(request), 18 /* RTM_GETLINK */, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 },
		      { 0 } };
	char answer[16384];
	long fd = NEED(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)), got;
	struct nlmsghdr *link;
	long others = 0;

	NEED(send((int)fd, &request, sizeof(request), 0));
	got = NEED(recv((int)fd, answer, sizeof(answer), 0));
	for (link = (struct nlmsghdr *)answer; NLMSG_OK(link, got); link = NLMSG_NEXT(link, got))
		others += link->nlmsg_type == 16 /* RTM_NEWLINK */;
	return others;
}

PROBE(open_vsock)
{
	return TRY(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

PROBE(open_crypto)
{
	return TRY(socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

PROBE(open_packet)
{
	return TRY(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(3)));
}
