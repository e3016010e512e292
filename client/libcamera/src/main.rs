//! `coldshoe-libcamera`: what libcamera starts in place of its own proxy workers, under each one's name
//! and with the same arguments. It has coldshoed start the real one in a jail, and relays what the two
//! say to each other.
#![forbid(unsafe_code)]

mod daemon;
mod error;
mod invocation;
mod relay;
mod seal;

use std::process::ExitCode;

use daemon::Daemon;
use error::Error;
use invocation::Invocation;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coldshoe-libcamera: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let Invocation {
        ipa,
        module,
        application,
        application_pidfd,
    } = Invocation::of(std::env::args_os())?;
    let mut daemon = Daemon::connect(&daemon::socket()?)?;
    let worker = daemon.open(&ipa, &module)?;
    seal::seal()?;
    relay::relay(&application, &application_pidfd, &worker, &mut daemon)
}
