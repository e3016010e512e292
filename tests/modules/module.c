/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A well-behaved module with a hole in every verb. A test fills holes on the
 * compiler's command line, so that what a module does wrong stands in the test:
 *
 *	cc ... -DIN_PROCESS='out->params_size = SIZE_MAX' module.c
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coldshoe_ipa.h"

#ifndef IN_CONSTRUCTOR
#define IN_CONSTRUCTOR
#endif
#ifndef IN_CREATE
#define IN_CREATE
#endif
#ifndef IN_CONFIGURE
#define IN_CONFIGURE
#endif
#ifndef IN_START
#define IN_START
#endif
#ifndef IN_PROCESS
#define IN_PROCESS
#endif
#ifndef IN_STOP
#define IN_STOP
#endif
#ifndef ABI_VERSION
#define ABI_VERSION COLDSHOE_IPA_ABI_VERSION
#endif
#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(struct coldshoe_ipa_module)
#endif
#ifndef STATS_FORMAT
#define STATS_FORMAT "coldshoe-stats-1"
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

static const struct coldshoe_ipa_host *host;
static struct coldshoe_ipa_sensor mode;

static void say(uint32_t level, const char *text)
{
	host->log(host->context, level, text);
}

/* What most modules that misbehave do: nothing, for ever. */
__attribute__((unused)) static void hang(void)
{
	for (;;)
		sleep(1000);
}

__attribute__((unused)) static void crash(void)
{
	*(volatile int *)8 = 1;
}

__attribute__((constructor)) static void loaded(void)
{
	IN_CONSTRUCTOR;
}

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	host = init->host;
	*instance = &mode;
	say(COLDSHOE_IPA_LOG_INFO, "create() was called");
	IN_CREATE;
	return 0;
}

static int32_t configure(void *instance, const struct coldshoe_ipa_sensor *sensor)
{
	(void)instance;
	mode = *sensor;
	say(COLDSHOE_IPA_LOG_DEBUG, "configure() was called");
	IN_CONFIGURE;
	return 0;
}

static int32_t start(void *instance)
{
	(void)instance;
	IN_START;
	return 0;
}

/* Every answer says what was asked. */
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
	params.r += in->frame % 8192;
	memcpy(out->params, &params, sizeof(params));
	out->params_size = sizeof(params);
	out->wanted.set = COLDSHOE_IPA_WANT_EXPOSURE | COLDSHOE_IPA_WANT_ANALOGUE_GAIN;
	out->wanted.exposure_us = fmin(in->applied.exposure_us * 2, mode.max_exposure_us);
	out->wanted.analogue_gain = in->applied.analogue_gain * 2;
	out->metadata.ae_state = COLDSHOE_IPA_STATE_SEARCHING;
	out->metadata.luminance = in->stats ? in->stats[in->stats_size - 1] / 256.0 : 0;
	out->metadata.lux = in->stats_size;
	if (in->controls.set & COLDSHOE_IPA_COLOUR_TEMPERATURE)
		out->metadata.colour_temperature = in->controls.colour_temperature;
	IN_PROCESS;
	return 0;
}

static int32_t stop(void *instance)
{
	(void)instance;
	IN_STOP;
	return 0;
}

static void destroy(void *instance)
{
	(void)instance;
}

static const struct coldshoe_ipa_format formats[] = {
	{ STATS_FORMAT, "coldshoe-soft", 1 << 1 },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module module = {
	.struct_size = TABLE_SIZE,
	.abi_version = ABI_VERSION,
	.name = "test",
	.version = "1.0",
	.license = "Apache-2.0 OR MIT",
	.flags = FLAGS,
	.formats = formats,
	.create = create,
	.configure = configure,
	.start = start,
	.process = process,
	.stop = stop,
	.destroy = destroy,
};

#ifndef SYMBOL
#define SYMBOL coldshoe_ipa_module
#endif

COLDSHOE_IPA_EXPORT const struct coldshoe_ipa_module *SYMBOL(void);

const struct coldshoe_ipa_module *SYMBOL(void)
{
	return &module;
}
