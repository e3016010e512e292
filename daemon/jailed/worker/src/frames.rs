//! The frame path inside the jail: take, process, answer, sleep. Nothing here allocates.

use std::num::{NonZeroU32, NonZeroU64};

use coldshoe_control::worker::{Body, Failed};
use coldshoe_frame::{
    AlgorithmState, Applied, Controls, FrameContext, FrameKind, FrameReply, Geometry, Inbox,
    MAX_STATE, Metadata, Outbox, Predictor, Status, Taken, Wanted, monotonic_ns,
};
use coldshoe_ipa::abi;

use crate::buffer::Buffer;
use crate::control::{Control, Order, Polled};
use crate::module::Module;
use crate::verbs::out_of_place;

/// Both segments, and private room for what goes to the module and comes from it.
pub(crate) struct Frames {
    inbox: Inbox,
    outbox: Outbox,
    generation: u32,
    stats: Buffer,
    params: Buffer,
    /// With a processor of its own.
    rhythm: Option<Predictor>,
    state: Buffer,
    /// The module's state is saved after so many frames; `None`: never.
    save_every: Option<NonZeroU32>,
    /// Frames since then.
    unsaved: u32,
}

/// In a stream that leaves no time to sleep, orders are looked for after so many frames.
const FRAMES_A_LOOK: u32 = 64;

/// Why frames ended.
pub(crate) enum Ended {
    Stopped { serial: u32 },
    HungUp,
}

impl Frames {
    pub(crate) fn new(
        inbox: Inbox,
        outbox: Outbox,
        geometry: Geometry,
        generation: u32,
        predictive: bool,
        save_every: u32,
    ) -> Self {
        // The first look at the clock asks the kernel where it is, which the jail forbids.
        monotonic_ns();
        if predictive {
            // To the moment instead of about then. Without it the window is met less often.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        }
        Self {
            generation,
            stats: Buffer::new(inbox.stats_room()),
            params: Buffer::new(geometry.params_capacity()),
            rhythm: predictive.then(Predictor::default),
            state: Buffer::new(MAX_STATE),
            save_every: NonZeroU32::new(save_every),
            unsaved: 0,
            inbox,
            outbox,
        }
    }

    /// Leaves out what was published before the module starts.
    pub(crate) fn skip(&mut self) {
        self.inbox.skip();
    }

    /// Answers frames until an order ends it.
    pub(crate) fn serve(
        &mut self,
        control: &mut Control,
        module: &Module,
    ) -> Result<Ended, Failed> {
        let mut frames = FRAMES_A_LOOK;
        loop {
            let before = frames;
            // A stream that leaves no time to sleep has its state saved all the same.
            while !self.owes_state()
                && let Some(taken) = self.inbox.take(self.stats.bytes_mut())
            {
                frames = frames.saturating_add(1);
                if let Some(rhythm) = &mut self.rhythm {
                    rhythm.arrived(monotonic_ns());
                }
                if taken.generation == self.generation {
                    self.answer(&taken, module);
                    self.unsaved += 1;
                }
            }
            if self.owes_state() {
                self.save(module);
            }
            // The daemon rings the doorbell as long as an order is not answered: a wake that
            // brought no frame is when to look for one. A look at every wake would cost each frame
            // a system call.
            if frames > before && frames < FRAMES_A_LOOK {
                self.wait();
                continue;
            }
            frames = 0;
            match control.poll()? {
                Polled::Nothing => self.wait(),
                Polled::HungUp => return Ok(Ended::HungUp),
                Polled::Order(Order {
                    serial,
                    body: Body::Stop(_),
                    ..
                }) => {
                    return Ok(Ended::Stopped { serial });
                }
                Polled::Order(Order {
                    serial,
                    body: Body::Save(_),
                    ..
                }) => {
                    self.save(module);
                    control.answer(serial, Ok(()))?;
                }
                Polled::Order(Order { serial, body, .. }) => {
                    control.answer(serial, Err(out_of_place(&body)))?;
                }
            }
        }
    }

    fn owes_state(&self) -> bool {
        self.save_every
            .is_some_and(|every| self.unsaved >= every.get())
    }

    /// Keeps the module's state for a worker that comes after this one.
    pub(crate) fn save(&mut self, module: &Module) {
        self.unsaved = 0;
        if let Some(state) = module.save(self.state.bytes_mut()) {
            self.outbox.save(state);
        }
    }

    /// Waits for the next frame, or a ring of the daemon.
    fn wait(&mut self) {
        let rhythm = self.rhythm.as_ref();
        let Some(window) = rhythm.and_then(|rhythm| rhythm.next(monotonic_ns())) else {
            self.inbox.sleep(&self.outbox, None);
            return;
        };
        self.inbox.sleep(&self.outbox, Some(window.wake_ns));
        let now = monotonic_ns();
        // Earlier: for a frame, or the daemon rang.
        if let Some(rhythm) = &mut self.rhythm
            && now >= window.wake_ns
        {
            rhythm.woke(window.wake_ns, now);
            self.inbox.spin(window.end(now));
        }
    }

    fn answer(&mut self, taken: &Taken, module: &Module) {
        let stats = match taken.header.kind {
            FrameKind::Process => &self.stats.bytes()[..taken.stats_len],
            FrameKind::Prepare => &[],
        };
        let frame = frame_in(taken, stats);
        let params = self.params.bytes_mut();
        let mut out = abi::FrameOut {
            struct_size: size_of::<abi::FrameOut>() as u32,
            reserved: 0,
            params: params.as_mut_ptr(),
            params_capacity: params.len(),
            params_size: 0,
            wanted: abi::Wanted::default(),
            metadata: abi::Metadata::default(),
        };
        let status = if module.process(&frame, &mut out) {
            Status::Done
        } else {
            Status::ModuleError
        };
        let params = self.params.bytes();
        let params = &params[..out.params_size.min(params.len())];
        self.outbox
            .answer(taken.seq, status, &reply(&out), params, &self.inbox);
    }
}

fn frame_in(taken: &Taken, stats: &[u8]) -> abi::FrameIn {
    let FrameContext { applied, controls } = &taken.context;
    abi::FrameIn {
        struct_size: size_of::<abi::FrameIn>() as u32,
        reserved: 0,
        frame: taken.header.frame,
        sensor_timestamp_ns: taken.header.sensor_timestamp_ns,
        deadline_ns: taken.header.deadline_ns,
        applied: to_applied(applied),
        controls: to_controls(controls),
        stats: if taken.header.kind == FrameKind::Prepare {
            std::ptr::null()
        } else {
            stats.as_ptr()
        },
        stats_size: stats.len(),
    }
}

fn to_applied(applied: &Applied) -> abi::Applied {
    abi::Applied {
        exposure_us: applied.exposure_us,
        analogue_gain: applied.analogue_gain,
        digital_gain: applied.digital_gain,
        black_level: applied.black_level,
        lens_position: applied.lens_position.unwrap_or(f64::NAN),
    }
}

fn to_controls(controls: &Controls) -> abi::Controls {
    use abi::Controls as C;
    let mut out = C::default();
    let set = &mut out.set;
    let mut number = |bit: u32, value: Option<f64>| {
        *set |= if value.is_some() { bit } else { 0 };
        value.unwrap_or(0.0)
    };
    let exposure_value = number(C::EXPOSURE_VALUE, controls.exposure_value);
    let exposure_us = number(C::EXPOSURE_TIME, controls.exposure_us);
    let analogue_gain = number(C::ANALOGUE_GAIN, controls.analogue_gain);
    let colour_temperature = number(C::COLOUR_TEMPERATURE, controls.colour_temperature);
    let red = number(C::COLOUR_GAINS, controls.colour_gains.map(|gains| gains[0]));
    let blue = number(C::COLOUR_GAINS, controls.colour_gains.map(|gains| gains[1]));
    let contrast = number(C::CONTRAST, controls.contrast);
    let saturation = number(C::SATURATION, controls.saturation);
    let sharpness = number(C::SHARPNESS, controls.sharpness);
    let brightness = number(C::BRIGHTNESS, controls.brightness);
    let lens_position = number(C::LENS_POSITION, controls.lens_position);
    let ae_enable = number(C::AE_ENABLE, controls.ae_enable.map(f64::from));
    let awb_enable = number(C::AWB_ENABLE, controls.awb_enable.map(f64::from));
    let mut mode = |bit: u32, value: Option<u32>| number(bit, value.map(f64::from)) as u32;
    C {
        ae_metering: mode(C::AE_METERING, controls.ae_metering),
        awb_mode: mode(C::AWB_MODE, controls.awb_mode),
        af_mode: mode(C::AF_MODE, controls.af_mode),
        af_trigger: mode(C::AF_TRIGGER, controls.af_trigger),
        af_pause: mode(C::AF_PAUSE, controls.af_pause),
        sharpness,
        brightness,
        lens_position,
        ae_enable: ae_enable as u32,
        awb_enable: awb_enable as u32,
        exposure_value,
        exposure_us,
        analogue_gain,
        colour_temperature,
        colour_gain_red: red,
        colour_gain_blue: blue,
        contrast,
        saturation,
        ..out
    }
}

/// What the module wrote, in the shape of the wire. Nothing is judged here: this side is not
/// trusted.
fn reply(out: &abi::FrameOut) -> FrameReply {
    use abi::Actuators as A;
    let abi::FrameOut {
        wanted: w,
        metadata: m,
        ..
    } = out;
    let request = |bit: u32, value: f64| (w.set & bit != 0).then_some(value);
    let found = |value: f64| (value != 0.0).then_some(value);
    FrameReply {
        wanted: Wanted {
            exposure_us: request(A::EXPOSURE, w.exposure_us),
            analogue_gain: request(A::ANALOGUE_GAIN, w.analogue_gain),
            digital_gain: request(A::DIGITAL_GAIN, w.digital_gain),
            lens_position: request(A::LENS_POSITION, w.lens_position),
            frame_duration_us: request(A::FRAME_DURATION, w.frame_duration_us),
        },
        metadata: Metadata {
            ae_state: AlgorithmState::from_raw(m.ae_state),
            awb_state: AlgorithmState::from_raw(m.awb_state),
            af_state: AlgorithmState::from_raw(m.af_state),
            luminance: found(m.luminance),
            colour_temperature: found(m.colour_temperature),
            colour_gains: found(m.colour_gain_red)
                .zip(found(m.colour_gain_blue))
                .map(|(red, blue)| [red, blue]),
            lux: found(m.lux),
        },
    }
}
