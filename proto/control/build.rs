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
        // Few messages have one, and all would be as large.
        .boxed(".coldshoe.control.v1.OpenSession.resume")
        .compile_fds(files)?;
    Ok(())
}
