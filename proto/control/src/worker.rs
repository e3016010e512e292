//! Messages between the daemon and a worker.

pub use crate::wire::coldshoe::worker::v1::envelope::Body;
pub use crate::wire::coldshoe::worker::v1::*;

use crate::check::{self, Check, Invalid, MAX_BUFFERS, MAX_CAPACITY};
use crate::codec::Message;
use crate::text::clean;

/// Size of a struct `sock_filter`, in bytes.
const INSTRUCTION: usize = 8;
/// Most instructions in a seccomp program: `BPF_MAXINSNS` of the kernel.
const MAX_INSTRUCTIONS: usize = 4096;
/// Largest state of a module, in bytes.
const MAX_STATE: usize = 32 << 10;
/// Most readable paths in a [`Jail`].
const MAX_READABLE: usize = 256;
/// Most libraries to load before the module.
const MAX_PRELOAD: usize = 16;
/// Most namespaces: the kernel has eight kinds.
const MAX_NAMESPACES: usize = 8;

impl Envelope {
    /// Wraps a message and declares the descriptors that it requires.
    #[must_use]
    pub fn new(serial: u32, body: impl Into<Body>) -> Self {
        let body = body.into();
        Self {
            serial,
            fds: body.fds(),
            body: Some(body),
        }
    }
}

impl Body {
    /// Number of descriptors that must travel with this message.
    #[must_use]
    pub fn fds(&self) -> u32 {
        match self {
            Self::Assignment(Assignment {
                has_tuning,
                buffers,
                ..
            }) => buffers.saturating_add(3 + u32::from(*has_tuning)),
            Self::Become(_) => 2,
            Self::Divided(_) | Self::Entered(_) | Self::Gated(_) => 1,
            Self::Proceed(_)
            | Self::Configure(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Save(_)
            | Self::Loaded(_)
            | Self::Failed(_)
            | Self::Done(_) => 0,
        }
    }

    /// Name of the message, as the protocol file has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Assignment(_) => "Assignment",
            Self::Divided(_) => "Divided",
            Self::Entered(_) => "Entered",
            Self::Proceed(_) => "Proceed",
            Self::Gated(_) => "Gated",
            Self::Save(_) => "Save",
            Self::Become(_) => "Become",
            Self::Configure(_) => "Configure",
            Self::Start(_) => "Start",
            Self::Stop(_) => "Stop",
            Self::Loaded(_) => "Loaded",
            Self::Failed(_) => "Failed",
            Self::Done(_) => "Done",
        }
    }

    fn validate(&self) -> Check {
        match self {
            Self::Assignment(m) => m.validate(),
            Self::Become(m) => m.validate(),
            Self::Configure(m) => check::present("sensor", m.sensor.as_ref())?.validate(),
            Self::Loaded(m) => m.validate(),
            Self::Failed(m) => m.validate(),
            Self::Divided(_)
            | Self::Entered(_)
            | Self::Proceed(_)
            | Self::Gated(_)
            | Self::Stop(_)
            | Self::Save(_) => Ok(()),
            Self::Start(Start { state }) => match state {
                Some(state) => check::at_most("state", state, MAX_STATE),
                None => Ok(()),
            },
            Self::Done(Done { not_restored }) => check::text("not_restored", not_restored),
        }
    }
}

impl Message for Envelope {
    fn serial(&self) -> u32 {
        self.serial
    }

    fn declared_fds(&self) -> u32 {
        self.fds
    }

    fn required_fds(&self) -> Option<u32> {
        self.body.as_ref().map(Body::fds)
    }

    fn kind(&self) -> &'static str {
        self.body.as_ref().map_or("empty envelope", Body::kind)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.body.as_ref().map_or(Ok(()), Body::validate)
    }
}

macro_rules! into_body {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Body {
            fn from(message: $kind) -> Self {
                Self::$kind(message)
            }
        }
    )*};
}
into_body!(
    Assignment, Become, Divided, Entered, Proceed, Gated, Configure, Start, Stop, Save, Loaded,
    Failed, Done
);

impl Assignment {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::not_zero("generation", self.generation)?;
        check::name("module_name", &self.module_name)?;
        check::name("camera", &self.camera)?;
        check::name("stats_format", &self.stats_format)?;
        check::name("params_format", &self.params_format)?;
        check::slots(self.slots)?;
        check::within("stats_capacity", self.stats_capacity, 1, MAX_CAPACITY)?;
        check::within("params_capacity", self.params_capacity, 1, MAX_CAPACITY)?;
        check::within("buffers", self.buffers, 0, MAX_BUFFERS)?;
        check::wake(self.wake)?;
        check::present("jail", self.jail.as_ref())?.validate()
    }
}

impl Become {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::name("module_name", &self.module_name)?;
        check::path("interpreter", &self.interpreter)?;
        check::present("jail", self.jail.as_ref())?.validate()
    }
}

impl Jail {
    fn validate(&self) -> Check {
        program("jail.gate", &self.gate)?;
        check::at_most("jail.readable", &self.readable, MAX_READABLE)?;
        self.readable
            .iter()
            .try_for_each(|path| check::path("jail.readable", path))?;
        check::at_most("jail.namespaces", &self.namespaces, MAX_NAMESPACES)?;
        for kind in &self.namespaces {
            if matches!(
                Namespace::try_from(*kind),
                Ok(Namespace::Unspecified) | Err(_)
            ) {
                let problem = format!("names kind {kind}, which is not known");
                return Err(Invalid::new("jail.namespaces", problem));
            }
        }
        check::not_zero("jail.landlock_abi", self.landlock_abi)?;
        check::at_most("jail.preload", &self.preload, MAX_PRELOAD)?;
        self.preload.iter().try_for_each(|name| soname(name))?;
        check::limits(&self.limits)
    }
}

fn program(field: &'static str, program: &[u8]) -> Check {
    let whole = program.len().is_multiple_of(INSTRUCTION);
    if !whole || program.is_empty() || program.len() > MAX_INSTRUCTIONS * INSTRUCTION {
        let problem = format!(
            "holds {} bytes, a program has 1 to {MAX_INSTRUCTIONS} instructions of {INSTRUCTION}",
            program.len()
        );
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

/// The name of a library, which the loader looks for where libraries are: never a path.
fn soname(name: &str) -> Check {
    check::name("jail.preload", name)?;
    if name.contains('/') {
        return Err(Invalid::new("jail.preload", "holds a path, not a soname"));
    }
    Ok(())
}

impl Loaded {
    fn validate(&self) -> Check {
        check::name("name", &self.name)?;
        check::label("version", &self.version)?;
        check::label("license", &self.license)
    }
}

impl Failed {
    /// A failure whose texts are made fit to travel, see [`clean`].
    #[must_use]
    pub fn new(stage: Stage, what: &str, why: &str) -> Self {
        Self {
            stage: stage.into(),
            what: clean(what),
            why: clean(why),
        }
    }

    fn validate(&self) -> Check {
        check::not_empty("what", &self.what)?;
        check::text("what", &self.what)?;
        check::text("why", &self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Limit, Wake};

    /// The field that must be refused, and the change that makes it bad.
    type Case<M> = (&'static str, fn(&mut M));

    fn assignment() -> Assignment {
        Assignment {
            session: 1,
            generation: 1,
            module_name: "open".into(),
            camera: "virtual".into(),
            stats_format: "coldshoe-bayer".into(),
            params_format: "coldshoe-soft".into(),
            slots: 4,
            stats_capacity: 65_536,
            params_capacity: 4096,
            isp_capabilities: 0b11111,
            jail: Some(Jail {
                gate: vec![0; 8 * 376],
                readable: vec!["/usr/lib".into()],
                namespaces: vec![Namespace::User.into(), Namespace::Mount.into()],
                landlock_abi: 7,
                mdwe: true,
                preload: vec!["libgcc_s.so.1".into()],
                limits: vec![Limit {
                    name: "nofile".into(),
                    value: 64,
                }],
            }),
            has_tuning: false,
            buffers: 0,
            wake: Wake::Sleep.into(),
            save_every: 4,
        }
    }

    fn jail(assignment: &mut Assignment) -> &mut Jail {
        assignment.jail.as_mut().expect("it has one")
    }

    #[test]
    fn an_assignment_that_cannot_be_is_refused_by_its_field() {
        let cases: &[Case<Assignment>] = &[
            ("session", |a| a.session = 0),
            ("generation", |a| a.generation = 0),
            ("module_name", |a| a.module_name.clear()),
            ("camera", |a| a.camera.clear()),
            ("stats_format", |a| a.stats_format.clear()),
            ("params_format", |a| a.params_format.clear()),
            ("slots", |a| a.slots = 6),
            ("stats_capacity", |a| a.stats_capacity = 0),
            ("params_capacity", |a| a.params_capacity = MAX_CAPACITY + 1),
            ("buffers", |a| a.buffers = MAX_BUFFERS + 1),
            ("wake", |a| a.wake = 0),
            ("jail", |a| a.jail = None),
            ("jail.gate", |a| jail(a).gate = vec![0; 12]),
            ("jail.gate", |a| jail(a).gate.clear()),
            ("jail.gate", |a| jail(a).gate = vec![0; 8 * 4097]),
            ("jail.namespaces", |a| jail(a).namespaces = vec![0]),
            ("jail.namespaces", |a| jail(a).namespaces = vec![99]),
            ("jail.namespaces", |a| jail(a).namespaces = vec![1; 9]),
            ("jail.landlock_abi", |a| jail(a).landlock_abi = 0),
            ("jail.preload", |a| {
                jail(a).preload = vec!["/tmp/x.so".into()]
            }),
            ("jail.preload", |a| {
                jail(a).preload = vec!["x.so".into(); 17]
            }),
            ("jail.readable", |a| jail(a).readable = vec!["lib".into()]),
            ("jail.readable", |a| {
                jail(a).readable = vec!["/".into(); 257]
            }),
            ("limits.name", |a| jail(a).limits = vec![Limit::default()]),
        ];
        assert_eq!(assignment().validate(), Ok(()));
        for (field, change) in cases {
            let mut changed = assignment();
            change(&mut changed);
            let refusal = changed.validate().expect_err(field);
            assert_eq!(refusal.field, *field);
        }
    }

    #[test]
    fn tuning_and_each_buffer_take_a_descriptor_more() {
        let with = |has_tuning, buffers| {
            let assignment = Assignment {
                has_tuning,
                buffers,
                ..assignment()
            };
            Envelope::new(1, assignment).fds
        };
        assert_eq!((with(false, 0), with(true, 0), with(true, 2)), (3, 4, 6));
    }

    #[test]
    fn a_module_cannot_put_escape_sequences_into_its_name() {
        let loaded = Loaded {
            name: "\x1b]0;owned\x07".into(),
            ..Default::default()
        };
        assert_eq!(loaded.validate().unwrap_err().field, "name");
    }

    #[test]
    fn a_failure_always_fits_the_wire() {
        let failed = Failed::new(Stage::Load, "dlopen\nfailed", &"x".repeat(100_000));
        assert_eq!(failed.stage(), Stage::Load);
        assert_eq!(failed.what, "dlopen failed");
        assert_eq!(failed.validate(), Ok(()));
    }
}
