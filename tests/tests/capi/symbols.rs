//! What the library shows to the linker.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::installed::{C99, Link, compile, prefix, source, succeeded};

/// The functions that the header declares.
fn declared(header: &str) -> BTreeSet<&str> {
    let code = header.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.starts_with('*')
    });
    let heads = code.filter_map(|line| Some(line.split_once('(')?.0));
    let names = heads.filter_map(|head| head.rsplit([' ', '*']).next());
    names.filter(|name| name.starts_with("coldshoe_")).collect()
}

#[test]
fn the_shared_library_exports_the_functions_of_its_header_and_nothing_else() {
    let header = fs::read_to_string(prefix().join("include/coldshoe.h")).expect("installed");
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(prefix().join("lib/libcoldshoe.so"))
        .output()
        .expect("nm");
    let symbols = succeeded(&output, "nm");
    let exported = symbols.lines().filter_map(|line| line.split(' ').next());
    let declared = declared(&header);
    assert!(declared.len() > 20, "{declared:?}");
    assert_eq!(exported.collect::<BTreeSet<_>>(), declared);
}

#[test]
fn programs_ask_for_the_library_by_its_soname() {
    let example = source("client/capi/examples/pipeline.c");
    let program = compile(C99, Link::Shared, &example, "soname");
    let output = Command::new("readelf").arg("-d").arg(program).output();
    let dynamic = succeeded(&output.expect("readelf"), "readelf");
    let needed = |line: &&str| line.contains("NEEDED") && line.contains("[libcoldshoe.so.0]");
    assert_eq!(dynamic.lines().filter(needed).count(), 1, "{dynamic}");
    let lib = prefix().join("lib");
    let version = concat!("libcoldshoe.so.", env!("CARGO_PKG_VERSION"));
    let links = fs::canonicalize(lib.join("libcoldshoe.so.0")).expect("a link");
    assert_eq!(links, fs::canonicalize(lib.join(version)).expect("a file"));
}
