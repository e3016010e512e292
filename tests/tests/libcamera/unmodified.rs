//! libcamera's own workers and algorithms, as the system's package has them, from whichever series it is.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pwrite;
use rustix::process::Signal;

use crate::application::{Application, word};
use crate::speech::{
    COMPUTE, CONFIGURE, EXPOSURE, INIT, METADATA, PROCESS, QUEUE, SET_ISP, SET_SENSOR, START, STOP,
    V4L2, parameters, sensor, sized, u32s,
};
use crate::{EXIT, daemon, sessions};

/// Gain of V4L2.
const GAIN: u32 = 0x009e_0903;
/// Limits of the sensor's exposure, in lines, and of its gain, in codes of the IMX219.
const MOST_EXPOSURE: u32 = 2500;
const MOST_GAIN: u32 = 232;
/// Room for what the software ISP counts, and for its parameters.
const BUFFER: u64 = 16 << 10;
/// processStats() of 0.3, where it is the last call.
const PROCESS_03: u32 = 5;

/// A series, and how it writes controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    V0,
    V3,
    V4,
    V7,
}

/// An algorithm of the package that is installed, and its series.
pub fn algorithm(name: &str) -> Option<(Series, PathBuf)> {
    let lib = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let lib = Path::new(&lib);
    let names = [(".so.0.0.3", Series::V0), (".so.0.3", Series::V3)];
    let names = names
        .iter()
        .chain(&[(".so.0.4", Series::V4), (".so.0.7", Series::V7)]);
    let mut series = names.filter(|(name, _)| lib.join(format!("libcamera{name}")).exists());
    let files = ["", "ipa/"].map(|dir| lib.join(format!("libcamera/{dir}ipa_{name}.so")));
    let module = files.into_iter().find(|path| path.exists());
    let found = series.next().map(|(_, series)| *series).zip(module);
    if found.is_none() {
        eprintln!("SKIPPED: libcamera's {name} is not installed (Debian: libcamera-ipa)");
    }
    found
}

/// A control, and its value.
type Value = (u32, u32);

impl Series {
    /// A header, entries, values.
    fn controls(self, handle: u32, ids: u32, entries: &[Vec<u8>], values: &[u8]) -> Vec<u8> {
        let offset = 32 + entries.iter().map(Vec::len).sum::<usize>();
        let size = offset + values.len();
        let format = if self == Self::V7 { 2 } else { 1 };
        let numbers = [
            format,
            handle,
            entries.len() as u32,
            size as u32,
            offset as u32,
            ids,
            0,
            0,
        ];
        [u32s(&numbers), entries.concat(), values.to_vec()].concat()
    }

    fn integer(self) -> u32 {
        if self <= Self::V3 { 3 } else { 5 }
    }

    /// Values have their type in front.
    fn is_tagged(self) -> bool {
        self < Self::V7
    }

    fn value(self, values: &mut Vec<u8>, value: u32) -> u32 {
        let offset = values.len() as u32;
        if self.is_tagged() {
            values.extend(self.integer().to_ne_bytes());
        }
        values.extend(value.to_ne_bytes());
        offset
    }

    fn list(self, handle: u32, ids: u32, of: &[Value]) -> Vec<u8> {
        let mut values = Vec::new();
        // One value that is no array.
        let one = self.integer() | 1 << 16;
        let entries: Vec<_> = of
            .iter()
            .map(|(id, value)| {
                let mut entry = u32s(&[*id, one, self.value(&mut values, *value), 0]);
                if self == Self::V7 {
                    entry.extend(u32s(&[0]));
                }
                entry
            })
            .collect();
        let list = self.controls(handle, ids, &entries, &values);
        [u32s(&[0, list.len() as u32]), list].concat()
    }

    /// The sensor's controls.
    fn map(self) -> Vec<u8> {
        let mut values = Vec::new();
        let mut entries = Vec::new();
        for (id, least, most) in [(EXPOSURE, 1, MOST_EXPOSURE), (GAIN, 0, MOST_GAIN)] {
            if self == Self::V7 {
                let mut entry = u32s(&[id, self.integer(), 0, 0]);
                for limit in [least, most, least] {
                    let offset = self.value(&mut values, limit);
                    entry.extend(u32s(&[self.integer() | 1 << 16, offset, 0, 0]));
                }
                entries.push(entry);
            } else {
                entries.push(u32s(&[id, self.integer(), values.len() as u32, 0]));
                for limit in [least, most, least] {
                    self.value(&mut values, limit);
                }
            }
        }
        sized(&self.controls(1, V4L2, &entries, &values))
    }

    /// init() of vimc, and what it answers.
    pub fn vimc(self, application: &Application) -> Vec<u8> {
        application.ask(INIT, 0, &self.vimc_init())
    }

    /// Settings, a descriptor from 0.7 on, an operation, flags.
    fn vimc_init(self) -> Vec<u8> {
        let configuration = sized(b"/usr/share/libcamera/ipa/vimc/vimc.conf");
        let settings = [configuration, sized(b"vimc")].concat();
        let length = settings.len() as u32;
        let (sizes, bodies) = match self {
            Self::V7 => (u32s(&[length, 4, 0, 4, 4]), u32s(&[0, 1, 2])),
            _ => (u32s(&[length, 4, 4]), u32s(&[1, 2])),
        };
        [sizes, settings, bodies].concat()
    }
}

/// A camera with the software ISP and a sensor that is in the dark.
struct Soft {
    series: Series,
    application: Application,
    statistics: OwnedFd,
    cookie: u32,
    exposure: u32,
    gain: u32,
}

impl Soft {
    fn ask(&mut self, command: u32, arguments: &[u8]) {
        self.cookie += 1;
        let answer = self.application.ask(command, self.cookie, arguments);
        assert!(
            answer.is_empty() || answer[..4] == [0; 4],
            "{command} failed"
        );
    }

    fn say(&mut self, command: u32, arguments: &[u8]) {
        self.cookie += 1;
        self.application.say(command, self.cookie, arguments);
    }

    /// init(), configure(), start().
    fn start(series: Series, application: Application) -> Self {
        let memory = || {
            let memory = memfd_create("shared", MemfdFlags::CLOEXEC).unwrap();
            ftruncate(&memory, BUFFER).unwrap();
            memory
        };
        let (statistics, parameters) = (memory(), memory());
        let file = b"/usr/share/libcamera/ipa/simple/uncalibrated.yaml";
        let settings = [sized(file), sized(b"imx219")].concat();
        let sensor = sensor();
        let map = series.map();
        let mut sizes = u32s(&[settings.len() as u32, 4, 1, 4, 1]);
        let mut bodies = [settings, u32s(&[1, 1])].concat();
        if series == Series::V7 {
            sizes.extend(u32s(&[sensor.len() as u32]));
            bodies.extend(sensor);
        }
        sizes.extend(u32s(&[map.len() as u32]));
        bodies.extend(map);
        let fds = [statistics.as_fd(), parameters.as_fd()];
        let answer = application.ask_with(INIT, 0, &[sizes, bodies].concat(), &fds);
        assert_eq!(answer[..4], [0; 4], "init() failed");
        let mut soft = Self {
            series,
            application,
            statistics,
            cookie: 0,
            exposure: 1000,
            gain: 0,
        };
        soft.dark();
        // From 0.4 on it is in a struct.
        let map = match series {
            Series::V0 | Series::V3 => soft.series.map(),
            _ => sized(&soft.series.map()),
        };
        soft.ask(CONFIGURE, &map);
        soft.ask(START, &[]);
        soft
    }

    /// All pixels are nearly black. From 0.7 on a flag in front says that this counts.
    fn dark(&self) {
        let front = if self.series == Series::V7 { 8 } else { 0 };
        let mut bytes = vec![0; front + 24];
        bytes[0] = u8::from(front > 0);
        let histogram = (0..64).map(|bin| if bin == 6 { 100_000 } else { 0 });
        bytes.extend(histogram.flat_map(u32::to_ne_bytes));
        pwrite(&self.statistics, &bytes, 0).unwrap();
    }

    fn frame(&mut self, frame: u32) {
        let applied = [(EXPOSURE, self.exposure), (GAIN, self.gain)];
        let sensor = self.series.list(1, V4L2, &applied);
        if self.series == Series::V3 {
            // It does not set the sensor in every frame.
            self.say(PROCESS_03, &sensor);
            return self.until(&[SET_ISP]);
        }
        let request = self.series.list(0, 0, &[]);
        self.say(QUEUE, &parameters(&[u32s(&[frame]), request]));
        self.say(COMPUTE, &u32s(&[frame]));
        self.until(&[SET_ISP]);
        self.say(PROCESS, &parameters(&[u32s(&[frame]), u32s(&[0]), sensor]));
        match self.series {
            Series::V7 => self.until(&[METADATA, SET_SENSOR]),
            _ => self.until(&[SET_SENSOR]),
        }
    }

    /// Until these have come.
    fn until(&mut self, events: &[u32]) {
        let mut left = events.to_vec();
        while !left.is_empty() {
            let (event, cookie, arguments) = self.application.message();
            assert_eq!(cookie, 0, "an answer to nothing");
            if event == SET_SENSOR {
                self.apply(&arguments);
            }
            left.retain(|awaited| *awaited != event);
        }
    }

    fn apply(&mut self, arguments: &[u8]) {
        let list = &arguments[8 + word(arguments, 0) as usize..];
        let size = if self.series == Series::V7 { 20 } else { 16 };
        let values = word(list, 16) as usize;
        for entry in list[32..values].chunks(size) {
            let tag = if self.series.is_tagged() { 4 } else { 0 };
            let value = word(list, values + word(entry, 8) as usize + tag);
            match word(entry, 0) {
                EXPOSURE => self.exposure = value,
                GAIN => self.gain = value,
                other => panic!("control {other:#x}"),
            }
        }
    }
}

#[test]
fn vimc_serves_its_application_from_the_jail() {
    let Some((series, module)) = algorithm("vimc") else {
        return;
    };
    let (_daemon, runtime) = daemon();
    let application = Application::start(&runtime, "vimc", &module);
    assert_eq!(series.vimc(&application)[..4], [0; 4], "init() failed");
    for round in 0..3 {
        let started = application.ask(3, 10 + 2 * round, &[]);
        assert_eq!(started, [0; 4], "start() failed");
        assert_eq!(application.ask(4, 11 + 2 * round, &[]), [0_u8; 0]);
    }
    application.say(EXIT, 99, &[]);
    assert_eq!(application.ends(), (true, String::new()));
}

#[test]
fn an_init_that_is_answered_after_two_seconds_is_not_heard_and_the_worker_serves() {
    let Some((series, module)) = algorithm("vimc") else {
        return;
    };
    let (_daemon, runtime) = daemon();
    let application = Application::start(&runtime, "vimc", &module);
    // A machine that is too slow: libcamera waits for 2 s, and takes what comes later for an event.
    application.signal(Signal::STOP);
    application.say(INIT, 0, &series.vimc_init());
    std::thread::sleep(Duration::from_secs(2));
    application.signal(Signal::CONT);
    assert_eq!(application.ask(crate::START, 1, &[]), [0; 4]);
    application.say(EXIT, 2, &[]);
    assert_eq!(application.ends(), (true, String::new()));
}

#[test]
fn in_the_dark_exposure_climbs_and_gain_follows() {
    let Some((series, module)) = algorithm("soft_simple") else {
        return;
    };
    let (daemon, runtime) = daemon();
    let application = Application::start(&runtime, "soft", &module);
    let mut soft = Soft::start(series, application);
    let mut seen = vec![(soft.exposure, soft.gain)];
    for frame in 1..400 {
        soft.frame(frame);
        seen.push((soft.exposure, soft.gain));
        if soft.gain > 4 {
            break;
        }
    }
    let rises = seen.windows(2).all(|pair| pair[0] <= pair[1]);
    assert!(rises && soft.gain > 4, "{seen:?}");
    let first_gain = seen.iter().find(|(_, gain)| *gain > 0).unwrap();
    assert_eq!(first_gain.0, MOST_EXPOSURE, "{seen:?}");
    soft.ask(STOP, &[]);
    soft.say(EXIT, &[]);
    assert_eq!(soft.application.ends(), (true, String::new()));
    // Nothing of what it says is withheld.
    assert_eq!(daemon.log().all("WARN coldshoed"), [""; 0]);
}

#[test]
fn an_algorithm_of_libcameras_goes_on_in_another_worker() {
    let Some((series, module)) = algorithm("soft_simple").filter(|(of, _)| *of > Series::V3) else {
        return;
    };
    let (daemon, runtime) = daemon();
    let application = Application::start(&runtime, "soft", &module);
    let mut soft = Soft::start(series, application);
    let camera = sessions(&runtime);
    // Lines of a table are broken where there is little room.
    for part in ["imx219,", "libcamera soft"] {
        assert!(camera.contains(part), "{camera}");
    }
    for frame in 1..20 {
        soft.frame(frame);
        if frame % 5 == 0 {
            let workers = coldshoe_tests::children(daemon.pid());
            let [worker] = workers[..] else {
                panic!("{workers:?}");
            };
            let pid = rustix::process::Pid::from_raw(worker as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
    soft.ask(STOP, &[]);
    soft.say(EXIT, &[]);
    assert!(soft.application.ends().0);
    assert_eq!(daemon.log().all("in a frame").len(), 3);
}
