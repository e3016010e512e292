//! The program inside the jail: takes an assignment from the daemon, confines itself, loads one
//! module and answers frames until the daemon goes away.
//!
//! From the moment the module is loaded everything in this address space is the module's. Nothing
//! that leaves this process is trusted by anybody.

mod assignment;
mod buffer;
mod control;
mod frames;
mod host;
mod module;
mod verbs;

use coldshoe_control::worker::{Failed, Stage};
use coldshoe_wall::inside::{confine, leave};

use assignment::Assignment;
use control::Control;
use module::Module;

fn main() {
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

/// One life: assignment, confinement, module, frames. Ends well when the daemon hangs up.
fn serve(control: &mut Control) -> Result<(), Failed> {
    let Some(assignment) = Assignment::receive(control)? else {
        return Ok(());
    };
    let confined = confine(&assignment.confinement).map_err(|error| {
        Failed::new(
            Stage::Confine,
            "the worker could not confine itself",
            &error.to_string(),
        )
    })?;
    // From here on foreign code runs in this process.
    let module = Module::load(&assignment.load, confined)?;
    control.loaded(assignment.serial, module.about())?;
    verbs::serve(control, &module, assignment.frames)
}
