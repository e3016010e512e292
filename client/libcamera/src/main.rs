//! `coldshoe-libcamera`: what libcamera starts in place of its own proxy workers, under each one's name
//! and with the same arguments. It has coldshoed start the real one in a jail, relays what the two say
//! to each other as far as a firewall lets it pass, and puts another worker in the place of one that
//! fails.
#![forbid(unsafe_code)]

mod daemon;
mod datagram;
mod error;
mod invocation;
mod relay;
mod seal;
mod shadow;

use std::process::ExitCode;

use coldshoe_libcamera_wire::Dialect;
use daemon::Daemon;
use error::Error;
use invocation::Invocation;
use relay::Relay;

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
        began,
    } = Invocation::of(std::env::args_os())?;
    let mut daemon = Daemon::connect(&daemon::socket()?)?;
    let worker = daemon.open(&ipa, &module)?;
    let dialect = Dialect::find(&ipa, &worker.series);
    if dialect.is_none() {
        let why = format!(
            "nothing is known of interface {ipa:?} of libcamera {:?}",
            worker.series
        );
        daemon.withheld(0, why, true)?;
    }
    seal::seal()?;
    Relay::new(application, application_pidfd, worker, daemon, dialect).run(began)
}
