//! `coldshoe.h` is the same in every C and C++ that its users compile with.

use std::fmt::Write as _;
use std::fs;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use coldshoe_capi::*;

const DIALECTS: [[&str; 3]; 5] = [
    ["cc", "-xc", "-std=c99"],
    ["cc", "-xc", "-std=c11"],
    ["cc", "-xc", "-std=c17"],
    ["c++", "-xc++", "-std=c++11"],
    ["c++", "-xc++", "-std=c++17"],
];

/// Compiles a source that uses the header, without a warning.
fn compile([compiler, language, standard]: [&str; 3], source: &str, flags: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("source");
    fs::write(&file, source).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", standard])
        .args(flags)
        .arg("-I")
        .arg(include)
        .args(["-o", "/dev/null", language])
        .arg(file)
        .output()
        .unwrap_or_else(|error| {
            panic!("{compiler}: {error}; the tests need a C and a C++ compiler")
        });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {standard}:\n{said}");
}

#[test]
fn it_stands_alone_and_can_be_there_twice() {
    for dialect in DIALECTS {
        compile(
            dialect,
            "#include \"coldshoe.h\"\n#include \"coldshoe.h\"\n",
            &[],
        );
    }
}

#[test]
fn no_structure_has_padding_that_a_caller_could_leave_unset() {
    compile(DIALECTS[0], "#include \"coldshoe.h\"\n", &["-Wpadded"]);
}

/// Sizes and offsets as a source that does not compile if they are others. The pattern names every
/// field: one that is added does not compile without being added here.
macro_rules! laid_out {
    ($source:ident, $type:ident { $($field:ident),* $(,)? }) => {
        let _every_field = |$type { $($field: _),* }: $type| {};
        let name = stringify!($type);
        let _ = writeln!($source, "_Static_assert(sizeof(struct {name}) == {}, \"\");", size_of::<$type>());
        $(
            let field = stringify!($field);
            let offset = offset_of!($type, $field);
            let _ = writeln!($source, "_Static_assert(offsetof(struct {name}, {field}) == {offset}, \"{name}\");");
        )*
    };
}

#[test]
fn structures_are_laid_out_as_the_library_reads_them() {
    let mut source = "#include \"coldshoe.h\"\n".to_owned();
    laid_out!(
        source,
        coldshoe_open {
            struct_size,
            socket,
            module,
            camera,
            stats_format,
            params_format,
            slots,
            stats_capacity,
            params_capacity,
            buffer_count,
            isp_capabilities,
            buffers,
            standby,
            reserved,
            contract,
        }
    );
    laid_out!(
        source,
        coldshoe_info {
            struct_size,
            id,
            worker_pid,
            worker_pidfd,
            predictive,
            slots,
            stats_capacity,
            params_capacity,
            module_name,
            module_version,
            module_license,
            module_path,
            profile,
            confinement,
        }
    );
    laid_out!(
        source,
        coldshoe_sensor {
            struct_size,
            model,
            width,
            height,
            bayer_order,
            bit_depth,
            exposure_delay,
            gain_delay,
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
            exposure_margin_lines,
            reserved,
        }
    );
    laid_out!(
        source,
        coldshoe_applied {
            set,
            reserved,
            exposure_us,
            analogue_gain,
            digital_gain,
            black_level,
            lens_position,
        }
    );
    laid_out!(
        source,
        coldshoe_controls {
            set,
            reserved,
            ae_enable,
            awb_enable,
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
    );
    laid_out!(
        source,
        coldshoe_frame {
            struct_size,
            number,
            sensor_timestamp_ns,
            deadline_ns,
            applied,
            controls,
        }
    );
    laid_out!(
        source,
        coldshoe_slot {
            struct_size,
            address,
            capacity
        }
    );
    laid_out!(
        source,
        coldshoe_wanted {
            set,
            reserved,
            exposure_us,
            analogue_gain,
            digital_gain,
            lens_position,
            frame_duration_us,
        }
    );
    laid_out!(
        source,
        coldshoe_metadata {
            set,
            ae_state,
            awb_state,
            af_state,
            luminance,
            colour_temperature,
            colour_gain_red,
            colour_gain_blue,
            lux,
        }
    );
    laid_out!(
        source,
        coldshoe_outcome {
            struct_size,
            kind,
            reason,
            has_answer,
            reserved,
            frame,
            params,
            params_size,
            wanted,
            metadata,
        }
    );
    laid_out!(
        source,
        coldshoe_counters {
            struct_size,
            fresh,
            missed,
            late,
            skipped,
            spurious_wakes,
            module_errors,
            rejected,
            refused_requests,
            faults,
            replaced,
            refused_blocks,
            clamped_requests,
        }
    );
    compile(DIALECTS[1], &source, &[]);
    let other = source.replacen("== ", "== 1", 1);
    assert!(std::panic::catch_unwind(|| compile(DIALECTS[1], &other, &[])).is_err());
}
