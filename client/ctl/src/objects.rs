//! Sessions and modules as the daemon shows them on the bus, and which of them somebody means.

use std::collections::{BTreeMap, HashMap};

use coldshoe::SessionState;
use serde::Serialize;
use serde_json::Value;
use zbus::fdo::ManagedObjects;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use crate::bus::{self, Bus};
use crate::daemon::Whose;
use crate::told::{Latency, algorithm, state};
use crate::words::clean;

/// Longest name that is shown, in bytes.
const MAX_NAME: usize = 256;

type Properties = HashMap<String, OwnedVariant>;

/// A session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    #[serde(skip)]
    pub(crate) path: OwnedObjectPath,
    pub(crate) session: String,
    pub(crate) camera: String,
    /// What the pipeline's program calls itself.
    pub(crate) pipeline: String,
    pub(crate) owner_uid: u32,
    pub(crate) module: String,
    pub(crate) fallback_active: bool,
    /// Microseconds since 1970.
    pub(crate) started_us: u64,
    pub(crate) state: &'static str,
    pub(crate) ae: &'static str,
    pub(crate) awb: &'static str,
    pub(crate) af: &'static str,
    pub(crate) worker: u32,
    pub(crate) restarts: u32,
    pub(crate) frames: u64,
    pub(crate) deadline_misses: u64,
    pub(crate) rejected_blocks: u64,
    pub(crate) clamped_controls: u64,
    pub(crate) latency_us: Latency,
    /// What the kernel told the daemon of its workers' jail, by the bus's names.
    pub(crate) confinement: BTreeMap<String, Value>,
}

/// A module.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Module {
    #[serde(skip)]
    pub(crate) path: OwnedObjectPath,
    pub(crate) module: String,
    /// Empty before it was loaded.
    pub(crate) version: String,
    pub(crate) license: String,
    pub(crate) file: String,
    /// SHA-256 of its bytes; empty if they cannot be read.
    pub(crate) sha256: String,
    pub(crate) trust: &'static str,
    pub(crate) profile: String,
    pub(crate) state: &'static str,
    /// Since the daemon started.
    pub(crate) faults: u64,
}

/// One of the two.
pub(crate) enum Object {
    Session(Box<Session>),
    Module(Module),
}

/// All that there are.
pub(crate) struct Objects {
    pub(crate) sessions: Vec<Session>,
    pub(crate) modules: Vec<Module>,
}

/// Why nothing is found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error("there is no {kind} {wanted:?}\n  why: {there}\n  try: {hint}")]
    None {
        kind: &'static str,
        wanted: String,
        there: String,
        hint: &'static str,
    },
    #[error(
        "{wanted:?} may be any of several\n  why: {all} begin with it\n  try: write as much of the name as tells one from another"
    )]
    Several { wanted: String, all: String },
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Bus(error) => error.exit_code(),
            Self::None { .. } => 3,
            Self::Several { .. } => 2,
        }
    }
}

impl Objects {
    /// Asks the daemon.
    pub(crate) fn ask(whose: Whose) -> Result<(Bus, Self), Error> {
        let bus = Bus::find(whose)?;
        let objects = Self::of(bus.objects()?);
        Ok((bus, objects))
    }

    fn of(objects: ManagedObjects) -> Self {
        let (mut sessions, mut modules) = (Vec::new(), Vec::new());
        for (path, interfaces) in objects {
            for (interface, properties) in interfaces {
                match interface.as_str() {
                    "org.coldshoe.Coldshoe1.Session" => sessions.push((path.clone(), properties)),
                    "org.coldshoe.Coldshoe1.Module" => {
                        modules.push(Module::of(path.clone(), properties));
                    }
                    _ => {}
                }
            }
        }
        modules.sort_by(|one, other| one.module.cmp(&other.module));
        let mut sessions: Vec<_> = sessions
            .into_iter()
            .map(|(path, properties)| Session::of(path, properties, &modules))
            .collect();
        // They are numbers.
        sessions.sort_by_key(|session| (session.session.len(), session.session.clone()));
        Self { sessions, modules }
    }

    /// The session whose number is this, or begins with it.
    pub(crate) fn session(mut self, wanted: &str) -> Result<Session, Error> {
        let names = self.sessions.iter().map(|one| one.session.as_str());
        let at = one_of("session", wanted, names, SESSIONS)?;
        Ok(self.sessions.swap_remove(at))
    }

    /// The module whose name is this, or begins with it.
    pub(crate) fn module(mut self, wanted: &str) -> Result<Module, Error> {
        let names = self.modules.iter().map(|one| one.module.as_str());
        let at = one_of("module", wanted, names, MODULES)?;
        Ok(self.modules.swap_remove(at))
    }

    /// Either of them; of two that are called the same the session.
    pub(crate) fn any(mut self, wanted: &str) -> Result<Object, Error> {
        let sessions = self.sessions.iter().map(|one| one.session.as_str());
        let modules = self.modules.iter().map(|one| one.module.as_str());
        let at = one_of("session or module", wanted, sessions.chain(modules), ANY)?;
        let sessions = self.sessions.len();
        Ok(match at.checked_sub(sessions) {
            None => Object::Session(Box::new(self.sessions.swap_remove(at))),
            Some(at) => Object::Module(self.modules.swap_remove(at)),
        })
    }
}

const SESSIONS: &str = "`coldshoectl list sessions` shows them";
const MODULES: &str = "`coldshoectl list modules` shows them";
const ANY: &str = "`coldshoectl list sessions` and `list modules` show them";

/// The place of the name that is meant: the very same, else the only one that begins so.
fn one_of<'a>(
    kind: &'static str,
    wanted: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    hint: &'static str,
) -> Result<usize, Error> {
    if let Some(at) = names.clone().position(|name| name == wanted) {
        return Ok(at);
    }
    let begin = |name: &&str| !wanted.is_empty() && name.starts_with(wanted);
    let found: Vec<&str> = names.clone().filter(begin).take(8).collect();
    let wanted = clean(wanted, MAX_NAME);
    match found.as_slice() {
        [one] => Ok(names.clone().position(|name| name == *one).unwrap_or(0)),
        [] => {
            let all: Vec<&str> = names.take(8).collect();
            let there = match all.as_slice() {
                [] => "there is none at all".to_owned(),
                all => format!("there are {}", all.join(", ")),
            };
            Err(Error::None {
                kind,
                wanted,
                there,
                hint,
            })
        }
        all => Err(Error::Several {
            wanted,
            all: all.join(", "),
        }),
    }
}

impl Session {
    fn of(path: OwnedObjectPath, mut has: Properties, modules: &[Module]) -> Self {
        let module: Option<OwnedObjectPath> = take(&mut has, "Module");
        let module = modules
            .iter()
            .find(|one| module.as_ref() == Some(&one.path));
        let [p50, p95, p99, max] = four(has.remove("LatencyUSec"));
        let number = take::<u32>(&mut has, "State").unwrap_or_default();
        let number = i32::try_from(number).unwrap_or_default();
        let confinement: HashMap<String, OwnedVariant> =
            take(&mut has, "Confinement").unwrap_or_default();
        Self {
            session: text(&mut has, "Id"),
            camera: text(&mut has, "Camera"),
            pipeline: text(&mut has, "Pipeline"),
            owner_uid: take(&mut has, "OwnerUid").unwrap_or_default(),
            module: module.map_or_else(String::new, |one| one.module.clone()),
            fallback_active: take(&mut has, "FallbackActive").unwrap_or_default(),
            started_us: take(&mut has, "StartedUSec").unwrap_or_default(),
            state: state(SessionState::try_from(number).unwrap_or_default()),
            ae: algorithm(take(&mut has, "AeState").unwrap_or_default()),
            awb: algorithm(take(&mut has, "AwbState").unwrap_or_default()),
            af: algorithm(take(&mut has, "AfState").unwrap_or_default()),
            worker: take(&mut has, "WorkerPid").unwrap_or_default(),
            restarts: take(&mut has, "Restarts").unwrap_or_default(),
            frames: take(&mut has, "Frames").unwrap_or_default(),
            deadline_misses: take(&mut has, "DeadlineMisses").unwrap_or_default(),
            rejected_blocks: take(&mut has, "RejectedBlocks").unwrap_or_default(),
            clamped_controls: take(&mut has, "ClampedControls").unwrap_or_default(),
            latency_us: Latency { p50, p95, p99, max },
            confinement: confinement
                .iter()
                .map(|(name, value)| (clean(name, MAX_NAME), json(value)))
                .collect(),
            path,
        }
    }
}

impl Module {
    fn of(path: OwnedObjectPath, mut has: Properties) -> Self {
        let digest: Vec<u8> = take(&mut has, "Digest").unwrap_or_default();
        let digest = digest.iter().take(32);
        Self {
            module: text(&mut has, "Name"),
            version: text(&mut has, "ModuleVersion"),
            license: text(&mut has, "License"),
            file: text(&mut has, "Path"),
            sha256: digest.map(|byte| format!("{byte:02x}")).collect(),
            trust: match take::<u32>(&mut has, "Trust").unwrap_or_default() {
                1 => "trusted",
                2 => "changed",
                3 => "revoked",
                _ => "unknown",
            },
            profile: text(&mut has, "Profile"),
            state: match take::<u32>(&mut has, "State").unwrap_or_default() {
                1 => "ready",
                2 => "in use",
                3 => "quarantined",
                4 => "unfit",
                _ => "unknown",
            },
            faults: take(&mut has, "Faults").unwrap_or_default(),
            path,
        }
    }
}

fn take<T: TryFrom<OwnedVariant>>(has: &mut Properties, name: &str) -> Option<T> {
    has.remove(name).and_then(|value| value.try_into().ok())
}

fn text(has: &mut Properties, name: &str) -> String {
    let text: String = take(has, name).unwrap_or_default();
    clean(&text, MAX_NAME)
}

fn four(value: Option<OwnedVariant>) -> [u64; 4] {
    let Some(Variant::Structure(fields)) = value.as_deref() else {
        return [0; 4];
    };
    let mut numbers = [0; 4];
    for (number, field) in numbers.iter_mut().zip(fields.fields()) {
        if let Variant::U64(value) = field {
            *number = *value;
        }
    }
    numbers
}

/// A value of the report on confinement, which has flags, numbers, texts and lists of texts.
fn json(value: &Variant<'_>) -> Value {
    match value {
        Variant::Bool(flag) => (*flag).into(),
        Variant::U32(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        Variant::Str(text) => clean(text, MAX_NAME).into(),
        Variant::Array(all) => all.inner().iter().map(json).collect(),
        Variant::Variant(inner) => json(inner),
        other => clean(&other.to_string(), MAX_NAME).into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use zbus::names::OwnedInterfaceName;

    fn object(
        kind: &str,
        has: Vec<(&str, Variant<'static>)>,
    ) -> HashMap<OwnedInterfaceName, Properties> {
        let has = has.into_iter();
        let has = has.map(|(name, value)| (name.to_owned(), value.try_into_owned().unwrap()));
        let interface = format!("org.coldshoe.Coldshoe1.{kind}");
        HashMap::from([(interface.try_into().unwrap(), has.collect())])
    }

    fn path(end: &str) -> OwnedObjectPath {
        let path = format!("/org/coldshoe/Coldshoe1/{end}");
        path.try_into().unwrap()
    }

    /// What a daemon shows with a module and two sessions.
    pub(crate) fn shown() -> Objects {
        let mut objects = ManagedObjects::new();
        let confinement = HashMap::from([
            ("NoNewPrivs".to_owned(), Variant::from(true)),
            ("LandlockAbi".to_owned(), 6_u32.into()),
            (
                "Namespaces".to_owned(),
                vec!["user".to_owned(), "net".to_owned()].into(),
            ),
        ]);
        objects.insert(
            path("session_3"),
            object(
                "Session",
                vec![
                    ("Id", "3".into()),
                    ("Camera", "front".into()),
                    ("Pipeline", "acme-camera 2".into()),
                    ("OwnerUid", 1000_u32.into()),
                    (
                        "Module",
                        Variant::from(path("module_acme_2d2").into_inner()),
                    ),
                    ("StartedUSec", 1_700_000_000_000_000_u64.into()),
                    ("Confinement", confinement.into()),
                    ("State", 2_u32.into()),
                    ("AeState", 2_u32.into()),
                    ("AwbState", 1_u32.into()),
                    ("AfState", 0_u32.into()),
                    ("WorkerPid", 4711_u32.into()),
                    ("Restarts", 1_u32.into()),
                    ("FallbackActive", false.into()),
                    ("Frames", 1200_u64.into()),
                    ("DeadlineMisses", 3_u64.into()),
                    ("RejectedBlocks", 7_u64.into()),
                    ("ClampedControls", 2_u64.into()),
                    (
                        "LatencyUSec",
                        (900_u64, 1100_u64, 1200_u64, 5000_u64).into(),
                    ),
                ],
            ),
        );
        objects.insert(
            path("session_12"),
            object("Session", vec![("Id", "12".into())]),
        );
        objects.insert(
            path("module_acme_2d2"),
            object(
                "Module",
                vec![
                    ("Name", "acme-2".into()),
                    ("ModuleVersion", "1.0".into()),
                    ("License", "MIT".into()),
                    ("Path", "/opt/acme/acme-2.so".into()),
                    ("Digest", vec![0xab_u8; 32].into()),
                    ("Trust", 1_u32.into()),
                    ("Profile", "single".into()),
                    ("State", 2_u32.into()),
                    ("Faults", 5_u64.into()),
                ],
            ),
        );
        objects.insert(
            path("module_acme"),
            object("Module", vec![("Name", "acme".into())]),
        );
        Objects::of(objects)
    }

    #[test]
    fn a_session_and_a_module_are_read_as_they_are_shown() {
        let shown = shown();
        let numbers: Vec<_> = shown.sessions.iter().map(|s| s.session.as_str()).collect();
        assert_eq!(numbers, ["3", "12"]);
        let [acme, acme_2] = shown.modules.as_slice() else {
            panic!()
        };
        assert_eq!((acme.module.as_str(), acme.state), ("acme", "unknown"));
        assert_eq!(acme_2.sha256, "ab".repeat(32));
        let session = &shown.sessions[0];
        assert_eq!(
            (session.module.as_str(), session.state),
            ("acme-2", "running")
        );
        assert_eq!(session.latency_us.max, 5000);
        assert_eq!(
            session.confinement["Namespaces"],
            serde_json::json!(["user", "net"])
        );
    }

    #[test]
    fn a_name_is_meant_by_as_much_of_it_as_tells_it_from_others() {
        assert_eq!(shown().session("1").unwrap().session, "12");
        assert_eq!(shown().module("acme").unwrap().module, "acme");
        assert_eq!(shown().module("acme-").unwrap().module, "acme-2");
        match shown().any("acme-2").unwrap() {
            Object::Module(module) => assert_eq!(module.module, "acme-2"),
            Object::Session(_) => panic!("a module"),
        }
        let error = shown().module("ac").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("acme, acme-2"), "{error}");
        for wanted in ["", "4", "3\u{1b}[2J"] {
            let error = shown().session(wanted).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            let text = error.to_string();
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(text.contains("3, 12"), "{text}");
        }
    }
}
