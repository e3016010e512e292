/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A module in C: grey-world white balance over the zones of coldshoe-stats-1, exposure untouched.
 * The last gains are its state: a frame that says nothing leaves them as they are.
 *
 *	cc -shared -fPIC -I../include -o grey-world.so grey_world.c
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coldshoe_ipa.h"

struct grey_world {
	const struct coldshoe_ipa_host *host;
	double red, blue;
};

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	struct grey_world *self;

	if (init->tuning_size != 0) {
		init->host->log(init->host->context, COLDSHOE_IPA_LOG_ERROR,
				"grey-world has nothing to tune: take the tuning file away");
		return -EINVAL;
	}
	self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->host = init->host;
	self->red = self->blue = 1.0;
	*instance = self;
	return 0;
}

static int32_t configure(void *instance, const struct coldshoe_ipa_sensor *sensor)
{
	(void)instance;
	(void)sensor;
	return 0;
}

static int32_t nothing(void *instance)
{
	(void)instance;
	return 0;
}

/* coldshoe-stats-1: 192 zones of 32 bytes from byte 64, sums of R, G and B first. */
static void measure(struct grey_world *self, const uint8_t *stats, size_t size)
{
	uint64_t sum[3] = { 0, 0, 0 };
	size_t zone;

	if (size < 64 + 192 * 32)
		return;
	for (zone = 0; zone < 192; zone++) {
		uint64_t rgb[3];

		memcpy(rgb, stats + 64 + zone * 32, sizeof(rgb));
		sum[0] += rgb[0];
		sum[1] += rgb[1];
		sum[2] += rgb[2];
	}
	if (sum[0] > 0 && sum[2] > 0) {
		self->red = (double)sum[1] / (double)sum[0];
		self->blue = (double)sum[1] / (double)sum[2];
	}
}

static uint16_t q12(double gain)
{
	if (gain < 0.25)
		gain = 0.25;
	if (gain > 15.99)
		gain = 15.99;
	return (uint16_t)(gain * 4096.0 + 0.5);
}

/* Little-endian, as all the machines that coldshoe runs on. */
static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *out)
{
	struct grey_world *self = instance;
	struct {
		uint32_t version, data_size;
		uint16_t type, flags;
		uint32_t size;
		uint16_t r, gr, gb, b;
	} params = { 1, 16, 1, 0, 16, 0, 4096, 4096, 0 };

	if (in->stats)
		measure(self, in->stats, in->stats_size);
	params.r = q12(self->red);
	params.b = q12(self->blue);
	if (out->params_capacity < sizeof(params))
		return -ENOSPC;
	memcpy(out->params, &params, sizeof(params));
	out->params_size = sizeof(params);
	out->metadata.awb_state = COLDSHOE_IPA_STATE_CONVERGED;
	out->metadata.colour_gain_red = self->red;
	out->metadata.colour_gain_blue = self->blue;
	return 0;
}

/* A version of its own: an older file of this module may have written it. */
struct saved {
	char magic[4];
	uint32_t version;
	double red, blue;
};

static const char magic[4] = { 'G', 'R', 'E', 'Y' };

static int64_t save_state(void *instance, uint8_t *state, size_t capacity)
{
	const struct grey_world *self = instance;
	struct saved saved = { .version = 1, .red = self->red, .blue = self->blue };

	memcpy(saved.magic, magic, sizeof(magic));
	if (capacity < sizeof(saved))
		return -ENOSPC;
	memcpy(state, &saved, sizeof(saved));
	return sizeof(saved);
}

/* Not so of a number that is none. */
static int is_gain(double gain)
{
	return gain >= 1e-6 && gain <= 1e6;
}

static int32_t restore_state(void *instance, const uint8_t *state, size_t size)
{
	struct grey_world *self = instance;
	struct saved saved;

	if (size == sizeof(saved)) {
		memcpy(&saved, state, sizeof(saved));
		if (memcmp(saved.magic, magic, sizeof(magic)) == 0 && saved.version == 1 &&
		    is_gain(saved.red) && is_gain(saved.blue)) {
			self->red = saved.red;
			self->blue = saved.blue;
			return 0;
		}
	}
	self->host->log(self->host->context, COLDSHOE_IPA_LOG_ERROR,
			"the state is not one of grey-world: start without it");
	return -EINVAL;
}

static const struct coldshoe_ipa_format formats[] = {
	{ "coldshoe-stats-1", "coldshoe-soft", 1 << 1 },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module module = {
	.struct_size = sizeof(module),
	.abi_version = COLDSHOE_IPA_ABI_VERSION,
	.name = "grey-world",
	.version = "1.0",
	.license = "Apache-2.0 OR MIT",
	.formats = formats,
	.create = create,
	.configure = configure,
	.start = nothing,
	.process = process,
	.stop = nothing,
	.destroy = free,
	.save_state = save_state,
	.restore_state = restore_state,
};

const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	return &module;
}
