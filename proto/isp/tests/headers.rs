//! Statistics against the kernel's headers of this machine, as its C compiler understands them. What
//! those headers do not have is named and skipped.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Stdio};

use coldshoe_isp::{mali_c55, rkisp1};

/// The numbers that C says of some expressions; `None` where it has no such header.
fn measured(header: &str, expressions: &[&str]) -> Option<Vec<usize>> {
    let lines: String = expressions
        .iter()
        .map(|expression| format!("printf(\"%zu\\n\", (size_t)({expression}));\n"))
        .collect();
    let source = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include <{header}>\nint main(void) {{\n{lines}return 0;\n}}\n"
    );
    let probe = format!("#include <{header}>\nint main(void) {{ return 0; }}\n");
    let name = header.replace('/', "-");
    if compile(&probe, &format!("probe-{name}")).is_none() {
        eprintln!("SKIPPED: this machine has no <{header}>");
        return None;
    }
    let program = compile(&source, &name).expect("the header has what the format has");
    let output = Command::new(program).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    Some(
        text.lines()
            .map(|line| line.parse().expect("a number"))
            .collect(),
    )
}

fn compile(source: &str, name: &str) -> Option<std::path::PathBuf> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = out.with_extension("c");
    std::fs::write(&file, source).expect("written");
    let mut command = Command::new("cc");
    command
        .args(["-Werror=implicit", "-o"])
        .arg(&out)
        .arg(&file);
    let status = command
        .stderr(Stdio::null())
        .status()
        .expect("cc is installed");
    status.success().then_some(out)
}

#[test]
fn statistics_of_rkisp1_lie_as_in_the_header() {
    let buffer = "struct rkisp1_stat_buffer";
    let offset = |member: &str| format!("offsetof({buffer}, {member})");
    let expressions = [
        format!("sizeof({buffer})"),
        offset("frame_id"),
        offset("params.awb.awb_mean[0].cnt"),
        offset("params.awb.awb_mean[0].mean_y_or_g"),
        offset("params.awb.awb_mean[0].mean_cb_or_b"),
        offset("params.awb.awb_mean[0].mean_cr_or_r"),
        offset("params.ae.exp_mean"),
        offset("params.hist.hist_bins"),
        "RKISP1_CIF_ISP_STAT_AWB".into(),
        "RKISP1_CIF_ISP_STAT_AUTOEXP".into(),
        "RKISP1_CIF_ISP_STAT_HIST".into(),
    ];
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    if let Some(found) = measured("linux/rkisp1-config.h", &expressions) {
        let size = rkisp1::Stats::SIZE;
        assert_eq!(found, [size, 4, 8, 12, 13, 14, 16, 132, 1, 2, 8]);
    }
}

#[test]
fn statistics_of_mali_c55_lie_as_in_the_header() {
    let buffer = "struct mali_c55_stats_buffer";
    let offset = |member: &str| format!("offsetof({buffer}, {member})");
    let expressions = [
        format!("sizeof({buffer})"),
        offset("ae_5bin_hists"),
        offset("awb_ratios"),
        offset("af_statistics"),
        "sizeof(struct mali_c55_awb_average_ratios)".into(),
    ];
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    if let Some(found) = measured("linux/media/arm/mali-c55-config.h", &expressions) {
        assert_eq!(found, [mali_c55::Stats::SIZE, 4096, 5952, 7808, 8]);
    }
}
