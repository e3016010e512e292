//! Messages as libcamera 0.7 writes them, and a firewall with both sides in the test's hands.
#![allow(dead_code, reason = "each test uses its part")]

use std::time::{Duration, Instant};

use coldshoe_libcamera_wire::{Dialect, Firewall, Limits, Message, Verdict, header};

pub fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect()
}

/// A size in front.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [u32s(&[bytes.len() as u32]), bytes.to_vec()].concat()
}

/// Several parameters: sizes, then bodies.
pub fn parameters(bodies: &[Vec<u8>]) -> Vec<u8> {
    let sizes = bodies.iter().flat_map(|body| u32s(&[body.len() as u32]));
    sizes.chain(bodies.iter().flatten().copied()).collect()
}

pub fn message(command: u32, cookie: u32, arguments: &[u8]) -> Message<u8> {
    Message {
        bytes: [u32s(&[command, cookie]), arguments.to_vec()].concat(),
        fds: Vec::new().into(),
    }
}

fn controls(handle: u32, ids: u32, entries: &[Vec<u8>], values: &[u8]) -> Vec<u8> {
    let length: usize = entries.iter().map(Vec::len).sum();
    let offset = 32 + length as u32;
    let size = offset + values.len() as u32;
    let count = entries.len() as u32;
    let head = u32s(&[2, handle, count, size, offset, ids, 0, 0]);
    [head, entries.concat(), values.to_vec()].concat()
}

pub const CONTROLS: u32 = 0;
pub const V4L2: u32 = 2;
pub const I32: u8 = 5;
pub const FLOAT: u8 = 7;

/// A control's number, the type of its value, whether it is an array, how many, and its bytes.
pub type Value<'a> = (u32, u8, bool, u16, &'a [u8]);

fn entry(kind: u8, array: bool, count: u16, offset: usize) -> Vec<u8> {
    let [low, high] = count.to_ne_bytes();
    let front = [kind, u8::from(array), low, high];
    [front.to_vec(), u32s(&[offset as u32, 0, 0])].concat()
}

/// The body of a list.
pub fn list(handle: u32, ids: u32, of: &[Value<'_>]) -> Vec<u8> {
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    for (id, kind, array, count, bytes) in of {
        entries.push([u32s(&[*id]), entry(*kind, *array, *count, values.len())].concat());
        values.extend(*bytes);
    }
    controls(handle, ids, &entries, &values)
}

/// The body of a map of 32-bit integers.
pub fn map(handle: u32, ids: u32, of: &[u32]) -> Vec<u8> {
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    for id in of {
        let mut one = [u32s(&[*id, I32.into()]), vec![0; 8]].concat();
        for limit in [0_u32, 1000, 10] {
            one.extend(entry(I32, false, 1, values.len()));
            values.extend(limit.to_ne_bytes());
        }
        entries.push(one);
    }
    controls(handle, ids, &entries, &values)
}

/// A list as a parameter, with the map that it needs or none.
pub fn listed(map: &[u8], list: &[u8]) -> Vec<u8> {
    [
        u32s(&[map.len() as u32, list.len() as u32]),
        map.to_vec(),
        list.to_vec(),
    ]
    .concat()
}

/// Calls and events of `soft`.
pub const INIT: u32 = 1;
pub const START: u32 = 2;
pub const STOP: u32 = 3;
pub const CONFIGURE: u32 = 4;
pub const QUEUE: u32 = 5;
pub const COMPUTE: u32 = 6;
pub const PROCESS: u32 = 7;
pub const SET_SENSOR: u32 = 1;
pub const SET_ISP: u32 = 2;
pub const METADATA: u32 = 3;
/// Exposure of V4L2.
pub const EXPOSURE: u32 = 0x0098_0911;

/// A sensor, and its mode.
pub fn sensor() -> Vec<u8> {
    [
        sized(b"imx219"),
        u32s(&[10, 0]),
        sized(&u32s(&[3280, 2464])),
        sized(&u32s(&[0, 0, 3280, 2464])),
        sized(&u32s(&[1640, 1232])),
        182_400_000_u64.to_ne_bytes().to_vec(),
        u32s(&[3448, 3448, 2500, 65535]),
    ]
    .concat()
}

pub fn init() -> Vec<u8> {
    init_of("/etc/soft.yaml")
}

/// With this configuration file.
pub fn init_of(file: &str) -> Vec<u8> {
    let settings = [sized(file.as_bytes()), sized(b"imx219")].concat();
    let sensor = sensor();
    let fd = u32s(&[0]);
    let map = sized(&map(1, V4L2, &[EXPOSURE]));
    // Descriptors have their number behind their size.
    let sizes = u32s(&[
        settings.len() as u32,
        4,
        0,
        4,
        0,
        sensor.len() as u32,
        map.len() as u32,
    ]);
    [sizes, settings, fd.clone(), fd, sensor, map].concat()
}

/// The answer to init(): its result, a map that may be empty, false.
pub fn init_answer(map: &[u8]) -> Vec<u8> {
    [u32s(&[0]), parameters(&[sized(map), vec![0]])].concat()
}

pub fn configure() -> Vec<u8> {
    sized(&sized(&map(1, V4L2, &[EXPOSURE])))
}

pub fn process(frame: u32) -> Vec<u8> {
    let exposure = 1000_u32.to_ne_bytes();
    let list = list(1, V4L2, &[(EXPOSURE, I32, false, 1, &exposure)]);
    parameters(&[u32s(&[frame]), u32s(&[0]), listed(&[], &list)])
}

pub fn metadata(frame: u32) -> Vec<u8> {
    let gain = 2_f32.to_ne_bytes();
    let list = list(0, CONTROLS, &[(9, FLOAT, false, 1, &gain)]);
    parameters(&[u32s(&[frame]), listed(&[], &list)])
}

/// setSensorControls() with a map of the worker's own.
pub fn sensor_controls(handle: u32, with_map: bool) -> Vec<u8> {
    let exposure = 1100_u32.to_ne_bytes();
    let list = list(handle, V4L2, &[(EXPOSURE, I32, false, 1, &exposure)]);
    let map = if with_map {
        map(handle, V4L2, &[EXPOSURE])
    } else {
        Vec::new()
    };
    listed(&map, &list)
}

/// A firewall, its clock, and what the two sides got.
pub struct Between {
    pub firewall: Firewall<u8>,
    pub now: Instant,
    pub cookie: u32,
}

impl Between {
    pub fn new(ipa: &str) -> Self {
        let dialect = Dialect::find(ipa, "0.7");
        Self {
            firewall: Firewall::new(dialect, Limits::default(), ()),
            now: Instant::now(),
            cookie: 0,
        }
    }

    /// A camera that streams.
    pub fn streaming() -> Self {
        let mut between = Self::new("soft");
        between.asks(INIT, &init(), &init_answer(&[]));
        between.asks(CONFIGURE, &configure(), &u32s(&[0]));
        between.asks(START, &[], &u32s(&[0]));
        between
    }

    pub fn later(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    /// What the worker gets of a call of the host's; the cookie with it.
    pub fn says(&mut self, command: u32, arguments: &[u8]) -> (u32, Vec<Message<u8>>) {
        let cookie = self.cookie;
        self.cookie += 1;
        let said = message(command, cookie, arguments);
        for datagram in [&header(&said)[..], &said.bytes] {
            self.firewall.host(datagram, Vec::new(), self.now).unwrap();
        }
        (cookie, self.told())
    }

    /// All that the worker is told now.
    pub fn told(&mut self) -> Vec<Message<u8>> {
        std::iter::from_fn(|| self.firewall.next(self.now)).collect()
    }

    pub fn worker(&mut self, said: &Message<u8>) -> Verdict<u8> {
        let half = self.firewall.worker(&header(said), Vec::new(), self.now);
        assert!(matches!(half, Verdict::Half), "{half:?}");
        self.firewall
            .worker(&said.bytes, said.fds.to_vec(), self.now)
    }

    pub fn event(&mut self, command: u32, arguments: &[u8]) -> Verdict<u8> {
        self.worker(&message(command, 0, arguments))
    }

    /// A call and its answer; what the host gets.
    pub fn asks(&mut self, command: u32, arguments: &[u8], answer: &[u8]) -> Vec<u8> {
        let (cookie, told) = self.says(command, arguments);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].bytes[8..], *arguments);
        passed(self.worker(&message(command, cookie, answer)))
    }
}

#[track_caller]
pub fn passed(verdict: Verdict<u8>) -> Vec<u8> {
    match verdict {
        Verdict::Pass(message) => message.arguments().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn dropped(verdict: Verdict<u8>) -> String {
    match verdict {
        Verdict::Dropped(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn fault(verdict: Verdict<u8>) -> String {
    match verdict {
        Verdict::Fault(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}
