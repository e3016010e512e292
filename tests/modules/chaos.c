/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A module with a state that fails on command. Its exposure creeps up to a goal, so that a
 * successor which begins anew shows. Tests fill holes on the compiler's command line, as in
 * module.c.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coldshoe_ipa.h"

#ifndef IN_CREATE
#define IN_CREATE
#endif
#ifndef IN_PROCESS
#define IN_PROCESS
#endif
#ifndef IN_SAVE
#define IN_SAVE
#endif
#ifndef IN_RESTORE
#define IN_RESTORE
#endif

#define BEGINNING 100.0
#define GOAL 10000.0
/* A frame may be given to the next worker, too, and is to end one only. */
#define AGE 3

/* The first byte of the statistics. */
enum command { ABORT = 1, VIOLATE, HANG, GARBAGE, BOMB, EXIT };

struct state {
	uint32_t magic;
	uint32_t restored; /* the frame that the last state was of, and 1; 0: none */
	uint64_t frame;
	double exposure_us;
};

#define MAGIC 0x5348414bu

static struct state now;
static unsigned age;
static int spoilt;

__attribute__((unused)) static void scribble(uint8_t *at, size_t size)
{
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		at[i] = x;
	}
}

static void obey(enum command command)
{
	switch (command) {
	case ABORT:
		abort();
	case VIOLATE:
		socket(AF_INET, SOCK_STREAM, 0);
		break;
	case HANG:
		for (;;)
			sleep(1000);
	case GARBAGE:
		spoilt = 1;
		break;
	case BOMB:
		for (;;)
			memset(malloc(1 << 20), 1, 1 << 20);
	case EXIT:
		_exit(0);
	}
}

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	(void)init;
	IN_CREATE;
	now.magic = MAGIC;
	now.exposure_us = BEGINNING;
	*instance = &now;
	return 0;
}

static int32_t configure(void *instance, const struct coldshoe_ipa_sensor *sensor)
{
	(void)instance;
	(void)sensor;
	return 0;
}

static int32_t start(void *instance)
{
	(void)instance;
	age = 0;
	return 0;
}

static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *out)
{
	struct {
		uint32_t version, data_size;
		uint16_t type, flags;
		uint32_t size;
		uint16_t r, gr, gb, b;
	} params = { 1, 16, 1, 0, 16, 4096, 4096, 4096, 4096 };

	(void)instance;
	if (age >= AGE && in->stats_size > 0)
		obey(in->stats[0]);
	age++;
	IN_PROCESS;
	now.frame = in->frame;
	now.exposure_us += (GOAL - now.exposure_us) * 0.1;
	memcpy(out->params, &params, sizeof(params));
	out->params_size = sizeof(params);
	out->wanted.set = COLDSHOE_IPA_WANT_EXPOSURE;
	out->wanted.exposure_us = now.exposure_us;
	out->metadata.lux = now.restored;
	if (spoilt) {
		scribble(out->params, out->params_capacity);
		out->params_size = SIZE_MAX;
		out->wanted.exposure_us = NAN;
	}
	return 0;
}

static int32_t stop(void *instance)
{
	(void)instance;
	return 0;
}

static void destroy(void *instance)
{
	(void)instance;
}

static int64_t save_state(void *instance, uint8_t *state, size_t capacity)
{
	(void)instance;
	if (capacity < sizeof(now))
		return -ENOSPC;
	memcpy(state, &now, sizeof(now));
	IN_SAVE;
	return sizeof(now);
}

static int32_t restore_state(void *instance, const uint8_t *state, size_t size)
{
	struct state then;

	(void)instance;
	if (size < sizeof(then))
		return -EINVAL;
	memcpy(&then, state, sizeof(then));
	IN_RESTORE;
	if (size != sizeof(then) || then.magic != MAGIC || !isfinite(then.exposure_us))
		return -EINVAL;
	now = then;
	now.restored = then.frame + 1;
	return 0;
}

static const struct coldshoe_ipa_format formats[] = {
	{ "coldshoe-stats-1", "coldshoe-soft", 1 << 1 },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module module = {
	.struct_size = sizeof(struct coldshoe_ipa_module),
	.abi_version = COLDSHOE_IPA_ABI_VERSION,
	.name = "chaos",
	.version = "1.0",
	.license = "Apache-2.0 OR MIT",
	.formats = formats,
	.create = create,
	.configure = configure,
	.start = start,
	.process = process,
	.stop = stop,
	.destroy = destroy,
	.save_state = save_state,
	.restore_state = restore_state,
};

COLDSHOE_IPA_EXPORT const struct coldshoe_ipa_module *coldshoe_ipa_module(void);

const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	return &module;
}
