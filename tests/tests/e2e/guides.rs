//! What the guide for authors of modules shows is a module.

use std::fs;

use coldshoe_isp::soft::Update;
use coldshoe_tests::{Daemon, PATIENCE, frame, running, soft};

const GUIDE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../daemon/jailed/ipa/README.md"
);

/// The first block of a page that is of this language.
fn block(page: &str, language: &str) -> String {
    let begin = format!("```{language}\n");
    let (_, rest) = page.split_once(&begin).expect("a block");
    let (code, _) = rest.split_once("\n```").expect("its end");
    format!("{code}\n")
}

#[test]
fn the_module_of_the_guide_answers_as_it_says() {
    let page = fs::read_to_string(GUIDE).expect("the guide");
    let daemon = Daemon::new();
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("fixed.c");
    fs::write(&source, block(&page, "c")).expect("written");
    let strict = ["-Wextra", "-std=c11"].map(str::to_owned);
    daemon.compile("cc", "fixed", &source, &strict);
    let mut session = running(&daemon, "fixed");
    assert_eq!(session.module().license, "Apache-2.0 OR MIT");
    let ticket = session.submit(&frame(1, PATIENCE), &[7; 64]);
    let outcome = session.wait(ticket.expect("a slot"));
    let answer = outcome.answer().expect("an answer");
    let Update::Set(gains) = soft(answer.params).wb_gains else {
        panic!("no gains: {outcome:?}");
    };
    assert_eq!(gains.gains()[1..3], [1.0, 1.0]);
    assert!(gains.gains()[0] > 1.9);
    assert!(answer.wanted.exposure_us.is_some(), "{outcome:?}");
}
