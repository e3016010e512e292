//! Each target over its committed corpus, and over a bounded number of mutations of it.
#![forbid(unsafe_code)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use coldshoe_fuzz::{TARGETS, Target, named};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// Mutations of one seed.
const CASES: u32 = 512;

/// Panics on any thread: those of a daemon's tasks are caught and told to nobody.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut seeds: Vec<_> = dir
        .read_dir()
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("a file"))
        })
        .collect();
    seeds.sort();
    seeds
}

/// A change of a script.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Bytes of one place again at another.
    Repeat(Index, Index, usize),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    use Change::{Cut, Flip, Insert, Remove, Repeat, Set};
    let at = || any::<Index>();
    prop_oneof![
        4 => (at(), prop_oneof![Just(0), Just(1), Just(0x7f), Just(0xff), any::<u8>()])
            .prop_map(|(at, byte)| Set(at, byte)),
        4 => (at(), 0_u8..8).prop_map(|(at, bit)| Flip(at, bit)),
        2 => (at(), vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Insert(at, bytes)),
        2 => (at(), 1_usize..16).prop_map(|(at, len)| Remove(at, len)),
        2 => (at(), at(), 1_usize..64).prop_map(|(from, to, len)| Repeat(from, to, len)),
        1 => at().prop_map(Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let (len, end) = (bytes.len(), bytes.len() + 1);
    match change {
        _ if len == 0 => {}
        Change::Set(at, byte) => bytes[at.index(len)] = *byte,
        Change::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Change::Insert(at, new) => {
            let at = at.index(end);
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Remove(at, number) => {
            let at = at.index(len);
            bytes.drain(at..len.min(at + number));
        }
        Change::Repeat(from, to, number) => {
            let from = from.index(len);
            let copy = bytes[from..len.min(from + number)].to_vec();
            let to = to.index(end);
            bytes.splice(to..to, copy);
        }
        Change::Cut(at) => bytes.truncate(at.index(len)),
    }
}

fn replay(target: Target) {
    let seeds = corpus(target.name);
    assert!(!seeds.is_empty(), "no seeds for {}", target.name);
    // Fixed: a test that fails now and then helps nobody; fuzzers look further.
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, fixed());
    for (name, seed) in seeds {
        let ended = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&seed)));
        assert!(ended.is_ok(), "{}: the seed {name} fails", target.name);
        let mutated = runner.run(&vec(change(), 1..8), |changes| {
            let mut bytes = seed.clone();
            changes.iter().for_each(|change| apply(&mut bytes, change));
            bytes.truncate(target.most);
            (target.run)(&bytes);
            Ok(())
        });
        mutated.unwrap_or_else(|error| panic!("{}: {name}, mutated: {error}", target.name));
    }
}

fn fixed() -> proptest::test_runner::TestRng {
    use proptest::test_runner::{RngAlgorithm, TestRng};
    TestRng::deterministic_rng(RngAlgorithm::ChaCha)
}

#[test]
fn no_bytes_break_a_promise() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tell(info);
    }));
    for target in TARGETS {
        replay(target);
        let panics = PANICS.load(Ordering::Relaxed);
        assert_eq!(panics, 0, "{}: a thread panicked", target.name);
    }
}

#[test]
fn every_corpus_belongs_to_a_target_and_every_program_drives_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |dir: &str| -> Vec<String> {
        let entries = root.join(dir).read_dir().expect(dir);
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("libfuzzer/fuzz_targets"), targets);
    for name in targets {
        assert_eq!(named(name).name, name);
        let path = root.join(format!("libfuzzer/fuzz_targets/{name}.rs"));
        let source = fs::read_to_string(path).expect("a program");
        assert!(source.contains(&format!("{name:?}")), "{source}");
    }
}
