//! `coldshoe.h` is what this crate says.

use std::fs;
use std::path::{Path, PathBuf};

use cbindgen::{Builder, Config};

/// In the order of the header.
const SOURCES: [&str; 14] = [
    "version", "status", "error", "buffer", "health", "session", "info", "sensor", "frame",
    "submit", "slot", "outcome", "wait", "counters",
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Run with `BLESS=1` it writes the header instead.
#[test]
fn the_committed_header_is_the_generated_one() {
    let config = Config::from_file(here("cbindgen.toml")).unwrap();
    let builder = Builder::new().with_config(config);
    let sources = SOURCES.map(|source| here("src").join(source).with_extension("rs"));
    let builder = sources.iter().fold(builder, Builder::with_src);
    let mut fresh = Vec::new();
    builder.generate().unwrap().write(&mut fresh);
    let fresh = String::from_utf8(fresh).unwrap();
    let header = here("include/coldshoe.h");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&header, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&header).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(fresh.lines())
        .find(|(old, new)| old != new);
    assert!(
        committed == fresh,
        "{} is not up to date ({differs:?}): run BLESS=1 cargo test -p coldshoe-capi --test header",
        header.display()
    );
}
