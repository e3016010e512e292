//! Compiles the protocol files without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(
        [
            "proto/client.proto",
            "proto/worker.proto",
            "proto/keeper.proto",
        ],
        ["proto"],
    )?;
    prost_build::Config::new()
        .include_file("wire.rs")
        .compile_fds(files)?;
    Ok(())
}
