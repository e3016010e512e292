//! The modules that the tests load, compiled once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// Where they are, for the run as another user, who may have no compilers.
pub const BUILT: &str = "COLDSHOE_TEST_MODULES";

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jail/modules");
const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../jailed/ipa/include");

/// A module's name, its source, and what its compiler is told besides.
const MODULES: &[(&str, &str, &[&str])] = &[
    ("plain", "plain.c", &["-lm"]),
    ("streams", "streams.cc", &[]),
    ("rust", "rust.rs", &[]),
    ("threads", "threads.cc", &["-pthread"]),
    ("parallel", "parallel.c", &["-fopenmp"]),
    (
        "exec-early",
        "plain.c",
        &[
            "-lm",
            "-DIN_CONSTRUCTOR=execl(\"/bin/true\",\"true\",(char*)0)",
        ],
    ),
    (
        "exec-late",
        "plain.c",
        &["-lm", "-DIN_FRAME=syscall(SYS_execve,\"/bin/true\",0,0)"],
    ),
    (
        "forge",
        "plain.c",
        &["-lm", "-DIN_CONSTRUCTOR=syscall(SYS_seccomp,1,0,0)"],
    ),
    ("hang", "plain.c", &["-lm", "-DIN_CREATE=for(;;)"]),
    ("abort-early", "plain.c", &["-lm", "-DIN_CREATE=abort()"]),
    ("abort-late", "plain.c", &["-lm", "-DIN_FRAME=abort()"]),
    (
        "open-late",
        "plain.c",
        &["-lm", "-DIN_FRAME=return open(\"/usr/lib\",0)==-1?0:-1"],
    ),
    (
        "nag",
        "plain.c",
        &["-lm", "-DIN_FRAME=for(int i=0;i<1000;i++)open(\"/x\",0)"],
    ),
    (
        "nag-early",
        "plain.c",
        &["-lm", "-DIN_CONSTRUCTOR=for(;;)access(\"/x\",0)"],
    ),
    (
        // Every other page has another protection, and so a line of its own in the map.
        "long-map",
        "plain.c",
        &[
            "-lm",
            "-DIN_FRAME=char*p=mmap(0,20000*4096l,3,MAP_PRIVATE|MAP_ANONYMOUS,-1,0);\
             for(int i=0;i<20000;i+=2)mprotect(p+i*4096l,4096,1);\
             syscall(SYS_execve,\"/bin/true\",0,0)",
        ],
    ),
    ("quit", "plain.c", &["-lm", "-DIN_FRAME=_exit(7)"]),
    (
        "crash",
        "plain.c",
        &["-lm", "-DIN_FRAME=*(volatile int*)8=1"],
    ),
    (
        "look",
        "plain.c",
        &[
            "-lm",
            "-DIN_CREATE=return access(\"/etc/passwd\",0)==0||access(\"/proc/self\",0)==0||getpid()!=1",
        ],
    ),
];

/// The directory with all of them.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| match std::env::var_os(BUILT) {
        Some(built) => built.into(),
        None => build().keep(),
    })
}

fn build() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let everybody = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), everybody()).expect("permissions");
    for (name, source, flags) in MODULES {
        let file = dir.path().join(format!("{name}.so"));
        let mut command = match source.rsplit('.').next() {
            Some("rs") => {
                let mut command = Command::new("rustc");
                command.args(["--crate-type=cdylib", "--edition=2021", "-O"]);
                command
            }
            Some("cc") => Command::new("c++"),
            _ => Command::new("cc"),
        };
        if !source.ends_with(".rs") {
            command
                .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wno-unused-result"])
                .arg(format!("-I{HEADER}"));
        }
        let output = command
            .arg("-o")
            .arg(&file)
            .arg(Path::new(SOURCES).join(source))
            .args(*flags)
            .output()
            .expect("the tests need compilers for C, C++ and Rust");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {words}");
        std::fs::set_permissions(&file, everybody()).expect("permissions");
    }
    dir
}
