//! Names the shared library for the linker.

/// The interface that programs were linked against; raised when one of them would break.
const SONAME: &str = "libcoldshoe.so.0";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
}
