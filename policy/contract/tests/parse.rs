//! Contracts that are refused, by the name of what is wrong.
#![forbid(unsafe_code)]

use coldshoe_contract::{Contract, ContractError, Mode};

const HEAD: &str = r#"
format = "toy"
version = 1
description = "a toy"
mode = "fail"
[quarantine]
violations = 1
forgiven_after = 1
[actuators]
exposure_factor = 2.0
analogue_gain_factor = 2.0
digital_gain_factor = 2.0
frame_duration_factor = 2.0
lens_dioptres = 1.0
"#;

fn block(kind: u16, name: &str, size: usize, fields: &str) -> String {
    format!(
        "[[block]]\ntype = {kind}\nname = \"{name}\"\nsize = {size}\nmeaning = \"m\"\nfield = [{fields}]\n"
    )
}

fn refusal(text: &str) -> String {
    match Contract::parse("toy.toml", text) {
        Ok(_) => panic!("it is taken: {text}"),
        Err(error) => error.to_string(),
    }
}

/// A contract of one block of 24 bytes.
fn with(fields: &str) -> String {
    format!("{HEAD}{}", block(0, "A", 24, fields))
}

#[test]
fn every_contract_that_is_built_in_is_taken_and_named_as_it_says() {
    for (name, _) in Contract::BUILTIN {
        assert_eq!(Contract::builtin(name).expect(name).format(), name);
    }
    let error = Contract::builtin("ipu3")
        .expect_err("not built in")
        .to_string();
    assert!(error.contains("rkisp1, mali-c55, coldshoe-soft"), "{error}");
}

#[test]
fn the_toy_is_taken() {
    let field = r#"{ name = "x", offset = 0, type = "u8", meaning = "m" }"#;
    let toy = Contract::parse("toy.toml", &with(field)).expect("a contract");
    assert_eq!((toy.mode(), toy.max_payload()), (Mode::Fail, 32));
}

#[test]
fn a_field_that_cannot_be_is_refused_by_file_block_and_field() {
    for (keys, says) in [
        (
            r#"offset = 13, type = "u32""#,
            "ends at byte 17 of a body of 16",
        ),
        (r#"offset = 0, type = "u8", len = 17"#, "ends at byte 17"),
        (r#"offset = 0, type = "u8", len = 0"#, "ends at byte"),
        (
            r#"offset = 9223372036854775807, type = "u8", len = 4"#,
            "ends at byte",
        ),
        (
            r#"offset = 0, type = "u32", len = 4611686018427387904"#,
            "ends at byte",
        ),
        (r#"offset = 2, type = "u32""#, "aligned"),
        (r#"offset = 0, type = "u8", bits = [3, 8]"#, "does not fit"),
        (r#"offset = 0, type = "u8", bits = [3, 2]"#, "does not fit"),
        (r#"offset = 0, type = "s8", bits = [0, 2]"#, "does not fit"),
        (r#"offset = 0, type = "u8", mask = 256"#, "does not fit"),
        (r#"offset = 0, type = "u8", mask = 0"#, "does not fit"),
        (
            r#"offset = 0, type = "u8", mask = 1, bits = [0, 0]"#,
            "does not fit",
        ),
        (
            r#"offset = 0, type = "u8", min = 3, max = 2"#,
            "range is empty",
        ),
        (r#"offset = 0, type = "u8", max = 256"#, "beyond the type"),
        (r#"offset = 0, type = "s8", min = -129"#, "beyond the type"),
        (
            r#"offset = 0, type = "u8", bits = [0, 2], max = 8"#,
            "beyond the type",
        ),
        (r#"offset = 0, type = "u8", values = {}"#, "`values`"),
        (
            r#"offset = 0, type = "u8", values = { A = 1, B = 1 }"#,
            "`values`",
        ),
        (
            r#"offset = 0, type = "u8", values = { A = 64 }"#,
            "`values`",
        ),
        (
            r#"offset = 0, type = "s8", values = { A = -1 }"#,
            "`values`",
        ),
        (
            r#"offset = 0, type = "u8", values = { A = 1 }, max = 2"#,
            "`values`",
        ),
        (
            r#"offset = 0, type = "u8", rises = true, len = 2"#,
            "`rises`",
        ),
        (r#"offset = 0, type = "u16", rises = true"#, "`rises`"),
        (r#"offset = 0, type = "u8", unit = """#, "`unit`"),
    ] {
        let error = refusal(&with(&format!(
            "{{ name = \"x\", {keys}, meaning = \"m\" }}"
        )));
        assert!(
            error.starts_with("contract toy.toml, block A, field x: "),
            "{error}"
        );
        assert!(error.contains(says), "{keys}: {error}");
    }
}

#[test]
fn fields_that_share_a_bit_are_refused_and_parts_of_one_number_are_not() {
    let field = |name, keys| format!("{{ name = \"{name}\", {keys}, meaning = \"m\" }}");
    let one = field("x", r#"offset = 0, type = "u32", bits = [0, 7]"#);
    for (keys, meets) in [
        (r#"offset = 0, type = "u32", bits = [8, 15]"#, false),
        (r#"offset = 0, type = "u32", bits = [7, 15]"#, true),
        (r#"offset = 0, type = "u8""#, true),
        (r#"offset = 1, type = "u8""#, false),
        (r#"offset = 0, type = "u16", len = 3"#, true),
    ] {
        let text = with(&format!("{one}, {}", field("y", keys)));
        let error = Contract::parse("toy.toml", &text).err();
        let says = error.map_or_else(String::new, |error| error.to_string());
        assert_eq!(
            says.contains("field y: shares bits with x"),
            meets,
            "{keys}: {says}"
        );
        assert_eq!(says.is_empty(), !meets, "{keys}: {says}");
    }
    let twice = with(&format!(
        "{one}, {}",
        field("x", r#"offset = 8, type = "u8""#)
    ));
    assert!(refusal(&twice).contains("name x is used before"));
}

#[test]
fn a_block_that_cannot_be_is_refused_by_file_and_name() {
    let field = r#"{ name = "x", offset = 0, type = "u8", meaning = "m" }"#;
    let many: String = (0..1025)
        .map(|n| format!("{{ name = \"x{n}\", offset = {n}, type = \"u8\", meaning = \"m\" }},"))
        .collect();
    for (text, says) in [
        (block(64, "B", 16, field), "type 64"),
        (block(1, "B", 20, field), "size 20"),
        (block(1, "B", 8, field), "size 8"),
        (block(1, "B", 1 << 20, field), "size 1048576"),
        (block(1, "B", 16, ""), "has 0 fields"),
        (block(1, "B", 2048, &many), "has 1025 fields"),
    ] {
        let error = refusal(&format!("{HEAD}{text}"));
        assert!(error.starts_with("contract toy.toml, block B: "), "{error}");
        assert!(error.contains(says), "{error}");
    }
    let a = block(0, "A", 16, field);
    let same_type = refusal(&format!("{HEAD}{a}{}", block(0, "B", 16, field)));
    assert!(
        same_type.contains("block B: type 0 is used before"),
        "{same_type}"
    );
    let same_name = refusal(&format!("{HEAD}{a}{}", block(1, "A", 16, field)));
    assert!(
        same_name.contains("block A: name A is used before"),
        "{same_name}"
    );
}

#[test]
fn a_head_that_cannot_be_is_refused_by_its_key() {
    let field = r#"{ name = "x", offset = 0, type = "u8", meaning = "m" }"#;
    let good = with(field);
    for (from, to, says) in [
        ("violations = 1", "violations = 0", "quarantine.violations"),
        (
            "forgiven_after = 1",
            "forgiven_after = 0",
            "quarantine.forgiven_after",
        ),
        (
            "exposure_factor = 2.0",
            "exposure_factor = nan",
            "actuators.exposure_factor",
        ),
        (
            "exposure_factor = 2.0",
            "exposure_factor = 1.0",
            "actuators.exposure_factor",
        ),
        (
            "lens_dioptres = 1.0",
            "lens_dioptres = inf",
            "actuators.lens_dioptres",
        ),
        (
            "description = \"a toy\"",
            "description = \"\"",
            "`description`",
        ),
        ("mode = \"fail\"", "mode = \"pass\"", "unknown variant"),
        ("version = 1", "version = 1\ncolour = 2", "unknown field"),
        ("[quarantine]", "[flags]\nX = 7\n[quarantine]", "flag `X`"),
        ("[quarantine]", "[flags]\nX = 16\n[quarantine]", "flag `X`"),
        (
            "[quarantine]",
            "[flags]\nX = 8\nY = 8\n[quarantine]",
            "flag `Y`",
        ),
        (
            "meaning = \"m\" }",
            "meaning = \"m\", colour = 1 }",
            "unknown field",
        ),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        let error = refusal(&text);
        assert!(error.starts_with("contract toy.toml: "), "{error}");
        assert!(error.contains(says), "{error}");
    }
    assert!(refusal(HEAD).contains("has no block"));
    assert!(refusal(&" ".repeat(300 << 10)).contains("more than 262144 bytes"));
    let syntax = Contract::parse("toy.toml", "format = ").expect_err("no TOML");
    assert!(matches!(syntax, ContractError::Syntax { .. }));
}
