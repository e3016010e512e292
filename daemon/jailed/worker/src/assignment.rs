//! What the daemon wants of this worker, taken apart.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use coldshoe_control::client;
use coldshoe_control::worker::{self as wire, Body, Failed, Jail, Stage};
use coldshoe_frame::{Geometry, Inbox, Outbox};
use coldshoe_wall::inside::Confinement;
use coldshoe_wall::{Limit, Namespace};

use crate::control::{Control, Order};
use crate::frames::Frames;

/// An assignment, of which nothing has been done yet.
pub(crate) struct Assignment {
    /// To be repeated in the answers.
    pub(crate) serial: u32,
    pub(crate) confinement: Confinement,
    pub(crate) load: Load,
    pub(crate) work: Work<OwnedFd>,
}

/// What to tell the module.
pub(crate) struct Load {
    pub(crate) camera: String,
    pub(crate) stats_format: String,
    pub(crate) params_format: String,
    pub(crate) isp_capabilities: u64,
}

/// The descriptors, and what is needed to make use of them. They are mapped, read and closed on
/// the way into the jail: none is left in the end. `M` is the module, until it is taken.
pub(crate) struct Work<M> {
    forward: OwnedFd,
    replies: OwnedFd,
    module: M,
    tuning: Option<OwnedFd>,
    buffers: Vec<OwnedFd>,
    geometry: Geometry,
    generation: u32,
    predictive: bool,
    save_every: u32,
}

/// What a worker is for.
pub(crate) enum First {
    Assignment(Box<Assignment>),
    /// To become a program of libcamera's: serial, what the daemon says, descriptors.
    Become(u32, Box<wire::Become>, Vec<OwnedFd>),
}

impl First {
    /// Waits for the first order; `None` if the daemon hangs up first.
    pub(crate) fn receive(control: &mut Control) -> Result<Option<Self>, Failed> {
        match control.next()? {
            None => Ok(None),
            Some(Order {
                serial,
                body: Body::Assignment(assignment),
                fds,
            }) => {
                let assignment = Assignment::unpack(serial, assignment, fds)?;
                Ok(Some(Self::Assignment(Box::new(assignment))))
            }
            Some(Order {
                serial,
                body: Body::Become(order),
                fds,
            }) => Ok(Some(Self::Become(serial, Box::new(order), fds))),
            Some(Order { body, .. }) => Err(Failed::new(
                Stage::Protocol,
                "the first order is no assignment",
                &format!("it is {}", body.kind()),
            )),
        }
    }
}

impl Assignment {
    fn unpack(
        serial: u32,
        assignment: wire::Assignment,
        fds: Vec<OwnedFd>,
    ) -> Result<Self, Failed> {
        let wire::Assignment {
            slots,
            stats_capacity,
            params_capacity,
            generation,
            has_tuning,
            save_every,
            ..
        } = assignment;
        let predictive = assignment.wake() == client::Wake::Predictive;
        let geometry =
            Geometry::new(slots, stats_capacity, params_capacity).map_err(bad_segment)?;
        let mut fds = fds.into_iter();
        let (Some(forward), Some(replies), Some(module)) = (fds.next(), fds.next(), fds.next())
        else {
            return Err(bad_segment("a descriptor is missing"));
        };
        Ok(Self {
            serial,
            confinement: confinement(assignment.jail.unwrap_or_default())?,
            load: Load {
                camera: assignment.camera,
                stats_format: assignment.stats_format,
                params_format: assignment.params_format,
                isp_capabilities: assignment.isp_capabilities,
            },
            work: Work {
                forward,
                replies,
                module,
                tuning: has_tuning.then(|| fds.next()).flatten(),
                buffers: fds.collect(),
                geometry,
                generation,
                predictive,
                save_every,
            },
        })
    }
}

impl Work<OwnedFd> {
    /// Every descriptor.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let always = [&self.forward, &self.replies, &self.module];
        always
            .into_iter()
            .chain(&self.tuning)
            .chain(&self.buffers)
            .map(AsFd::as_fd)
            .collect()
    }

    pub(crate) fn take_module(self) -> (OwnedFd, Work<()>) {
        let rest = Work {
            forward: self.forward,
            replies: self.replies,
            module: (),
            tuning: self.tuning,
            buffers: self.buffers,
            geometry: self.geometry,
            generation: self.generation,
            predictive: self.predictive,
            save_every: self.save_every,
        };
        (self.module, rest)
    }
}

impl Work<()> {
    /// Maps the segments, reads the tuning data, and closes the descriptors of both.
    pub(crate) fn open(self, bell: OwnedFd) -> Result<(Frames, Option<Vec<u8>>), Failed> {
        let Self {
            geometry,
            generation,
            predictive,
            save_every,
            ..
        } = self;
        let mut inbox = Inbox::map(self.forward.as_fd(), geometry).map_err(bad_segment)?;
        for buffer in &self.buffers {
            inbox.register(buffer.as_fd()).map_err(bad_segment)?;
        }
        let outbox =
            Outbox::map(self.replies.as_fd(), geometry, generation, bell).map_err(bad_segment)?;
        let tuning = self.tuning.map(read_all).transpose().map_err(|error| {
            let what = "the tuning data cannot be read";
            Failed::new(Stage::Load, what, &error.to_string())
        })?;
        let frames = Frames::new(inbox, outbox, geometry, generation, predictive, save_every);
        Ok((frames, tuning))
    }
}

fn bad_segment(why: impl std::fmt::Display) -> Failed {
    let what = "the shared memory cannot be used";
    Failed::new(Stage::Segment, what, &why.to_string())
}

/// The daemon passes a sealed memfd that it has bounded. Other workers of the session have it, too,
/// and share its file offset.
fn read_all(fd: OwnedFd) -> std::io::Result<Vec<u8>> {
    let (file, mut bytes, mut piece) = (File::from(fd), Vec::new(), [0; 4096]);
    loop {
        let read = file.read_at(&mut piece, bytes.len() as u64)?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&piece[..read]);
    }
}

pub(crate) fn confinement(jail: Jail) -> Result<Confinement, Failed> {
    let unknown = |why: String| {
        let what = "the worker could not confine itself";
        Failed::new(Stage::Confine, what, &why)
    };
    let limit = |limit: &client::Limit| {
        Limit::from_name(&limit.name)
            .map(|known| (known, limit.value))
            .ok_or_else(|| unknown(format!("{:?} is no resource limit", limit.name)))
    };
    let namespace = |kind: &i32| {
        namespace(*kind).ok_or_else(|| unknown(format!("{kind} is no kind of namespace")))
    };
    Ok(Confinement {
        namespaces: jail
            .namespaces
            .iter()
            .map(namespace)
            .collect::<Result<_, _>>()?,
        readable: jail.readable.into_iter().map(PathBuf::from).collect(),
        limits: jail.limits.iter().map(limit).collect::<Result<_, _>>()?,
        landlock_abi: jail.landlock_abi,
        mdwe: jail.mdwe,
        preload: jail.preload,
        interpreter: None,
        gate: jail.gate,
    })
}

fn namespace(kind: i32) -> Option<Namespace> {
    Some(match wire::Namespace::try_from(kind).ok()? {
        wire::Namespace::User => Namespace::User,
        wire::Namespace::Pid => Namespace::Pid,
        wire::Namespace::Net => Namespace::Net,
        wire::Namespace::Ipc => Namespace::Ipc,
        wire::Namespace::Uts => Namespace::Uts,
        wire::Namespace::Mount => Namespace::Mount,
        wire::Namespace::Unspecified => return None,
    })
}
