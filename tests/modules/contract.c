/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A module for rkisp1 that answers white balance gains and an exposure, and more
 * where a test fills its hole:
 *
 *	cc ... -DIN_PROCESS='block(21, 0, "HIDDEN!!", 8)' contract.c
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "coldshoe_ipa.h"

#ifdef INCLUDES
#include INCLUDES
#endif

#ifndef IN_PROCESS
#define IN_PROCESS
#endif
#ifndef BLOCKS
#define BLOCKS (1 << 3)
#endif
#ifndef PARAMS_FORMAT
#define PARAMS_FORMAT "rkisp1"
#endif

static struct coldshoe_ipa_frame_out *out;
static uint64_t frame;

/* Appends bytes to the buffer. */
static void append(const void *bytes, size_t size)
{
	if (out->params_size + size > out->params_capacity)
		return;
	memcpy(out->params + out->params_size, bytes, size);
	out->params_size += size;
}

/* Appends a block that says what size it has. */
__attribute__((unused)) static void sized(uint16_t type, uint16_t flags, uint32_t size,
					   const void *body, size_t length)
{
	append(&type, sizeof(type));
	append(&flags, sizeof(flags));
	append(&size, sizeof(size));
	append(body, length);
}

/* Appends a block. */
static void block(uint16_t type, uint16_t flags, const void *body, size_t length)
{
	sized(type, flags, 8 + length, body, length);
}

/* Appends white balance gains. */
static void gains(uint16_t flags, uint16_t red, uint16_t green, uint16_t blue)
{
	const uint16_t body[] = { red, green, blue, green };

	block(3, flags, body, sizeof(body));
}

__attribute__((unused)) static void want(uint32_t actuator, double value)
{
	double *wanted[] = { &out->wanted.exposure_us, &out->wanted.analogue_gain,
			     &out->wanted.digital_gain, &out->wanted.lens_position,
			     &out->wanted.frame_duration_us };

	out->wanted.set |= actuator;
	*wanted[__builtin_ctz(actuator)] = value;
}

static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *answer)
{
	uint32_t version = 1, data_size;

	(void)instance;
	out = answer;
	frame = in->frame;
	out->params_size = 8;
	IN_PROCESS;
	if (out->params_size == 8)
		gains(0, 256 + frame % 256, 256, 300);
	data_size = out->params_size - 8;
	memcpy(out->params, &version, 4);
	memcpy(out->params + 4, &data_size, 4);
	return 0;
}

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	(void)init;
	*instance = &frame;
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

static void destroy(void *instance)
{
	(void)instance;
}

static const struct coldshoe_ipa_format formats[] = {
	{ "coldshoe-stats-1", PARAMS_FORMAT, BLOCKS },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module module = {
	.struct_size = sizeof(module),
	.abi_version = COLDSHOE_IPA_ABI_VERSION,
	.name = "contract",
	.version = "1.0",
	.license = "Apache-2.0 OR MIT",
	.formats = formats,
	.create = create,
	.configure = configure,
	.start = nothing,
	.process = process,
	.stop = nothing,
	.destroy = destroy,
};

const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	return &module;
}
