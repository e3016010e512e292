/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * All of a module but its work: what `work` does in create() and in every frame must go well.
 * Include it last, after defining MODULE_NAME, MODULE_FLAGS and work().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coldshoe_ipa.h"

static const struct coldshoe_ipa_host *host;

/* 0, or what went wrong in `why`. */
static int work(char *why, size_t size);

static int32_t report(void)
{
	char why[256] = "no reason given";

	if (work(why, sizeof(why)) == 0)
		return 0;
	host->log(host->context, COLDSHOE_IPA_LOG_ERROR, why);
	return -EIO;
}

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	host = init->host;
	*instance = (void *)host;
	return report();
}

static int32_t configure(void *instance, const struct coldshoe_ipa_sensor *sensor)
{
	(void)instance;
	(void)sensor;
	return report();
}

static int32_t start(void *instance)
{
	(void)instance;
	return report();
}

static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *out)
{
	static const uint8_t empty[8] = { 1, 0, 0, 0, 0, 0, 0, 0 };

	(void)instance;
	(void)in;
	memcpy(out->params, empty, sizeof(empty));
	out->params_size = sizeof(empty);
	return report();
}

static int32_t stop(void *instance)
{
	(void)instance;
	return report();
}

static void destroy(void *instance)
{
	(void)instance;
}

static const struct coldshoe_ipa_format formats[] = {
	{ "coldshoe-stats-1", "coldshoe-soft", 1 << 1 },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module table = {
	sizeof(table), COLDSHOE_IPA_ABI_VERSION, MODULE_NAME, "1",    "Apache-2.0 OR MIT",
	MODULE_FLAGS,  formats,                  create,      configure, start,
	process,       stop,                     destroy,     NULL,   NULL,
};

#ifdef __cplusplus
extern "C"
#endif
COLDSHOE_IPA_EXPORT const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	return &table;
}
