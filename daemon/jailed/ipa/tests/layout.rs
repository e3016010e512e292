//! `coldshoe_ipa.h` and its Rust mirror are the same interface, in C and in C++.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldshoe_ipa::abi::{self, AlgorithmState, BayerOrder, LogLevel};

const HEADER: &str = include_str!("../include/coldshoe_ipa.h");
const C11: [&str; 3] = ["cc", "-std=c11", "-xc"];
const CPP17: [&str; 3] = ["c++", "-std=c++17", "-xc++"];

/// One structure: its name in the header, its size, and its fields with their offsets and sizes.
struct Mirror {
    name: &'static str,
    size: usize,
    fields: Vec<(&'static str, usize, usize)>,
}

fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// The pattern names every field: one that is added to the mirror does not compile without being
/// added here.
macro_rules! mirror {
    ($name:literal, $type:ident { $($field:ident),* $(,)? }) => {{
        let _every_field = |abi::$type { $($field: _),* }: abi::$type| {};
        Mirror {
            name: $name,
            size: size_of::<abi::$type>(),
            fields: vec![$((
                stringify!($field),
                offset_of!(abi::$type, $field),
                size_of_field(|whole: &abi::$type| &whole.$field),
            )),*],
        }
    }};
}

fn mirrors() -> Vec<Mirror> {
    vec![
        mirror!(
            "coldshoe_ipa_host",
            Host {
                struct_size,
                reserved,
                context,
                log
            }
        ),
        mirror!(
            "coldshoe_ipa_init",
            Init {
                struct_size,
                reserved,
                host,
                camera,
                stats_format,
                params_format,
                isp_capabilities,
                tuning,
                tuning_size,
            }
        ),
        mirror!(
            "coldshoe_ipa_sensor",
            Sensor {
                struct_size,
                bayer_order,
                width,
                height,
                bit_depth,
                exposure_delay,
                gain_delay,
                exposure_margin_lines,
                line_length_us,
                min_exposure_us,
                max_exposure_us,
                min_analogue_gain,
                max_analogue_gain,
                max_digital_gain,
                black_level,
                min_frame_duration_us,
                max_frame_duration_us,
                min_lens_position,
                max_lens_position,
            }
        ),
        mirror!(
            "coldshoe_ipa_applied",
            Applied {
                exposure_us,
                analogue_gain,
                digital_gain,
                black_level,
                lens_position,
            }
        ),
        mirror!(
            "coldshoe_ipa_controls",
            Controls {
                set,
                ae_enable,
                awb_enable,
                reserved,
                exposure_value,
                exposure_us,
                analogue_gain,
                colour_temperature,
                colour_gain_red,
                colour_gain_blue,
                contrast,
                saturation,
                sharpness,
                brightness,
                lens_position,
                ae_metering,
                awb_mode,
                af_mode,
                af_trigger,
                af_pause,
                reserved_2,
            }
        ),
        mirror!(
            "coldshoe_ipa_frame_in",
            FrameIn {
                struct_size,
                reserved,
                frame,
                sensor_timestamp_ns,
                deadline_ns,
                applied,
                controls,
                stats,
                stats_size,
            }
        ),
        mirror!(
            "coldshoe_ipa_wanted",
            Wanted {
                set,
                reserved,
                exposure_us,
                analogue_gain,
                digital_gain,
                lens_position,
                frame_duration_us,
            }
        ),
        mirror!(
            "coldshoe_ipa_metadata",
            Metadata {
                ae_state,
                awb_state,
                af_state,
                reserved,
                luminance,
                colour_temperature,
                colour_gain_red,
                colour_gain_blue,
                lux,
            }
        ),
        mirror!(
            "coldshoe_ipa_frame_out",
            FrameOut {
                struct_size,
                reserved,
                params,
                params_capacity,
                params_size,
                wanted,
                metadata,
            }
        ),
        mirror!(
            "coldshoe_ipa_format",
            Format {
                stats,
                params,
                blocks
            }
        ),
        mirror!(
            "coldshoe_ipa_module",
            Module {
                struct_size,
                abi_version,
                name,
                version,
                license,
                flags,
                formats,
                create,
                configure,
                start,
                process,
                stop,
                destroy,
                save_state,
                restore_state,
            }
        ),
    ]
}

/// Every constant of the header, by its name without `COLDSHOE_IPA_`.
fn constants() -> BTreeMap<&'static str, u64> {
    let level = |level: LogLevel| u64::from(level as u32);
    let order = |order: BayerOrder| u64::from(order as u32);
    let state = |state: AlgorithmState| u64::from(state as u32);
    BTreeMap::from([
        ("ABI_VERSION", abi::ABI_VERSION.into()),
        ("MAX_STATE", abi::MAX_STATE as u64),
        ("LOG_ERROR", level(LogLevel::Error)),
        ("LOG_WARNING", level(LogLevel::Warning)),
        ("LOG_INFO", level(LogLevel::Info)),
        ("LOG_DEBUG", level(LogLevel::Debug)),
        ("BAYER_RGGB", order(BayerOrder::Rggb)),
        ("BAYER_GRBG", order(BayerOrder::Grbg)),
        ("BAYER_GBRG", order(BayerOrder::Gbrg)),
        ("BAYER_BGGR", order(BayerOrder::Bggr)),
        ("AE_ENABLE", abi::Controls::AE_ENABLE.into()),
        ("AWB_ENABLE", abi::Controls::AWB_ENABLE.into()),
        ("EXPOSURE_VALUE", abi::Controls::EXPOSURE_VALUE.into()),
        ("EXPOSURE_TIME", abi::Controls::EXPOSURE_TIME.into()),
        ("ANALOGUE_GAIN", abi::Controls::ANALOGUE_GAIN.into()),
        (
            "COLOUR_TEMPERATURE",
            abi::Controls::COLOUR_TEMPERATURE.into(),
        ),
        ("COLOUR_GAINS", abi::Controls::COLOUR_GAINS.into()),
        ("CONTRAST", abi::Controls::CONTRAST.into()),
        ("SATURATION", abi::Controls::SATURATION.into()),
        ("SHARPNESS", abi::Controls::SHARPNESS.into()),
        ("BRIGHTNESS", abi::Controls::BRIGHTNESS.into()),
        ("LENS_POSITION", abi::Controls::LENS_POSITION.into()),
        ("AE_METERING", abi::Controls::AE_METERING.into()),
        ("AWB_MODE", abi::Controls::AWB_MODE.into()),
        ("AF_MODE", abi::Controls::AF_MODE.into()),
        ("AF_TRIGGER", abi::Controls::AF_TRIGGER.into()),
        ("AF_PAUSE", abi::Controls::AF_PAUSE.into()),
        ("WANT_EXPOSURE", abi::Actuators::EXPOSURE.into()),
        ("WANT_ANALOGUE_GAIN", abi::Actuators::ANALOGUE_GAIN.into()),
        ("WANT_DIGITAL_GAIN", abi::Actuators::DIGITAL_GAIN.into()),
        ("WANT_LENS_POSITION", abi::Actuators::LENS_POSITION.into()),
        ("WANT_FRAME_DURATION", abi::Actuators::FRAME_DURATION.into()),
        ("STATE_UNKNOWN", state(AlgorithmState::Unknown)),
        ("STATE_SEARCHING", state(AlgorithmState::Searching)),
        ("STATE_CONVERGED", state(AlgorithmState::Converged)),
        ("STATE_LOCKED", state(AlgorithmState::Locked)),
        ("STATE_FAILED", state(AlgorithmState::Failed)),
        ("FLAG_THREADS", abi::FLAG_THREADS),
    ])
}

fn crate_dir(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compiles with all warnings as errors.
fn compile(language: [&str; 3], source: &Path, args: &[&str], output: &Path) {
    let [compiler, flags @ ..] = language;
    let done = Command::new(compiler)
        .args(flags)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic"])
        .arg("-I")
        .arg(crate_dir("include"))
        .arg(source)
        .args(args)
        .arg("-o")
        .arg(output)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}; these tests need a compiler"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}:\n{said}", source.display());
}

/// What a compiler makes of the header: a number for each size, offset and constant.
fn compiled(language: [&str; 3]) -> BTreeMap<String, u64> {
    let mut lines = String::new();
    let mut print = |key: &str, value: &str| {
        writeln!(
            lines,
            "\tprintf(\"{key} %llu\\n\", (unsigned long long)({value}));"
        )
        .unwrap();
    };
    for Mirror { name, fields, .. } in mirrors() {
        print(name, &format!("sizeof(struct {name})"));
        for (field, ..) in fields {
            let at = format!("offsetof(struct {name}, {field})");
            let size = format!("sizeof(((struct {name} *)0)->{field})");
            print(&format!("{name}.{field}@"), &at);
            print(&format!("{name}.{field}#"), &size);
        }
    }
    for name in constants().keys() {
        print(name, &format!("COLDSHOE_IPA_{name}"));
    }
    let program = format!(
        "#include \"coldshoe_ipa.h\"\n#include <stdio.h>\nint main(void)\n{{\n{lines}\treturn 0;\n}}\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let (source, binary) = (dir.path().join("layout.c"), dir.path().join("layout"));
    fs::write(&source, program).unwrap();
    compile(language, &source, &[], &binary);
    let output = Command::new(binary).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (key.to_owned(), value.parse().unwrap())
    };
    text.lines().map(pair).collect()
}

fn mirrored() -> BTreeMap<String, u64> {
    let mut numbers = BTreeMap::new();
    for Mirror { name, size, fields } in mirrors() {
        numbers.insert(name.to_owned(), size as u64);
        for (field, offset, size) in fields {
            numbers.insert(format!("{name}.{field}@"), offset as u64);
            numbers.insert(format!("{name}.{field}#"), size as u64);
        }
    }
    let constants = constants().into_iter();
    numbers.extend(constants.map(|(name, value)| (name.to_owned(), value)));
    numbers
}

#[test]
fn every_size_offset_and_constant_is_the_same_in_c_in_cpp_and_in_rust() {
    assert_eq!(compiled(C11), mirrored());
    assert_eq!(compiled(CPP17), mirrored());
}

#[test]
fn no_structure_has_padding_so_that_no_field_of_the_header_goes_unseen() {
    for Mirror { name, size, fields } in mirrors() {
        let mut end = 0;
        for (field, offset, size) in fields {
            assert_eq!(offset, end, "{name}.{field} follows the field before");
            end = offset + size;
        }
        assert_eq!(end, size, "{name} ends with its last field");
    }
}

#[test]
fn every_structure_and_constant_of_the_header_is_mirrored() {
    let code: String = HEADER
        .split("/*")
        .flat_map(|part| {
            part.split_once("*/")
                .map_or(Some(part), |(_, code)| Some(code))
        })
        .collect();
    let structures: Vec<_> = code
        .lines()
        .filter_map(|line| line.strip_prefix("struct ")?.strip_suffix(" {"))
        .collect();
    let names: Vec<_> = mirrors().iter().map(|mirror| mirror.name).collect();
    assert_eq!(structures, names);
    let mut found: Vec<_> = code
        .lines()
        .map(|line| line.trim_start().trim_start_matches("#define "))
        .filter_map(|line| line.strip_prefix("COLDSHOE_IPA_")?.split_once(' '))
        .filter(|(_, value)| value.starts_with(|c: char| c == '=' || c.is_ascii_digit()))
        .map(|(name, _)| name)
        .collect();
    found.sort_unstable();
    assert_eq!(found, constants().into_keys().collect::<Vec<_>>());
    let symbol = abi::ENTRY_SYMBOL.to_str().unwrap();
    assert!(code.contains(&format!("*{symbol}(void);")));
}

#[test]
fn the_header_stands_alone_in_c_and_in_cpp() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("alone.c");
    // Twice: the guard works.
    let text = "#include \"coldshoe_ipa.h\"\n#include \"coldshoe_ipa.h\"\n";
    fs::write(&source, text).unwrap();
    for language in [C11, CPP17] {
        compile(language, &source, &["-c"], &dir.path().join("alone.o"));
    }
}

#[test]
fn the_examples_compile_without_a_warning_and_export_the_symbol() {
    let dir = tempfile::tempdir().unwrap();
    for (language, example) in [(C11, "grey_world.c"), (CPP17, "mean_meter.cpp")] {
        let source = crate_dir("examples").join(example);
        let module = dir.path().join(example).with_extension("so");
        compile(language, &source, &["-shared", "-fPIC"], &module);
        let bytes = fs::read(module).unwrap();
        let symbol = abi::ENTRY_SYMBOL.to_bytes_with_nul();
        assert!(bytes.windows(symbol.len()).any(|window| window == symbol));
    }
}

/// Drives the verbs of `grey_world.c` from the same translation unit.
const STATE_OF_THE_C_EXAMPLE: &str = r#"
#include "grey_world.c"
#include <assert.h>
#include <math.h>

static int lines;

static void note(void *context, uint32_t level, const char *message)
{
	(void)context;
	(void)level;
	(void)message;
	lines++;
}

static const struct coldshoe_ipa_host host = { sizeof(host), 0, NULL, note };

static struct grey_world *made(void)
{
	struct coldshoe_ipa_init init = { .struct_size = sizeof(init), .host = &host };
	struct coldshoe_ipa_sensor sensor = { .struct_size = sizeof(sensor) };
	void *instance;

	assert(module.create(&init, &instance) == 0);
	assert(module.configure(instance, &sensor) == 0);
	return instance;
}

int main(void)
{
	struct grey_world *first = made(), *second = made();
	uint8_t state[COLDSHOE_IPA_MAX_STATE];
	struct saved saved;
	int64_t size;

	first->red = 1.75;
	first->blue = 1.5;
	size = module.save_state(first, state, sizeof(state));
	assert(size == sizeof(saved));
	assert(module.save_state(first, state, (size_t)size - 1) == -ENOSPC);
	assert(module.restore_state(second, state, (size_t)size) == 0);
	assert(module.start(second) == 0);
	assert(second->red == 1.75 && second->blue == 1.5 && lines == 0);

	assert(module.restore_state(second, state, (size_t)size - 1) == -EINVAL);
	memcpy(&saved, state, sizeof(saved));
	saved.red = NAN;
	memcpy(state, &saved, sizeof(saved));
	assert(module.restore_state(second, state, (size_t)size) == -EINVAL);
	assert(second->red == 1.75 && lines == 2);
	module.destroy(first);
	module.destroy(second);
	return 0;
}
"#;

#[test]
fn the_example_in_c_goes_on_from_its_state_and_refuses_what_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (source, binary) = (dir.path().join("state.c"), dir.path().join("state"));
    fs::write(&source, STATE_OF_THE_C_EXAMPLE).unwrap();
    let examples = crate_dir("examples");
    compile(C11, &source, &["-I", examples.to_str().unwrap()], &binary);
    let done = Command::new(binary).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}
