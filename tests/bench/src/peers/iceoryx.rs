//! iceoryx2 request-response, 4 KiB both ways: woken by its event service, and spinning.
//!
//! Payloads are loaned, written in full and copied out in full, so that both sides hold private
//! memory at the end, as they do on the frame path.

use std::fs;
use std::hint::spin_loop;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Result, ensure};
use iceoryx2::node::NodeBuilder;
use iceoryx2::port::client::Client;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::server::Server;
use iceoryx2::prelude::{
    Config, LogLevel, Node, SemanticString, ServiceName, SignalHandlingMode, ipc, set_log_level,
};
use iceoryx2::service::port_factory::{event, request_response};

use tempfile::TempDir;

use super::{check, stamp};
use crate::contest::{Contestant, Exchange, Kind, Pair, SMALL};
use crate::launch::{Launch, Seat};

type RequestResponse = request_response::PortFactory<ipc::Service, [u8], (), [u8], ()>;
type Event = event::PortFactory<ipc::Service>;

pub(crate) struct Iceoryx {
    name: &'static str,
    about: &'static str,
    kind: Kind,
}

impl Iceoryx {
    pub(crate) const EVENT: Self = Self {
        name: "iceoryx2-event-4k",
        about: "iceoryx2 request-response and event, 4 KiB",
        kind: Kind::Asleep,
    };
    pub(crate) const SPIN: Self = Self {
        name: "iceoryx2-spin-4k",
        about: "iceoryx2 request-response, spinning, 4 KiB",
        kind: Kind::Awake,
    };
}

/// Services of one pair, in a directory of their own: apart from every other user of iceoryx2 on
/// this machine. Either side may come first.
struct Services {
    frames: RequestResponse,
    question: Event,
    answer: Event,
    _node: Node<ipc::Service>,
}

impl Services {
    fn new(dir: &Path) -> Result<Self> {
        set_log_level(LogLevel::Error);
        let mut config = Config::default();
        let root = iceoryx2::prelude::Path::new(dir.as_os_str().as_bytes())?;
        config.global.set_root_path(&root);
        let node = NodeBuilder::new()
            .config(&config)
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<ipc::Service>()?;
        let named = |name: &str| ServiceName::new(name);
        Ok(Self {
            frames: node
                .service_builder(&named("frames")?)
                .request_response::<[u8], [u8]>()
                .open_or_create()?,
            question: node
                .service_builder(&named("question")?)
                .event()
                .open_or_create()?,
            answer: node
                .service_builder(&named("answer")?)
                .event()
                .open_or_create()?,
            _node: node,
        })
    }
}

/// How this side is woken and wakes the other.
struct Bells {
    mine: Listener<ipc::Service>,
    theirs: Notifier<ipc::Service>,
}

impl Bells {
    fn new(kind: Kind, mine: &Event, theirs: &Event) -> Result<Option<Self>> {
        if kind == Kind::Awake {
            return Ok(None);
        }
        Ok(Some(Self {
            mine: mine.listener_builder().create()?,
            theirs: theirs.notifier_builder().create()?,
        }))
    }
}

fn wait(bells: Option<&Bells>) -> Result<()> {
    match bells {
        Some(bells) => {
            bells.mine.blocking_wait(|_| {})?;
        }
        None => spin_loop(),
    }
    Ok(())
}

fn ring(bells: Option<&Bells>) -> Result<()> {
    if let Some(bells) = bells {
        bells.theirs.notify()?;
    }
    Ok(())
}

struct Pipeline {
    client: Client<ipc::Service, [u8], (), [u8], ()>,
    bells: Option<Bells>,
    _services: Services,
    /// Goes last, with whatever the library left there.
    _dir: TempDir,
    stats: Vec<u8>,
    params: Vec<u8>,
    seq: u64,
}

impl Contestant for Iceoryx {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let dir = tempfile::tempdir()?;
        let fd = fs::File::open(dir.path())?;
        let peer = launch.peer(self, &[fd.as_fd()])?;
        let services = Services::new(dir.path())?;
        let pipeline = Pipeline {
            client: services
                .frames
                .client_builder()
                .initial_max_slice_len(SMALL)
                .create()?,
            bells: Bells::new(self.kind, &services.answer, &services.question)?,
            _services: services,
            _dir: dir,
            stats: vec![2; SMALL],
            params: vec![0; SMALL],
            seq: 0,
        };
        Ok(Pair::new(pipeline, peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let dir = seat.fd()?;
        let name = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()))?;
        let services = Services::new(&name)?;
        let server: Server<ipc::Service, [u8], (), [u8], ()> = services
            .frames
            .server_builder()
            .initial_max_slice_len(SMALL)
            .create()?;
        let bells = Bells::new(self.kind, &services.question, &services.answer)?;
        let (mut stats, mut params) = (vec![0; SMALL], vec![1; SMALL]);
        seat.ready()?;
        let mut answered = 0;
        while answered < seat.trips {
            let Some(request) = server.receive()? else {
                wait(bells.as_ref())?;
                continue;
            };
            stats.copy_from_slice(request.payload());
            params[..8].copy_from_slice(&stats[..8]);
            request
                .loan_slice_uninit(SMALL)?
                .write_from_slice(&params)
                .send()?;
            ring(bells.as_ref())?;
            answered += 1;
        }
        Ok(())
    }
}

impl Exchange for Pipeline {
    fn trip(&mut self) -> Result<()> {
        self.seq += 1;
        stamp(&mut self.stats, self.seq);
        let request = self.client.loan_slice_uninit(SMALL)?;
        let pending = request.write_from_slice(&self.stats).send()?;
        ring(self.bells.as_ref())?;
        let response = loop {
            if let Some(response) = pending.receive()? {
                break response;
            }
            wait(self.bells.as_ref())?;
        };
        ensure!(response.payload().len() == SMALL);
        self.params.copy_from_slice(response.payload());
        check(&self.params, self.seq)
    }
}
