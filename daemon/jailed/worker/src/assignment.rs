//! What the daemon wants of this worker, taken apart.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use coldshoe_control::client;
use coldshoe_control::worker::{self as wire, Body, Failed, Jail, Stage};
use coldshoe_frame::{Geometry, Inbox, Outbox};
use coldshoe_wall::Limit;
use coldshoe_wall::inside::Confinement;

use crate::control::{Control, Order};
use crate::frames::Frames;

/// Everything that needs a descriptor is mapped or read by the time this exists: no descriptor
/// but the standard ones and the control socket is left.
pub(crate) struct Assignment {
    /// To be repeated in the answer.
    pub(crate) serial: u32,
    pub(crate) confinement: Confinement,
    pub(crate) load: Load,
    pub(crate) frames: Frames,
}

/// What to load, and what to tell it.
pub(crate) struct Load {
    pub(crate) module: PathBuf,
    pub(crate) camera: String,
    pub(crate) stats_format: String,
    pub(crate) params_format: String,
    pub(crate) isp_capabilities: u64,
    pub(crate) tuning: Option<Vec<u8>>,
}

impl Assignment {
    /// Waits for the assignment; `None` if the daemon hangs up first.
    pub(crate) fn receive(control: &mut Control) -> Result<Option<Self>, Failed> {
        match control.next()? {
            None => Ok(None),
            Some(Order {
                serial,
                body: Body::Assignment(assignment),
                fds,
            }) => Self::unpack(serial, assignment, fds).map(Some),
            Some(Order { body, .. }) => Err(Failed::new(
                Stage::Protocol,
                "the first order is no assignment",
                &format!("it is {}", body.kind()),
            )),
        }
    }

    fn unpack(
        serial: u32,
        assignment: wire::Assignment,
        fds: Vec<OwnedFd>,
    ) -> Result<Self, Failed> {
        let segment = |why: &dyn std::fmt::Display| {
            Failed::new(
                Stage::Segment,
                "the shared memory cannot be used",
                &why.to_string(),
            )
        };
        let wire::Assignment {
            slots,
            stats_capacity,
            params_capacity,
            generation,
            ..
        } = assignment;
        let geometry = Geometry::new(slots, stats_capacity, params_capacity)
            .map_err(|error| segment(&error))?;
        let mut fds = fds.into_iter();
        let (Some(forward), Some(replies)) = (fds.next(), fds.next()) else {
            return Err(segment(&"a descriptor is missing"));
        };
        let inbox = Inbox::map(forward.as_fd(), geometry).map_err(|error| segment(&error))?;
        let outbox =
            Outbox::map(replies.as_fd(), geometry, generation).map_err(|error| segment(&error))?;
        let tuning = fds.next().map(read_all).transpose().map_err(|error| {
            Failed::new(
                Stage::Load,
                "the tuning data cannot be read",
                &error.to_string(),
            )
        })?;
        Ok(Self {
            serial,
            confinement: confinement(assignment.jail.unwrap_or_default())?,
            load: Load {
                module: assignment.module_path.into(),
                camera: assignment.camera,
                stats_format: assignment.stats_format,
                params_format: assignment.params_format,
                isp_capabilities: assignment.isp_capabilities,
                tuning,
            },
            frames: Frames::new(inbox, outbox, geometry, generation),
        })
    }
}

/// The daemon passes a sealed memfd that it has bounded.
fn read_all(fd: OwnedFd) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn confinement(jail: Jail) -> Result<Confinement, Failed> {
    let limit = |limit: client::Limit| {
        Limit::from_name(&limit.name)
            .map(|known| (known, limit.value))
            .ok_or_else(|| {
                let why = format!("{:?} is no resource limit", limit.name);
                Failed::new(Stage::Confine, "the worker could not confine itself", &why)
            })
    };
    Ok(Confinement {
        filters: jail.filters,
        readable: jail.readable.into_iter().map(PathBuf::from).collect(),
        limits: jail
            .limits
            .into_iter()
            .map(limit)
            .collect::<Result<_, _>>()?,
    })
}
