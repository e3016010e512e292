use std::fs;

use coldshoe_contract::Trace;
use serde_json::Value;

use super::*;

/// White balance gains of rkisp1, and what else is asked for.
fn rkisp1(red: u16, more: &[u8]) -> Vec<u8> {
    let mut data = vec![3, 0, 2, 0, 16, 0, 0, 0];
    data.extend([256, red, 300, 256].into_iter().flat_map(u16::to_le_bytes));
    data.extend(more);
    let mut bytes = vec![1, 0, 0, 0, data.len() as u8, 0, 0, 0];
    bytes.extend(data);
    bytes
}

/// A block of nobody's, 16 bytes.
const UNKNOWN: [u8; 16] = [40, 0, 2, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn contract(name: &str) -> Contract {
    Contract::builtin(name).unwrap()
}

fn json(what: &impl Words) -> Value {
    serde_json::to_value(what).unwrap()
}

fn checked(bytes: &[u8], mask: u64) -> check::Checked {
    check::Checked::new(&contract("rkisp1"), bytes, mask)
}

fn trace(buffers: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    buffers
        .iter()
        .for_each(|buffer| Trace::append(&mut bytes, buffer));
    bytes
}

#[test]
fn every_block_and_field_is_shown_and_fits_the_width() {
    for (name, _) in Contract::BUILTIN {
        let contract = contract(name);
        let text = show::Shown::new(&contract).in_words(140);
        let plain = anstream::adapter::strip_str(&text).to_string();
        for block in contract.blocks() {
            let title = format!("{} {}, {} bytes", block.kind(), block.name(), block.size());
            assert!(plain.lines().any(|line| line == title), "{title}");
            for field in block.fields() {
                let word = field.meaning.split(' ').next().unwrap();
                assert!(plain.contains(word), "{name} {} {word}", field.name);
            }
        }
        for width in [80, 100, 140] {
            let text = show::Shown::new(&contract).in_words(width);
            let plain = anstream::adapter::strip_str(&text).to_string();
            let widest = plain.lines().map(|line| line.chars().count()).max();
            assert!(
                widest <= Some(width.max(100).into()),
                "{name} {width}: {widest:?}"
            );
        }
    }
}

#[test]
fn json_of_a_contract_has_every_key_of_a_field() {
    let rkisp1 = contract("rkisp1");
    let shown = json(&show::Shown::new(&rkisp1));
    assert_eq!(
        (&shown["schema"], &shown["mode"]),
        (&1.into(), &"drop".into())
    );
    assert_eq!(shown["blocks"].as_array().unwrap().len(), 21);
    let gain = &shown["blocks"][3]["fields"][0];
    for key in [
        "name", "offset", "type", "len", "bits", "mask", "min", "max", "values",
    ] {
        assert!(gain.get(key).is_some(), "{key}");
    }
    assert_eq!((&gain["type"], &gain["offset"]), (&"u16".into(), &0.into()));
    assert_eq!(shown["blocks"][11]["fields"][0]["values"][0]["value"], 1);
}

#[test]
fn a_good_buffer_is_accepted_block_by_block() {
    let checked = checked(&rkisp1(256, &[5, 0, 1, 0, 8, 0, 0, 0]), u64::MAX);
    assert!(checked.good());
    let text = checked.in_words(100);
    assert!(
        text.contains("3 AWB_GAIN") && text.contains("5 BDM"),
        "{text}"
    );
    assert!(text.ends_with("All 2 blocks are accepted."), "{text}");
    assert_eq!(json(&checked)["verdict"], "accepted");
}

#[test]
fn a_block_that_is_refused_says_why_and_where() {
    let checked = checked(&rkisp1(0x8000, &UNKNOWN), u64::MAX);
    assert!(!checked.good());
    let told = json(&checked);
    assert_eq!(told["verdict"], "dropped");
    assert_eq!(told["blocks"][0]["reason"], "reserved");
    assert_eq!(told["blocks"][1]["reason"], "unknown");
    assert_eq!(told["blocks"][1]["offset"], 24);
    let text = checked.in_words(100);
    assert!(text.contains("byte 3 of its body"), "{text}");
    assert!(text.contains("rkisp1 does not have it"), "{text}");
}

#[test]
fn hardware_without_a_block_refuses_it() {
    let bytes = rkisp1(256, &[]);
    assert!(checked(&bytes, 1 << 3).good());
    let told = json(&checked(&bytes, !(1 << 3)));
    assert_eq!(told["blocks"][0]["reason"], "unsupported");
    assert_eq!((mask("0x1f"), mask("31")), (Ok(31), Ok(31)));
    assert!(mask("0xg").unwrap_err().contains("0x1f"));
}

#[test]
fn a_buffer_that_cannot_be_taken_apart_is_refused_whole() {
    let mut cut = rkisp1(256, &[]);
    cut.pop();
    let mut later = rkisp1(256, &[]);
    later[0] = 2;
    for bytes in [cut, later, vec![0; 5000], Vec::new()] {
        let checked = checked(&bytes, u64::MAX);
        let told = json(&checked);
        assert_eq!(
            (&told["verdict"], checked.good()),
            (&"refused".into(), false)
        );
        assert_eq!(told["blocks"].as_array().unwrap().len(), 0);
        assert!(checked.in_words(100).contains("The buffer is refused: "));
    }
}

#[test]
fn more_unknown_blocks_than_a_report_names_are_all_told() {
    let many: Vec<u8> = (0..30)
        .flat_map(|kind| [100 + kind, 0, 0, 0, 8, 0, 0, 0])
        .collect();
    let bytes = [&[1, 0, 0, 0, 240, 0, 0, 0][..], &many].concat();
    let told = json(&checked(&bytes, u64::MAX));
    let blocks = told["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 30);
    assert!(blocks.iter().all(|block| block["reason"] == "unknown"));
}

#[test]
fn an_audit_tells_what_was_used_with_which_values() {
    let bytes = trace(&[rkisp1(256, &[]), rkisp1(400, &UNKNOWN), rkisp1(300, &[])]);
    let buffers = audit::buffers(Path::new("t"), &bytes).unwrap();
    let contract = audit::likely(Path::new("t"), &buffers).unwrap();
    assert_eq!(contract.format(), "rkisp1");
    let audited = audit::Audited::new(&contract, &buffers, u64::MAX);
    assert!(!audited.good());
    let told = json(&audited);
    assert_eq!((&told["schema"], &told["buffers"]), (&1.into(), &3.into()));
    let gains = &told["blocks"][0];
    assert_eq!(
        (&gains["name"], &gains["configured"]),
        (&"AWB_GAIN".into(), &3.into())
    );
    assert_eq!(
        (&gains["fields"][1]["least"], &gains["fields"][1]["most"]),
        (&256.into(), &400.into())
    );
    assert_eq!(
        (&told["unknown"][0]["type"], &told["unknown"][0]["largest"]),
        (&40.into(), &16.into())
    );
    let text = audited.in_words(100);
    assert!(text.contains("256..=400"), "{text}");
    assert!(
        text.contains("type 40: 1 times, 16 bytes at most"),
        "{text}"
    );
    assert!(text.contains("Never used: BLS, DPCC"), "{text}");
    let good = audit::Audited::new(&contract, &buffers[..1], u64::MAX);
    assert!(good.good());
}

#[test]
fn what_is_no_trace_is_told_in_three_lines() {
    let path = Path::new("t");
    let no_format = audit::likely(path, &[&[0; 8]]).map(|_| ()).unwrap_err();
    for (error, code) in [
        (audit::buffers(path, b"#!/bin/sh\n").unwrap_err(), 2),
        (audit::buffers(path, &[]).unwrap_err(), 2),
        (no_format, 2),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("\n  why: ") && text.contains("\n  try: "),
            "{text}"
        );
        assert_eq!(error.exit_code(), code);
    }
}

#[test]
fn the_verb_ends_with_0_for_what_is_accepted_and_1_for_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump");
    let verb = |file: &Path| {
        Verb::Check(Check {
            format: "rkisp1".into(),
            file: file.to_owned(),
            capabilities: None,
            json: true,
        })
    };
    for (bytes, code) in [
        (rkisp1(256, &[]), ExitCode::SUCCESS),
        (rkisp1(256, &UNKNOWN), ExitCode::FAILURE),
    ] {
        fs::write(&path, bytes).unwrap();
        let ended = run(&verb(&path)).unwrap();
        assert_eq!(format!("{ended:?}"), format!("{code:?}"));
    }
    let missing = run(&verb(&dir.path().join("none"))).unwrap_err();
    assert_eq!(missing.exit_code(), 3);
    let directory = run(&verb(dir.path())).unwrap_err();
    assert!(directory.to_string().contains("not a regular file"));
}
