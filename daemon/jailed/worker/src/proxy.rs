//! A worker that becomes one of libcamera's own: it goes into the jail as any other, and ends its own
//! program there.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use coldshoe_control::worker::{Become, Failed, Stage};
use coldshoe_wall::inside::{Stage as Half, divide};

use crate::assignment::confinement;
use crate::control::{Control, inherited_bell};
use crate::not_confined;

/// The whole environment of libcamera's worker. Built with LTTng it would otherwise look for a tracer,
/// and wait for it.
const ENVIRONMENT: [&CStr; 2] = [
    c"LTTNG_UST_WITHOUT_BADDR_STATEDUMP=1",
    c"LTTNG_UST_REGISTER_TIMEOUT=0",
];

/// Becomes it. Returns only if the daemon hangs up, in the first stage, or if something fails.
pub(crate) fn serve(
    control: &mut Control,
    serial: u32,
    order: Become,
    fds: Vec<OwnedFd>,
) -> Result<(), Failed> {
    let Ok([module, program]) = <[OwnedFd; 2]>::try_from(fds) else {
        let what = "the worker cannot become another program";
        return Err(Failed::new(
            Stage::Protocol,
            what,
            "a descriptor is missing",
        ));
    };
    let mut confinement = confinement(order.jail.unwrap_or_default())?;
    confinement.interpreter = Some(order.interpreter.into());
    let given = [module.as_fd(), program.as_fd()];
    let divided = match divide(&confinement, &given).map_err(not_confined)? {
        Half::First(second) => return control.divided(serial, &second),
        Half::Second(divided) => divided,
    };
    control.entered(serial, divided.maps().map_err(not_confined)?)?;
    if !control.proceed()? {
        return Ok(());
    }
    let renounced = divided
        .settle_with(&confinement, module, Some(program))
        .and_then(|settled| settled.renounce(&confinement))
        .map_err(not_confined)?;
    // libcamera never waits for its socket, and has no bell: the first descriptor that it opens takes
    // that one's number.
    control.never_wait().map_err(|error| {
        let what = "the worker cannot prepare its socket";
        Failed::new(Stage::Confine, what, &error.to_string())
    })?;
    drop(inherited_bell());
    let confined = renounced
        .fence(&confinement)
        .and_then(|fenced| fenced.gate(&confinement))
        .map_err(not_confined)?
        .ship(|listener| control.gated(serial, listener))?;
    let error = confined.execute(&ENVIRONMENT);
    // Nobody speaks the protocol on the socket any more: this goes to the daemon's log.
    eprintln!("libcamera's worker cannot be executed: {error}");
    coldshoe_wall::inside::leave(127)
}
