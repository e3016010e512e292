//! The library where `make install-capi` puts it, and programs that use it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use coldshoe_tests::built;

pub const C99: [&str; 2] = ["cc", "-std=c99"];
pub const CPP11: [&str; 2] = ["c++", "-std=c++11"];

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How a program is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Shared,
    Static,
}

/// Where the library is installed: once for all tests of this program.
pub fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
        let _ = fs::remove_dir_all(&prefix);
        // target/PROFILE/libcoldshoe_capi.so
        let library = built("libcoldshoe_capi.so");
        let profile = library.parent().expect("a profile");
        let name = profile.file_name().expect("of some name");
        let target = profile.parent().expect("a target directory");
        let variable = |name: &str, value: &OsStr| format!("{name}={}", value.display());
        let output = Command::new("make")
            .arg("--no-print-directory")
            .arg("-C")
            .arg(WORKSPACE)
            .arg("install-capi")
            .arg("DESTDIR=")
            .arg(variable("PREFIX", prefix.as_os_str()))
            .arg(variable("TARGET", target.as_os_str()))
            .arg(variable("BUILD", name))
            // Of the make that may run these tests.
            .env_remove("MAKEFLAGS")
            .output()
            .expect("make");
        succeeded(&output, "make install-capi");
        prefix
    })
}

/// A source of this repository.
pub fn source(path: &str) -> PathBuf {
    Path::new(WORKSPACE).join(path)
}

/// Compiles a program against the installed library, without a warning.
pub fn compile(language: [&str; 2], link: Link, source: &Path, name: &str) -> PathBuf {
    let program = prefix().join(name);
    let [compiler, standard] = language;
    let output = Command::new(compiler)
        .args([standard, "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg("-pthread")
        .arg("-o")
        .arg(&program)
        .arg(source)
        .args(flags(link))
        .output()
        .expect("a compiler");
    succeeded(&output, &format!("{language:?} {}", source.display()));
    program
}

/// What pkg-config says, or would say where there is none.
fn flags(link: Link) -> Vec<String> {
    let lib = prefix().join("lib");
    let file = lib.join("pkgconfig/coldshoe.pc");
    let asked = Command::new("pkg-config")
        .env("PKG_CONFIG_PATH", lib.join("pkgconfig"))
        .args(["--cflags", "--libs"])
        .args((link == Link::Static).then_some("--static"))
        .arg("coldshoe")
        .output();
    let said = match asked {
        Ok(output) => {
            succeeded(&output, "pkg-config");
            String::from_utf8(output.stdout).expect("text")
        }
        Err(_) => {
            eprintln!("pkg-config is not here: its file is read without it");
            let text = fs::read_to_string(file).expect("installed");
            let keys = match link {
                Link::Shared => &["Cflags: ", "Libs: "][..],
                Link::Static => &["Cflags: ", "Libs: ", "Libs.private: "],
            };
            let lines = text.lines();
            let values =
                lines.filter_map(|line| keys.iter().find_map(|key| line.strip_prefix(key)));
            let values = values.collect::<Vec<_>>().join(" ");
            let include = prefix().join("include");
            values
                .replace("${libdir}", lib.to_str().expect("text"))
                .replace("${includedir}", include.to_str().expect("text"))
        }
    };
    let words = said.split_whitespace().map(|word| match (word, link) {
        // Beside the shared one the linker would not look at it.
        ("-lcoldshoe", Link::Static) => "-l:libcoldshoe.a".to_owned(),
        (word, _) => word.to_owned(),
    });
    words.collect()
}

/// A program that finds the installed library.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", prefix().join("lib"));
    command
}

/// The same under valgrind, which ends with 99 at a mistake or a leak. `None` where there is no
/// valgrind.
pub fn watched(program: &Path) -> Option<Command> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!(
            "valgrind is not here: {} runs without it",
            program.display()
        );
        return None;
    }
    let mut command = command(Path::new("valgrind"));
    command
        .args(["-q", "--error-exitcode=99", "--leak-check=full"])
        .args(["--show-leak-kinds=all", "--errors-for-leak-kinds=all"])
        .arg(program);
    Some(command)
}

/// Checks that a program ended well, and returns what it wrote.
pub fn succeeded(output: &Output, what: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{what}: {}\n{out}{err}",
        output.status
    );
    out
}
