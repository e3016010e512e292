//! From the daemon's orders to the module's verbs, while no frames flow.

use coldshoe_control::client::Sensor;
use coldshoe_control::worker::{Body, Failed, Stage};
use coldshoe_ipa::abi;

use crate::control::{Control, Order};
use crate::frames::{Ended, Frames};
use crate::module::Module;

/// Where an instance stands: verbs that do not fit are refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Configured,
}

/// Follows orders until the daemon hangs up.
pub(crate) fn serve(
    control: &mut Control,
    module: &Module,
    frames: &mut Frames,
) -> Result<(), Failed> {
    let mut state = State::Created;
    while let Some(Order { serial, body, .. }) = control.next()? {
        match (body, state) {
            (Body::Configure(order), _) => {
                let configured = module.configure(&sensor(&order.sensor.unwrap_or_default()));
                if configured.is_ok() {
                    state = State::Configured;
                }
                control.answer(serial, configured)?;
            }
            (Body::Start(order), State::Configured) => {
                frames.skip();
                let restored = order.state.map_or(Ok(()), |state| module.restore(&state));
                let started = module.start();
                let streams = started.is_ok();
                control.answer_start(serial, started, restored.err())?;
                if streams {
                    match frames.serve(control, module)? {
                        Ended::Stopped { serial } => {
                            let stopped = module.stop();
                            frames.save(module);
                            control.answer(serial, stopped)?;
                        }
                        Ended::HungUp => return Ok(()),
                    }
                }
            }
            (Body::Save(_), State::Configured) => {
                frames.save(module);
                control.answer(serial, Ok(()))?;
            }
            (body, _) => control.answer(serial, Err(out_of_place(&body)))?,
        }
    }
    Ok(())
}

/// The answer to an order that does not fit the state.
pub(crate) fn out_of_place(body: &Body) -> Failed {
    Failed::new(
        Stage::Protocol,
        &format!("{} is out of place", body.kind()),
        "the order is configure, start, frames, stop",
    )
}

fn sensor(s: &Sensor) -> abi::Sensor {
    abi::Sensor {
        struct_size: size_of::<abi::Sensor>() as u32,
        bayer_order: s.bayer_order as u32,
        width: s.width,
        height: s.height,
        bit_depth: s.bit_depth,
        exposure_delay: s.exposure_delay,
        gain_delay: s.gain_delay,
        exposure_margin_lines: s.exposure_margin_lines,
        line_length_us: s.line_length_us,
        min_exposure_us: s.min_exposure_us,
        max_exposure_us: s.max_exposure_us,
        min_analogue_gain: s.min_analogue_gain,
        max_analogue_gain: s.max_analogue_gain,
        max_digital_gain: s.max_digital_gain,
        black_level: s.black_level,
        min_frame_duration_us: s.min_frame_duration_us,
        max_frame_duration_us: s.max_frame_duration_us,
        min_lens_position: s.min_lens_position,
        max_lens_position: s.max_lens_position,
    }
}
