/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * coldshoe.h - run a camera algorithm module in coldshoe's jail, from a pipeline handler in C or C++.
 *
 * A session is one camera with one module. The pipeline opens it, configures it with the sensor's
 * mode, starts it, and then for each frame submits statistics and waits for parameters, never longer
 * than to the frame's deadline. The daemon is not in that path: frames go through shared memory to
 * the worker and back. Nothing that comes back is trusted: it is copied into private memory first,
 * then its length, framing and numbers are checked. What does not pass leaves the last good
 * parameters in place.
 *
 *	struct coldshoe_open open = { .struct_size = sizeof(open), .module = "open", ... };
 *	struct coldshoe_session *session;
 *	struct coldshoe_error *error;
 *
 *	if (coldshoe_session_open(&open, &session, &error) < 0) {
 *		fprintf(stderr, "%s\n", coldshoe_error_message(error));
 *		coldshoe_error_free(error);
 *		return -1;
 *	}
 *
 * Compile and link with `pkg-config --cflags --libs coldshoe`. examples/pipeline.c is a whole
 * pipeline.
 *
 * Rules
 *  - A handle (struct coldshoe_session, coldshoe_buffer, coldshoe_error) belongs to one thread at a
 *    time; it may be handed on. Different handles are independent of each other. A call on a handle
 *    that another thread is in a call on returns COLDSHOE_ERROR_BUSY, and never waits for that
 *    thread. Freeing a handle is the last thing that any thread does with it.
 *  - A pointer that is not said to be NULL at times must not be: it is refused with
 *    COLDSHOE_ERROR_ARGUMENT. What it points to is only used during the call, unless stated.
 *  - Every structure that is passed by its address begins with struct_size, which the caller sets to
 *    its sizeof. Set the rest to zero first: programs and libraries of different releases then
 *    understand each other. What a program does not have counts as zero, what a library does not know
 *    has to be zero, and becomes zero where the library fills it.
 *  - Functions that can fail return a value of enum coldshoe_status: 0 or more if they did what they
 *    are for, a negative one if not. Their last argument may be NULL. If it is not, the pointer there is
 *    overwritten: with NULL, or with an error that belongs to the caller and is freed with
 *    coldshoe_error_free().
 *  - Shared memory is not inherited by fork(): a child process must not touch a handle, a slot or a
 *    buffer of its parent's.
 *  - A call that fails leaves what its other arguments point to as it was, unless stated.
 *  - Strings are UTF-8. Numbers of the application and of the sensor are times in microseconds unless
 *    the name says otherwise, gains as linear factors (1.0 = none), temperatures in kelvin, fractions
 *    of full scale in 0..1.
 *  - The library starts no threads, handles no signals and keeps no global state but a counter. A
 *    child process must not use the sessions of its parent.
 *
 * This file is generated. Do not edit it.
 */


#ifndef COLDSHOE_H
#define COLDSHOE_H

#include <stddef.h>
#include <stdint.h>

// How a call ended, as functions return it: 0 or more if it did what it is for, negative if it
// failed. A newer library may answer values that this header does not name; the sign tells which
// kind they are of.
enum coldshoe_status {
    // Done.
    COLDSHOE_OK = 0,
    // Nothing can be told of the frame yet. From coldshoe_session_try_wait() alone.
    COLDSHOE_AGAIN = 1,
    // The library or the daemon failed. The session is of no use any more: free it.
    COLDSHOE_ERROR_INTERNAL = -1,
    // An argument is NULL, has an impossible size or value, or is no UTF-8.
    COLDSHOE_ERROR_ARGUMENT = -2,
    // Not in this state of the session.
    COLDSHOE_ERROR_STATE = -3,
    // Another thread is in a call on the same handle.
    COLDSHOE_ERROR_BUSY = -4,
    // No daemon can be reached.
    COLDSHOE_ERROR_UNREACHABLE = -5,
    // The daemon hung up, or cannot be understood.
    COLDSHOE_ERROR_CONNECTION = -6,
    // The daemon did not answer in time.
    COLDSHOE_ERROR_TIMEOUT = -7,
    // Library and daemon have no version of the protocol in common.
    COLDSHOE_ERROR_VERSION = -8,
    // The kernel gives no memory or no descriptor.
    COLDSHOE_ERROR_RESOURCES = -9,
    // The daemon has too many of something.
    COLDSHOE_ERROR_LIMIT = -10,
    // The daemon has no such module.
    COLDSHOE_ERROR_NO_SUCH_MODULE = -11,
    // The module's file was not loaded: wrong file, interface, architecture or trust.
    COLDSHOE_ERROR_MODULE_REFUSED = -12,
    // The module failed, or what runs it.
    COLDSHOE_ERROR_MODULE_FAILED = -13,
    // This machine cannot confine a module as it has to be.
    COLDSHOE_ERROR_SANDBOX_UNAVAILABLE = -14,
    // Policy says no.
    COLDSHOE_ERROR_DENIED = -15,
    // As many frames are in flight as there are slots. From coldshoe_session_claim_slot() alone.
    COLDSHOE_ERROR_FULL = -16,
};

// Order of the colours in the top left 2x2 pixels, row by row.
enum coldshoe_bayer_order {
    // Red green, green blue.
    COLDSHOE_BAYER_RGGB = 1,
    // Green red, blue green.
    COLDSHOE_BAYER_GRBG = 2,
    // Green blue, red green.
    COLDSHOE_BAYER_GBRG = 3,
    // Blue green, green red.
    COLDSHOE_BAYER_BGGR = 4,
};

// Bits of coldshoe_applied.set.
enum coldshoe_applied_bit {
    // lens_position: there is a lens actuator.
    COLDSHOE_APPLIED_LENS_POSITION = (1 << 0),
};

// Bits of coldshoe_controls.set.
enum coldshoe_control {
    // ae_enable
    COLDSHOE_CONTROL_AE_ENABLE = (1 << 0),
    // awb_enable
    COLDSHOE_CONTROL_AWB_ENABLE = (1 << 1),
    // exposure_value
    COLDSHOE_CONTROL_EXPOSURE_VALUE = (1 << 2),
    // exposure_us
    COLDSHOE_CONTROL_EXPOSURE_TIME = (1 << 3),
    // analogue_gain
    COLDSHOE_CONTROL_ANALOGUE_GAIN = (1 << 4),
    // colour_temperature
    COLDSHOE_CONTROL_COLOUR_TEMPERATURE = (1 << 5),
    // colour_gain_red and colour_gain_blue
    COLDSHOE_CONTROL_COLOUR_GAINS = (1 << 6),
    // contrast
    COLDSHOE_CONTROL_CONTRAST = (1 << 7),
    // saturation
    COLDSHOE_CONTROL_SATURATION = (1 << 8),
    // sharpness
    COLDSHOE_CONTROL_SHARPNESS = (1 << 9),
    // brightness
    COLDSHOE_CONTROL_BRIGHTNESS = (1 << 10),
    // lens_position
    COLDSHOE_CONTROL_LENS_POSITION = (1 << 11),
    // ae_metering
    COLDSHOE_CONTROL_AE_METERING = (1 << 12),
    // awb_mode
    COLDSHOE_CONTROL_AWB_MODE = (1 << 13),
    // af_mode
    COLDSHOE_CONTROL_AF_MODE = (1 << 14),
    // af_trigger
    COLDSHOE_CONTROL_AF_TRIGGER = (1 << 15),
    // af_pause
    COLDSHOE_CONTROL_AF_PAUSE = (1 << 16),
};

// How waiting for a frame ended.
enum coldshoe_outcome_kind {
    // The module has answered in time.
    COLDSHOE_OUTCOME_FRESH = 1,
    // The module has answered, and nobody looked before the deadline had passed. It is the newest
    // there is; a pipeline that has gone on already leaves it out.
    COLDSHOE_OUTCOME_LATE = 2,
    // It has not: go on with what it answered last.
    COLDSHOE_OUTCOME_HELD = 3,
    // The module was not asked: go on with what it answered last.
    COLDSHOE_OUTCOME_SKIPPED = 4,
};

// How a session does, as coldshoe_session_health() tells. A newer library may tell more.
enum coldshoe_health {
    // Answers come.
    COLDSHOE_HEALTH_RUNNING = 0,
    // The last answers were missed: three in a row at least.
    COLDSHOE_HEALTH_DEGRADED = 1,
    // The worker failed. Another one is on its way; the last parameters hold meanwhile.
    COLDSHOE_HEALTH_REPLACING = 2,
    // The module failed too often, and nothing stands in for it. The last parameters hold until it
    // is released, or the session is closed.
    COLDSHOE_HEALTH_QUARANTINED = 3,
};

// Why a frame has no answer of its own.
enum coldshoe_reason {
    // It has one.
    COLDSHOE_REASON_NONE = 0,
    // Held: the deadline has passed.
    COLDSHOE_REASON_DEADLINE = 1,
    // Held: the module answered an error to this frame.
    COLDSHOE_REASON_MODULE_ERROR = 2,
    // Held: the answer broke the frame protocol.
    COLDSHOE_REASON_PROTOCOL = 3,
    // Held: the parameters are malformed, or hold what their format does not know.
    COLDSHOE_REASON_MALFORMED = 4,
    // Held or skipped: the worker has failed; see coldshoe_session_fault().
    COLDSHOE_REASON_FAULT = 5,
    // Held: there is no such frame in flight. It was waited for already, given up by stopping or
    // because its slot was needed after its deadline, or the ticket is none of this session.
    COLDSHOE_REASON_NOT_IN_FLIGHT = 6,
    // Skipped: as many frames are in flight as there are slots.
    COLDSHOE_REASON_FULL = 7,
    // None of these.
    COLDSHOE_REASON_OTHER = 8,
};

// Bits of coldshoe_wanted.set.
enum coldshoe_actuator {
    // exposure_us
    COLDSHOE_WANTED_EXPOSURE = (1 << 0),
    // analogue_gain
    COLDSHOE_WANTED_ANALOGUE_GAIN = (1 << 1),
    // digital_gain
    COLDSHOE_WANTED_DIGITAL_GAIN = (1 << 2),
    // lens_position
    COLDSHOE_WANTED_LENS_POSITION = (1 << 3),
    // frame_duration_us
    COLDSHOE_WANTED_FRAME_DURATION = (1 << 4),
};

// How far an algorithm has come.
enum coldshoe_algorithm_state {
    // The module does not say.
    COLDSHOE_STATE_UNKNOWN = 0,
    // On its way.
    COLDSHOE_STATE_SEARCHING = 1,
    // There.
    COLDSHOE_STATE_CONVERGED = 2,
    // Held by the application.
    COLDSHOE_STATE_LOCKED = 3,
    // It cannot get there.
    COLDSHOE_STATE_FAILED = 4,
};

// Bits of coldshoe_metadata.set.
enum coldshoe_finding {
    // luminance
    COLDSHOE_METADATA_LUMINANCE = (1 << 0),
    // colour_temperature
    COLDSHOE_METADATA_COLOUR_TEMPERATURE = (1 << 1),
    // colour_gain_red and colour_gain_blue
    COLDSHOE_METADATA_COLOUR_GAINS = (1 << 2),
    // lux
    COLDSHOE_METADATA_LUX = (1 << 3),
};

// Memory for statistics that hardware or foreign code fills in place. Made with
// coldshoe_buffer_create(), then given to coldshoe_session_open(); only one that was not taken by a
// session is freed with coldshoe_buffer_free().
struct coldshoe_buffer;

// Why a call failed, told on three lines. Belongs to whoever asked for it, and is freed with
// coldshoe_error_free(). It never changes: several threads may read it.
struct coldshoe_error;

// One camera with one module in its jail. Opened with coldshoe_session_open(), freed with
// coldshoe_session_close() or coldshoe_session_free().
struct coldshoe_session;

// What a session is opened with. Zero, wherever it may stand, means: as usual.
struct coldshoe_open {
    // sizeof(struct coldshoe_open)
    size_t struct_size;
    // Path of the daemon's control socket. NULL: $XDG_RUNTIME_DIR/coldshoe/control.sock,
    // else /run/coldshoe/control.sock.
    const char *socket;
    // Name of the module, never a path.
    const char *module;
    // Name of the camera; selects the tuning file.
    const char *camera;
    // Format of the statistics, for example "coldshoe-stats-1".
    const char *stats_format;
    // Format of the parameters, for example "coldshoe-soft".
    const char *params_format;
    // Frames that can be in flight: a power of two, 1 to 16. 0: 4.
    uint32_t slots;
    // Bytes of statistics that a slot holds, at most 16 MiB. 0: 64 KiB.
    uint32_t stats_capacity;
    // Bytes of parameters that an answer holds at most, at most 16 MiB. 0: 16 KiB.
    uint32_t params_capacity;
    // Number of buffers, at most 16.
    uint32_t buffer_count;
    // Bit n: the ISP has block type n. 0: every type.
    uint64_t isp_capabilities;
    // Array of `buffer_count` buffers for statistics, which frames name by their place in it. NULL
    // without buffers. A session that opens takes them: their handles are freed, the places in the
    // array become NULL, and their memory stays until the session is freed.
    struct coldshoe_buffer **buffers;
    // Not 0: keep a second worker ready, where the daemon's profile allows it. Another one takes over
    // within a frame then.
    uint32_t standby;
    // 0
    uint32_t reserved;
    // What the parameters may say, where that is not built in: the text of a contract, in TOML. NULL:
    // that of `params_format`.
    const char *contract;
};

// What a session runs, and how it is confined. Filled by coldshoe_session_info(). The strings are
// UTF-8, live as long as the session, and are never NULL.
struct coldshoe_info {
    // sizeof(struct coldshoe_info)
    size_t struct_size;
    // Number of the session in the daemon.
    uint64_t id;
    // Process number of the worker, for messages.
    uint32_t worker_pid;
    // A descriptor that becomes readable when the worker ends. Belongs to the session.
    int32_t worker_pidfd;
    // 1: the worker has a processor of its own and is awake when a frame is due; 0: it sleeps.
    uint32_t predictive;
    // Frames that can be in flight.
    uint32_t slots;
    // Bytes of statistics that a slot holds.
    size_t stats_capacity;
    // Bytes of parameters that an answer holds at most.
    size_t params_capacity;
    // The module's own name.
    const char *module_name;
    // The module's own version.
    const char *module_version;
    // SPDX expression, or what the vendor calls the licence.
    const char *module_license;
    // File that the daemon loaded, absolute.
    const char *module_path;
    // Jail profile that the worker runs under.
    const char *profile;
    // How the worker is confined, as the kernel told the daemon: for people, a line each of
    // "name: value", without a line feed at the end.
    const char *confinement;
};

// What the algorithms must know of the sensor and its mode.
struct coldshoe_sensor {
    // sizeof(struct coldshoe_sensor)
    size_t struct_size;
    // Model name, as the driver gives it.
    const char *model;
    // Width of a frame in pixels.
    uint32_t width;
    // Height of a frame in pixels.
    uint32_t height;
    // One of enum coldshoe_bayer_order.
    uint32_t bayer_order;
    // Bits of one raw sample, 6 to 24.
    uint32_t bit_depth;
    // Frames from setting an exposure to the first frame that has it.
    uint32_t exposure_delay;
    // Frames from setting a gain to the first frame that has it.
    uint32_t gain_delay;
    // Time that one line takes, blanking included, in microseconds.
    double line_length_us;
    // Shortest exposure in microseconds.
    double min_exposure_us;
    // Longest exposure in microseconds.
    double max_exposure_us;
    // Smallest analogue gain, a linear factor.
    double min_analogue_gain;
    // Largest analogue gain, a linear factor.
    double max_analogue_gain;
    // Largest digital gain, a linear factor, at least 1; 1: the sensor has none.
    double max_digital_gain;
    // Raw level of black as a fraction of full scale, 0 to below 1.
    double black_level;
    // Shortest frame duration in microseconds.
    double min_frame_duration_us;
    // Longest frame duration in microseconds.
    double max_frame_duration_us;
    // Lens position furthest away, in dioptres; 0 is infinity.
    double min_lens_position;
    // Nearest lens position, in dioptres; 0: no lens that moves.
    double max_lens_position;
    // Lines that a frame is longer than its exposure, at least.
    uint32_t exposure_margin_lines;
    // 0
    uint32_t reserved;
};

// What has happened in a session so far. Filled by coldshoe_session_counters().
struct coldshoe_counters {
    // sizeof(struct coldshoe_counters)
    size_t struct_size;
    // Frames answered in time.
    uint64_t fresh;
    // Frames without an answer at their deadline, or given up by stopping.
    uint64_t missed;
    // Answers that came after that, counted when the frame's slot is used again; and answers that
    // nobody looked for before their deadline.
    uint64_t late;
    // Frames that the module was not asked about.
    uint64_t skipped;
    // Times that the worker woke this side for nothing.
    uint64_t spurious_wakes;
    // Frames that the module answered with an error.
    uint64_t module_errors;
    // Answers that broke the frame protocol or carried malformed parameters.
    uint64_t rejected;
    // Sensor or lens requests that were no numbers an actuator can take.
    uint64_t refused_requests;
    // Workers that failed.
    uint64_t faults;
    // Workers that took over.
    uint64_t replaced;
    // Blocks of parameters that the contract of the format does not allow.
    uint64_t refused_blocks;
    // Sensor or lens requests that were granted otherwise: beyond the sensor's limits, or faster than
    // the contract allows.
    uint64_t clamped_requests;
};

// What the sensor really applied to the frame that the statistics come from.
struct coldshoe_applied {
    // Which of the optional fields count: bits of enum coldshoe_applied_bit.
    uint32_t set;
    // 0
    uint32_t reserved;
    // Exposure time in microseconds.
    double exposure_us;
    // Linear factor.
    double analogue_gain;
    // Linear factor.
    double digital_gain;
    // Fraction of full scale.
    double black_level;
    // Dioptres. Optional.
    double lens_position;
};

// What the application asks for with a frame. What is not set stays as it was tuned.
struct coldshoe_controls {
    // Which fields count: bits of enum coldshoe_control.
    uint32_t set;
    // 0
    uint32_t reserved;
    // 0 keeps exposure and gains as they are.
    uint32_t ae_enable;
    // 0 keeps colour gains as they are.
    uint32_t awb_enable;
    // EV, -8 to 8.
    double exposure_value;
    // Microseconds, with AE off.
    double exposure_us;
    // Linear factor, with AE off.
    double analogue_gain;
    // Kelvin, with AWB off.
    double colour_temperature;
    // Linear factor, with AWB off; green is 1.
    double colour_gain_red;
    // Linear factor, with AWB off; green is 1.
    double colour_gain_blue;
    // 1 = as tuned.
    double contrast;
    // 1 = as tuned.
    double saturation;
    // 1 = as tuned.
    double sharpness;
    // -1 to 1; 0 = as tuned.
    double brightness;
    // Dioptres, with manual focus.
    double lens_position;
    // As libcamera's AeMeteringMode: 0 centre-weighted, 1 spot, 2 matrix, 3 custom.
    uint32_t ae_metering;
    // As libcamera's AwbMode: 0 auto, 1 incandescent, 2 tungsten, 3 fluorescent, 4 indoor,
    // 5 daylight, 6 cloudy, 7 custom.
    uint32_t awb_mode;
    // As libcamera's AfMode: 0 manual, 1 auto, 2 continuous.
    uint32_t af_mode;
    // As libcamera's AfTrigger: 0 start, 1 cancel.
    uint32_t af_trigger;
    // As libcamera's AfPause: 0 immediate, 1 deferred, 2 resume.
    uint32_t af_pause;
    // 0
    uint32_t reserved_2;
};

// A frame, as the pipeline knows it.
struct coldshoe_frame {
    // sizeof(struct coldshoe_frame)
    size_t struct_size;
    // The pipeline's frame number.
    uint64_t number;
    // When the sensor exposed it, in nanoseconds of CLOCK_MONOTONIC, as V4L2 buffers carry it.
    uint64_t sensor_timestamp_ns;
    // When the pipeline goes on without an answer, in nanoseconds of CLOCK_MONOTONIC.
    uint64_t deadline_ns;
    // What the sensor really applied to it.
    struct coldshoe_applied applied;
    // What the application asks for.
    struct coldshoe_controls controls;
};

// A slot that the pipeline or its hardware fills in place. Filled by coldshoe_session_claim_slot().
struct coldshoe_slot {
    // sizeof(struct coldshoe_slot)
    size_t struct_size;
    // Where the statistics go, aligned to 16 bytes. The worker reads there and cannot write.
    void *address;
    // Bytes there is room for.
    size_t capacity;
};

// Sensor and lens requests of a module: finite numbers, 0 or more, and otherwise the module's own.
// The pipeline clamps them to what the sensor can do.
struct coldshoe_wanted {
    // Which fields count: bits of enum coldshoe_actuator.
    uint32_t set;
    // 0
    uint32_t reserved;
    // Exposure time in microseconds.
    double exposure_us;
    // Linear factor.
    double analogue_gain;
    // Linear factor.
    double digital_gain;
    // Dioptres.
    double lens_position;
    // Microseconds; blanking follows from it.
    double frame_duration_us;
};

// What a module says it found out about a frame.
struct coldshoe_metadata {
    // Which of the numbers count: bits of enum coldshoe_finding.
    uint32_t set;
    // Exposure: one of enum coldshoe_algorithm_state.
    uint32_t ae_state;
    // White balance: one of enum coldshoe_algorithm_state.
    uint32_t awb_state;
    // Focus: one of enum coldshoe_algorithm_state.
    uint32_t af_state;
    // Mean, fraction of full scale, linear.
    double luminance;
    // Kelvin.
    double colour_temperature;
    // Linear factor; green is 1.
    double colour_gain_red;
    // Linear factor; green is 1.
    double colour_gain_blue;
    // Lux.
    double lux;
};

// What became of a frame, and the answer to go on with. Filled by coldshoe_session_wait() and
// coldshoe_session_try_wait().
struct coldshoe_outcome {
    // sizeof(struct coldshoe_outcome)
    size_t struct_size;
    // One of enum coldshoe_outcome_kind.
    uint32_t kind;
    // One of enum coldshoe_reason.
    uint32_t reason;
    // 1: what follows is an answer, of this frame or an earlier one; 0: there has been none yet, and
    // what follows is zero.
    uint32_t has_answer;
    // 0
    uint32_t reserved;
    // Number of the frame that it answers.
    uint64_t frame;
    // Parameters: blocks of the session's format, whose framing is checked. They stay what they are
    // until the next call on the session. NULL until the module has sent the first ones.
    const uint8_t *params;
    // Bytes of parameters.
    size_t params_size;
    // Sensor and lens requests.
    struct coldshoe_wanted wanted;
    // What the module says it found out.
    struct coldshoe_metadata metadata;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The release as "MAJOR.MINOR.PATCH", in static memory. Any thread.
const char *coldshoe_version(void);

// This moment in nanoseconds of CLOCK_MONOTONIC, the clock of timestamps and deadlines. Any thread.
uint64_t coldshoe_now_ns(void);

// What the call returned. COLDSHOE_OK for NULL.
int coldshoe_error_status(const struct coldshoe_error *error);

// What happened, on one line of UTF-8 that lives as long as the error. "" for NULL.
const char *coldshoe_error_what(const struct coldshoe_error *error);

// Why, on one line of UTF-8 that lives as long as the error. "" for NULL, or if nobody knows.
const char *coldshoe_error_why(const struct coldshoe_error *error);

// What to do, on one line of UTF-8 that lives as long as the error. "" for NULL, or if nobody
// knows.
const char *coldshoe_error_remedy(const struct coldshoe_error *error);

// All of it, for people: up to three lines of UTF-8, without a line feed at the end, that live as
// long as the error. "" for NULL.
const char *coldshoe_error_message(const struct coldshoe_error *error);

// Frees an error and its texts. NULL is left alone.
void coldshoe_error_free(struct coldshoe_error *error);

// Makes a buffer of at least `len` bytes, 1 to 16 MiB; it has whole pages, filled with zeros.
//
// On success `*buffer` is the caller's. On failure it is left as it was:
// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_RESOURCES.
int coldshoe_buffer_create(size_t len,
                           struct coldshoe_buffer **buffer,
                           struct coldshoe_error **error);

// Its memory: coldshoe_buffer_capacity() bytes, aligned to a page. Stays valid when a session takes
// the buffer, for as long as that session, else until the buffer is freed. NULL for NULL.
void *coldshoe_buffer_address(struct coldshoe_buffer *buffer);

// Its size in bytes. 0 for NULL.
size_t coldshoe_buffer_capacity(struct coldshoe_buffer *buffer);

// Its memfd, to make a dmabuf of: UDMABUF_CREATE of /dev/udmabuf takes it until a session takes
// the buffer, which seals it against being written to by anybody new. Belongs to the buffer: it must
// not be closed, nor used after the buffer is gone. -1 for NULL.
int coldshoe_buffer_memfd(struct coldshoe_buffer *buffer);

// Frees a buffer that no session has taken. NULL is left alone. Must not be called while another
// call uses the buffer.
void coldshoe_buffer_free(struct coldshoe_buffer *buffer);

// Connects to the daemon and opens a session: the module is loaded in its jail by then.
//
// On success `*session` is the caller's. On failure it and the buffers are left as they were, and
// buffers that were sealed for it can still be given to another session:
// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_UNREACHABLE, COLDSHOE_ERROR_NO_SUCH_MODULE,
// COLDSHOE_ERROR_MODULE_REFUSED, COLDSHOE_ERROR_MODULE_FAILED, COLDSHOE_ERROR_SANDBOX_UNAVAILABLE,
// COLDSHOE_ERROR_DENIED, COLDSHOE_ERROR_LIMIT, COLDSHOE_ERROR_RESOURCES, COLDSHOE_ERROR_VERSION,
// COLDSHOE_ERROR_CONNECTION, COLDSHOE_ERROR_TIMEOUT, and COLDSHOE_ERROR_BUSY of a buffer.
//
// Waits for the daemon, for 10 s at most.
int coldshoe_session_open(const struct coldshoe_open *open,
                          struct coldshoe_session **session,
                          struct coldshoe_error **error);

// Fills `info`. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_info(struct coldshoe_session *session,
                          struct coldshoe_info *info,
                          struct coldshoe_error **error);

// Tells the module about the sensor's mode. Not while the session is started.
//
// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_STATE, COLDSHOE_ERROR_MODULE_FAILED,
// COLDSHOE_ERROR_CONNECTION, COLDSHOE_ERROR_TIMEOUT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
// Waits for the module, for 10 s at most.
int coldshoe_session_configure(struct coldshoe_session *session,
                               const struct coldshoe_sensor *sensor,
                               struct coldshoe_error **error);

// Starts the module: frames may follow. Errors as of coldshoe_session_configure().
int coldshoe_session_start(struct coldshoe_session *session,
                           struct coldshoe_error **error);

// Stops the module. Frames in flight are given up, and a slot that is claimed is abandoned. Errors
// as of coldshoe_session_configure().
int coldshoe_session_stop(struct coldshoe_session *session,
                          struct coldshoe_error **error);

// The last fault of a worker of this session, whether another one has taken over by now or not:
// COLDSHOE_OK if there was none, else COLDSHOE_ERROR_MODULE_FAILED, with the reason in `*error`.
// COLDSHOE_ERROR_INTERNAL: it ended with its daemon. Never waits. In an event loop it also takes note of what made the descriptor of coldshoe_session_poll_fd() readable: try the frames
// in flight afterwards.
int coldshoe_session_fault(struct coldshoe_session *session,
                           struct coldshoe_error **error);

// How the session does: an enum coldshoe_health. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY,
// COLDSHOE_ERROR_INTERNAL. Never waits.
int coldshoe_session_health(struct coldshoe_session *session,
                            int *health,
                            struct coldshoe_error **error);

// Fills `counters`. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_counters(struct coldshoe_session *session,
                              struct coldshoe_counters *counters,
                              struct coldshoe_error **error);

// Closes a session, waits until its worker is gone, for 10 s at most, and frees the handle, its
// buffers and everything that came from it, whatever it returns but for
// COLDSHOE_ERROR_ARGUMENT (NULL) and COLDSHOE_ERROR_BUSY.
//
// COLDSHOE_ERROR_CONNECTION, COLDSHOE_ERROR_TIMEOUT, COLDSHOE_ERROR_MODULE_FAILED,
// COLDSHOE_ERROR_STATE, COLDSHOE_ERROR_INTERNAL: the worker is gone, or will be soon, all the same.
int coldshoe_session_close(struct coldshoe_session *session,
                           struct coldshoe_error **error);

// Frees a session as coldshoe_session_close() does, without waiting for its worker's end. NULL is
// left alone.
void coldshoe_session_free(struct coldshoe_session *session);

// Submits a frame with `len` bytes of statistics at `stats`, which are copied into its slot and must
// not be written to meanwhile; NULL if `len` is 0. Never waits.
//
// On success `*ticket` names the frame for coldshoe_session_wait(), even if there was no free slot
// and the module was not asked: then its outcome is COLDSHOE_OUTCOME_SKIPPED. A ticket that is never
// waited for costs no memory, but its slot until its deadline. On failure `*ticket` is left as it
// was:
// COLDSHOE_ERROR_ARGUMENT (more statistics than a slot holds among others), COLDSHOE_ERROR_STATE
// (not started, or a slot is claimed), COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_submit(struct coldshoe_session *session,
                            const struct coldshoe_frame *frame,
                            const void *stats,
                            size_t len,
                            uint64_t *ticket,
                            struct coldshoe_error **error);

// Submits a frame whose statistics are the first `len` bytes of a buffer that the session was
// opened with, by its place among them. The buffer must not be written to before the frame has its
// outcome. Otherwise as coldshoe_session_submit().
int coldshoe_session_submit_buffer(struct coldshoe_session *session,
                                   const struct coldshoe_frame *frame,
                                   uint32_t buffer,
                                   size_t len,
                                   uint64_t *ticket,
                                   struct coldshoe_error **error);

// Asks for parameters before the first frame: there are no statistics yet. Otherwise as
// coldshoe_session_submit().
int coldshoe_session_prepare(struct coldshoe_session *session,
                             const struct coldshoe_frame *frame,
                             uint64_t *ticket,
                             struct coldshoe_error **error);

// Publishes all frames that were queued with coldshoe_session_queue_slot(), with one wake-up.
// Waiting for a frame does so, too. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY,
// COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_ring(struct coldshoe_session *session,
                          struct coldshoe_error **error);

// Claims the slot of the next frame, so that its statistics need not be copied. It is the caller's
// until it is submitted, queued or abandoned, and no other frame can be submitted meanwhile; waiting
// is allowed. Never waits itself.
//
// COLDSHOE_ERROR_FULL: there is none, go on with the last parameters.
// COLDSHOE_ERROR_MODULE_FAILED: the same; see coldshoe_session_fault(). Both count as a frame that
// was skipped. COLDSHOE_ERROR_STATE (not started, or it is claimed already), COLDSHOE_ERROR_ARGUMENT,
// COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_claim_slot(struct coldshoe_session *session,
                                struct coldshoe_slot *slot,
                                struct coldshoe_error **error);

// Publishes the frame whose statistics are the first `len` bytes of the claimed slot, which must not
// be written to any more. `*ticket` as of coldshoe_session_submit().
//
// On failure the slot is still claimed: COLDSHOE_ERROR_ARGUMENT (more than its capacity among
// others), COLDSHOE_ERROR_STATE (no slot is claimed), COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_submit_slot(struct coldshoe_session *session,
                                 const struct coldshoe_frame *frame,
                                 size_t len,
                                 uint64_t *ticket,
                                 struct coldshoe_error **error);

// The same without waking the worker yet, for several frames that are ready at once: see
// coldshoe_session_ring().
int coldshoe_session_queue_slot(struct coldshoe_session *session,
                                const struct coldshoe_frame *frame,
                                size_t len,
                                uint64_t *ticket,
                                struct coldshoe_error **error);

// Gives the claimed slot back without a frame. COLDSHOE_ERROR_STATE (no slot is claimed),
// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_abandon_slot(struct coldshoe_session *session,
                                  struct coldshoe_error **error);

// A reason in words: static memory, never NULL, whatever the number. Any thread.
const char *coldshoe_reason_text(uint32_t reason);

// Waits for a frame's answer, at most to its deadline, and fills `outcome`. Each ticket has one
// outcome; a number that names none (0, used before, of another session, made up) has
// COLDSHOE_OUTCOME_HELD with COLDSHOE_REASON_NOT_IN_FLIGHT.
//
// On failure `outcome` is left as it was, and the ticket is still good: COLDSHOE_ERROR_ARGUMENT,
// COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL. A module that fails, lies or is late is not a failure
// of this call, but an outcome.
int coldshoe_session_wait(struct coldshoe_session *session,
                          uint64_t ticket,
                          struct coldshoe_outcome *outcome,
                          struct coldshoe_error **error);

// The outcome of a frame if it can be told by now; never waits. COLDSHOE_AGAIN: it cannot, `outcome`
// is left as it was, the ticket is still good, and the descriptor of coldshoe_session_poll_fd()
// becomes readable when it is worth while to try again, at the frame's deadline at the latest.
// Otherwise as coldshoe_session_wait().
int coldshoe_session_try_wait(struct coldshoe_session *session,
                              uint64_t ticket,
                              struct coldshoe_outcome *outcome,
                              struct coldshoe_error **error);

// For event loops: sets `*fd` to a descriptor that is readable when coldshoe_session_try_wait() may
// have an outcome for a ticket that it answered COLDSHOE_AGAIN to, and when the daemon has something
// to say. When it is readable, call coldshoe_session_fault(), then try every frame in flight: a worker
// may ring when there is none, and only that call makes it quiet again. It stays the same for the life of the session, belongs to it, and is only polled, never read
// from or closed.
//
// COLDSHOE_ERROR_RESOURCES, COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
int coldshoe_session_poll_fd(struct coldshoe_session *session,
                             int *fd,
                             struct coldshoe_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* COLDSHOE_H */
