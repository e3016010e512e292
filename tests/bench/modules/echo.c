/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Answers each frame with one block of nearly 4 KiB that begins as its statistics do. */
#include <string.h>

#include "coldshoe_ipa.h"

enum { SIZE = 4096, HEADER = 8, BLOCK = 8 };

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	(void)init;
	*instance = (void *)init->host;
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

static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *out)
{
	const struct {
		uint32_t version, data_size;
		uint16_t type, flags;
		uint32_t size;
	} head = { 1, SIZE - HEADER, 1, 0, SIZE - HEADER };

	(void)instance;
	if (out->params_capacity < SIZE || in->stats_size < SIZE)
		return -1;
	memset(out->params, 1, SIZE);
	memcpy(out->params, &head, sizeof head);
	memcpy(out->params + sizeof head, in->stats, sizeof(uint64_t));
	out->params_size = SIZE;
	return 0;
}

static const struct coldshoe_ipa_format formats[] = {
	{ "bench", "bench", 1 << 1 },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module module = {
	.struct_size = sizeof module,
	.abi_version = COLDSHOE_IPA_ABI_VERSION,
	.name = "echo",
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

COLDSHOE_IPA_EXPORT const struct coldshoe_ipa_module *coldshoe_ipa_module(void);

const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	return &module;
}
