/* The table of a module that does nothing but what `work` does: in create(), and in each frame.
 * It returns 0 when all is well. */
#include "coldshoe_ipa.h"

#ifdef __cplusplus
extern "C" {
#endif

static int work(void);
static int frame(void);

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	*instance = (void *)init->host;
	return work();
}

static int32_t configure(void *instance, const struct coldshoe_ipa_sensor *sensor)
{
	(void)instance, (void)sensor;
	return 0;
}

static int32_t verb(void *instance)
{
	(void)instance;
	return 0;
}

static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *out)
{
	(void)instance, (void)in, (void)out;
	return frame();
}

static void destroy(void *instance)
{
	(void)instance;
}

static const struct coldshoe_ipa_format formats[] = {{"stats", "coldshoe-soft", 0}, {0, 0, 0}};

const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	static struct coldshoe_ipa_module module;
	module.struct_size = sizeof(module);
	module.abi_version = COLDSHOE_IPA_ABI_VERSION;
	module.name = "test";
	module.version = "1";
	module.license = "Apache-2.0 OR MIT";
#ifdef THREADS
	module.flags = COLDSHOE_IPA_FLAG_THREADS;
#endif
	module.formats = formats;
	module.create = create;
	module.configure = configure;
	module.start = verb;
	module.process = process;
	module.stop = verb;
	module.destroy = destroy;
	return &module;
}

#ifdef __cplusplus
}
#endif
