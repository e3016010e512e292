//! Every contestant brings its frames there and back, peers in their own processes. No timing.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn bench(options: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_coldshoe-bench"))
        .args(options)
        .output()
        .expect("the bench starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output.stdout
}

#[test]
fn a_quick_run_has_figures_of_everybody_and_keeps_the_hot_path_bare() {
    let list = String::from_utf8(bench(&["--list"])).unwrap();
    let listed: BTreeSet<_> = list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(listed.contains("frame-jailed-4k"), "{list}");

    let report: Value = serde_json::from_slice(&bench(&["--quick", "--json"])).unwrap();
    let scenarios = report["scenarios"].as_array().unwrap();
    let entries = scenarios
        .iter()
        .flat_map(|s| s["entries"].as_array().unwrap());
    let judged = report["contracts"].as_array().unwrap();
    let measured: BTreeSet<_> = entries
        .filter(|entry| !entry["rounds"].as_array().unwrap().is_empty())
        .chain(judged)
        .chain(report["modules"].as_array().unwrap())
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(measured, listed);

    for contract in judged {
        assert_eq!(contract["allocations"], 0.0, "{contract}");
        assert!(
            contract["share_of_round_trip"].as_f64().is_some(),
            "{contract}"
        );
    }
    for module in report["modules"].as_array().unwrap() {
        assert_eq!(module["allocations"], 0.0, "{module}");
    }
    for path in report["hot_paths"].as_array().unwrap() {
        assert_eq!(path["allocations"], 0.0, "{path}");
        // Without strace nobody counts.
        let Some(calls) = path["system_calls"].as_f64() else {
            continue;
        };
        let sleeps = path["by_name"]["futex"].as_f64().unwrap_or(0.0);
        let most = if path["name"] == "frame-awake-4k" {
            0.0
        } else {
            2.0
        };
        assert!(sleeps <= most, "{path}");
        // A worker that is woken without a frame looks at its socket: on a busy machine, now and then.
        assert!(calls - sleeps < 0.1, "{path}");
    }
}

#[test]
fn a_name_that_nobody_has_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_coldshoe-bench"))
        .args(["--quick", "--only", "nobody"])
        .output()
        .expect("the bench starts");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--list"), "{errors}");
}
