//! A session: one camera, one module, frames.

use std::os::fd::{AsFd, OwnedFd};

use coldshoe_control::Trouble;
use coldshoe_control::client::{
    Body, Close, Configure, Confinement, ModuleInfo, OpenSession, Sensor, Start, Stop,
};
use coldshoe_frame::{
    Applied, Controls, Forward, FrameContext, FrameHeader, FrameKind, FrameReply, Geometry,
    Replies, Status, Wake, monotonic_ns,
};
use coldshoe_isp::{Blocks, FormatTable, soft};

use crate::connection::Connection;
use crate::flight::{Flight, InFlight, Slot};
use crate::outcome::{Answer, Counters, Outcome, WhyHeld};
use crate::{Error, Moment, Open, SubmitError, default_socket};

/// A frame, as the pipeline knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// The pipeline's frame number.
    pub number: u64,
    /// When the sensor exposed it.
    pub sensor_timestamp: Moment,
    /// When the pipeline goes on without an answer.
    pub deadline: Moment,
    /// What the sensor really applied to it.
    pub applied: Applied,
    /// What the application asks for.
    pub controls: Controls,
}

/// A frame that has been submitted.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "wait for the frame, or its slot stays taken until its deadline"]
pub struct Ticket {
    session: u64,
    seq: u64,
}

/// One camera with one module in its jail.
///
/// A session belongs to one thread at a time. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    id: u64,
    module: ModuleInfo,
    confinement: Confinement,
    worker_pid: u32,
    worker_pidfd: OwnedFd,
    geometry: Geometry,
    /// Blocks of the parameter format, where this library knows it.
    format: Option<FormatTable<'static>>,
    forward: Forward,
    replies: Replies,
    flight: Flight,
    started: bool,
    incoming: Vec<u8>,
    last: LastGood,
    counters: Counters,
}

/// What the pipeline goes on with when nothing fresh comes.
#[derive(Debug, Default)]
struct LastGood {
    any: bool,
    frame: u64,
    params: Vec<u8>,
    params_len: usize,
    reply: FrameReply,
}

impl LastGood {
    fn answer(&self) -> Option<Answer<'_>> {
        self.any.then(|| Answer {
            frame: self.frame,
            params: &self.params[..self.params_len],
            wanted: self.reply.wanted,
            metadata: self.reply.metadata,
        })
    }
}

impl Session {
    /// Connects to the daemon and opens a session: the module is loaded in its jail by then.
    pub fn open(open: &Open) -> Result<Self, Error> {
        let geometry = Geometry::new(open.slots, open.stats_capacity, open.params_capacity)?;
        let socket = open.socket.clone().map_or_else(default_socket, Ok)?;
        let mut connection = Connection::open(&socket)?;
        let (forward, forward_fd) = Forward::create(geometry)?;
        let request = OpenSession {
            module: open.module.clone(),
            camera: open.camera.clone(),
            stats_format: open.stats_format.clone(),
            params_format: open.params_format.clone(),
            slots: open.slots,
            stats_capacity: open.stats_capacity,
            params_capacity: open.params_capacity,
            isp_capabilities: open.isp_capabilities,
        };
        let (body, fds) = connection.ask(request.into(), &[&forward_fd])?;
        let Body::SessionOpened(opened) = body else {
            return Err(Error::Unexpected("OpenSession", body.kind()));
        };
        let mut fds = fds.into_iter();
        let (Some(return_fd), Some(worker_pidfd)) = (fds.next(), fds.next()) else {
            return Err(Error::Unexpected("OpenSession", "too few descriptors"));
        };
        Ok(Self {
            connection,
            id: opened.session,
            module: opened.module.unwrap_or_default(),
            confinement: opened.confinement.unwrap_or_default(),
            worker_pid: opened.worker_pid,
            worker_pidfd,
            replies: Replies::map(return_fd.as_fd(), geometry, opened.generation)?,
            forward,
            flight: Flight::new(&geometry),
            format: (open.params_format == soft::FORMAT).then_some(soft::TABLE),
            started: false,
            incoming: vec![0; geometry.params_capacity()],
            last: LastGood {
                params: vec![0; geometry.params_capacity()],
                ..LastGood::default()
            },
            counters: Counters::default(),
            geometry,
        })
    }

    /// Number of the session in the daemon.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the module says of itself.
    pub fn module(&self) -> &ModuleInfo {
        &self.module
    }

    /// How the worker is confined, as the kernel told the daemon.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Process number of the worker, for messages.
    pub fn worker_pid(&self) -> u32 {
        self.worker_pid
    }

    /// A descriptor that becomes readable when the worker ends.
    pub fn worker_pidfd(&self) -> &OwnedFd {
        &self.worker_pidfd
    }

    /// Why the worker has failed, if it has. Never waits.
    pub fn fault(&mut self) -> Option<&Trouble> {
        self.connection.fault()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Tells the module about the sensor's mode. Not while started.
    pub fn configure(&mut self, sensor: &Sensor) -> Result<(), Error> {
        self.order(
            Configure {
                session: self.id,
                sensor: Some(sensor.clone()),
            }
            .into(),
        )
    }

    /// Starts the module: frames may follow.
    pub fn start(&mut self) -> Result<(), Error> {
        self.order(Start { session: self.id }.into())?;
        self.started = true;
        Ok(())
    }

    /// Stops the module. Frames in flight are given up.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.started = false;
        self.counters.missed += self.flight.give_up_all();
        self.order(Stop { session: self.id }.into())
    }

    /// Closes the session and waits until its worker is gone.
    pub fn close(mut self) -> Result<(), Error> {
        self.order(Close { session: self.id }.into())
    }

    fn order(&mut self, order: Body) -> Result<(), Error> {
        let kind = order.kind();
        match self.connection.ask(order, &[])?.0 {
            Body::Done(_) => Ok(()),
            other => Err(Error::Unexpected(kind, other.kind())),
        }
    }

    /// A slot to write statistics into without copying them; submitting it publishes the frame.
    pub fn statistics(&mut self) -> Result<StatisticsGuard<'_>, SubmitError> {
        let seq = self.claim()?;
        self.forward.begin(seq);
        Ok(StatisticsGuard { session: self, seq })
    }

    /// Submits a frame with its statistics, which are copied into the slot.
    pub fn submit(&mut self, frame: &Frame, stats: &[u8]) -> Result<Ticket, SubmitError> {
        let mut slot = self.statistics()?;
        slot.write(0, stats)?;
        Ok(slot.submit(frame, stats.len()))
    }

    /// Asks for parameters before the first frame: there are no statistics yet.
    pub fn prepare(&mut self, frame: &Frame) -> Result<Ticket, SubmitError> {
        let seq = self.claim()?;
        self.forward.begin(seq);
        Ok(self.publish(FrameKind::Prepare, frame, 0))
    }

    fn claim(&mut self) -> Result<u64, SubmitError> {
        if !self.started {
            return Err(SubmitError::NotStarted);
        }
        if self.connection.knows_fault() {
            return Err(SubmitError::Faulted);
        }
        let now = monotonic_ns();
        let Some((seq, held)) = self.flight.claim(now) else {
            return Err(SubmitError::Full(self.geometry.slots()));
        };
        match held {
            Slot::Free => {}
            // Answered after all, some time after its deadline.
            Slot::GivenUp(seq) => self.counters.late += u64::from(self.replies.is_done(seq)),
            // Never waited for: whether the answer came in time nobody knows.
            Slot::Flying(flying) => {
                self.counters.missed += u64::from(!self.replies.is_done(flying.seq));
            }
        }
        Ok(seq)
    }

    fn publish(&mut self, kind: FrameKind, frame: &Frame, stats_len: usize) -> Ticket {
        let header = FrameHeader {
            kind,
            frame: frame.number,
            sensor_timestamp_ns: frame.sensor_timestamp.as_ns(),
            deadline_ns: frame.deadline.as_ns(),
        };
        let context = FrameContext {
            applied: frame.applied,
            controls: frame.controls,
        };
        let InFlight { seq, .. } = self.flight.published(frame.number, frame.deadline.as_ns());
        let generation = self.replies.generation();
        self.forward
            .publish(seq, generation, header, &context, stats_len, &self.replies);
        Ticket {
            session: self.id,
            seq,
        }
    }

    /// Waits for a frame's answer, at most to its deadline.
    pub fn wait(&mut self, ticket: Ticket) -> Outcome<'_> {
        let own = ticket.session == self.id;
        let Some(flying) = own.then(|| self.flight.land(ticket.seq)).flatten() else {
            return self.held(WhyHeld::NotInFlight);
        };
        // A worker that is known to be dead is not waited for.
        let deadline = if self.connection.knows_fault() {
            0
        } else {
            flying.deadline_ns
        };
        match self.replies.wait(flying.seq, deadline, &mut self.forward) {
            Wake::Done => self.accept(flying),
            Wake::Deadline => {
                self.counters.missed += 1;
                self.flight.give_up(flying.seq);
                let faulted = self.connection.fault().is_some();
                self.held(if faulted {
                    WhyHeld::Fault
                } else {
                    WhyHeld::Deadline
                })
            }
        }
    }

    fn accept(&mut self, flying: InFlight) -> Outcome<'_> {
        let reply = match self.replies.take(flying.seq, &mut self.incoming) {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => {
                tracing::warn!(session = self.id, frame = flying.frame, %error, "reply rejected");
                self.counters.rejected += 1;
                return self.held(WhyHeld::Protocol);
            }
            None => return self.held(WhyHeld::Deadline),
        };
        if reply.status == Status::ModuleError {
            self.counters.module_errors += 1;
            return self.held(WhyHeld::ModuleError);
        }
        if reply.params_len > 0 {
            if let Err(error) = check(&self.incoming[..reply.params_len], self.format) {
                tracing::warn!(
                    session = self.id,
                    frame = flying.frame,
                    error,
                    "parameters rejected"
                );
                self.counters.rejected += 1;
                return self.held(WhyHeld::Malformed);
            }
            std::mem::swap(&mut self.incoming, &mut self.last.params);
            self.last.params_len = reply.params_len;
        }
        self.counters.fresh += 1;
        self.counters.refused_requests += u64::from(reply.refused.0);
        self.last.any = true;
        self.last.frame = flying.frame;
        self.last.reply = reply.reply;
        Outcome::Fresh(Answer {
            frame: flying.frame,
            params: &self.last.params[..self.last.params_len],
            wanted: reply.reply.wanted,
            metadata: reply.reply.metadata,
        })
    }

    fn held(&self, why: WhyHeld) -> Outcome<'_> {
        Outcome::Held {
            why,
            last: self.last.answer(),
        }
    }
}

/// Framing of any format; version, types and sizes of a known one.
fn check(params: &[u8], format: Option<FormatTable<'_>>) -> Result<(), String> {
    let blocks = Blocks::parse(params).map_err(|error| error.to_string())?;
    match format {
        Some(table) => table.check(&blocks).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// A slot of the forward segment that the pipeline fills. Dropping it without submitting leaves
/// the slot free.
#[derive(Debug)]
pub struct StatisticsGuard<'a> {
    session: &'a mut Session,
    seq: u64,
}

impl StatisticsGuard<'_> {
    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.session.geometry.stats_capacity()
    }

    /// Writes `bytes` at `offset`, a multiple of 16.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), SubmitError> {
        if !offset.is_multiple_of(16) {
            return Err(SubmitError::Unaligned(offset));
        }
        if self.session.forward.write_stats(self.seq, offset, bytes) {
            return Ok(());
        }
        let (len, capacity) = (offset.saturating_add(bytes.len()), self.capacity());
        Err(SubmitError::TooLarge { len, capacity })
    }

    /// Where the statistics go, for hardware or foreign code that writes them, aligned to 16 and
    /// with room for [`Self::capacity`] bytes. Shared with the worker, which can only read; valid
    /// until the frame is submitted.
    pub fn address(&mut self) -> *mut u8 {
        self.session.forward.stats_address(self.seq)
    }

    /// Publishes the frame with the first `len` bytes of the slot as its statistics; more than
    /// the capacity counts as the capacity.
    pub fn submit(self, frame: &Frame, len: usize) -> Ticket {
        self.session.publish(FrameKind::Process, frame, len)
    }
}
