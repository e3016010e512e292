/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Checks of the C library, by name: calls NAME SOCKET MODULE. The first that does not hold ends the
 * program with its line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coldshoe.h"

#define CHECK(truth)                                                                   \
	do {                                                                           \
		if (!(truth)) {                                                        \
			fprintf(stderr, "calls.c:%d: %s\n", __LINE__, #truth);         \
			exit(1);                                                       \
		}                                                                      \
	} while (0)

/* The call fails like this, says why on three lines, and also fails for who does not ask why. */
#define FAILS(expected, call)                                                          \
	do {                                                                           \
		struct coldshoe_error *error = NULL, **why = &error;                   \
		CHECK((call) == (expected));                                           \
		CHECK(error && coldshoe_error_status(error) == (expected));            \
		CHECK(coldshoe_error_what(error)[0] && coldshoe_error_why(error)[0]);  \
		CHECK(coldshoe_error_remedy(error)[0]);                                \
		CHECK(strstr(coldshoe_error_message(error), "\n  try: "));             \
		coldshoe_error_free(error);                                            \
		why = NULL;                                                            \
		CHECK((call) == (expected));                                           \
	} while (0)

#define REFUSED(call) FAILS(COLDSHOE_ERROR_ARGUMENT, call)

/* The call does what it is for; what was in the error is overwritten. */
#define WORKS(call)                                                                    \
	do {                                                                           \
		struct coldshoe_error *error = (struct coldshoe_error *)&error;        \
		struct coldshoe_error **why = &error;                                  \
		if ((call) != COLDSHOE_OK)                                             \
			fprintf(stderr, "%s\n", coldshoe_error_message(error));        \
		CHECK(error == NULL);                                                  \
	} while (0)

#define SECOND 1000000000ull

static const char *socket_path, *module;

static const struct coldshoe_sensor sensor = {
	.struct_size = sizeof(sensor),
	.model = "virtual",
	.width = 640,
	.height = 480,
	.bayer_order = COLDSHOE_BAYER_GBRG,
	.bit_depth = 10,
	.exposure_delay = 2,
	.gain_delay = 1,
	.line_length_us = 20,
	.min_exposure_us = 20,
	.max_exposure_us = 8000,
	.min_analogue_gain = 1,
	.max_analogue_gain = 16,
	.max_digital_gain = 1,
	.black_level = 0.0625,
	.min_frame_duration_us = 10000,
	.max_frame_duration_us = 33333,
};

static struct coldshoe_open options(void)
{
	struct coldshoe_open open = { .struct_size = sizeof(open) };

	open.socket = socket_path;
	open.module = module;
	open.camera = "virtual";
	open.stats_format = "coldshoe-stats-1";
	open.params_format = "coldshoe-soft";
	open.stats_capacity = 4096;
	return open;
}

static struct coldshoe_session *opened(struct coldshoe_open open)
{
	struct coldshoe_session *session = NULL;

	WORKS(coldshoe_session_open(&open, &session, why));
	CHECK(session);
	return session;
}

static struct coldshoe_session *started(void)
{
	struct coldshoe_session *session = opened(options());

	WORKS(coldshoe_session_configure(session, &sensor, why));
	WORKS(coldshoe_session_start(session, why));
	return session;
}

static struct coldshoe_frame frame_until(uint64_t number, uint64_t deadline_ns)
{
	struct coldshoe_frame frame;

	memset(&frame, 0, sizeof(frame));
	frame.struct_size = sizeof(frame);
	frame.number = number;
	frame.sensor_timestamp_ns = coldshoe_now_ns();
	frame.deadline_ns = deadline_ns;
	frame.applied.exposure_us = 1000;
	frame.applied.analogue_gain = 2;
	frame.applied.digital_gain = 1;
	return frame;
}

/* A frame that nobody gives up on. */
static struct coldshoe_frame patient(uint64_t number)
{
	return frame_until(number, coldshoe_now_ns() + 60 * SECOND);
}

static struct coldshoe_outcome waited(struct coldshoe_session *session, uint64_t ticket)
{
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };

	WORKS(coldshoe_session_wait(session, ticket, &outcome, why));
	return outcome;
}

/* Runs a frame, which the module answers in time. */
static void runs(struct coldshoe_session *session, uint64_t number)
{
	struct coldshoe_frame frame = patient(number);
	struct coldshoe_outcome outcome;
	uint64_t ticket;

	WORKS(coldshoe_session_submit(session, &frame, "12345678", 8, &ticket, why));
	outcome = waited(session, ticket);
	CHECK(outcome.kind == COLDSHOE_OUTCOME_FRESH && outcome.reason == COLDSHOE_REASON_NONE);
	CHECK(outcome.has_answer == 1 && outcome.frame == number);
	CHECK(outcome.params && outcome.params_size == 24);
	CHECK(outcome.metadata.lux == 8);
}

static void ended(struct coldshoe_session *session)
{
	WORKS(coldshoe_session_close(session, why));
}

static void is_held(struct coldshoe_session *session, uint64_t ticket, uint32_t reason)
{
	struct coldshoe_outcome outcome = waited(session, ticket);

	CHECK(outcome.kind == COLDSHOE_OUTCOME_HELD && outcome.reason == reason);
}

static void is_skipped(struct coldshoe_session *session, uint64_t ticket, uint32_t reason)
{
	struct coldshoe_outcome outcome = waited(session, ticket);

	CHECK(outcome.kind == COLDSHOE_OUTCOME_SKIPPED && outcome.reason == reason);
}

/* -- NULL ------------------------------------------------------------------ */

static void nulls_to_open(void)
{
	struct coldshoe_open open = options(), without;
	struct coldshoe_session *session;

	REFUSED(coldshoe_session_open(NULL, &session, why));
	REFUSED(coldshoe_session_open(&open, NULL, why));
	without = open, without.module = NULL;
	REFUSED(coldshoe_session_open(&without, &session, why));
	without = open, without.camera = NULL;
	REFUSED(coldshoe_session_open(&without, &session, why));
	without = open, without.stats_format = NULL;
	REFUSED(coldshoe_session_open(&without, &session, why));
	without = open, without.params_format = "caf\xe9";
	REFUSED(coldshoe_session_open(&without, &session, why));
	without = open, without.buffer_count = 1;
	REFUSED(coldshoe_session_open(&without, &session, why));
}

static void nulls_for_a_session(void)
{
	struct coldshoe_frame frame = patient(1);
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_counters counters = { .struct_size = sizeof(counters) };
	struct coldshoe_info info = { .struct_size = sizeof(info) };
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) };
	uint64_t ticket;
	int fd;

	REFUSED(coldshoe_session_info(NULL, &info, why));
	REFUSED(coldshoe_session_configure(NULL, &sensor, why));
	REFUSED(coldshoe_session_start(NULL, why));
	REFUSED(coldshoe_session_stop(NULL, why));
	REFUSED(coldshoe_session_fault(NULL, why));
	REFUSED(coldshoe_session_counters(NULL, &counters, why));
	REFUSED(coldshoe_session_close(NULL, why));
	REFUSED(coldshoe_session_submit(NULL, &frame, "", 1, &ticket, why));
	REFUSED(coldshoe_session_submit_buffer(NULL, &frame, 0, 1, &ticket, why));
	REFUSED(coldshoe_session_prepare(NULL, &frame, &ticket, why));
	REFUSED(coldshoe_session_ring(NULL, why));
	REFUSED(coldshoe_session_claim_slot(NULL, &slot, why));
	REFUSED(coldshoe_session_submit_slot(NULL, &frame, 0, &ticket, why));
	REFUSED(coldshoe_session_queue_slot(NULL, &frame, 0, &ticket, why));
	REFUSED(coldshoe_session_abandon_slot(NULL, why));
	REFUSED(coldshoe_session_wait(NULL, 1, &outcome, why));
	REFUSED(coldshoe_session_try_wait(NULL, 1, &outcome, why));
	REFUSED(coldshoe_session_poll_fd(NULL, &fd, why));
	coldshoe_session_free(NULL);
}

static void nulls_for_the_rest(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_sensor nameless = sensor;
	struct coldshoe_frame frame = patient(1);
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) };
	uint64_t ticket;

	nameless.model = NULL;
	REFUSED(coldshoe_session_info(session, NULL, why));
	REFUSED(coldshoe_session_configure(session, NULL, why));
	REFUSED(coldshoe_session_configure(session, &nameless, why));
	REFUSED(coldshoe_session_counters(session, NULL, why));
	REFUSED(coldshoe_session_submit(session, NULL, "", 1, &ticket, why));
	REFUSED(coldshoe_session_submit(session, &frame, NULL, 1, &ticket, why));
	REFUSED(coldshoe_session_submit(session, &frame, "", 1, NULL, why));
	REFUSED(coldshoe_session_submit_buffer(session, NULL, 0, 1, &ticket, why));
	REFUSED(coldshoe_session_submit_buffer(session, &frame, 0, 1, NULL, why));
	REFUSED(coldshoe_session_prepare(session, NULL, &ticket, why));
	REFUSED(coldshoe_session_prepare(session, &frame, NULL, why));
	REFUSED(coldshoe_session_claim_slot(session, NULL, why));
	WORKS(coldshoe_session_claim_slot(session, &slot, why));
	REFUSED(coldshoe_session_submit_slot(session, NULL, 0, &ticket, why));
	REFUSED(coldshoe_session_submit_slot(session, &frame, 0, NULL, why));
	REFUSED(coldshoe_session_queue_slot(session, NULL, 0, &ticket, why));
	WORKS(coldshoe_session_abandon_slot(session, why));
	REFUSED(coldshoe_session_wait(session, 1, NULL, why));
	REFUSED(coldshoe_session_try_wait(session, 1, NULL, why));
	REFUSED(coldshoe_session_poll_fd(session, NULL, why));
	/* Nothing of it has changed anything. */
	runs(session, 2);
	ended(session);
}

static void nulls(void)
{
	REFUSED(coldshoe_buffer_create(4096, NULL, why));
	CHECK(coldshoe_buffer_address(NULL) == NULL);
	CHECK(coldshoe_buffer_capacity(NULL) == 0);
	CHECK(coldshoe_buffer_memfd(NULL) == -1);
	coldshoe_buffer_free(NULL);
	CHECK(coldshoe_error_status(NULL) == COLDSHOE_OK);
	CHECK(!coldshoe_error_what(NULL)[0] && !coldshoe_error_why(NULL)[0]);
	CHECK(!coldshoe_error_remedy(NULL)[0] && !coldshoe_error_message(NULL)[0]);
	coldshoe_error_free(NULL);
	CHECK(coldshoe_version()[0] && coldshoe_reason_text(12345)[0]);
	nulls_to_open();
	nulls_for_a_session();
	nulls_for_the_rest();
}

/* -- Sizes ----------------------------------------------------------------- */

static const size_t impossible[] = { 0, 4, 12, 5000, (size_t)-8 };

static void sizes_of_what_is_read(void)
{
	struct {
		struct coldshoe_open open;
		uint64_t unknown;
	} newer = { options(), 0 };
	struct coldshoe_open older = options();
	struct coldshoe_session *session = NULL;
	size_t i;

	for (i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		older.struct_size = impossible[i];
		REFUSED(coldshoe_session_open(&older, &session, why));
	}
	/* Before there were buffers; that of a newer header may be anything. */
	older.struct_size = offsetof(struct coldshoe_open, buffer_count) - sizeof(uint32_t);
	older.buffer_count = 16;
	ended(opened(older));

	newer.open.struct_size = sizeof(newer);
	WORKS(coldshoe_session_open(&newer.open, &session, why));
	ended(session);
	newer.unknown = 1;
	REFUSED(coldshoe_session_open(&newer.open, &session, why));
}

static void sizes_of_what_is_filled(struct coldshoe_session *session)
{
	struct {
		struct coldshoe_counters counters;
		uint64_t unknown;
	} newer = { { .struct_size = sizeof(newer) }, 7 };
	struct coldshoe_counters older = { .struct_size = offsetof(struct coldshoe_counters, late) };
	struct coldshoe_info info = { .struct_size = sizeof(info) };
	size_t i;

	older.late = 77;
	WORKS(coldshoe_session_counters(session, &older, why));
	CHECK(older.fresh == 1 && older.late == 77);
	CHECK(older.struct_size == offsetof(struct coldshoe_counters, late));
	WORKS(coldshoe_session_counters(session, &newer.counters, why));
	CHECK(newer.counters.fresh == 1 && newer.unknown == 0);
	CHECK(newer.counters.struct_size == sizeof(newer));
	for (i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		info.struct_size = impossible[i];
		REFUSED(coldshoe_session_info(session, &info, why));
	}
	CHECK(info.module_name == NULL);
}

static void sizes(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_frame frame = patient(1);
	struct coldshoe_sensor mode = sensor;
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_slot slot = { .struct_size = 0 };
	uint64_t ticket;

	runs(session, 1);
	sizes_of_what_is_read();
	sizes_of_what_is_filled(session);
	REFUSED(coldshoe_session_claim_slot(session, &slot, why));
	mode.struct_size = 3;
	REFUSED(coldshoe_session_configure(session, &mode, why));
	frame.struct_size = sizeof(frame) + 1;
	REFUSED(coldshoe_session_prepare(session, &frame, &ticket, why));
	/* A ticket is not spent on an outcome that has no room. */
	frame.struct_size = sizeof(frame);
	WORKS(coldshoe_session_prepare(session, &frame, &ticket, why));
	outcome.struct_size = 0;
	REFUSED(coldshoe_session_wait(session, ticket, &outcome, why));
	CHECK(waited(session, ticket).kind == COLDSHOE_OUTCOME_FRESH);
	/* Bits without a meaning. */
	frame.controls.set = 1u << 31;
	REFUSED(coldshoe_session_prepare(session, &frame, &ticket, why));
	frame.controls.set = 0;
	frame.applied.reserved = 1;
	REFUSED(coldshoe_session_prepare(session, &frame, &ticket, why));
	ended(session);
}

/* -- Tickets --------------------------------------------------------------- */

static void tickets(void)
{
	struct coldshoe_session *session = started(), *other = started();
	const uint64_t made_up[] = { 0, 1, 1ull << 39, 1ull << 40, UINT64_MAX };
	struct coldshoe_frame frame = patient(1);
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	uint64_t ticket, later = 0;
	size_t i;

	for (i = 0; i < sizeof(made_up) / sizeof(made_up[0]); i++) {
		is_held(session, made_up[i], COLDSHOE_REASON_NOT_IN_FLIGHT);
		WORKS(coldshoe_session_try_wait(session, made_up[i], &outcome, why));
		CHECK(outcome.reason == COLDSHOE_REASON_NOT_IN_FLIGHT && !outcome.has_answer);
	}
	WORKS(coldshoe_session_prepare(session, &frame, &ticket, why));
	/* The other session has a frame of its own in that place. */
	WORKS(coldshoe_session_prepare(other, &frame, &later, why));
	CHECK(ticket != later);
	is_held(other, ticket, COLDSHOE_REASON_NOT_IN_FLIGHT);
	is_held(session, ticket + 1, COLDSHOE_REASON_NOT_IN_FLIGHT);
	is_held(session, ticket + 16, COLDSHOE_REASON_NOT_IN_FLIGHT);
	CHECK(waited(session, ticket).kind == COLDSHOE_OUTCOME_FRESH);
	CHECK(waited(other, later).kind == COLDSHOE_OUTCOME_FRESH);
	/* The second time, with the last answer to go on with. */
	outcome = waited(session, ticket);
	CHECK(outcome.reason == COLDSHOE_REASON_NOT_IN_FLIGHT && outcome.has_answer);
	CHECK(outcome.frame == 1 && outcome.params_size == 24);
	/* Of frames that nobody waits for. */
	for (i = 0; i < 40; i++) {
		frame = frame_until(i, 0);
		WORKS(coldshoe_session_prepare(session, &frame, &later, why));
	}
	is_held(session, ticket, COLDSHOE_REASON_NOT_IN_FLIGHT);
	/* Of frames that are given up. */
	WORKS(coldshoe_session_stop(session, why));
	is_held(session, later, COLDSHOE_REASON_NOT_IN_FLIGHT);
	ended(session);
	ended(other);
}

static void full(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_counters counters = { .struct_size = sizeof(counters) };
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) };
	struct coldshoe_frame frame;
	uint64_t flying[4], skipped[40];
	int i;

	for (i = 0; i < 4; i++) {
		frame = patient(i);
		WORKS(coldshoe_session_submit(session, &frame, "", 1, &flying[i], why));
	}
	for (i = 0; i < 40; i++)
		WORKS(coldshoe_session_submit(session, &frame, "", 1, &skipped[i], why));
	FAILS(COLDSHOE_ERROR_FULL, coldshoe_session_claim_slot(session, &slot, why));
	CHECK(slot.address == NULL);
	is_skipped(session, skipped[39], COLDSHOE_REASON_FULL);
	is_held(session, skipped[39], COLDSHOE_REASON_NOT_IN_FLIGHT);
	is_skipped(session, skipped[24], COLDSHOE_REASON_FULL);
	is_held(session, skipped[23], COLDSHOE_REASON_NOT_IN_FLIGHT);
	for (i = 0; i < 4; i++) {
		struct coldshoe_error *error;

		CHECK(coldshoe_session_try_wait(session, flying[i], &outcome, &error) ==
		      COLDSHOE_AGAIN);
		CHECK(error == NULL && outcome.kind == 0);
	}
	WORKS(coldshoe_session_counters(session, &counters, why));
	CHECK(counters.skipped == 42 && counters.fresh == 0);
	ended(session);
}

/* -- Slots ----------------------------------------------------------------- */

static void slots(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) }, again = slot;
	struct coldshoe_frame frame = patient(5);
	struct coldshoe_outcome outcome;
	uint64_t ticket, tickets[3];
	int i;

	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_submit_slot(session, &frame, 0, &ticket, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_abandon_slot(session, why));
	WORKS(coldshoe_session_claim_slot(session, &slot, why));
	CHECK((uintptr_t)slot.address % 16 == 0 && slot.capacity == 4096);
	memset(slot.address, 0x80, slot.capacity);
	/* Nobody else gets it, by any way. */
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_claim_slot(session, &again, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_submit(session, &frame, "", 1, &ticket, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_prepare(session, &frame, &ticket, why));
	REFUSED(coldshoe_session_submit_slot(session, &frame, 4097, &ticket, why));
	REFUSED(coldshoe_session_submit_slot(session, &frame, (size_t)-1, &ticket, why));
	WORKS(coldshoe_session_submit_slot(session, &frame, 4096, &ticket, why));
	outcome = waited(session, ticket);
	CHECK(outcome.kind == COLDSHOE_OUTCOME_FRESH && outcome.frame == 5);
	CHECK(outcome.metadata.lux == 4096 && outcome.metadata.luminance == 0.5);
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_submit_slot(session, &frame, 0, &ticket, why));

	/* What is abandoned is the next frame's. */
	WORKS(coldshoe_session_claim_slot(session, &slot, why));
	WORKS(coldshoe_session_abandon_slot(session, why));
	WORKS(coldshoe_session_claim_slot(session, &again, why));
	CHECK(slot.address == again.address);
	WORKS(coldshoe_session_abandon_slot(session, why));
	runs(session, 6);

	/* Several with one wake-up. */
	for (i = 0; i < 3; i++) {
		frame = patient(10 + i);
		WORKS(coldshoe_session_claim_slot(session, &slot, why));
		memset(slot.address, 0x40, 64);
		WORKS(coldshoe_session_queue_slot(session, &frame, 64, &tickets[i], why));
	}
	WORKS(coldshoe_session_ring(session, why));
	for (i = 0; i < 3; i++) {
		outcome = waited(session, tickets[i]);
		CHECK(outcome.kind == COLDSHOE_OUTCOME_FRESH);
		CHECK(outcome.frame == 10u + (unsigned int)i && outcome.metadata.luminance == 0.25);
	}

	/* Stopping abandons it; the memory is still there. */
	WORKS(coldshoe_session_claim_slot(session, &slot, why));
	WORKS(coldshoe_session_stop(session, why));
	memset(slot.address, 0, slot.capacity);
	WORKS(coldshoe_session_start(session, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_submit_slot(session, &frame, 0, &ticket, why));
	runs(session, 20);
	WORKS(coldshoe_session_claim_slot(session, &slot, why));
	coldshoe_session_free(session);
}

/* -- Buffers --------------------------------------------------------------- */

static struct coldshoe_buffer *buffer_of(size_t len)
{
	struct coldshoe_buffer *buffer = NULL;

	WORKS(coldshoe_buffer_create(len, &buffer, why));
	return buffer;
}

static void buffers_that_are_refused(struct coldshoe_buffer **buffers)
{
	struct coldshoe_buffer *kept = buffers[0], *many[17] = { NULL }, *twice[2], *hole[2];
	struct coldshoe_open open = options();
	struct coldshoe_session *session = NULL;

	REFUSED(coldshoe_buffer_create(0, &kept, why));
	REFUSED(coldshoe_buffer_create((16 << 20) + 1, &kept, why));
	CHECK(kept == buffers[0]);
	open.buffers = many, open.buffer_count = 17;
	REFUSED(coldshoe_session_open(&open, &session, why));
	twice[0] = twice[1] = buffers[0];
	open.buffers = twice, open.buffer_count = 2;
	REFUSED(coldshoe_session_open(&open, &session, why));
	hole[0] = buffers[0], hole[1] = NULL;
	open.buffers = hole;
	REFUSED(coldshoe_session_open(&open, &session, why));
	/* These come as far as the daemon. */
	open.buffers = buffers;
	open.module = "missing";
	FAILS(COLDSHOE_ERROR_NO_SUCH_MODULE, coldshoe_session_open(&open, &session, why));
	open.socket = "/nonexistent";
	FAILS(COLDSHOE_ERROR_UNREACHABLE, coldshoe_session_open(&open, &session, why));
	CHECK(buffers[0] && buffers[1] && session == NULL);
}

static void buffers(void)
{
	struct coldshoe_buffer *buffers[2] = { buffer_of(100), buffer_of(65536) };
	struct coldshoe_open open = options();
	struct coldshoe_frame frame = patient(3);
	struct coldshoe_session *session;
	struct coldshoe_outcome outcome;
	unsigned char *memory;
	uint64_t ticket;

	CHECK(coldshoe_buffer_capacity(buffers[0]) == 4096);
	CHECK(coldshoe_buffer_capacity(buffers[1]) == 65536);
	CHECK(fcntl(coldshoe_buffer_memfd(buffers[0]), F_GET_SEALS) ==
	      (F_SEAL_SHRINK | F_SEAL_GROW));
	memory = coldshoe_buffer_address(buffers[1]);
	CHECK((uintptr_t)memory % 4096 == 0 && memory[65535] == 0);
	buffers_that_are_refused(buffers);
	/* They are none the worse for it. */
	CHECK(coldshoe_buffer_address(buffers[1]) == memory);
	open.buffers = buffers, open.buffer_count = 2;
	session = opened(open);
	CHECK(buffers[0] == NULL && buffers[1] == NULL);
	coldshoe_buffer_free(buffers[0]);
	WORKS(coldshoe_session_configure(session, &sensor, why));
	WORKS(coldshoe_session_start(session, why));

	memset(memory, 0xc0, 65536);
	WORKS(coldshoe_session_submit_buffer(session, &frame, 1, 65536, &ticket, why));
	outcome = waited(session, ticket);
	CHECK(outcome.kind == COLDSHOE_OUTCOME_FRESH);
	CHECK(outcome.metadata.lux == 65536 && outcome.metadata.luminance == 0.75);
	REFUSED(coldshoe_session_submit_buffer(session, &frame, 1, 65537, &ticket, why));
	REFUSED(coldshoe_session_submit_buffer(session, &frame, 2, 1, &ticket, why));
	REFUSED(coldshoe_session_submit_buffer(session, &frame, UINT32_MAX, 1, &ticket, why));
	ended(session);
	coldshoe_buffer_free(buffer_of(1));
}

/* -- Order and values ------------------------------------------------------ */

static void order(void)
{
	struct coldshoe_session *session = opened(options());
	struct coldshoe_sensor blind = sensor;
	struct coldshoe_frame frame = patient(1);
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) };
	unsigned char large[4097] = { 0 };
	uint64_t ticket = 99;

	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_prepare(session, &frame, &ticket, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_claim_slot(session, &slot, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_start(session, why));
	blind.bayer_order = 9;
	REFUSED(coldshoe_session_configure(session, &blind, why));
	blind = sensor, blind.max_exposure_us = NAN;
	REFUSED(coldshoe_session_configure(session, &blind, why));
	WORKS(coldshoe_session_configure(session, &sensor, why));
	WORKS(coldshoe_session_start(session, why));
	FAILS(COLDSHOE_ERROR_STATE, coldshoe_session_configure(session, &sensor, why));
	REFUSED(coldshoe_session_submit(session, &frame, large, sizeof(large), &ticket, why));
	REFUSED(coldshoe_session_submit(session, &frame, large, (size_t)-1, &ticket, why));
	CHECK(ticket == 99);
	WORKS(coldshoe_session_fault(session, why));
	runs(session, 1);
	WORKS(coldshoe_session_submit(session, &frame, NULL, 0, &ticket, why));
	CHECK(waited(session, ticket).kind == COLDSHOE_OUTCOME_FRESH);
	ended(session);
}

static void values(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_info info = { .struct_size = sizeof(info) };
	struct coldshoe_frame frame = patient(4096);
	struct coldshoe_outcome outcome;
	uint64_t ticket;

	WORKS(coldshoe_session_info(session, &info, why));
	CHECK(!strcmp(info.module_name, "test") && !strcmp(info.module_version, "1.0"));
	CHECK(strstr(info.module_path, "/good.so") && !strcmp(info.profile, "single"));
	CHECK(strstr(info.confinement, "seccomp: filter") && info.worker_pid > 0);
	CHECK(info.slots == 4 && info.stats_capacity == 4096 && info.params_capacity == 16384);
	CHECK(fcntl(info.worker_pidfd, F_GETFD) >= 0);

	frame.controls.set = COLDSHOE_CONTROL_COLOUR_TEMPERATURE;
	frame.controls.colour_temperature = 4200;
	frame.controls.saturation = 3; /* not set */
	frame.applied.exposure_us = 3000;
	WORKS(coldshoe_session_submit(session, &frame, "\x20", 1, &ticket, why));
	outcome = waited(session, ticket);
	CHECK(outcome.wanted.set == (COLDSHOE_WANTED_EXPOSURE | COLDSHOE_WANTED_ANALOGUE_GAIN));
	CHECK(outcome.wanted.exposure_us == 6000 && outcome.wanted.analogue_gain == 4);
	CHECK(outcome.metadata.ae_state == COLDSHOE_STATE_SEARCHING);
	CHECK(outcome.metadata.awb_state == COLDSHOE_STATE_UNKNOWN);
	CHECK(outcome.metadata.set == (COLDSHOE_METADATA_LUMINANCE | COLDSHOE_METADATA_LUX |
				       COLDSHOE_METADATA_COLOUR_TEMPERATURE));
	CHECK(outcome.metadata.colour_temperature == 4200 && outcome.metadata.luminance == 0.125);
	/* The red gain, 8192/4096, in the parameters. */
	CHECK(outcome.params[16] == 0 && outcome.params[17] == 0x20);
	ended(session);
}

/* -- What the worker does -------------------------------------------------- */

static void fault(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_slot slot = { .struct_size = sizeof(slot) };
	struct coldshoe_frame frame = patient(1);
	struct pollfd readable = { .events = POLLIN };
	struct coldshoe_error *error;
	uint64_t ticket, skipped;
	int status, health;

	WORKS(coldshoe_session_poll_fd(session, &readable.fd, why));
	WORKS(coldshoe_session_prepare(session, &frame, &ticket, why));
	while ((status = coldshoe_session_try_wait(session, ticket, &outcome, &error)) ==
	       COLDSHOE_AGAIN)
		CHECK(poll(&readable, 1, -1) == 1);
	CHECK(status == COLDSHOE_OK);
	CHECK(outcome.kind == COLDSHOE_OUTCOME_HELD && outcome.reason == COLDSHOE_REASON_FAULT);
	FAILS(COLDSHOE_ERROR_MODULE_FAILED, coldshoe_session_fault(session, why));

	/* Others take over, and fail of their frames, too, until it is enough. */
	do {
		frame = frame_until(2, coldshoe_now_ns() + SECOND / 20);
		WORKS(coldshoe_session_submit(session, &frame, "", 1, &skipped, why));
		outcome = waited(session, skipped);
		/* Whoever took over just before the deadline did not fail. */
		CHECK(outcome.kind == COLDSHOE_OUTCOME_HELD);
		CHECK(outcome.reason == COLDSHOE_REASON_FAULT ||
		      outcome.reason == COLDSHOE_REASON_DEADLINE);
		WORKS(coldshoe_session_health(session, &health, why));
	} while (health != COLDSHOE_HEALTH_QUARANTINED);
	WORKS(coldshoe_session_submit(session, &frame, "", 1, &skipped, why));
	is_skipped(session, skipped, COLDSHOE_REASON_FAULT);
	FAILS(COLDSHOE_ERROR_MODULE_FAILED, coldshoe_session_claim_slot(session, &slot, why));
	coldshoe_session_free(session);
}

static void late(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_counters counters = { .struct_size = sizeof(counters) };
	struct coldshoe_frame frame = frame_until(1, coldshoe_now_ns());
	struct coldshoe_outcome outcome;
	uint64_t early;

	WORKS(coldshoe_session_prepare(session, &frame, &early, why));
	/* The worker takes one frame after the other. */
	runs(session, 2);
	outcome = waited(session, early);
	CHECK(outcome.kind == COLDSHOE_OUTCOME_LATE && outcome.reason == COLDSHOE_REASON_NONE);
	CHECK(outcome.has_answer && outcome.frame == 1);
	WORKS(coldshoe_session_counters(session, &counters, why));
	CHECK(counters.late == 1 && counters.fresh == 1 && counters.missed == 0);
	ended(session);
}

/* A loop that watches the descriptor sleeps when nothing is in flight. */
static void quiet(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_frame frame = frame_until(1, coldshoe_now_ns() + SECOND / 20);
	struct pollfd readable = { .events = POLLIN };
	struct coldshoe_error *error;
	uint64_t ticket;

	WORKS(coldshoe_session_poll_fd(session, &readable.fd, why));
	WORKS(coldshoe_session_submit(session, &frame, "", 1, &ticket, why));
	while (coldshoe_session_try_wait(session, ticket, &outcome, &error) == COLDSHOE_AGAIN)
		CHECK(poll(&readable, 1, -1) == 1);
	CHECK(outcome.kind == COLDSHOE_OUTCOME_HELD);
	WORKS(coldshoe_session_fault(session, why));
	CHECK(poll(&readable, 1, 0) == 0);
	ended(session);
}

/* The daemon dies while this waits for the end of its input. */
static void gone(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_session *other = started();
	struct coldshoe_frame frame;
	uint64_t ticket;

	runs(session, 1);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	/* Another daemon is looked for, in vain; that is an error and no SIGPIPE. */
	FAILS(COLDSHOE_ERROR_CONNECTION, coldshoe_session_configure(session, &sensor, why));
	FAILS(COLDSHOE_ERROR_INTERNAL, coldshoe_session_fault(session, why));
	frame = frame_until(2, coldshoe_now_ns() + SECOND / 20);
	WORKS(coldshoe_session_submit(session, &frame, "", 1, &ticket, why));
	is_held(session, ticket, COLDSHOE_REASON_FAULT);
	coldshoe_session_free(session);
	/* What nobody has any more is closed. */
	ended(other);
}

static int stop;

/* Is in a call on the session nearly always. */
static void *waits(void *session)
{
	struct coldshoe_outcome outcome = { .struct_size = sizeof(outcome) };
	struct coldshoe_frame frame;
	uint64_t ticket;
	int status;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		frame = frame_until(1, coldshoe_now_ns() + SECOND / 20);
		if (coldshoe_session_submit(session, &frame, "", 1, &ticket, NULL) < 0)
			continue;
		do
			status = coldshoe_session_wait(session, ticket, &outcome, NULL);
		while (status == COLDSHOE_ERROR_BUSY);
		CHECK(status == COLDSHOE_OK && outcome.kind == COLDSHOE_OUTCOME_HELD);
	}
	return NULL;
}

static void busy(void)
{
	struct coldshoe_session *session = started();
	struct coldshoe_counters counters = { .struct_size = sizeof(counters) };
	struct coldshoe_error *error;
	pthread_t thread;
	int status;

	CHECK(pthread_create(&thread, NULL, waits, session) == 0);
	do {
		status = coldshoe_session_counters(session, &counters, &error);
		CHECK(status == COLDSHOE_OK || status == COLDSHOE_ERROR_BUSY);
		CHECK(coldshoe_error_status(error) == status);
		coldshoe_error_free(error);
	} while (status == COLDSHOE_OK);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	CHECK(pthread_join(thread, NULL) == 0);
	WORKS(coldshoe_session_counters(session, &counters, why));
	CHECK(counters.fresh == 0);
	ended(session);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} checks[] = {
		{ "nulls", nulls },	{ "sizes", sizes },   { "tickets", tickets },
		{ "full", full },	{ "slots", slots },   { "buffers", buffers },
		{ "order", order },	{ "values", values }, { "fault", fault },
		{ "busy", busy },	{ "gone", gone },     { "late", late },
		{ "quiet", quiet },
	};
	size_t i;

	CHECK(argc == 4);
	socket_path = argv[2];
	module = argv[3];
	for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (!strcmp(checks[i].name, argv[1])) {
			checks[i].run();
			return 0;
		}
	}
	CHECK(!"a check of that name");
	return 1;
}
