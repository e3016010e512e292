//! What is behind the buffers that a host shares, through a firewall.

mod speech;

use std::time::Instant;

use coldshoe_libcamera_wire::{
    Buffers, Dialect, Firewall, Limits, Message, Plane, Verdict, Wrong, header,
};
use speech::{EXPOSURE, V4L2, list, listed, map, message, parameters, sensor, sized, u32s};

const INIT: u32 = 1;
const CONFIGURE: u32 = 4;
const MAP: u32 = 5;
const UNMAP: u32 = 6;
const COMPUTE: u32 = 8;
const PROCESS: u32 = 9;
const COMPUTED: u32 = 1;
/// Parameters that a contract is about.
const EXTENSIBLE: &[u8; 4] = b"RK1E";

/// What was asked of it; it gives descriptor N + 100 for N.
#[derive(Debug, Default)]
struct Log(Vec<String>);

impl Buffers<u8> for Log {
    fn share(
        &mut self,
        contract: &str,
        planes: &[Plane<'_, u8>],
    ) -> Result<Option<Vec<u8>>, Wrong> {
        for plane in planes {
            let Plane {
                id, offset, length, ..
            } = plane;
            self.0.push(format!("{contract} {id} {offset} {length}"));
        }
        Ok(Some(planes.iter().map(|plane| plane.fd + 100).collect()))
    }

    fn forget(&mut self, id: u32) {
        self.0.push(format!("forget {id}"));
    }

    fn refresh(&mut self, id: u32) -> Result<(), Wrong> {
        self.0.push(format!("refresh {id}"));
        Ok(())
    }

    fn admit(&mut self, id: u32, used: Option<u32>) -> Result<Option<u32>, Wrong> {
        self.0.push(format!("admit {id} {used:?}"));
        match used {
            Some(used) if used < 1000 => Ok(Some(used / 2)),
            _ => Err(Wrong::new("nothing that hardware may get")),
        }
    }
}

struct Camera {
    firewall: Firewall<u8, Log>,
    now: Instant,
    cookie: u32,
    /// What the worker was last told to map.
    mapped: Vec<u8>,
}

impl Camera {
    fn says(&mut self, command: u32, arguments: &[u8], fds: &[u8]) -> Message<u8> {
        let said = Message {
            fds: fds.into(),
            ..message(command, self.cookie, arguments)
        };
        self.cookie += 1;
        let host = &mut self.firewall;
        host.host(&header(&said), Vec::new(), self.now).unwrap();
        host.host(&said.bytes, fds.to_vec(), self.now).unwrap();
        host.next(self.now).unwrap()
    }

    fn worker(&mut self, said: &Message<u8>) -> Verdict<u8> {
        self.firewall.worker(&header(said), Vec::new(), self.now);
        self.firewall.worker(&said.bytes, Vec::new(), self.now)
    }

    fn asks(&mut self, command: u32, arguments: &[u8], fds: &[u8], answer: &[u8]) -> Message<u8> {
        let told = self.says(command, arguments, fds);
        let verdict = self.worker(&message(command, told.cookie(), answer));
        assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
        told
    }

    /// With parameters of this format, and two buffers.
    fn new(format: &[u8; 4]) -> Self {
        let mut camera = Self {
            firewall: Firewall::new(
                Dialect::find("rkisp1", "0.7"),
                Limits::default(),
                Log::default(),
            ),
            now: Instant::now(),
            cookie: 0,
            mapped: Vec::new(),
        };
        let settings = [sized(b"/etc/imx219.yaml"), sized(b"imx219")].concat();
        let sensor = sensor();
        let controls = sized(&map(1, V4L2, &[EXPOSURE]));
        let init = [
            settings,
            u32s(&[12]),
            u32s(&[0]),
            sensor.clone(),
            controls.clone(),
        ];
        let good = [u32s(&[0]), sized(&[])].concat();
        camera.asks(INIT, &parameters(&init), &[], &good);
        let config = [sized(&sensor), sized(&controls), format.to_vec()].concat();
        let configure = parameters(&[config, u32s(&[0])]);
        camera.asks(CONFIGURE, &configure, &[], &good);
        camera
    }

    fn map(&mut self) -> Message<u8> {
        let plane = |length: u32| [u32s(&[1, 12, 1]), u32s(&[1, 0, length])].concat();
        let buffer = |id, length| {
            let planes = plane(length);
            [u32s(&[id, planes.len() as u32, 1]), planes].concat()
        };
        let element = |buffer: Vec<u8>| [u32s(&[buffer.len() as u32, 1]), buffer].concat();
        let both = [element(buffer(1, 4096)), element(buffer(2, 65536))].concat();
        self.asks(MAP, &[u32s(&[2]), both].concat(), &[7, 8], &[])
    }

    /// What a new worker is told; it answers well.
    fn replaced(&mut self) -> Vec<u32> {
        assert!(self.firewall.worker_replaced(self.now));
        let good = [u32s(&[0]), sized(&[])].concat();
        let mut all = Vec::new();
        while let Some(told) = self.firewall.next(self.now) {
            all.push(told.command());
            let answer = match told.command() {
                MAP => &[][..],
                COMPUTE => continue,
                _ => &good,
            };
            if told.command() == MAP {
                self.mapped = told.fds.to_vec();
            }
            self.worker(&message(told.command(), told.cookie(), answer));
        }
        all
    }

    fn log(&self) -> Vec<&str> {
        self.firewall
            .buffers()
            .0
            .iter()
            .map(String::as_str)
            .collect()
    }
}

#[test]
fn a_worker_has_copies_and_what_it_fills_is_judged() {
    let mut camera = Camera::new(EXTENSIBLE);
    let told = camera.map();
    assert_eq!(told.fds[..], [107, 108]);
    camera.says(COMPUTE, &parameters(&[u32s(&[5]), u32s(&[1])]), &[]);
    let verdict = camera.worker(&message(
        COMPUTED,
        0,
        &parameters(&[u32s(&[5]), u32s(&[600])]),
    ));
    let Verdict::Pass(heard) = verdict else {
        panic!("{verdict:?}");
    };
    // As much as has passed.
    assert_eq!(heard.arguments(), parameters(&[u32s(&[5]), u32s(&[300])]));
    let none = listed(&[], &list(1, V4L2, &[]));
    camera.says(PROCESS, &parameters(&[u32s(&[5]), u32s(&[2]), none]), &[]);
    let ids = [u32s(&[2]), u32s(&[4, 0, 1]), u32s(&[4, 0, 2])].concat();
    camera.asks(UNMAP, &ids, &[], &[]);
    assert_eq!(
        camera.log(),
        [
            "rkisp1 1 0 4096",
            "rkisp1 2 0 65536",
            "admit 1 Some(600)",
            "refresh 2",
            "forget 1",
            "forget 2",
        ]
    );
}

#[test]
fn parameters_that_hardware_may_not_get_are_a_fault() {
    let mut camera = Camera::new(EXTENSIBLE);
    camera.map();
    camera.says(COMPUTE, &parameters(&[u32s(&[5]), u32s(&[1])]), &[]);
    let event = message(COMPUTED, 0, &parameters(&[u32s(&[5]), u32s(&[2000])]));
    let verdict = camera.worker(&event);
    assert!(matches!(verdict, Verdict::Fault(_)), "{verdict:?}");
    // The next worker is asked for them.
    assert_eq!(camera.replaced().last(), Some(&COMPUTE));
}

#[test]
fn a_new_worker_gets_the_same_copies() {
    let mut camera = Camera::new(EXTENSIBLE);
    camera.map();
    assert_eq!(camera.replaced(), [INIT, CONFIGURE, MAP]);
    assert_eq!(camera.mapped, [107, 108]);
}

#[test]
fn parameters_without_a_contract_are_named_and_pass() {
    let mut camera = Camera::new(b"RK1P");
    let why = camera.firewall.strange().unwrap().to_string();
    assert!(why.contains("RK1P"), "{why}");
    assert_eq!(camera.map().fds[..], [7, 8]);
    assert_eq!(camera.log(), [""; 0]);
}
