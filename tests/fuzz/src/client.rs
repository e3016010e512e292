//! A daemon and a worker into the client library: a whole session, whose peers say and write what
//! the script wants.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use coldshoe::{Applied, Controls, Error, Frame, Moment, Open, Outcome, Session};
use coldshoe_control::client::{Body, Envelope};
use coldshoe_frame::Geometry;
use coldshoe_isp::{Blocks, soft};
use prost::Message;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen,
    recv, socket_with,
};

use crate::input::Input;
use crate::segment::Segment;
use crate::wire::{Datagram, Fds, send, wait};

/// Most datagrams in answer to one request.
const MOST_ANSWERS: u8 = 4;
/// Requests that are answered: Hello, OpenSession, Configure, Start.
const REQUESTS: usize = 4;
const GENERATION: u32 = 1;

/// What the daemon of one session answers, request by request.
struct Script {
    answers: Vec<Vec<(u8, Vec<u8>)>>,
    segment: Arc<Segment>,
}

struct Daemon {
    open: Open,
    scripts: SyncSender<Script>,
}

/// For each of the first requests a byte that says how many datagrams it is answered with, and
/// those; then frames: what the client does and what the worker writes, in any order.
pub(crate) fn run(bytes: &[u8]) {
    static DAEMON: OnceLock<Mutex<Daemon>> = OnceLock::new();
    let daemon = DAEMON.get_or_init(|| Mutex::new(start()));
    // One session at a time; what failed in another one has been told.
    let daemon = daemon.lock().unwrap_or_else(|poison| poison.into_inner());
    let mut script = Input(bytes);
    let answers = (0..REQUESTS).map(|_| answers(&mut script)).collect();
    let segment = Arc::new(Segment::new(geometry(&daemon.open)));
    let of_daemon = Script {
        answers,
        segment: Arc::clone(&segment),
    };
    daemon.scripts.send(of_daemon).expect("the daemon's thread");
    match session(&daemon.open) {
        Ok(mut session) => frames(&mut session, &segment, &mut script),
        Err(Error::Late(..)) => panic!("the daemon hung up, and was waited for"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn answers(script: &mut Input<'_>) -> Vec<(u8, Vec<u8>)> {
    let number = script.u8() % (MOST_ANSWERS + 1);
    let datagrams = (0..number).map(|_| Datagram::next(script));
    datagrams.map(|d| (d.fds, d.bytes.to_vec())).collect()
}

fn session(open: &Open) -> Result<Session, Error> {
    let mut session = Session::open(open)?;
    session.configure(&coldshoe::Sensor {
        model: "virtual".into(),
        width: 640,
        height: 480,
        bayer_order: coldshoe::BayerOrder::Rggb.into(),
        bit_depth: 10,
        line_length_us: 20.0,
        min_exposure_us: 20.0,
        max_exposure_us: 30_000.0,
        min_analogue_gain: 1.0,
        max_analogue_gain: 16.0,
        max_digital_gain: 4.0,
        black_level: 0.0625,
        exposure_delay: 2,
        gain_delay: 1,
        min_frame_duration_us: 10_000.0,
        max_frame_duration_us: 33_333.0,
        min_lens_position: 0.0,
        max_lens_position: 0.0,
        exposure_margin_lines: 0,
    })?;
    session.start()?;
    Ok(session)
}

/// No deadline is ahead, so that nothing waits.
fn frames(session: &mut Session, segment: &Segment, script: &mut Input<'_>) {
    let (mut tickets, mut seq) = (Vec::new(), 0);
    while !script.is_empty() {
        let verb = script.u8();
        match verb % 7 {
            0 => segment.scribble(script),
            1 => {
                let back = u64::from(verb >> 6);
                segment.answer(script, GENERATION, seq - back.min(seq));
            }
            2 => {
                if let Ok(ticket) = session.submit(&frame(seq), script.bytes(16)) {
                    tickets.push(ticket);
                    seq += 1;
                }
            }
            3 => {
                if let Ok(ticket) = session.prepare(&frame(seq)) {
                    tickets.push(ticket);
                    seq += 1;
                }
            }
            4 => {
                let at = usize::from(verb >> 5);
                if at < tickets.len() {
                    judge(&session.wait(tickets.swap_remove(at)));
                }
            }
            5 => {
                // Its deadline is over: an event loop never gets the ticket back.
                if let Some(ticket) = tickets.pop() {
                    judge(&session.try_wait(ticket).expect("an outcome"));
                }
            }
            _ => {
                if let Ok(slot) = session.statistics() {
                    tickets.push(slot.queue(&frame(seq), usize::from(verb)));
                    seq += 1;
                }
            }
        }
    }
    let _ = session.fault();
}

/// What a pipeline may rely on.
fn judge(outcome: &Outcome<'_>) {
    let Some(answer) = outcome.answer() else {
        return assert!(!outcome.is_fresh());
    };
    if !answer.params.is_empty() {
        let blocks = Blocks::parse(answer.params).expect("framing was checked");
        soft::TABLE.check(&blocks).expect("so were the blocks");
    }
    let wanted = answer.wanted;
    for value in [
        wanted.exposure_us,
        wanted.analogue_gain,
        wanted.digital_gain,
    ] {
        assert!(value.is_none_or(|value| value.is_finite() && value >= 0.0));
    }
}

fn frame(number: u64) -> Frame {
    Frame {
        number,
        sensor_timestamp: Moment::from_ns(1),
        deadline: Moment::from_ns(1),
        applied: Applied {
            exposure_us: 5000.0,
            analogue_gain: 2.0,
            digital_gain: 1.0,
            black_level: 0.0625,
            lens_position: None,
        },
        controls: Controls::default(),
    }
}

fn geometry(open: &Open) -> Geometry {
    Geometry::new(open.slots, open.stats_capacity, open.params_capacity).expect("within bounds")
}

/// Starts a daemon that plays one script a connection; it ends with this process.
fn start() -> Daemon {
    let dir = tempfile::Builder::new().prefix("coldshoe-fuzz-").tempdir();
    let dir = dir.expect("a temporary directory");
    let path = dir.path().join("control.sock");
    let address = SocketAddrUnix::new(&path).expect("a short path");
    let flags = SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let listener = listener.expect("a socket");
    bind(&listener, &address).expect("in our own directory");
    listen(&listener, 4).expect("bound");
    let open = Open {
        socket: Some(path),
        module: "good".into(),
        camera: "virtual".into(),
        stats_format: coldshoe_isp::STATS_FORMAT.into(),
        params_format: soft::FORMAT.into(),
        slots: 2,
        stats_capacity: 64,
        params_capacity: 1024,
        ..Open::default()
    };
    let fds = Fds::new(geometry(&open));
    let (scripts, next) = mpsc::sync_channel::<Script>(1);
    thread::spawn(move || {
        let _dir = dir;
        for script in next {
            let client = accept_with(&listener, SocketFlags::CLOEXEC).expect("a client");
            play(&client, &script, &fds);
        }
    });
    Daemon { open, scripts }
}

/// Answers request by request; hangs up at the end, or when the client would wait for more.
fn play(client: &OwnedFd, script: &Script, fds: &Fds) {
    let mut request = [0; 4096];
    for (serial, answers) in (1..).zip(&script.answers) {
        wait(client.as_fd());
        match recv(client, &mut request, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(_) => return,
            Ok(_) => {}
        }
        for (which, bytes) in answers {
            let fds = fds.chosen(*which, Some(script.segment.as_fd()));
            // A client that has hung up has heard enough.
            let _ = send(client.as_fd(), bytes, &fds);
        }
        if !answers.iter().any(|(_, bytes)| answer(serial, bytes)) {
            return;
        }
    }
}

/// Whether a client takes this for the answer to its request.
fn answer(request: u32, datagram: &[u8]) -> bool {
    match Envelope::decode(datagram) {
        Ok(Envelope { serial, body, .. }) => match body {
            Some(Body::SessionFault(_)) => false,
            Some(Body::Error(_)) if serial == 0 => true,
            _ => serial == request,
        },
        // It hangs up on that.
        Err(_) => true,
    }
}
