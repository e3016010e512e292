//! The gates with a seed each: a little of what `make gates` measures.

use std::path::PathBuf;

#[test]
fn every_gate_is_met_with_one_seed() {
    let data = std::env::var_os("COLDSHOE_DATA").map(PathBuf::from);
    let report = coldshoe_gates::measure(1, data.as_deref()).unwrap();
    report.notes.iter().for_each(|note| eprintln!("{note}"));
    let missed: Vec<_> = report.gates.iter().filter(|gate| !gate.met()).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(report.gates.len() >= 14, "{}", report.gates.len());
    let page = report.page();
    assert!(page.contains("<svg") && !page.contains("NaN"), "{page}");
}
