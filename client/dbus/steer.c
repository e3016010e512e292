/* Reads and steers a session of coldshoe over D-Bus: a warmer picture, with exposure held for a while.
 *
 *     cc -o steer steer.c $(pkg-config --cflags --libs libsystemd)
 *     ./steer [system|session] SESSION [SECONDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#define NAME "org.coldshoe.Coldshoe1"
#define SESSION NAME ".Session"

/* The error's name says what it is; its text has three lines: what, why, and what to do. */
static int failed(const char *what, int r, const sd_bus_error *error)
{
	fprintf(stderr, "%s: %s\n%s\n", what, error && error->name ? error->name : strerror(-r),
		error && error->message ? error->message : "");
	return EXIT_FAILURE;
}

/* libcamera's names, in its types: in force from the next frame on, for whatever the pipeline asks. What
 * others have set stays, unless the option "replace" is true. */
static int warmer(sd_bus *bus, const char *path, sd_bus_error *error)
{
	sd_bus_message *call = NULL;
	int r = sd_bus_message_new_method_call(bus, &call, NAME, path, SESSION, "SetControls");
	if (r >= 0)
		r = sd_bus_message_append(call, "a{sv}a{sv}", 3, "AwbEnable", "b", 0, "ColourGains",
					  "(dd)", 2.0, 1.25, "Contrast", "d", 1.2, 0);
	if (r >= 0)
		r = sd_bus_call(bus, call, 0, error, NULL);
	sd_bus_message_unref(call);
	return r;
}

/* The hold lasts as long as the descriptor. If this program dies, it ends with it. */
static int hold(sd_bus *bus, const char *path, sd_bus_error *error)
{
	sd_bus_message *answer = NULL;
	int fd = -1, held = -1;
	int r = sd_bus_call_method(bus, NAME, path, SESSION, "Hold", error, &answer, "ssa{sv}", "ae",
				   "steer.c shows how", 0);
	if (r >= 0)
		r = sd_bus_message_read(answer, "h", &fd);
	if (r >= 0)
		held = dup(fd); /* the message closes its own */
	sd_bus_message_unref(answer);
	return r < 0 ? r : held;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s system|session SESSION [SECONDS]\n", argv[0]);
		return 2;
	}
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus *bus = NULL;
	int r = strcmp(argv[1], "system") == 0 ? sd_bus_open_system(&bus) : sd_bus_open_user(&bus);
	if (r < 0)
		return failed("no bus", r, NULL);

	char path[128];
	snprintf(path, sizeof(path), "/org/coldshoe/Coldshoe1/session_%s", argv[2]);
	char *camera = NULL;
	uint64_t frames = 0;
	r = sd_bus_get_property_string(bus, NAME, path, SESSION, "Camera", &error, &camera);
	if (r >= 0)
		r = sd_bus_get_property_trivial(bus, NAME, path, SESSION, "Frames", &error, 't', &frames);
	if (r < 0)
		return failed("the session cannot be read", r, &error);
	printf("session %s, camera %s, %" PRIu64 " frames\n", argv[2], camera, frames);
	free(camera);

	r = warmer(bus, path, &error);
	if (r < 0)
		return failed("the session cannot be steered", r, &error);
	int held = hold(bus, path, &error);
	if (held < 0)
		return failed("exposure cannot be held", held, &error);
	unsigned seconds = argc > 3 ? (unsigned)atoi(argv[3]) : 2;
	printf("exposure is held for %u s\n", seconds);
	fflush(stdout);
	sleep(seconds);
	close(held);

	sd_bus_error_free(&error);
	sd_bus_flush_close_unref(bus);
	return EXIT_SUCCESS;
}
