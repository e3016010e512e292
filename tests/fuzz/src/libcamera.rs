//! A host and a worker of libcamera's with the firewall between them, and a clock.

use std::time::{Duration, Instant};

use coldshoe_libcamera_wire::{
    Dialect, Firewall, Limits, MAX_MESSAGE, Message, SERIES, Verdict, header,
};

use crate::input::Input;

/// Whose interface; the last is one that is not known.
const IPAS: [&str; 7] = [
    "ipu3",
    "mali-c55",
    "raspberrypi",
    "rkisp1",
    "soft",
    "vimc",
    "novel",
];
/// libcamera's with an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Both sides, as far as they matter.
struct Between {
    firewall: Firewall<()>,
    now: Instant,
    cookie: u32,
    /// Calls of the host: command, cookie, and when.
    asked: Vec<(u32, u32, Instant)>,
    /// What the worker has been told, and has not answered.
    told: Vec<Message<()>>,
    /// Nothing is heard of the worker any more.
    ended: bool,
}

/// A byte each for the interface and its series, then what happens.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input(bytes);
    let ipa = IPAS[usize::from(script.u8()) % IPAS.len()];
    let series = SERIES[usize::from(script.u8()) % SERIES.len()];
    let mut between = Between {
        firewall: Firewall::new(Dialect::find(ipa, series), Limits::default(), ()),
        now: Instant::now(),
        cookie: 0,
        asked: Vec::new(),
        told: Vec::new(),
        ended: false,
    };
    while !script.is_empty() && !between.ended {
        between.step(&mut script);
        between.tell();
    }
}

impl Between {
    fn step(&mut self, script: &mut Input<'_>) {
        match script.u8() % 8 {
            0 | 1 => {
                let (command, fds) = (u32::from(script.u8()), script.u8() % 16);
                let said = message(command, self.cookie, script.counted(), fds.into());
                self.asked.push((command, self.cookie, self.now));
                self.cookie += 1;
                for (datagram, fds) in [(&header(&said)[..], 0), (&said.bytes, said.fds.len())] {
                    let heard = self.firewall.host(datagram, vec![(); fds], self.now);
                    heard.expect("a host's datagrams are in order");
                }
            }
            2 => {
                let arguments = script.counted();
                if let Some(told) = self.forget() {
                    self.say(&message(told.command(), told.cookie(), arguments, 0));
                }
            }
            3 => drop(self.forget()),
            4 => {
                let command = u32::from(script.u8());
                self.say(&message(command, 0, script.counted(), 0));
            }
            5 => {
                let fds = usize::from(script.u8() % 4);
                self.datagram(script.counted(), fds);
            }
            6 => {
                self.now += Duration::from_millis(script.u16().into());
                if self.firewall.overdue(self.now).is_some() {
                    self.replace();
                }
            }
            _ => self.replace(),
        }
    }

    fn forget(&mut self) -> Option<Message<()>> {
        (!self.told.is_empty()).then(|| self.told.remove(0))
    }

    /// The worker is told what there is, which ends.
    fn tell(&mut self) {
        let most = self.told.len() + self.asked.len() + 128;
        while let Some(message) = self.firewall.next(self.now) {
            assert!(message.bytes.len() >= 8, "{message:?}");
            self.told.push(message);
            assert!(self.told.len() <= most, "the worker is told without end");
        }
        let _ = self.firewall.strange();
    }

    fn replace(&mut self) {
        let can = self.firewall.can_replace();
        assert_eq!(self.firewall.worker_replaced(self.now), can);
        self.told.clear();
        self.ended = !can;
    }

    fn say(&mut self, said: &Message<()>) {
        self.datagram(&header(said), 0);
        self.datagram(&said.bytes, said.fds.len());
    }

    fn datagram(&mut self, bytes: &[u8], fds: usize) {
        if self.ended {
            return;
        }
        let initialised = self.firewall.is_initialised();
        match self.firewall.worker(bytes, vec![(); fds], self.now) {
            Verdict::Pass(message) => self.heard(&message, initialised),
            Verdict::Fault(_) => self.replace(),
            Verdict::Half | Verdict::Swallowed | Verdict::Dropped(_) => {}
        }
    }

    /// What the host may rely on, however little is known of its interface.
    fn heard(&mut self, message: &Message<()>, initialised: bool) {
        // A map that the host has missed may be in front of each list.
        assert!((8..=MAX_MESSAGE * 16).contains(&message.bytes.len()));
        let (command, cookie) = (message.command(), message.cookie());
        // init() has the cookie of events.
        if cookie == 0 && initialised {
            return assert!(command > 0, "no event has number 0");
        }
        let asked = self.asked.iter().position(|(_, with, _)| *with == cookie);
        let asked = self.asked.remove(asked.expect("somebody asked"));
        assert_eq!(asked.0, command, "another call is answered");
        let waited = self.now.saturating_duration_since(asked.2);
        assert!(waited < PATIENCE, "nobody waits any more");
    }
}

fn message(command: u32, cookie: u32, arguments: &[u8], fds: usize) -> Message<()> {
    let front = [command.to_ne_bytes(), cookie.to_ne_bytes()].concat();
    Message {
        bytes: [&front, arguments].concat(),
        fds: vec![(); fds].into(),
    }
}
