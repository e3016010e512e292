//! What went wrong, and which modules are not loaded any more: `faults.toml` in the state directory,
//! so that both outlive the daemon.
//!
//! It is written from a task of its own, since a worker's successor must not wait for a disk. What
//! cannot be understood is moved aside and not overwritten.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coldshoe_control::client::{self, FaultReason, MAX_LISTED};
use coldshoe_control::{Trouble, client::ErrorCode};
use rustix::fs::Uid;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast, watch};

use crate::fault::Fault;
use crate::keep;
use crate::place::{Place, PlaceError};

const NAME: &str = "faults.toml";
const BROKEN: &str = "faults.toml.broken";
const VERSION: u32 = 1;
/// Most bytes of the file.
const MAX_FILE: u64 = 1 << 20;
/// Faults that are remembered.
const MAX_FAULTS: usize = 256;
/// Modules that are remembered to have failed.
const MAX_MODULES: usize = 256;
/// Modules whose faults are counted.
const MAX_COUNTED: usize = 1024;
/// Releases that a session may be late to hear of.
const RELEASES: usize = 64;
/// Longest text of a fault, in bytes.
const MAX_TEXT: usize = 512;

/// A worker that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    number: u64,
    time: u64,
    session: u64,
    #[serde(default)]
    owner: u32,
    camera: String,
    module: String,
    generation: u32,
    reason: Reason,
    frame: u64,
    what: String,
    why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_us: Option<u64>,
}

/// As in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Unknown,
    Crash,
    Exit,
    Violation,
    Deadline,
    Protocol,
    Load,
    Memory,
    Contract,
}

impl From<FaultReason> for Reason {
    fn from(reason: FaultReason) -> Self {
        match reason {
            FaultReason::Unspecified => Self::Unknown,
            FaultReason::Crash => Self::Crash,
            FaultReason::Exit => Self::Exit,
            FaultReason::Violation => Self::Violation,
            FaultReason::Deadline => Self::Deadline,
            FaultReason::Protocol => Self::Protocol,
            FaultReason::Load => Self::Load,
            FaultReason::Memory => Self::Memory,
            FaultReason::Contract => Self::Contract,
        }
    }
}

impl From<Reason> for FaultReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unknown => Self::Unspecified,
            Reason::Crash => Self::Crash,
            Reason::Exit => Self::Exit,
            Reason::Violation => Self::Violation,
            Reason::Deadline => Self::Deadline,
            Reason::Protocol => Self::Protocol,
            Reason::Load => Self::Load,
            Reason::Memory => Self::Memory,
            Reason::Contract => Self::Contract,
        }
    }
}

/// Whose worker failed, and where it stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) session: u64,
    /// User id of its client.
    pub(crate) owner: u32,
    pub(crate) camera: &'a str,
    pub(crate) module: &'a str,
    pub(crate) generation: u32,
    pub(crate) frame: u64,
}

/// A module's standing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    /// Sessions in which it was quarantined since it was released last.
    sessions: u32,
    /// Since when it is not loaded any more, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quarantined: Option<u64>,
    /// The last of its faults.
    why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// Number of the last fault.
    last: u64,
    #[serde(default, rename = "module", skip_serializing_if = "BTreeMap::is_empty")]
    modules: BTreeMap<String, Standing>,
    #[serde(default, rename = "fault")]
    faults: VecDeque<Record>,
}

/// The faults of this installation, and what follows from them for its modules.
#[derive(Debug)]
pub(crate) struct History {
    content: Mutex<Content>,
    /// Faults of each module since the daemon started: those that are remembered may be fewer.
    counts: Mutex<BTreeMap<String, u64>>,
    changed: Notify,
    /// Modules that are released.
    released: broadcast::Sender<Arc<str>>,
    /// Told when anything changes.
    news: watch::Sender<()>,
    /// Sessions that may be quarantined before their module is.
    sessions: u32,
}

impl History {
    /// What the directory holds from before.
    pub(crate) fn open(dir: &Path, own: Uid, sessions: u32) -> Self {
        let content = read(dir, own).unwrap_or_else(|why| {
            let aside = fs::rename(dir.join(NAME), dir.join(BROKEN));
            let dir = dir.display();
            tracing::error!(%dir, why, aside = aside.is_ok(), "the history of faults is lost");
            Content::default()
        });
        Self {
            content: Mutex::new(content),
            counts: Mutex::default(),
            changed: Notify::new(),
            released: broadcast::Sender::new(RELEASES),
            news: watch::Sender::new(()),
            sessions,
        }
    }

    /// Notes a fault; the answer names it.
    pub(crate) fn fault(&self, whose: Whose<'_>, fault: &Fault) -> u64 {
        let Fault {
            reason, trouble, ..
        } = fault;
        self.count(whose.module);
        let mut content = self.lock();
        content.last += 1;
        let record = Record {
            number: content.last,
            time: now(),
            session: whose.session,
            owner: whose.owner,
            camera: whose.camera.to_owned(),
            module: whose.module.to_owned(),
            generation: whose.generation,
            reason: (*reason).into(),
            frame: whose.frame,
            what: cut(&trouble.what),
            why: cut(&trouble.why),
            recovery_us: None,
        };
        let number = record.number;
        content.faults.push_back(record);
        while content.faults.len() > MAX_FAULTS {
            content.faults.pop_front();
        }
        drop(content);
        self.tell();
        number
    }

    /// Another worker has taken over.
    pub(crate) fn recovered(&self, number: u64, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let mut content = self.lock();
        let faults = content.faults.iter_mut();
        if let Some(record) = faults.rev().find(|record| record.number == number) {
            record.recovery_us = Some(micros.max(1));
        }
        drop(content);
        self.tell();
    }

    /// A module was quarantined in a session. Whether it is for the whole machine now.
    pub(crate) fn quarantined_in_session(&self, module: &str, why: &str) -> bool {
        let mut content = self.lock();
        if content.modules.len() >= MAX_MODULES && !content.modules.contains_key(module) {
            // Whose standing is lost is loaded again: that of one that is loaded in any case.
            let loaded = |(name, standing): (&String, &Standing)| {
                standing.quarantined.is_none().then(|| name.clone())
            };
            let Some(forgotten) = content.modules.iter().find_map(loaded) else {
                return false;
            };
            content.modules.remove(&forgotten);
        }
        let standing = content.modules.entry(module.to_owned()).or_default();
        standing.sessions = standing.sessions.saturating_add(1);
        standing.why = cut(why);
        if standing.sessions >= self.sessions && standing.quarantined.is_none() {
            standing.quarantined = Some(now());
        }
        let quarantined = standing.quarantined.is_some();
        drop(content);
        self.tell();
        quarantined
    }

    /// Whether a module may be loaded.
    pub(crate) fn admit(&self, module: &str) -> Result<(), Trouble> {
        match self.lock().modules.get(module) {
            Some(Standing {
                quarantined: Some(_),
                sessions,
                why,
            }) => Err(Trouble::new(
                ErrorCode::ModuleQuarantined,
                format!("module {module:?} is quarantined"),
                match sessions {
                    0 => format!("it was put there: {why}"),
                    _ => {
                        format!("it failed too often in {sessions} sessions; the last time: {why}")
                    }
                },
                format!(
                    "install a build that works, then `coldshoectl module release {module}`; or \
                     name a module that stands in for it with --fallback"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A module may be loaded again. Whether there was anything against it.
    pub(crate) fn release(&self, module: &str) -> bool {
        let known = self.lock().modules.remove(module).is_some();
        // Nobody may wait for one.
        let _ = self.released.send(module.into());
        self.tell();
        known
    }

    /// Nobody is to load a module before it is released.
    pub(crate) fn quarantine(&self, module: &str, why: &str) -> Result<(), Trouble> {
        let mut content = self.lock();
        if content.modules.len() >= MAX_MODULES && !content.modules.contains_key(module) {
            return Err(Trouble::new(
                ErrorCode::Limit,
                format!("module {module:?} is not put into quarantine"),
                format!("{MAX_MODULES} modules are remembered, no more are"),
                "release modules that are not needed",
            ));
        }
        let standing = content.modules.entry(module.to_owned()).or_default();
        standing.why = cut(why);
        standing.quarantined.get_or_insert_with(now);
        drop(content);
        self.tell();
        Ok(())
    }

    /// Whether a module is in quarantine.
    pub(crate) fn is_quarantined(&self, module: &str) -> bool {
        let content = self.lock();
        let standing = content.modules.get(module);
        standing.is_some_and(|standing| standing.quarantined.is_some())
    }

    /// How many faults a module had since the daemon started.
    pub(crate) fn faults_of(&self, module: &str) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(module).copied().unwrap_or(0)
    }

    fn count(&self, module: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTED && !counts.contains_key(module) {
            // Files that come and go under ever new names: the best of them is missed least.
            let best = counts.iter().min_by_key(|(_, count)| **count);
            if let Some(best) = best.map(|(name, _)| name.clone()) {
                counts.remove(&best);
            }
        }
        let count = counts.entry(module.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Number of the last fault.
    pub(crate) fn last(&self) -> u64 {
        self.lock().last
    }

    /// Changes with every fault, and with what is quarantined and released.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    fn tell(&self) {
        self.changed.notify_one();
        self.news.send_replace(());
    }

    /// The modules that are released from now on.
    pub(crate) fn releases(&self) -> broadcast::Receiver<Arc<str>> {
        self.released.subscribe()
    }

    /// The faults after number `after`, as many as fit a message.
    pub(crate) fn faults(
        &self,
        after: u64,
        may_see: impl Fn(u32) -> bool,
    ) -> Vec<client::FaultRecord> {
        let content = self.lock();
        let later = content.faults.iter().filter(|record| record.number > after);
        let seen = later.filter(|record| may_see(record.owner));
        seen.take(MAX_LISTED).map(Record::on_the_wire).collect()
    }

    /// The modules that are not loaded.
    pub(crate) fn quarantined(&self) -> Vec<client::Quarantined> {
        let content = self.lock();
        let quarantined = content.modules.iter().filter_map(|(module, standing)| {
            Some(client::Quarantined {
                module: module.clone(),
                since: standing.quarantined?,
                why: standing.why.clone(),
            })
        });
        quarantined.take(MAX_LISTED).collect()
    }

    /// Keeps the file as it should be, for ever.
    pub(crate) async fn keep(self: Arc<Self>, dir: Place) {
        let dir = Arc::new(dir);
        loop {
            self.changed.notified().await;
            let (history, dir) = (Arc::clone(&self), Arc::clone(&dir));
            let written = tokio::task::spawn_blocking(move || history.write(&dir)).await;
            if let Ok(Err((step, error))) = written {
                tracing::error!(step, %error, "the history of faults is not kept");
            }
        }
    }

    fn write(&self, dir: &Place) -> Result<(), keep::Failed> {
        let mut content = self.lock().clone();
        content.version = VERSION;
        let text =
            toml::to_string(&content).map_err(|error| ("write", std::io::Error::other(error)))?;
        keep::replace(dir, NAME, &text)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn on_the_wire(&self) -> client::FaultRecord {
        client::FaultRecord {
            number: self.number,
            time: self.time,
            session: self.session,
            camera: self.camera.clone(),
            module: self.module.clone(),
            generation: self.generation,
            reason: FaultReason::from(self.reason).into(),
            frame: self.frame,
            what: self.what.clone(),
            why: self.why.clone(),
            recovery_us: self.recovery_us.unwrap_or(0),
        }
    }
}

fn read(dir: &Path, own: Uid) -> Result<Content, String> {
    let place = Place::open(dir, own).map_err(|error| error.to_string())?;
    let bytes = match place.read(NAME.as_ref(), own, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(PlaceError::Missing(_)) => return Ok(Content::default()),
        Err(error) => return Err(error.to_string()),
    };
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it has more than {MAX_FILE} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
    parse(&text)
}

/// The content of a file, with everything in it cut to what is kept.
fn parse(text: &str) -> Result<Content, String> {
    let mut content: Content = toml::from_str(text).map_err(|error| error.to_string())?;
    if content.version != VERSION {
        let version = content.version;
        return Err(format!(
            "it is of version {version}, this daemon has {VERSION}"
        ));
    }
    let surplus = content.faults.len().saturating_sub(MAX_FAULTS);
    content.faults.drain(..surplus);
    while content.modules.len() > MAX_MODULES {
        content.modules.pop_last();
    }
    for record in &mut content.faults {
        record.camera = name(&record.camera)?;
        record.module = name(&record.module)?;
        record.what = cut(&record.what);
        record.why = cut(&record.why);
    }
    for (module, standing) in &mut content.modules {
        name(module)?;
        standing.why = cut(&standing.why);
    }
    Ok(content)
}

/// Names come from messages, which bound them.
fn name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= coldshoe_control::MAX_NAME;
    match fits && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no name")),
    }
}

fn cut(text: &str) -> String {
    let mut text = coldshoe_control::clean(text);
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::geteuid;

    fn open(dir: &tempfile::TempDir) -> History {
        History::open(dir.path(), geteuid(), 3)
    }

    fn write(history: &History, dir: &tempfile::TempDir) {
        let place = Place::open(dir.path(), geteuid()).unwrap();
        history.write(&place).unwrap();
    }

    fn fault(history: &History, module: &str, frame: u64) -> u64 {
        let whose = Whose {
            session: 7,
            owner: 1000,
            camera: "imx219",
            module,
            generation: 2,
            frame,
        };
        let fault = Fault::new(FaultReason::Crash, "it crashed", "SIGSEGV", "mend it");
        history.fault(whose, &fault)
    }

    #[test]
    fn faults_and_quarantines_outlive_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let before = open(&dir);
        let number = fault(&before, "acme", 42);
        before.recovered(number, Duration::from_micros(700));
        for _ in 0..3 {
            before.quarantined_in_session("acme", "it crashed");
        }
        write(&before, &dir);
        let after = open(&dir);
        let [record] = after.faults(0, |_| true).try_into().unwrap();
        assert_eq!((record.frame, record.recovery_us), (42, 700));
        assert_eq!(record.reason(), FaultReason::Crash);
        let refused = after.admit("acme").unwrap_err();
        assert_eq!(refused.code, ErrorCode::ModuleQuarantined);
        assert!(refused.remedy.contains("coldshoectl module release acme"));
        assert_eq!(after.faults_of("acme"), 0, "another daemon counts its own");
        assert_eq!(fault(&after, "acme", 1), number + 1, "numbers go on");
        assert_eq!((after.faults_of("acme"), after.faults_of("open")), (1, 0));
    }

    #[test]
    fn a_module_is_quarantined_with_its_third_session_and_released_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let history = open(&dir);
        let mut releases = history.releases();
        assert!(!history.quarantined_in_session("acme", "a"));
        assert!(!history.quarantined_in_session("acme", "b"));
        assert!(history.admit("acme").is_ok());
        assert!(history.quarantined_in_session("acme", "c"));
        assert!(history.admit("acme").is_err() && history.admit("open").is_ok());
        assert_eq!(history.quarantined()[0].why, "c");
        assert!(history.release("acme") && !history.release("acme"));
        assert_eq!(&*releases.try_recv().unwrap(), "acme");
        assert!(history.admit("acme").is_ok());
        assert!(!history.quarantined_in_session("acme", "it counts anew"));
    }

    #[test]
    fn the_history_is_bounded_and_read_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let history = open(&dir);
        for frame in 0..1000 {
            fault(&history, "acme", frame);
        }
        let (mut after, mut read) = (0, Vec::new());
        loop {
            let part = history.faults(after, |_| true);
            let Some(last) = part.last() else { break };
            after = last.number;
            read.extend(part);
        }
        assert_eq!(read.len(), MAX_FAULTS);
        assert_eq!(history.faults_of("acme"), 1000);
        assert_eq!((read[0].number, read[MAX_FAULTS - 1].number), (745, 1000));
        for module in 0..1000 {
            history.quarantined_in_session(&format!("m{module}"), "why");
        }
        assert_eq!(history.lock().modules.len(), MAX_MODULES);
        write(&history, &dir);
        assert!(dir.path().join(NAME).metadata().unwrap().len() < MAX_FILE);
    }

    #[test]
    fn ever_new_names_push_no_module_out_that_keeps_failing() {
        let dir = tempfile::tempdir().unwrap();
        let history = open(&dir);
        for round in 0..3 * MAX_COUNTED {
            fault(&history, "acme", 0);
            fault(&history, &format!("m{round}"), 0);
        }
        assert_eq!(history.faults_of("acme"), 3 * MAX_COUNTED as u64);
        assert_eq!(history.counts.lock().unwrap().len(), MAX_COUNTED);
    }

    #[test]
    fn a_file_that_is_not_understood_is_moved_aside() {
        for text in [
            "version = 2\nlast = 0",
            "nonsense",
            "version = 1\nlast = 0\nmore = 1",
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(NAME), text).unwrap();
            assert!(open(&dir).faults(0, |_| true).is_empty());
            let aside = fs::read_to_string(dir.path().join(BROKEN)).unwrap();
            assert_eq!(aside, text);
        }
    }
}
