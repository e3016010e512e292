//! The program inside the jail: takes an assignment from the daemon, goes into the jail, loads one
//! module and answers frames until the daemon goes away.
//!
//! It comes in two stages: the first one leaves its namespaces, makes the second one in them and
//! ends; the second one goes on. From the moment the module is loaded everything in this address
//! space is the module's. Nothing that leaves this process is trusted by anybody.

mod assignment;
mod buffer;
mod control;
mod frames;
mod host;
mod module;
mod proxy;
mod verbs;

use coldshoe_control::worker::{Failed, Stage};
use coldshoe_wall::inside::{ConfineError, Stage as Half, divide, leave};

use assignment::{Assignment, First};
use control::Control;
use module::Module;

fn main() {
    // The program was executed by descriptor, whose number older kernels would show for a name.
    let _ = rustix::thread::set_name(c"coldshoe-worker");
    let mut control = Control::inherited();
    let code = match serve(&mut control) {
        Ok(()) => 0,
        Err(failed) => {
            control.last_words(failed);
            1
        }
    };
    // Returning would run exit handlers, which need calls that this process no longer has.
    leave(code)
}

/// One life: assignment, jail, module, frames. Ends well when the daemon hangs up.
fn serve(control: &mut Control) -> Result<(), Failed> {
    let assignment = match First::receive(control)? {
        None => return Ok(()),
        Some(First::Become(serial, order, fds)) => {
            return proxy::serve(control, serial, *order, fds);
        }
        Some(First::Assignment(assignment)) => *assignment,
    };
    let Assignment {
        serial,
        confinement,
        load,
        work,
    } = assignment;
    let divided = match divide(&confinement, &work.fds()).map_err(not_confined)? {
        Half::First(second) => return control.divided(serial, &second),
        Half::Second(divided) => divided,
    };
    control.entered(serial, divided.maps().map_err(not_confined)?)?;
    if !control.proceed()? {
        return Ok(());
    }
    let (module, work) = work.take_module();
    let renounced = divided
        .settle(&confinement, module)
        .and_then(|settled| settled.renounce(&confinement))
        .map_err(not_confined)?;
    let (mut frames, tuning) = work.open(control::inherited_bell())?;
    let confined = renounced
        .fence(&confinement)
        .and_then(|fenced| fenced.gate(&confinement))
        .map_err(not_confined)?
        .ship(|listener| control.gated(serial, listener))?;
    // From here on foreign code runs in this process.
    let module = Module::load(&load, tuning.as_deref(), confined)?;
    control.loaded(serial, module.about())?;
    verbs::serve(control, &module, &mut frames)
}

fn not_confined(error: ConfineError) -> Failed {
    let what = "the worker could not confine itself";
    Failed::new(Stage::Confine, what, &error.to_string())
}
