/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * coldshoe_ipa.h - the interface between coldshoe and a camera algorithm module.
 *
 * A module is a shared object that exports one function, coldshoe_ipa_module().
 * coldshoe loads it into a process of its own that can compute and nothing else:
 * no files, no sockets, no devices, no environment. Everything the module needs
 * comes through this interface, everything it wants goes out through it.
 *
 * Rules
 *  - The verbs of one instance are called one at a time, on one thread.
 *  - Pointers handed to the module are valid during the call only, unless stated.
 *  - Every structure that is passed by pointer starts with its size. A module
 *    reads only what the size covers; a newer host may append fields.
 *  - Verbs return 0 or a negative errno value. Before returning an error, say why
 *    with the host's log function at COLDSHOE_IPA_LOG_ERROR: the last such line is
 *    what the user is shown.
 *  - Order: create, configure, start, process..., stop, configure or start again...,
 *    destroy. configure is never called between start and stop. The process may
 *    be ended at any time instead, without stop or destroy: keep nothing that
 *    only they would save.
 *  - A module with state (save_state, restore_state) is asked for it again and again
 *    while it streams, so that another instance can go on from there if this process
 *    is ended. That one may be configured long before: it gets the state after
 *    configure and before start.
 *
 * Units: times in microseconds unless the name says otherwise, gains as linear
 * factors (1.0 = none), temperatures in kelvin, fractions of full scale in 0..1.
 */
#ifndef COLDSHOE_IPA_H
#define COLDSHOE_IPA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised only when an existing field changes its meaning or its place. */
#define COLDSHOE_IPA_ABI_VERSION 1u

/* No state is larger than this many bytes: the capacity that save_state gets. */
#define COLDSHOE_IPA_MAX_STATE 32768u

/* -- What the host offers ------------------------------------------------- */

enum coldshoe_ipa_log_level {
	COLDSHOE_IPA_LOG_ERROR = 1,
	COLDSHOE_IPA_LOG_WARNING = 2,
	COLDSHOE_IPA_LOG_INFO = 3,
	COLDSHOE_IPA_LOG_DEBUG = 4,
};

/* Valid from create until destroy has returned. */
struct coldshoe_ipa_host {
	uint32_t struct_size;
	uint32_t reserved; /* 0 */
	void *context;     /* first argument of every host function */
	/* One line of UTF-8, NUL-terminated; longer than 512 bytes is cut. */
	void (*log)(void *context, uint32_t level, const char *message);
};

/* -- What a module is told ------------------------------------------------ */

/* Argument of create(). */
struct coldshoe_ipa_init {
	uint32_t struct_size;
	uint32_t reserved;                    /* 0 */
	const struct coldshoe_ipa_host *host; /* stays valid, see above */
	const char *camera;                   /* camera name, as the pipeline gave it */
	const char *stats_format;             /* the pair of formats of this session, */
	const char *params_format;            /*   one of those the module offers */
	uint64_t isp_capabilities;            /* bit n: the ISP has block type n */
	const uint8_t *tuning;                /* tuning file's content, NULL if none */
	size_t tuning_size;
};

enum coldshoe_ipa_bayer_order {
	COLDSHOE_IPA_BAYER_RGGB = 1,
	COLDSHOE_IPA_BAYER_GRBG = 2,
	COLDSHOE_IPA_BAYER_GBRG = 3,
	COLDSHOE_IPA_BAYER_BGGR = 4,
};

/* Argument of configure(): the sensor in the mode that is about to stream. */
struct coldshoe_ipa_sensor {
	uint32_t struct_size;
	uint32_t bayer_order;   /* enum coldshoe_ipa_bayer_order */
	uint32_t width, height; /* pixels */
	uint32_t bit_depth;
	uint32_t exposure_delay; /* frames until a new exposure is in force */
	uint32_t gain_delay;     /* the same for the analogue gain */
	uint32_t exposure_margin_lines; /* a frame is so much longer than its exposure */
	double line_length_us;   /* exposure comes in steps of this */
	double min_exposure_us, max_exposure_us;
	double min_analogue_gain, max_analogue_gain;
	double max_digital_gain;
	double black_level; /* fraction of full scale */
	double min_frame_duration_us, max_frame_duration_us;
	double min_lens_position, max_lens_position; /* dioptres; both 0: no lens that moves */
};

/* What the sensor really applied to the frame that the statistics come from. */
struct coldshoe_ipa_applied {
	double exposure_us;
	double analogue_gain;
	double digital_gain;
	double black_level;   /* fraction of full scale */
	double lens_position; /* dioptres; NaN without a lens actuator */
};

/* Which fields of coldshoe_ipa_controls are set; the others are to be ignored. */
enum coldshoe_ipa_control {
	COLDSHOE_IPA_AE_ENABLE = 1 << 0,
	COLDSHOE_IPA_AWB_ENABLE = 1 << 1,
	COLDSHOE_IPA_EXPOSURE_VALUE = 1 << 2,
	COLDSHOE_IPA_EXPOSURE_TIME = 1 << 3,
	COLDSHOE_IPA_ANALOGUE_GAIN = 1 << 4,
	COLDSHOE_IPA_COLOUR_TEMPERATURE = 1 << 5,
	COLDSHOE_IPA_COLOUR_GAINS = 1 << 6,
	COLDSHOE_IPA_CONTRAST = 1 << 7,
	COLDSHOE_IPA_SATURATION = 1 << 8,
	COLDSHOE_IPA_SHARPNESS = 1 << 9,
	COLDSHOE_IPA_BRIGHTNESS = 1 << 10,
	COLDSHOE_IPA_LENS_POSITION = 1 << 11,
	COLDSHOE_IPA_AE_METERING = 1 << 12,
	COLDSHOE_IPA_AWB_MODE = 1 << 13,
	COLDSHOE_IPA_AF_MODE = 1 << 14,
	COLDSHOE_IPA_AF_TRIGGER = 1 << 15,
	COLDSHOE_IPA_AF_PAUSE = 1 << 16,
};

/* What the application asked for with this frame. */
struct coldshoe_ipa_controls {
	uint32_t set;        /* enum coldshoe_ipa_control, or'ed */
	uint32_t ae_enable;  /* 0 or 1; 0 keeps exposure and gains as they are */
	uint32_t awb_enable; /* 0 or 1; 0 keeps colour gains as they are */
	uint32_t reserved;   /* 0 */
	double exposure_value; /* EV, -8..8 */
	double exposure_us;    /* with ae_enable 0; with 1 it has priority, and gain follows */
	double analogue_gain;  /* the same with time following; ae_enable 1 without both ends it */
	double colour_temperature; /* K, with awb_enable 0 */
	double colour_gain_red;    /* with awb_enable 0; green is 1 */
	double colour_gain_blue;
	double contrast;   /* 1.0 = as tuned */
	double saturation; /* 1.0 = as tuned */
	double sharpness;  /* 1.0 = as tuned */
	double brightness; /* -1..1; 0 = as tuned */
	double lens_position; /* dioptres, with af_mode 0 */
	uint32_t ae_metering; /* 0 centre-weighted, 1 spot, 2 matrix, 3 custom */
	uint32_t awb_mode;    /* 0 auto, 1 incandescent, 2 tungsten, 3 fluorescent, 4 indoor,
				 5 daylight, 6 cloudy, 7 custom */
	uint32_t af_mode;     /* 0 manual, 1 auto, 2 continuous */
	uint32_t af_trigger;  /* with af_mode 1: 0 start a scan, 1 cancel it */
	uint32_t af_pause;    /* with af_mode 2: 0 at once, 1 after the scan, 2 go on */
	uint32_t reserved_2;  /* 0 */
};

struct coldshoe_ipa_frame_in {
	uint32_t struct_size;
	uint32_t reserved; /* 0 */
	uint64_t frame;    /* the pipeline's frame number */
	uint64_t sensor_timestamp_ns; /* CLOCK_MONOTONIC */
	uint64_t deadline_ns;         /* CLOCK_MONOTONIC; an answer past it is not used */
	struct coldshoe_ipa_applied applied;
	struct coldshoe_ipa_controls controls;
	/* NULL before the first frame: prepare parameters without measuring. */
	const uint8_t *stats;
	size_t stats_size;
};

/* -- What a module answers ------------------------------------------------ */

/* Which fields of coldshoe_ipa_wanted the module has set. */
enum coldshoe_ipa_actuator {
	COLDSHOE_IPA_WANT_EXPOSURE = 1 << 0,
	COLDSHOE_IPA_WANT_ANALOGUE_GAIN = 1 << 1,
	COLDSHOE_IPA_WANT_DIGITAL_GAIN = 1 << 2,
	COLDSHOE_IPA_WANT_LENS_POSITION = 1 << 3,
	COLDSHOE_IPA_WANT_FRAME_DURATION = 1 << 4,
};

/*
 * Sensor and lens requests. The trusted side clamps or refuses them, and applies those of one answer
 * to the same frame: it holds the faster controls back.
 */
struct coldshoe_ipa_wanted {
	uint32_t set;      /* enum coldshoe_ipa_actuator, or'ed */
	uint32_t reserved; /* 0 */
	double exposure_us;
	double analogue_gain;
	double digital_gain;
	double lens_position;     /* dioptres */
	double frame_duration_us; /* blanking follows from it */
};

enum coldshoe_ipa_algorithm_state {
	COLDSHOE_IPA_STATE_UNKNOWN = 0,
	COLDSHOE_IPA_STATE_SEARCHING = 1,
	COLDSHOE_IPA_STATE_CONVERGED = 2,
	COLDSHOE_IPA_STATE_LOCKED = 3,
	COLDSHOE_IPA_STATE_FAILED = 4,
};

/* What the module found out about the frame; 0 where it does not know. */
struct coldshoe_ipa_metadata {
	uint32_t ae_state, awb_state, af_state; /* enum coldshoe_ipa_algorithm_state */
	uint32_t reserved; /* 0 */
	double luminance;          /* mean, fraction of full scale, linear */
	double colour_temperature; /* K */
	double colour_gain_red, colour_gain_blue; /* green is 1 */
	double lux; /* 0 = unknown */
};

/* All fields but the first four are zero when process() is called. */
struct coldshoe_ipa_frame_out {
	uint32_t struct_size;
	uint32_t reserved;      /* 0 */
	uint8_t *params;        /* write the parameter buffer here, 8-aligned */
	size_t params_capacity; /* and no more than this */
	size_t params_size;     /* bytes written; 0 keeps the last parameters */
	struct coldshoe_ipa_wanted wanted;
	struct coldshoe_ipa_metadata metadata;
};

/* -- What a module is ----------------------------------------------------- */

enum coldshoe_ipa_flag {
	/* The module starts threads: it is only loaded under a profile with threads. */
	COLDSHOE_IPA_FLAG_THREADS = 1 << 0,
};

/* A pair of formats that the module can work with. */
struct coldshoe_ipa_format {
	const char *stats;  /* for example "coldshoe-stats-1" */
	const char *params; /* for example "coldshoe-soft" */
	/*
	 * Bit n: the module sends block type n. One with a type that the format's contract
	 * does not document is refused when it is loaded.
	 */
	uint64_t blocks;
};

/* Constant, alive while the module is loaded. */
struct coldshoe_ipa_module {
	uint32_t struct_size;
	uint32_t abi_version; /* COLDSHOE_IPA_ABI_VERSION */
	const char *name;
	const char *version;
	const char *license; /* SPDX expression, or "proprietary" */
	uint64_t flags;      /* enum coldshoe_ipa_flag, or'ed */
	const struct coldshoe_ipa_format *formats; /* ends with { NULL, NULL, 0 } */

	/* Mandatory. */
	int32_t (*create)(const struct coldshoe_ipa_init *init, void **instance);
	int32_t (*configure)(void *instance, const struct coldshoe_ipa_sensor *sensor);
	int32_t (*start)(void *instance);
	int32_t (*process)(void *instance, const struct coldshoe_ipa_frame_in *in,
			   struct coldshoe_ipa_frame_out *out);
	int32_t (*stop)(void *instance);
	void (*destroy)(void *instance);

	/*
	 * Optional, both or neither.
	 *
	 * save_state writes at most capacity bytes and returns how many, 0 if there is
	 * nothing to save yet, or a negative errno value. It is called after configure:
	 * between two frames, every so many of them, and after stop. Time spent here is
	 * taken from the next frame: be quick. What the module does afterwards must not
	 * depend on whether it was asked.
	 *
	 * restore_state is called after configure and before start, at most once, with
	 * what save_state of another instance returned: of the same file, with the same
	 * tuning. It may be some frames old, of another sensor mode, or not what was
	 * saved at all: check it as you would a file. An error refuses the state and
	 * leaves the instance as it was; it is started without. What the application
	 * asked for is part of the state: it does not ask again.
	 */
	int64_t (*save_state)(void *instance, uint8_t *state, size_t capacity);
	int32_t (*restore_state)(void *instance, const uint8_t *state, size_t size);
};

#if defined(__GNUC__)
#define COLDSHOE_IPA_EXPORT __attribute__((visibility("default")))
#else
#define COLDSHOE_IPA_EXPORT
#endif

/* The one symbol a module exports. */
COLDSHOE_IPA_EXPORT const struct coldshoe_ipa_module *coldshoe_ipa_module(void);

#ifdef __cplusplus
}
#endif

#endif /* COLDSHOE_IPA_H */
