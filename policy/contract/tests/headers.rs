//! Contracts against the kernel's headers of this machine, as its C compiler understands them.
//! What those headers do not have is named and skipped.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use coldshoe_contract::{Block, Contract};

/// Whether the compiler takes a program.
fn compiles(source: &str, out: &Path) -> bool {
    let file = out.with_extension("c");
    std::fs::write(&file, source).expect("written");
    let status = Command::new("cc")
        .args(["-Werror=implicit", "-o"])
        .arg(out)
        .arg(&file)
        .stderr(Stdio::null())
        .status()
        .expect("cc is installed");
    status.success()
}

fn program(header: &str, body: &str) -> String {
    format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include <{header}>\nint main(void) {{\n{body}return 0;\n}}\n"
    )
}

/// What C says of structures and members, by the name of block and field.
fn measured(
    header: &str,
    blocks: &[(&Block, &str)],
    dir: &Path,
) -> BTreeMap<String, (usize, usize)> {
    let mut body = String::new();
    for (block, structure) in blocks {
        let (name, whole) = (block.name(), format!("sizeof(struct {structure})"));
        writeln!(body, "printf(\"{name} %zu 0\\n\", {whole});").expect("text");
        for field in block.fields() {
            let (member, label) = (field.c_member(), &field.name);
            writeln!(
                body,
                "printf(\"{name}/{label} %zu %zu\\n\", offsetof(struct {structure}, {member}), sizeof(((struct {structure} *)0)->{member}));"
            )
            .expect("text");
        }
    }
    let out = dir.join("measure");
    assert!(
        compiles(&program(header, &body), &out),
        "a member that a contract names is none of its structure: cc {}",
        out.with_extension("c").display()
    );
    let output = Command::new(&out).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let row = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").to_owned();
        let mut number = || {
            words
                .next()
                .and_then(|word| word.parse().ok())
                .expect("a number")
        };
        (name, (number(), number()))
    };
    text.lines().map(row).collect()
}

#[test]
fn sizes_and_offsets_are_those_of_the_kernels_headers() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, _) in Contract::BUILTIN {
        let contract = Contract::builtin(name).expect(name);
        let Some(source) = contract.source() else {
            continue;
        };
        let header = &source.header;
        if !compiles(&program(header, ""), &dir.path().join("probe")) {
            eprintln!("SKIPPED: {name}, all of it: this machine has no <{header}>");
            continue;
        }
        let has = |structure: &str| {
            let body = format!("(void)sizeof(struct {structure});\n");
            compiles(&program(header, &body), &dir.path().join("probe"))
        };
        let mut blocks = Vec::new();
        for block in contract.blocks() {
            let structure = block.structure().expect("documented blocks have one");
            if has(structure) {
                blocks.push((block, structure));
            } else {
                eprintln!(
                    "SKIPPED: {name} {}: <{header}> of this machine has no struct {structure}",
                    block.name()
                );
            }
        }
        assert!(
            !blocks.is_empty(),
            "<{header}> has none of the structures of {name}"
        );
        let measured = measured(header, &blocks, dir.path());
        for (block, _) in &blocks {
            let (size, _) = measured[block.name()];
            // A block is the structure behind a header, padded to 8.
            let whole = (size + 8 - source.before_body).next_multiple_of(8);
            assert_eq!(whole, block.size(), "{name} {}", block.name());
            for field in block.fields() {
                let label = format!("{}/{}", block.name(), field.name);
                let (offset, size) = measured[&label];
                assert_eq!(offset - source.before_body, field.offset, "{name} {label}");
                assert_eq!(size, field.len * field.number.width(), "{name} {label}");
            }
        }
        println!(
            "{name}: {} of {} blocks compared",
            blocks.len(),
            contract.blocks().len()
        );
    }
}

#[test]
fn what_c_says_of_black_level_is_what_the_structure_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let contract = Contract::builtin("rkisp1").expect("built in");
    let header = "linux/rkisp1-config.h";
    if !compiles(&program(header, ""), &dir.path().join("probe")) {
        eprintln!("SKIPPED: this machine has no <{header}>");
        return;
    }
    let bls = contract.block(0).expect("black level");
    let measured = measured(header, &[(bls, "rkisp1_cif_isp_bls_config")], dir.path());
    assert_eq!(measured["BLS/fixed_val.r"], (20, 2));
    assert_eq!(measured["BLS"], (28, 0));
}
