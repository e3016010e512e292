//! Whatever reads a peer's bytes, as functions of bytes: each returns, whatever they are, or
//! panics where a promise is broken.
//!
//! `tests/replay.rs` runs each over its committed corpus and over mutations of it, as an ordinary
//! test. `libfuzzer/` is a crate of its own with one program a function, for cargo-fuzz:
//! `make fuzz SECONDS=60`. `examples/seeds.rs` writes the corpus. What a fuzzer finds is mended, and
//! its input becomes a seed whose name says what it was.
#![forbid(unsafe_code)]

mod blocks;
mod client;
mod contract;
mod control;
mod daemon;
mod files;
mod input;
mod libcamera;
mod replies;
mod segment;
mod tuning;
mod wire;

/// One thing to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of its program and of its corpus.
    pub name: &'static str,
    /// Most bytes that make sense to it.
    pub most: usize,
    /// Drives it with these bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    target("blocks", 8 << 10, blocks::run),
    target("client", 8 << 10, client::run),
    target("contract", 16 << 10, contract::run),
    target("control", 8 << 10, control::run),
    target("daemon", 8 << 10, daemon::run),
    target("elf", 32 << 10, files::module),
    target("libcamera", 32 << 10, libcamera::run),
    target("module_table", 4 << 10, coldshoe_worker::fuzz::module_table),
    target("profile", 16 << 10, files::profile),
    target("replies", 8 << 10, replies::run),
    target("statistics", 16 << 10, blocks::statistics),
    target("trust_file", 8 << 10, files::trust_file),
    target("tuning", 16 << 10, tuning::run),
];

const fn target(name: &'static str, most: usize, run: fn(&[u8])) -> Target {
    Target { name, most, run }
}

/// The target of that name.
///
/// # Panics
/// If there is none.
pub fn named(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target {name}"))
}
