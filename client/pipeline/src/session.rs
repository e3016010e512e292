//! A session: one camera, one module.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use coldshoe_contract::{Contract, Tally};
use coldshoe_control::client::{
    Body, Close, Configure, Confinement, ErrorCode, ModuleInfo, OpenSession, Sensor, Start, Stop,
    Wake,
};
use coldshoe_control::{RecvError, SendError, Trouble};
use coldshoe_frame::{Buffer, Forward, Geometry, Replies, monotonic_ns};

use crate::connection::Connection;
use crate::fault::Fault;
use crate::flight::Flight;
use crate::guard::{self, Guard};
use crate::ladder::Ladder;
use crate::last::LastGood;
use crate::link::Link;
use crate::outcome::Counters;
use crate::patience::Patience;
use crate::steering::Steering;
use crate::takeover::Duty;
use crate::watch::Watch;
use crate::{Answer, Error, Open, default_socket};

/// For an order, while the daemon is looked for.
const PATIENCE_NS: u64 = 10_000_000_000;
/// Tickets of one session are nothing to another.
static KEYS: AtomicU64 = AtomicU64::new(1);

/// One camera with one module in its jail.
///
/// A session belongs to one thread at a time. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    pub(crate) link: Link,
    /// Where the daemon is.
    pub(crate) socket: PathBuf,
    /// What tickets name the session by.
    pub(crate) key: u64,
    pub(crate) id: u64,
    pub(crate) token: Vec<u8>,
    /// What it was opened with, and is resumed with.
    pub(crate) request: OpenSession,
    pub(crate) sensor: Option<Sensor>,
    pub(crate) module: ModuleInfo,
    pub(crate) confinement: Confinement,
    pub(crate) duty: Duty,
    pub(crate) ladder: Ladder,
    pub(crate) fault: Option<Fault>,
    pub(crate) steering: Steering,
    /// What is wrong with the daemon.
    pub(crate) daemon_trouble: Option<Trouble>,
    pub(crate) generation: u32,
    pub(crate) worker_pid: u32,
    pub(crate) worker_pidfd: OwnedFd,
    pub(crate) bell: OwnedFd,
    pub(crate) watch: Option<Watch>,
    /// With a worker that is awake when a frame comes it is worth while to be awake for the answer.
    pub(crate) patience: Option<Patience>,
    pub(crate) geometry: Geometry,
    pub(crate) guard: Guard,
    pub(crate) forward: Forward,
    pub(crate) forward_fd: OwnedFd,
    pub(crate) return_fd: OwnedFd,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) replies: Replies,
    pub(crate) flight: Flight,
    /// Put into its slot, and not published yet.
    pub(crate) unrung: Option<u64>,
    pub(crate) started: bool,
    pub(crate) incoming: Vec<u8>,
    pub(crate) last: LastGood,
    pub(crate) counters: Counters,
    /// From submitting a frame to its outcome.
    pub(crate) longest_ns: u64,
}

impl Session {
    /// Connects to the daemon and opens a session: the module is loaded in its jail by then.
    pub fn open(open: &Open) -> Result<Self, Error> {
        Self::open_with(open, Vec::new())
    }

    /// Opens a session with buffers of its own for statistics, at most 16, which frames name by
    /// their place here. They are sealed: nobody gets to write to them any more who does not
    /// already.
    pub fn open_with(open: &Open, mut buffers: Vec<Buffer>) -> Result<Self, Error> {
        Self::open_taking(open, &mut buffers)
    }

    /// The same, but the buffers are taken out of `buffers` only if the session opens. They are
    /// sealed all the same, and can be given to another one.
    pub fn open_taking(open: &Open, buffers: &mut Vec<Buffer>) -> Result<Self, Error> {
        let geometry = Geometry::new(open.slots, open.stats_capacity, open.params_capacity)?;
        let contract = Contract::of(&open.params_format, open.contract.as_deref())?;
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
            buffers: u32::try_from(buffers.len()).unwrap_or(u32::MAX),
            standby: open.standby,
            resume: None,
        };
        for buffer in buffers.iter() {
            buffer.seal()?;
        }
        let fds: Vec<_> = [forward_fd.as_fd()]
            .into_iter()
            .chain(buffers.iter().map(AsFd::as_fd))
            .collect();
        let (body, fds) = connection.ask(request.clone().into(), &fds)?;
        let Body::SessionOpened(opened) = body else {
            return Err(Error::Unexpected("OpenSession", body.kind()));
        };
        let Ok([return_fd, worker_pidfd, bell]) = <[OwnedFd; 3]>::try_from(fds) else {
            return Err(Error::Unexpected("OpenSession", "too few descriptors"));
        };
        let predictive = opened.wake() == Wake::Predictive;
        Ok(Self {
            link: Link::Up(connection),
            socket,
            key: KEYS.fetch_add(1, Ordering::Relaxed),
            request,
            sensor: None,
            duty: Duty::Working,
            ladder: Ladder::new(monotonic_ns()),
            fault: None,
            steering: Steering::default(),
            daemon_trouble: None,
            generation: opened.generation,
            token: opened.token,
            id: opened.session,
            module: opened.module.unwrap_or_default(),
            confinement: opened.confinement.unwrap_or_default(),
            worker_pid: opened.worker_pid,
            worker_pidfd,
            bell,
            watch: None,
            patience: predictive.then(Patience::default),
            replies: Replies::map(return_fd.as_fd(), geometry, opened.generation)?,
            return_fd,
            forward,
            forward_fd,
            buffers: std::mem::take(buffers),
            flight: Flight::new(&geometry),
            unrung: None,
            guard: Guard::new(contract, open.isp_capabilities, geometry.params_capacity()),
            started: false,
            incoming: vec![0; geometry.params_capacity()],
            last: LastGood::new(geometry.params_capacity()),
            counters: Counters::default(),
            longest_ns: 0,
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

    /// Whether the worker has a processor of its own and is awake when a frame is due. Waiting for
    /// an answer then stays awake, too, for as long as answers usually take.
    pub fn is_predictive(&self) -> bool {
        self.patience.is_some()
    }

    /// Process number of the worker, for messages.
    pub fn worker_pid(&self) -> u32 {
        self.worker_pid
    }

    /// A descriptor that becomes readable when the worker ends.
    pub fn worker_pidfd(&self) -> &OwnedFd {
        &self.worker_pidfd
    }

    /// The return segment, into which the worker writes. For diagnosis: its memory may change at any
    /// time, and nothing in it may be believed.
    pub fn return_segment(&self) -> BorrowedFd<'_> {
        self.return_fd.as_fd()
    }

    /// The last fault of a worker of this session, whether another one has taken over by now or not.
    /// Never waits. In an event loop it also takes note of what made [`poll_fd`](Self::poll_fd)
    /// readable: try the frames in flight afterwards.
    pub fn fault(&mut self) -> Option<&Fault> {
        // Once to find out what there is to tell, once to be quiet about it. What fails here fails
        // when a ticket is tried, too, and shows there.
        if self.watch.is_some() {
            let _ = self.listen();
            self.flight.heard();
            let _ = self.listen();
        }
        self.attend();
        self.fault.as_ref()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What the module's parameters may say.
    pub fn contract(&self) -> &Contract {
        self.guard.contract()
    }

    /// Blocks that were refused so far, by type and reason.
    pub fn refusals(&self) -> &Tally {
        self.guard.tally()
    }

    /// The last good answer, if there has been one.
    pub fn last(&self) -> Option<Answer<'_>> {
        self.last.answer()
    }

    /// Tells the module about the sensor's mode. Not while started. What was answered for another
    /// mode is forgotten.
    pub fn configure(&mut self, sensor: &Sensor) -> Result<(), Error> {
        let limits = guard::limits(sensor)?;
        self.last.forget();
        let sensor = Some(sensor.clone());
        let order = |session| Configure {
            session,
            sensor: sensor.clone(),
        };
        self.order(&order)?;
        self.guard.configure(limits);
        self.sensor = sensor;
        Ok(())
    }

    /// Starts the module: frames may follow.
    pub fn start(&mut self) -> Result<(), Error> {
        self.order(&|session| Start { session })?;
        self.started = true;
        // What is asked for by others came before the answer.
        self.attend();
        self.guard.start();
        self.ladder.begin(monotonic_ns());
        Ok(())
    }

    /// Stops the module. Frames in flight are given up.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.started = false;
        // What was queued belongs to before the stop.
        self.ring();
        self.counters.missed += self.flight.give_up_all();
        self.order(&|session| Stop { session })
    }

    /// Closes the session and waits until its worker is gone.
    pub fn close(mut self) -> Result<(), Error> {
        self.attend();
        let close = Close { session: self.id };
        let Some(connection) = self.link.up() else {
            // Nobody is there who would not clean up.
            return Ok(());
        };
        match connection.ask(close.into(), &[])?.0 {
            Body::Done(_) => Ok(()),
            other => Err(Error::Unexpected("Close", other.kind())),
        }
    }

    /// Gives an order. If the daemon ends meanwhile, the one that takes the session up gets it.
    fn order<B: Into<Body>>(&mut self, order: &dyn Fn(u64) -> B) -> Result<(), Error> {
        let deadline = monotonic_ns().saturating_add(PATIENCE_NS);
        loop {
            self.attend();
            while !self.link.is_up() {
                if monotonic_ns() >= deadline {
                    // A daemon that is there and refuses has more to say than one that is gone.
                    let trouble = self.daemon_trouble.clone();
                    let told = trouble.filter(|told| told.code != ErrorCode::Internal);
                    return Err(told.map_or(Error::Recv(RecvError::Closed), Error::Refused));
                }
                self.await_news(deadline);
            }
            let order: Body = order(self.id).into();
            let kind = order.kind();
            let Some(connection) = self.link.up() else {
                continue;
            };
            match connection.ask(order, &[]) {
                Ok((Body::Done(_), _)) => return Ok(()),
                Ok((other, _)) => return Err(Error::Unexpected(kind, other.kind())),
                Err(Error::Recv(RecvError::Closed) | Error::Send(SendError::Closed)) => {
                    self.daemon_gone(&RecvError::Closed);
                }
                Err(error) => return Err(error),
            }
        }
    }

    // The socket in the watch follows that of the link.

    pub(crate) fn forget_socket(&mut self) {
        if let (Some(watch), Some(socket)) = (&mut self.watch, self.link.socket()) {
            watch.remove_daemon(socket);
        }
    }

    pub(crate) fn watch_socket(&mut self) {
        if let (Some(watch), Some(socket)) = (&mut self.watch, self.link.socket()) {
            // What cannot be watched is looked at when a ticket is tried.
            let _ = watch.add_daemon(socket);
        }
    }
}
