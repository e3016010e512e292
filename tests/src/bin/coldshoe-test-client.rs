//! A client to be killed: runs a session on `good`, says so, and waits for its end.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use coldshoe::{Open, Session};
use coldshoe_tests::sensor;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut arg = || args.next().expect("SOCKET STATS_FORMAT PARAMS_FORMAT");
    let open = Open {
        socket: Some(PathBuf::from(arg())),
        module: "good".into(),
        camera: "virtual".into(),
        stats_format: arg(),
        params_format: arg(),
        ..Open::default()
    };
    let mut session = Session::open(&open).expect("a session");
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    println!("{}", session.worker_pid());
    // The other end of this pipe is never written to.
    let _ = std::io::read_to_string(std::io::stdin());
}
