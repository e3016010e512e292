//! The modules and the control's host program, built from `modules/` with the C compilers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

const FLAGS: &[&str] = &[
    "-D_GNU_SOURCE",
    "-O1",
    "-g",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pthread",
];

/// The file that every hostile module is built with anew; its definitions say which it is.
const MODULE: &str = "module.c";
/// The probes of every hostile module.
const PROBES: &[&str] = &[
    "files.c",
    "memory.c",
    "segments.c",
    "sockets.c",
    "processes.c",
    "kernel.c",
    "control.c",
    "resources.c",
    "digest.c",
];

/// Probes that run in a constructor, each a module of its own.
const CONSTRUCTORS: &[&str] = &[
    "execute",
    "write_to_code",
    "connect_path",
    "one_thread",
    "forge_by_seccomp",
    "forge_by_prctl",
    "forge_at_once",
    "forge_by_handler",
    "spin_for_ever",
];

/// Builds everything into `dir`: modules into `dir/modules`, the rest beside it.
pub fn build(dir: &Path) -> anyhow::Result<()> {
    let modules = dir.join("modules");
    std::fs::create_dir_all(&modules)?;
    compile(
        "cc",
        &["-std=gnu11"],
        &["host.c"],
        &dir.join("host"),
        &["-ldl"],
    )?;
    // The probes are the same in all: one object of them.
    let probes = dir.join("probes.o");
    compile(
        "cc",
        &["-std=gnu11", "-r", "-nostdlib"],
        PROBES,
        &probes,
        &[],
    )?;
    let probes = utf8(&probes)?;
    let module = |name: &str, more: &[&str], libraries: &[&str]| {
        let path = modules.join(name).with_extension("so");
        let flags = [&["-std=gnu11", "-shared"], more].concat();
        compile(
            "cc",
            &flags,
            &[MODULE],
            &path,
            &[&[probes], libraries].concat(),
        )
    };
    module("hostile", &[], &[])?;
    module("second", &["-DHOSTILE_BUILD=2"], &[])?;
    for probe in CONSTRUCTORS {
        let line = constructor(&format!("probe={probe} phase=constructor"));
        module(&format!("ctor_{probe}"), &[&line], &[])?;
    }
    let line = constructor("probe=start_helper phase=never");
    module("ctor_helper", &[&line], &[])?;
    let resolver = dir.join("ifunc.o");
    compile("cc", &["-std=gnu11", "-c"], &["ifunc.c"], &resolver, &[])?;
    let line = constructor("probe=socket_in_resolver phase=constructor");
    module("resolver", &[&line], &[utf8(&resolver)?])?;
    // What it needs lies beside it, and nowhere else.
    let brought_along = modules.join("brought_along.so");
    let flags = ["-std=gnu11", "-shared", "-Wl,-soname,brought_along.so"];
    compile("cc", &flags, &["needed.c"], &brought_along, &[])?;
    let needs = dir.join("needs.o");
    compile("cc", &["-std=gnu11", "-c"], &["needs.c"], &needs, &[])?;
    let libraries = [utf8(&needs)?, utf8(&brought_along)?, "-Wl,-rpath,$ORIGIN"];
    module("needs", &[], &libraries)?;
    benign(&modules)
}

/// Modules that do nothing wrong.
fn benign(modules: &Path) -> anyhow::Result<()> {
    let out = |name: &str| modules.join(name).with_extension("so");
    let plain = &["-std=gnu11", "-shared"];
    compile(
        "cc",
        plain,
        &["../benign/plain.c"],
        &out("benign_plain"),
        &["-lm"],
    )?;
    compile(
        "cc",
        plain,
        &["../benign/busybody.c"],
        &out("benign_busybody"),
        &[],
    )?;
    let cxx = &["-std=c++17", "-shared"];
    compile(
        "c++",
        cxx,
        &["../benign/streams.cpp"],
        &out("benign_streams"),
        &[],
    )?;
    compile(
        "c++",
        cxx,
        &["../benign/workers.cpp"],
        &out("benign_workers"),
        &[],
    )?;
    compile(
        "c++",
        &["-std=c++17", "-shared", "-fopenmp"],
        &["../benign/openmp.cpp"],
        &out("benign_openmp"),
        &[],
    )
}

fn constructor(line: &str) -> String {
    format!("-DHOSTILE_CONSTRUCTOR=\"{line}\"")
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .context("the temporary directory's name is no UTF-8")
}

fn compile(
    compiler: &str,
    flags: &[&str],
    sources: &[&str],
    out: &Path,
    libraries: &[&str],
) -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = |name: &&str| -> PathBuf { here.join("modules").join(name) };
    let output = Command::new(compiler)
        .args(FLAGS)
        .args(flags)
        .arg("-I")
        .arg(here.join("../../daemon/jailed/ipa/include"))
        .arg("-I")
        .arg(here.join("modules"))
        .args(sources.iter().map(source))
        .arg("-o")
        .arg(out)
        .args(libraries)
        .output()
        .with_context(|| format!("{compiler} cannot be run: install a C and C++ compiler"))?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            out.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
