/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A whole pipeline on a sensor that is not there: 30 frames of a grey wall at 100 per second, whose
 * statistics go to a module in turn by copy, in a slot and in a buffer; an event loop; deadlines; and
 * every outcome that a frame can have.
 *
 *	pipeline SOCKET MODULE [DEADLINE_MS]
 *
 * SOCKET is the daemon's control socket, "" for that of the user's own daemon. MODULE speaks
 * coldshoe-stats-1 and coldshoe-soft; "open" does.
 *
 *	CFLAGS += $(shell pkg-config --cflags coldshoe)
 *	LDLIBS += $(shell pkg-config --libs coldshoe)
 *
 *	pipeline: pipeline.c
 *		$(CC) -std=c99 $(CFLAGS) -o $@ $< $(LDLIBS)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <linux/udmabuf.h>

#include "coldshoe.h"

#define FRAMES 30
#define SLOTS 4
#define MS 1000000ull

/* What coldshoe-stats-1 is; little-endian. */
struct zone {
	uint64_t r, g, b;
	uint32_t valid, clipped;
};

struct statistics {
	char magic[4];
	uint32_t version;
	uint64_t sequence;
	uint32_t width, height;
	double exposure_us, analogue_gain, digital_gain;
	uint16_t black[4], white;
	uint8_t reserved[6];
	struct zone zones[192];
	uint32_t histogram[256];
};

/* A frame that waits for its outcome. */
struct pending {
	uint64_t number, ticket;
	int in_buffer;
};

struct pipeline {
	struct coldshoe_session *session;
	/* Memory of the session's one buffer. */
	void *buffer;
	int buffer_is_busy;
	uint64_t deadline_ms;
	/* What the sensor applies. */
	struct coldshoe_applied applied;
	uint64_t submitted;
	struct pending pending[SLOTS + 1];
	int pending_count;
	unsigned int fresh, late, held, skipped;
};

static const struct coldshoe_sensor sensor = {
	.struct_size = sizeof(sensor),
	.model = "grey wall",
	.width = 640,
	.height = 480,
	.bayer_order = COLDSHOE_BAYER_RGGB,
	.bit_depth = 10,
	.exposure_delay = 1,
	.gain_delay = 1,
	.line_length_us = 20,
	.min_exposure_us = 20,
	.max_exposure_us = 9000,
	.min_analogue_gain = 1,
	.max_analogue_gain = 16,
	.max_digital_gain = 1,
	.black_level = 0.0625,
	.min_frame_duration_us = 10000,
	.max_frame_duration_us = 10000,
};

/* Tells an error and frees it. */
static int failed(struct coldshoe_error *error)
{
	fprintf(stderr, "pipeline: %s\n", coldshoe_error_message(error));
	coldshoe_error_free(error);
	return -1;
}

/* What an ISP would have written: a grey wall under a lamp, so bright as the exposure makes it. */
static void measure(struct statistics *stats, uint64_t number, const struct coldshoe_applied *applied)
{
	const uint32_t cells = 320 / 16 * (240 / 12);
	const double black = applied->black_level * 65535, white = 65535 - black;
	double level = 0.5 * white * applied->exposure_us * applied->analogue_gain / 20000;
	int i;

	if (level > white - 1)
		level = white - 1;
	memset(stats, 0, sizeof(*stats));
	memcpy(stats->magic, "CSST", sizeof(stats->magic));
	stats->version = 1;
	stats->sequence = number;
	stats->width = 320;
	stats->height = 240;
	stats->exposure_us = applied->exposure_us;
	stats->analogue_gain = applied->analogue_gain;
	stats->digital_gain = applied->digital_gain;
	for (i = 0; i < 4; i++)
		stats->black[i] = (uint16_t)black;
	stats->white = 65535;
	for (i = 0; i < 192; i++) {
		stats->zones[i].r = (uint64_t)(0.8 * level * cells);
		stats->zones[i].g = (uint64_t)(level * cells);
		stats->zones[i].b = (uint64_t)(0.5 * level * cells);
		stats->zones[i].valid = cells;
	}
	stats->histogram[(unsigned int)(0.825 * level) / 256] = 192 * cells;
}

/*
 * Makes a dmabuf of a buffer, for hardware to write statistics into: what V4L2 takes with
 * V4L2_MEMORY_DMABUF. Before the session is opened, for the buffer is sealed then. Returns its
 * descriptor, or -1 where the kernel has no udmabuf.
 */
static int export_dmabuf(struct coldshoe_buffer *buffer)
{
	struct udmabuf_create create;
	int device, dmabuf;

	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (device < 0) {
		printf("udmabuf: not there (%s); the processor fills the buffer\n", strerror(errno));
		return -1;
	}
	memset(&create, 0, sizeof(create));
	create.memfd = (uint32_t)coldshoe_buffer_memfd(buffer);
	create.flags = UDMABUF_FLAGS_CLOEXEC;
	create.size = coldshoe_buffer_capacity(buffer);
	dmabuf = ioctl(device, UDMABUF_CREATE, &create);
	if (dmabuf < 0)
		printf("udmabuf: no dmabuf of the buffer: %s\n", strerror(errno));
	else
		printf("udmabuf: the buffer is a dmabuf of %llu bytes\n",
		       (unsigned long long)create.size);
	close(device);
	return dmabuf;
}

static double clamped(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

/* An answer is a wish: it goes through the sensor's limits. */
static void apply(struct pipeline *p, const struct coldshoe_outcome *outcome)
{
	const struct coldshoe_wanted *wanted = &outcome->wanted;

	if (!outcome->has_answer)
		return;
	if (wanted->set & COLDSHOE_WANTED_EXPOSURE)
		p->applied.exposure_us = clamped(wanted->exposure_us, sensor.min_exposure_us,
						 sensor.max_exposure_us);
	if (wanted->set & COLDSHOE_WANTED_ANALOGUE_GAIN)
		p->applied.analogue_gain = clamped(wanted->analogue_gain, sensor.min_analogue_gain,
						   sensor.max_analogue_gain);
	/* A pipeline with an ISP would write outcome->params to it here. */
}

/* What became of a frame. Whatever it is, the pipeline goes on; only a dead worker ends it. */
static int finish(struct pipeline *p, uint64_t number, const struct coldshoe_outcome *outcome)
{
	struct coldshoe_error *error;

	switch (outcome->kind) {
	case COLDSHOE_OUTCOME_FRESH:
		p->fresh++;
		apply(p, outcome);
		return 0;
	case COLDSHOE_OUTCOME_LATE:
		/* The ISP has gone on with the last parameters; the sensor can still use these. */
		p->late++;
		apply(p, outcome);
		break;
	case COLDSHOE_OUTCOME_HELD:
		p->held++;
		break;
	default:
		p->skipped++;
		break;
	}
	printf("frame %" PRIu64 ": %s\n", number,
	       outcome->kind == COLDSHOE_OUTCOME_LATE ? "late" : coldshoe_reason_text(outcome->reason));
	if (outcome->reason != COLDSHOE_REASON_FAULT)
		return 0;
	return coldshoe_session_fault(p->session, &error) < 0 ? failed(error) : 0;
}

/* Looks which frames have an outcome by now. */
static int collect(struct pipeline *p)
{
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_error *error;
	int i, status, left = 0;

	for (i = 0; i < p->pending_count; i++) {
		struct pending frame = p->pending[i];

		status = coldshoe_session_try_wait(p->session, frame.ticket, &outcome, &error);
		if (status < 0)
			return failed(error);
		if (status == COLDSHOE_AGAIN) {
			p->pending[left++] = frame;
			continue;
		}
		if (frame.in_buffer)
			p->buffer_is_busy = 0;
		if (finish(p, frame.number, &outcome) < 0)
			return -1;
	}
	p->pending_count = left;
	return 0;
}

static struct coldshoe_frame describe(const struct pipeline *p, uint64_t number)
{
	struct coldshoe_frame frame;

	/* A real pipeline has this from the V4L2 buffer. */
	uint64_t now = coldshoe_now_ns();

	memset(&frame, 0, sizeof(frame));
	frame.struct_size = sizeof(frame);
	frame.number = number;
	frame.sensor_timestamp_ns = now;
	frame.deadline_ns = now + p->deadline_ms * MS;
	frame.applied = p->applied;
	frame.controls.set = COLDSHOE_CONTROL_AE_ENABLE | COLDSHOE_CONTROL_AWB_ENABLE;
	frame.controls.ae_enable = 1;
	frame.controls.awb_enable = 1;
	return frame;
}

/* The sensor has a frame. */
static int submit(struct pipeline *p)
{
	const uint64_t number = ++p->submitted;
	const struct coldshoe_frame frame = describe(p, number);
	struct pending *next = &p->pending[p->pending_count];
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) };
	struct coldshoe_error *error;
	struct statistics stats;
	int status;

	next->number = number;
	next->in_buffer = 0;
	if (number % 3 == 0) {
		/* Written straight into shared memory. */
		status = coldshoe_session_claim_slot(p->session, &slot, &error);
		if (status == COLDSHOE_ERROR_FULL) {
			p->skipped++;
			printf("frame %" PRIu64 ": %s\n", number, coldshoe_error_why(error));
			coldshoe_error_free(error);
			return 0;
		}
		if (status < 0)
			return failed(error);
		measure(slot.address, number, &p->applied);
		status = coldshoe_session_submit_slot(p->session, &frame, sizeof(stats),
						      &next->ticket, &error);
	} else if (number % 3 == 1 && !p->buffer_is_busy) {
		/* Written by hardware into the dmabuf, where there is some. */
		measure(p->buffer, number, &p->applied);
		status = coldshoe_session_submit_buffer(p->session, &frame, 0, sizeof(stats),
							&next->ticket, &error);
		next->in_buffer = p->buffer_is_busy = status >= 0;
	} else {
		measure(&stats, number, &p->applied);
		status = coldshoe_session_submit(p->session, &frame, &stats, sizeof(stats),
						 &next->ticket, &error);
	}
	if (status < 0)
		return failed(error);
	p->pending_count++;
	return 0;
}

/* Parameters before the first frame. This one may be waited for: nothing else goes on yet. */
static int prepare(struct pipeline *p)
{
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_frame frame = describe(p, 0);
	struct coldshoe_error *error;
	uint64_t ticket;

	if (coldshoe_session_prepare(p->session, &frame, &ticket, &error) < 0 ||
	    coldshoe_session_wait(p->session, ticket, &outcome, &error) < 0)
		return failed(error);
	printf("prepared: %zu bytes of parameters\n", outcome.params_size);
	return finish(p, 0, &outcome);
}

static int run(struct pipeline *p, int timer)
{
	struct pollfd fds[2] = { { .fd = timer, .events = POLLIN }, { .events = POLLIN } };
	struct coldshoe_error *error;
	uint64_t ticks;

	if (coldshoe_session_poll_fd(p->session, &fds[1].fd, &error) < 0)
		return failed(error);
	while (p->submitted < FRAMES || p->pending_count > 0) {
		if (p->submitted == FRAMES)
			fds[0].fd = -1;
		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			perror("pipeline: poll");
			return -1;
		}
		if (fds[0].revents && read(timer, &ticks, sizeof(ticks)) > 0 && submit(p) < 0)
			return -1;
		/* Takes note of what made it readable; the daemon speaks up when the worker dies. */
		if (fds[1].revents && coldshoe_session_fault(p->session, &error) < 0)
			return failed(error);
		if (collect(p) < 0)
			return -1;
	}
	return 0;
}

static int stream(struct pipeline *p)
{
	const struct itimerspec rate = { { 0, 10 * MS }, { 0, 10 * MS } };
	struct coldshoe_info info = { .struct_size = sizeof(info) };
	struct coldshoe_error *error;
	int timer, result;

	if (coldshoe_session_info(p->session, &info, &error) < 0)
		return failed(error);
	printf("module: %s %s (%s)\n%s\n", info.module_name, info.module_version,
	       info.module_license, info.confinement);
	if (coldshoe_session_configure(p->session, &sensor, &error) < 0 ||
	    coldshoe_session_start(p->session, &error) < 0)
		return failed(error);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (timer < 0 || timerfd_settime(timer, 0, &rate, NULL) < 0) {
		perror("pipeline: timer");
		return -1;
	}
	result = prepare(p);
	if (result == 0)
		result = run(p, timer);
	close(timer);
	if (result == 0 && coldshoe_session_stop(p->session, &error) < 0)
		return failed(error);
	return result;
}

static int report(struct pipeline *p)
{
	struct coldshoe_counters counters = { .struct_size = sizeof(counters) };
	struct coldshoe_error *error;

	if (coldshoe_session_counters(p->session, &counters, &error) < 0)
		return failed(error);
	printf("outcomes: %u fresh, %u late, %u held, %u skipped\n", p->fresh, p->late, p->held,
	       p->skipped);
	printf("counters: %" PRIu64 " fresh, %" PRIu64 " late, %" PRIu64 " missed, %" PRIu64
	       " skipped\n",
	       counters.fresh, counters.late, counters.missed, counters.skipped);
	return 0;
}

int main(int argc, char **argv)
{
	struct coldshoe_open open = { .struct_size = sizeof(open) };
	struct coldshoe_buffer *buffer = NULL;
	struct coldshoe_error *error;
	struct pipeline p;
	int dmabuf, result;

	if (argc < 3) {
		fprintf(stderr, "usage: pipeline SOCKET MODULE [DEADLINE_MS]\n");
		return 2;
	}
	memset(&p, 0, sizeof(p));
	p.deadline_ms = argc > 3 ? strtoull(argv[3], NULL, 10) : 8;
	p.applied.exposure_us = 1000;
	p.applied.analogue_gain = 1;
	p.applied.digital_gain = 1;
	p.applied.black_level = sensor.black_level;
	printf("libcoldshoe %s\n", coldshoe_version());

	if (coldshoe_buffer_create(sizeof(struct statistics), &buffer, &error) < 0)
		return -failed(error);
	p.buffer = coldshoe_buffer_address(buffer);
	dmabuf = export_dmabuf(buffer);

	open.socket = argv[1][0] ? argv[1] : NULL;
	open.module = argv[2];
	open.camera = "virtual";
	open.stats_format = "coldshoe-stats-1";
	open.params_format = "coldshoe-soft";
	open.slots = SLOTS;
	open.buffers = &buffer;
	open.buffer_count = 1;
	result = coldshoe_session_open(&open, &p.session, &error) < 0 ? failed(error) : 0;
	if (result == 0) {
		result = stream(&p);
		if (result == 0)
			result = report(&p);
		if (coldshoe_session_close(p.session, &error) < 0)
			result = failed(error);
	}
	if (dmabuf >= 0)
		close(dmabuf);
	/* NULL by now, if the session has taken it. */
	coldshoe_buffer_free(buffer);
	return result < 0;
}
