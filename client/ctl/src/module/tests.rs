use std::fs::File;
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// A module in C whose table is a constant, with room for more of everything.
fn source(more: &str) -> String {
    format!(
        r#"
#include "coldshoe_ipa.h"
{more}
static int32_t create(const struct coldshoe_ipa_init *i, void **o) {{ (void)i; *o = 0; return 0; }}
static int32_t configure(void *o, const struct coldshoe_ipa_sensor *s) {{ (void)o; (void)s; return 0; }}
static int32_t start(void *o) {{ (void)o; return 0; }}
static int32_t process(void *o, const struct coldshoe_ipa_frame_in *i,
                       struct coldshoe_ipa_frame_out *f) {{ (void)o; (void)i; (void)f; return 0; }}
static int32_t stop(void *o) {{ (void)o; return 0; }}
static void destroy(void *o) {{ (void)o; }}
static const struct coldshoe_ipa_format formats[] = {{
	{{ "coldshoe-stats-1", "coldshoe-soft", 3 }}, {{ "acme-stats", "acme-params", 0 }}, {{ 0, 0, 0 }} }};
static const struct coldshoe_ipa_module module = {{
	.struct_size = sizeof(module), .abi_version = COLDSHOE_IPA_ABI_VERSION,
	.name = "acme", .version = "1.2.3", .license = "proprietary", .flags = FLAGS,
	.formats = formats, .create = create, .configure = configure, .start = start,
	.process = process, .stop = stop, .destroy = destroy,
}};
const struct coldshoe_ipa_module *coldshoe_ipa_module(void) {{ return &module; }}
"#
    )
}

fn build(source: &str, flags: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("m.c"), dir.path().join("acme.so"));
    std::fs::write(&input, source).unwrap();
    let include = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../daemon/jailed/ipa/include"
    );
    let status = Command::new("cc")
        .args([
            "-shared",
            "-fPIC",
            "-O2",
            "-fno-builtin",
            "-I",
            include,
            "-o",
        ])
        .args([&output, &input])
        .args(flags)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(output).unwrap()
}

fn acme() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| build(&source("#define FLAGS 0"), &[]))
}

fn jails() -> &'static Jails {
    static JAILS: OnceLock<Jails> = OnceLock::new();
    JAILS.get_or_init(|| Jails::builtin().unwrap())
}

fn report(bytes: &[u8]) -> Report {
    let image = Image::parse(bytes).unwrap();
    Report::new(Path::new("acme.so"), bytes, &image, jails())
}

fn obstacles(bytes: &[u8]) -> String {
    let found = report(bytes).obstacles;
    assert!(found.iter().all(|one| !one.remedy.is_empty()));
    found.into_iter().map(|one| one.why + "\n").collect()
}

/// The daemon refuses it before it starts a worker, so it cannot be called well here.
#[test]
fn a_module_whose_segments_end_beyond_its_file_is_damaged() {
    let bytes = acme();
    let headers = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
    let loads: Vec<usize> = (0..count)
        .map(|index| headers + 56 * index)
        .filter(|at| bytes[*at..at + 4] == [1, 0, 0, 0])
        .collect();
    assert!(!loads.is_empty());
    for at in loads {
        let mut longer = bytes.to_vec();
        // p_filesz and p_memsz.
        for field in [at + 32, at + 40] {
            let size = bytes.len() as u64 + 1;
            longer[field..field + 8].copy_from_slice(&size.to_le_bytes());
        }
        let found = obstacles(&longer);
        assert!(found.contains("beyond the end of the file"), "{found}");
        assert!(coldshoed::check_module(Cursor::new(longer)).is_err());
    }
}

#[test]
fn a_sound_module_has_nothing_in_its_way() {
    let report = report(acme());
    assert_eq!(report.obstacles, []);
    assert_eq!(
        (report.profile.as_str(), report.machine.as_str()),
        ("single", std::env::consts::ARCH)
    );
    assert!(report.refused.is_empty() && report.threads.is_empty());
    assert!(
        report
            .in_words(100)
            .contains("Nothing keeps it from being loaded")
    );
}

#[test]
fn libraries_of_the_system_are_found() {
    let bytes = build(&source("#define FLAGS 0"), &["-Wl,--no-as-needed"]);
    let report = report(&bytes);
    assert_eq!(report.obstacles, []);
    let libc = report
        .libraries
        .iter()
        .find(|library| library.name == "libc.so.6")
        .unwrap();
    assert!(libc.path.as_ref().unwrap().is_file());
}

#[test]
fn the_table_of_a_c_module_is_read_however_it_was_compiled() {
    let plain = source("#define FLAGS 0");
    let expected = Claims {
        abi_version: 1,
        name: "acme".to_owned(),
        version: "1.2.3".to_owned(),
        license: "proprietary".to_owned(),
        threads: false,
        formats: vec![
            ("coldshoe-stats-1".to_owned(), "coldshoe-soft".to_owned()),
            ("acme-stats".to_owned(), "acme-params".to_owned()),
        ],
    };
    for flags in [
        &[][..],
        &["-O0"],
        &["-s"],
        &["-Wl,-z,now", "-Wl,-z,relro"],
        &["-Wl,-z,pack-relative-relocs"],
    ] {
        assert_eq!(
            report(&build(&plain, flags)).claims.as_ref(),
            Some(&expected),
            "{flags:?}"
        );
    }
    let writable = plain.replace(
        "static const struct coldshoe_ipa_module",
        "struct coldshoe_ipa_module",
    );
    assert_eq!(report(&build(&writable, &[])).claims, Some(expected));
}

#[test]
fn what_is_not_certain_is_unknown() {
    let unknown = |source: &str| {
        let report = report(&build(source, &[]));
        assert_eq!(report.claims, None);
        assert_eq!(report.obstacles, []);
        assert!(report.in_words(200).contains("unknown until it is loaded"));
    };
    // Two tables, of which only running it tells which one counts.
    let plain = source("#define FLAGS 0");
    let second = plain
        .lines()
        .skip_while(|line| !line.contains("coldshoe_ipa_module module"))
        .take_while(|line| !line.starts_with("const struct"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("_module module", "_module other")
        .replace("sizeof(module)", "sizeof(other)");
    let both = "const struct coldshoe_ipa_module *volatile keep = &other;";
    unknown(&format!("{plain}\n{second}\n{both}"));
    // A table that is made at run time.
    let made = "#include \"coldshoe_ipa.h\"\n#include <string.h>\n\
        static struct coldshoe_ipa_module m;\n\
        const struct coldshoe_ipa_module *coldshoe_ipa_module(void)\
        { memset(&m, 1, sizeof m); return &m; }";
    unknown(made);
}

#[test]
fn the_digest_is_that_of_the_file() {
    assert_eq!(report(acme()).sha256, hex(&Sha256::digest(acme())));
    assert_eq!(hex(&[0, 0x0f, 0xff]), "000fff");
}

#[test]
fn threads_ask_for_the_threaded_profile() {
    let flagged = report(&build(&source("#define FLAGS 1"), &[]));
    assert_eq!(
        (flagged.profile.as_str(), flagged.threads.len()),
        ("threaded", 1)
    );
    let starts = source(
        "#include <pthread.h>\n#define FLAGS 0\n\
         int go(pthread_t *t, void *(*f)(void *)) { return pthread_create(t, 0, f, 0); }",
    );
    let report = report(&build(&starts, &[]));
    assert_eq!(report.profile, "threaded");
    assert!(
        report.threads[0].contains("pthread_create"),
        "{:?}",
        report.threads
    );
}

#[test]
fn imports_that_the_jail_refuses_are_named_with_their_end() {
    let reaches_out = source(
        "#include <unistd.h>\n#include <sys/socket.h>\n#include <dlfcn.h>\n#define FLAGS 0\n\
         int go(char *s) { dlopen(s, 1); return execve(s, 0, 0) + socket(1, 1, 0); }",
    );
    let report = report(&build(&reaches_out, &[]));
    let outcome = |symbol: &str| {
        let found = report.refused.iter().find(|one| one.symbol == symbol);
        found.map(|one| (one.syscall, one.outcome))
    };
    assert_eq!(outcome("execve"), Some(("execve", Outcome::Killed)));
    assert_eq!(outcome("socket"), Some(("socket", Outcome::Killed)));
    assert!(matches!(
        outcome("dlopen"),
        Some(("openat", Outcome::RefusedByDaemon(_)))
    ));
    assert_eq!(outcome("fork"), None);
    // They are a warning only.
    assert_eq!(report.obstacles, []);
    let words = report.in_words(120);
    assert!(words.contains("execve: ends the worker"), "{words}");
}

#[test]
fn what_keeps_a_module_from_loading_is_named_with_the_flag_that_mends_it() {
    let plain = source("#define FLAGS 0");
    let with = |flags: &[&str]| obstacles(&build(&plain, flags));
    assert!(with(&["-z", "execstack"]).contains("executable stack"));
    assert!(with(&["-Wl,-N", "-nostdlib"]).contains("writable and executable"));
    let absolute = plain.clone() + "__asm__(\".text\\n.globl g\\ng: .quad g\\n\");";
    assert!(
        obstacles(&build(&absolute, &["-Wl,-z,notext", "-nostdlib"])).contains("text relocations")
    );
    assert!(obstacles(&build("int x;", &[])).contains("does not export coldshoe_ipa_module"));
    let mut other = acme().to_vec();
    let machine: u16 = if cfg!(target_arch = "x86_64") {
        183
    } else {
        62
    };
    other[18..20].copy_from_slice(&machine.to_le_bytes());
    assert!(obstacles(&other).contains("is built for"));
}

#[test]
fn a_library_that_is_not_there_and_a_search_path_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libmissing.so");
    std::fs::write(
        &library,
        build(
            "int missing(void) { return 1; }",
            &["-Wl,-soname,libmissing.so.3"],
        ),
    )
    .unwrap();
    let path = format!("-L{}", dir.path().display());
    let using = source("#define FLAGS 0\nint missing(void); int go(void) { return missing(); }");
    let bytes = build(&using, &[&path, "-lmissing", "-Wl,-rpath,/opt/acme"]);
    assert!(obstacles(&bytes).contains("libmissing.so.3 is in no library directory"));
    let words = report(&bytes).in_words(200);
    assert!(words.contains("/opt/acme"), "{words}");
}

#[test]
fn a_module_without_section_headers_tells_as_much() {
    let mut bytes = acme().to_vec();
    // e_shoff, e_shnum, e_shstrndx: what a loader never looks at.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let (with, without) = (report(acme()), report(&bytes));
    assert_eq!(
        (with.claims, with.imports),
        (without.claims, without.imports)
    );
}

#[test]
fn programs_and_other_files_are_no_modules() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(obstacles(&own).contains("it is a program"));
    assert_eq!(Image::parse(b"#!/bin/sh").unwrap_err(), ImageError::NotElf);
    assert_eq!(Image::parse(b"").unwrap_err(), ImageError::NotElf);
    let mut narrow = acme().to_vec();
    narrow[4] = 1;
    assert_eq!(Image::parse(&narrow).unwrap_err(), ImageError::Class);
    assert!(matches!(
        Image::parse(&acme()[..300]),
        Err(ImageError::Damaged(_))
    ));
}

#[test]
fn each_refusal_has_three_lines_and_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("pipe.so");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .unwrap();
    let huge = dir.path().join("huge.so");
    File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    let text = dir.path().join("text.so");
    std::fs::write(&text, "a module").unwrap();
    for (path, code, why) in [
        (dir.path().join("none.so"), 3, "No such file"),
        (dir.path().to_owned(), 1, "not a regular file"),
        (fifo, 1, "not a regular file"),
        (huge, 1, "more than"),
        (text, 1, "not an ELF file"),
    ] {
        let verb = Verb::Inspect(Inspect {
            file: path.clone(),
            json: false,
        });
        let error = run(&verb).unwrap_err();
        let lines = error.to_string();
        assert_eq!(error.exit_code(), code, "{lines}");
        assert_eq!(lines.lines().count(), 3, "{lines}");
        assert!(
            lines.contains(&path.display().to_string()) && lines.contains(why),
            "{lines}"
        );
    }
}

#[test]
fn the_json_keeps_its_schema() {
    let json = serde_json::to_value(report(acme())).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["claims"]["name"], "acme");
    assert_eq!(json["profile"], "single");
    for key in [
        "file",
        "size",
        "sha256",
        "machine",
        "soname",
        "threads",
        "libraries",
        "search_paths",
        "imports",
        "refused",
        "obstacles",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A real module with some of its bytes changed, mostly where its tables are.
    #[test]
    fn no_file_makes_it_panic(
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 1..12),
        words in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..4),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut bytes = acme().to_vec();
        let length = bytes.len();
        for (at, early, value) in patches {
            bytes[at.index(if early { 2048 } else { length })] = value;
        }
        for (at, value) in words {
            let at = at.index(length / 8 - 1) * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(length));
        }
        if let Ok(image) = Image::parse(&bytes) {
            let report = Report::new(Path::new("x.so"), &bytes, &image, jails());
            prop_assert!(!report.in_words(80).chars().any(|c| c.is_control() && c != '\n' && c != '\x1b'));
        }
    }
}
