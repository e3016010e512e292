/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A hostile module: a well-formed one that runs one probe in the verb that its tuning data names.
 *
 *	probe=NAME phase=load|run|frame|end key=value ...
 *
 * Phase load is create(), run is start(), frame is process(), end is destroy(). The result is
 * logged and the verb fails with it, so that the client is told.
 * Built with HOSTILE_CONSTRUCTOR set to such a line, the probe runs before main() would.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "coldshoe_ipa.h"
#include "probe.h"

#ifndef HOSTILE_CONSTRUCTOR
#define HOSTILE_CONSTRUCTOR NULL
#endif
#ifndef HOSTILE_FLAGS
#define HOSTILE_FLAGS 0
#endif
#ifndef HOSTILE_BUILD
#define HOSTILE_BUILD 1
#endif

extern struct probe __start_probes[] __attribute__((visibility("hidden")));
extern struct probe __stop_probes[] __attribute__((visibility("hidden")));

static char arguments[1024];
static const struct coldshoe_ipa_host *host;
static int constructed;
static long constructor_result;
const void *host_code;

const char *word(const char *key)
{
	static char values[8][256];
	static unsigned next;
	size_t length = strlen(key);
	const char *at;

	for (at = arguments; (at = strstr(at, key)) != NULL; at += length)
		if ((at == arguments || at[-1] == ' ') && at[length] == '=') {
			char *value = values[next++ % 8];
			size_t size = strcspn(at + length + 1, " \n");

			if (size >= sizeof(values[0]))
				size = sizeof(values[0]) - 1;
			memcpy(value, at + length + 1, size);
			value[size] = '\0';
			return value;
		}
	return "";
}

long number(const char *key)
{
	return strtol(word(key), NULL, 0);
}

const char *file(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", word("dir"), name);
	return path;
}

long died_by(pid_t child, int signal)
{
	int status;

	NEED(waitpid(child, &status, 0));
	return WIFSIGNALED(status) && WTERMSIG(status) == signal ? 0 : NO_EFFECT;
}

/* Only a shared mapping can be doubled by mremap() of nothing. */
static int is_shared(char *page)
{
	void *copy = mremap(page, 0, 4096, MREMAP_MAYMOVE);

	if (copy == MAP_FAILED)
		return 0;
	munmap(copy, 4096);
	return 1;
}

/* The kernel answers EFAULT where it cannot write; what it wrote is put back. */
static int is_writable(char *page)
{
	uint64_t *end = (uint64_t *)(page + 4096 - sizeof(uint64_t));
	uint64_t kept = *end;

	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, end, sizeof(*end)) != 0)
		return 0;
	*end = kept;
	return 1;
}

char *segment(int writable, size_t *length)
{
	const uintptr_t window = 128ul << 20;
	uintptr_t middle = (uintptr_t)&syscall & ~4095ul;
	uintptr_t page = middle - window, end = middle + window;

	for (; page < end; page += 4096) {
		char *start = (char *)page;

		if (!is_shared(start))
			continue;
		while (page < end && is_shared((char *)page) &&
		       is_writable((char *)page) == is_writable(start))
			page += 4096;
		if (is_writable(start) == writable) {
			*length = (size_t)((char *)page - start);
			return start;
		}
	}
	return NULL;
}

/* Row 46: which of two builds of this module was loaded. */
PROBE(which_build)
{
	return HOSTILE_BUILD;
}

static long run(void)
{
	const char *name = word("probe");
	struct probe *probe;

	for (probe = __start_probes; probe < __stop_probes; probe++)
		if (strcmp(probe->name, name) == 0)
			return probe->attempt();
	return -ENOTSUP;
}

static int32_t report(long result)
{
	char line[256];

	snprintf(line, sizeof(line), "probe %s: %ld", word("probe"), result);
	host->log(host->context, COLDSHOE_IPA_LOG_ERROR, line);
	return -EIO;
}

static int32_t in_phase(const char *phase)
{
	return strcmp(word("phase"), phase) == 0 ? report(run()) : 0;
}

__attribute__((constructor)) static void construct(void)
{
	const char *line = HOSTILE_CONSTRUCTOR, *more = getenv("HOSTILE_ARGUMENTS");

	if (!line)
		return;
	constructed = 1;
	/* Only the control has an environment. */
	snprintf(arguments, sizeof(arguments), "%s %s", line, more ? more : "");
	constructor_result = run();
}

static int32_t create(const struct coldshoe_ipa_init *init, void **instance)
{
	size_t size = init->tuning_size;

	*instance = arguments;
	host = init->host;
	host_code = (const void *)host->log;
	if (constructed && strcmp(word("phase"), "constructor") == 0)
		return report(constructor_result);
	if (size >= sizeof(arguments))
		size = sizeof(arguments) - 1;
	memcpy(arguments, init->tuning ? (const char *)init->tuning : "", size);
	arguments[size] = '\0';
	/* A daemon's worker calls destroy() then, and only then. */
	return *word("refuse") ? -EIO : in_phase("load");
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
	return in_phase("run");
}

/* An empty parameter buffer is a good one. */
static int32_t process(void *instance, const struct coldshoe_ipa_frame_in *in,
		       struct coldshoe_ipa_frame_out *out)
{
	static const uint8_t empty[8] = { 1 };

	(void)instance;
	(void)in;
	memcpy(out->params, empty, sizeof(empty));
	out->params_size = sizeof(empty);
	return in_phase("frame");
}

static int32_t stop(void *instance)
{
	(void)instance;
	return in_phase("stop");
}

static void destroy(void *instance)
{
	(void)instance;
	in_phase("end");
}

static const struct coldshoe_ipa_format formats[] = {
	{ "coldshoe-stats-1", "coldshoe-soft", 1 << 1 },
	{ NULL, NULL, 0 },
};

static const struct coldshoe_ipa_module table = {
	.struct_size = sizeof(table),
	.abi_version = COLDSHOE_IPA_ABI_VERSION,
	.name = "hostile",
	.version = HOSTILE_BUILD == 1 ? "1" : "2",
	.license = "Apache-2.0 OR MIT",
	.flags = HOSTILE_FLAGS,
	.formats = formats,
	.create = create,
	.configure = configure,
	.start = start,
	.process = process,
	.stop = stop,
	.destroy = destroy,
};

COLDSHOE_IPA_EXPORT const struct coldshoe_ipa_module *coldshoe_ipa_module(void)
{
	return &table;
}
