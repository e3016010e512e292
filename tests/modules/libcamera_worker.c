/*
 * What a broken or hostile proxy worker of libcamera's says, in the place of a real one. It speaks the
 * interface `soft` of libcamera 0.7. The settings of init() name one of the rows below; it happens once
 * in a worker's life, in its third frame or, where it is about answers, when it is told to stop. A worker
 * that takes over in between has not had the frames before, and behaves.
 */
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EXIT, INIT, START, STOP, CONFIGURE, QUEUE, COMPUTE, PROCESS };
enum { SET_SENSOR = 1, SET_ISP, METADATA };
enum { EXPOSURE = 0x980911, V4L2 = 2, I32 = 5, FLOAT = 7 };

static int fd;
static char row[32];

struct buffer {
	uint32_t length;
	unsigned char bytes[4096];
};

static void put(struct buffer *to, const void *bytes, uint32_t length)
{
	memcpy(to->bytes + to->length, bytes, length);
	to->length += length;
}

static void number(struct buffer *to, uint32_t value)
{
	put(to, &value, 4);
}

static void raw(const void *bytes, uint32_t length)
{
	while (send(fd, bytes, length, MSG_NOSIGNAL) < 0) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };
		poll(&room, 1, -1);
	}
}

static void header(uint32_t length, uint32_t fds)
{
	uint32_t head[2] = { length, fds };
	raw(head, 8);
}

static void say(uint32_t cmd, uint32_t cookie, const struct buffer *arguments)
{
	struct buffer payload = { 0 };
	number(&payload, cmd);
	number(&payload, cookie);
	if (arguments)
		put(&payload, arguments->bytes, arguments->length);
	header(payload.length, 0);
	raw(payload.bytes, payload.length);
}

/* A list of one control, with a map in front that may be none. */
static struct buffer list(const struct buffer *map, uint32_t handle, uint32_t ids, uint32_t id,
			  uint32_t type)
{
	struct buffer list = { 0 };
	uint32_t map_length = map ? map->length : 0;
	number(&list, map_length);
	number(&list, 32 + 20 + 4);
	if (map)
		put(&list, map->bytes, map_length);
	uint32_t head[8] = { 2, handle, 1, 56, 52, ids, 0, 0 };
	put(&list, head, 32);
	uint32_t entry[5] = { id, type | 1 << 16, 0, 0, 0 };
	put(&list, entry, 20);
	number(&list, 1000);
	return list;
}

static struct buffer map(uint32_t handle, uint32_t ids, uint32_t id)
{
	struct buffer map = { 0 };
	uint32_t head[8] = { 2, handle, 1, 32 + 64 + 12, 32 + 64, ids, 0, 0 };
	put(&map, head, 32);
	uint32_t entry[4] = { id, I32, 0, 0 };
	put(&map, entry, 16);
	for (uint32_t offset = 0; offset < 12; offset += 4) {
		uint32_t value[4] = { I32 | 1 << 16, offset, 0, 0 };
		put(&map, value, 16);
	}
	number(&map, 1);
	number(&map, 2000);
	number(&map, 10);
	return map;
}

static void metadata(uint32_t frame)
{
	struct buffer none = list(NULL, 0, 0, 9, FLOAT);
	struct buffer arguments = { 0 };
	number(&arguments, 4);
	number(&arguments, none.length);
	number(&arguments, frame);
	put(&arguments, none.bytes, none.length);
	say(METADATA, 0, &arguments);
}

/* The settings name it behind "row:". */
static void find_row(const unsigned char *bytes, ssize_t length)
{
	for (ssize_t i = 0; i + 4 < length; i++) {
		if (memcmp(bytes + i, "row:", 4) != 0)
			continue;
		for (size_t j = 0; j + 1 < sizeof(row) && bytes[i + 4 + j] >= '0'; j++)
			row[j] = bytes[i + 4 + j];
		return;
	}
}

static int is(const char *name)
{
	return strcmp(row, name) == 0;
}

/* In the third frame. */
static void misbehave(void)
{
	struct buffer bad;
	if (is("crash")) {
		*(volatile int *)0 = 0;
	} else if (is("hang")) {
		poll(NULL, 0, -1);
	} else if (is("exit")) {
		_Exit(0);
	} else if (is("descriptors")) {
		header(8, 3);
		uint32_t event[2] = { SET_ISP, 0 };
		raw(event, 8);
	} else if (is("short")) {
		header(64, 0);
		uint32_t event[2] = { METADATA, 0 };
		raw(event, 8);
	} else if (is("headers")) {
		header(64, 0);
		header(64, 0);
	} else if (is("huge")) {
		header(UINT32_MAX, 0);
	} else if (is("v4l2")) {
		bad = list(NULL, 0, V4L2, EXPOSURE, I32);
		say(SET_SENSOR, 0, &bad);
	} else if (is("identifier")) {
		struct buffer unknown = map(4, 0, 999);
		bad = list(&unknown, 4, 0, 9, FLOAT);
		say(SET_SENSOR, 0, &bad);
	} else if (is("type")) {
		bad = list(NULL, 1, V4L2, EXPOSURE, 200);
		say(SET_SENSOR, 0, &bad);
	} else if (is("flood")) {
		bad = list(NULL, 1, V4L2, EXPOSURE, I32);
		for (int i = 0; i < 5000; i++)
			say(SET_SENSOR, 0, &bad);
	} else if (is("maps")) {
		for (uint32_t i = 0; i < 2000; i++) {
			struct buffer another = map(4 + 2 * i, V4L2, EXPOSURE + i);
			bad = list(&another, 4 + 2 * i, V4L2, EXPOSURE + i, I32);
			say(SET_SENSOR, 0, &bad);
		}
	} else if (is("sizes")) {
		bad = list(NULL, 1, V4L2, EXPOSURE, I32);
		uint32_t size = 1 << 20;
		memcpy(bad.bytes + 4, &size, 4);
		say(SET_SENSOR, 0, &bad);
	} else if (is("frame")) {
		metadata(77);
	}
}

static void at_stop(uint32_t cookie)
{
	if (is("late")) {
		poll(NULL, 0, 2300);
	} else if (is("cookie")) {
		say(SET_ISP, cookie, NULL);
	} else if (is("closed")) {
		close(fd);
		poll(NULL, 0, -1);
	}
}

int main(int argc, char **argv)
{
	static unsigned char payload[1 << 18];
	uint32_t frames = 0, computed = 0;
	if (argc < 3)
		return 1;
	fd = atoi(argv[2]);
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		uint32_t head[2] = { 0 };
		poll(&ready, 1, -1);
		if (recv(fd, head, 8, 0) != 8)
			return 2;
		poll(&ready, 1, -1);
		memset(payload, 0, sizeof(payload));
		ssize_t length = recv(fd, payload, sizeof(payload) - 1, 0);
		if (length < 8)
			return 3;
		uint32_t cmd, cookie, frame;
		memcpy(&cmd, payload, 4);
		memcpy(&cookie, payload + 4, 4);
		struct buffer answer = { 0 };
		switch (cmd) {
		case EXIT:
			return 0;
		case INIT:
			find_row(payload, length);
			/* 0; a map that is empty, false. */
			number(&answer, 0);
			number(&answer, 4);
			number(&answer, 1);
			number(&answer, 0);
			put(&answer, "", 1);
			say(cmd, cookie, &answer);
			break;
		case START:
		case CONFIGURE:
			number(&answer, 0);
			say(cmd, cookie, &answer);
			break;
		case STOP:
			if (frames > 3)
				at_stop(cookie);
			say(cmd, cookie, NULL);
			break;
		case COMPUTE:
			memcpy(&computed, payload + 8, 4);
			say(SET_ISP, 0, NULL);
			break;
		case PROCESS:
			/* Three sizes, then the number. */
			memcpy(&frame, payload + 20, 4);
			frames++;
			if (is("always"))
				*(volatile int *)0 = 0;
			if (is("leaves"))
				_Exit(0);
			if (frame == 3 && computed == 3)
				misbehave();
			answer = list(NULL, 1, V4L2, EXPOSURE, I32);
			say(SET_SENSOR, 0, &answer);
			metadata(frame);
			break;
		}
	}
}
