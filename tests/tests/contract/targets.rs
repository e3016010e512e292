//! The open module drives the ISPs of the built-in contracts: it is opened with their formats, and
//! what it answers passes in full.

use coldshoe::{Open, Outcome};
use coldshoe_isp::{Block, Blocks, mali_c55, rkisp1};
use coldshoe_tests::{Daemon, built};

use crate::{daemon, frame, streaming};

fn open_module(daemon: &Daemon, stats: &str, params: &str) -> Open {
    daemon.install("open", &built("libcoldshoe_ipa_open.so"));
    Open {
        stats_format: stats.into(),
        params_format: params.into(),
        stats_capacity: 16 << 10,
        params_capacity: 16 << 10,
        ..daemon.open("open")
    }
}

/// Runs frames with these statistics; returns the types of blocks in the last answer.
fn run(open: &Open, stats: &[u8]) -> Vec<u16> {
    let mut session = streaming(open);
    let mut kinds = Vec::new();
    for number in 1..=100 {
        let ticket = session.submit(&frame(number), stats).expect("a free slot");
        let outcome = session.wait(ticket);
        let Outcome::Fresh(answer) = &outcome else {
            panic!("frame {number}: {outcome:?}");
        };
        let blocks = Blocks::parse(answer.params).expect("a parameter buffer");
        kinds = blocks.iter().map(|block| block.kind).collect();
    }
    let counted = session.counters();
    assert_eq!(
        (counted.refused_blocks, counted.rejected),
        (0, 0),
        "{counted:?}"
    );
    session.close().expect("closed");
    kinds
}

#[test]
fn the_open_module_drives_rkisp1_without_a_refusal() {
    let daemon = daemon();
    let open = open_module(&daemon, rkisp1::STATS_FORMAT, rkisp1::FORMAT);
    let stats = rkisp1::Stats {
        frame_id: 1,
        awb: Some((100_000, [40, 60, 35])),
        exp_mean: Some([50; 81]),
        histogram: Some([3200; 32]),
    };
    let kinds = run(&open, &stats.encode());
    for kind in [
        rkisp1::Bls::KIND,
        rkisp1::AwbGain::KIND,
        rkisp1::Ctk::KIND,
        rkisp1::AwbMeas::KIND,
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    daemon.assert_at_rest();
}

#[test]
fn the_open_module_drives_mali_c55_without_a_refusal() {
    let daemon = daemon();
    daemon.tune(
        "open",
        "virtual",
        include_str!("../../../daemon/jailed/open/tuning/virtual.toml"),
    );
    let open = open_module(&daemon, mali_c55::STATS_FORMAT, mali_c55::FORMAT);
    let mut stats = mali_c55::Stats::EMPTY;
    stats.histogram = std::array::from_fn(|bin| u32::from(bin % 256 < 128) * 1000);
    stats.five_bins = [[0x8000, 0x4000, 0x2000, 0x1000, 0x0fff]; 225];
    stats.ratios = [(180, 150, 4000); 225];
    let kinds = run(&open, &stats.encode());
    for kind in [
        mali_c55::SensorOffset::KIND,
        mali_c55::AwbGains::KIND,
        mali_c55::Mesh::KIND,
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    daemon.assert_at_rest();
}

#[test]
fn statistics_of_another_isp_are_refused_with_the_pairs_that_there_are() {
    let daemon = daemon();
    let open = open_module(&daemon, mali_c55::STATS_FORMAT, rkisp1::FORMAT);
    let error = coldshoe::Session::open(&open)
        .expect_err("no such pair")
        .to_string();
    assert!(error.contains(mali_c55::STATS_FORMAT), "{error}");
}
