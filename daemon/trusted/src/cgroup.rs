//! cgroup v2: a group per worker, with limits that the worker's own resource limits cannot say.
//!
//! A daemon may only make groups where it was given a subtree of its own (`Delegate=` of systemd).
//! Whether it was is looked at before anything is changed: it is not in the root group, whoever runs
//! the system has marked its group as given away, and it is alone there; so a daemon that was started
//! from a shell, or as root in somebody's service, never rearranges what is not its own. Where there
//! is no subtree, sessions run under their resource limits alone and their report says so.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The group that the daemon itself moves to: a group with limits for its children may hold no
/// process.
const OWN: &str = "coldshoed";
const PROBE: &str = "probe";
const SESSION: &str = "session-";
/// Largest of the kernel's files that is read, in bytes.
const MAX_TEXT: u64 = 64 << 10;
/// Beyond heap and stacks: libraries, page tables, shared segments.
const OVERHEAD: u64 = 64 << 20;
/// The period of `cpu.max`, in microseconds.
const PERIOD: u64 = 100_000;

/// systemd marks a group that it gives away with one of these, as `1`: the one that everybody may
/// read where the kernel lets it, the other always.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// What one session may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes.
    memory: u64,
    /// Processes and threads.
    processes: u64,
    /// Microseconds of processor time in each [`PERIOD`].
    cpu: u64,
}

impl Limits {
    /// From a profile's limits: bytes of heap (`data`) and of each stack, and the threads beside
    /// the first one; the size of the module in bytes, which is in memory twice: its copy in the
    /// jail, and what the loader makes of it; and the size of the session's two segments in bytes,
    /// whose pages count where they are touched first.
    pub(crate) fn new(data: u64, stack: u64, threads: u64, module: u64, segments: u64) -> Self {
        let all = threads.saturating_add(1);
        Self {
            memory: data
                .saturating_add(stack.saturating_mul(all))
                .saturating_add(module.saturating_mul(2))
                .saturating_add(segments)
                .saturating_add(OVERHEAD),
            // While it starts, a worker is two processes.
            processes: all.saturating_add(1),
            // A tenth more than its threads can use: at exactly what they can use, the kernel's
            // accounting in slices would hold a busy thread up in the middle of a frame.
            cpu: all.saturating_mul(PERIOD).saturating_add(PERIOD / 10),
        }
    }
}

/// A part of what groups can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Memory => "memory.max",
            Self::Pids => "pids.max",
            Self::Cpu => "cpu.max",
        }
    }

    fn value(self, limits: &Limits) -> String {
        match self {
            Self::Memory => limits.memory.to_string(),
            Self::Pids => limits.processes.to_string(),
            Self::Cpu => format!("{} {PERIOD}", limits.cpu),
        }
    }
}

/// The daemon's own subtree, if it has one.
#[derive(Debug)]
pub(crate) struct Cgroups {
    subtree: Result<Subtree, String>,
}

#[derive(Debug)]
struct Subtree {
    dir: PathBuf,
    controllers: Vec<Controller>,
    leftovers: Leftovers,
}

/// Groups that could not be removed yet: their last process was still on its way out.
type Leftovers = Arc<Mutex<Vec<PathBuf>>>;

impl Cgroups {
    /// Finds the daemon's subtree by trying, and moves the daemon to a group of its own there.
    /// Never fails: what it did not get, and why, is in the log and in each session's report.
    pub(crate) fn discover() -> Self {
        let subtree =
            own_dir().and_then(|dir| Subtree::take(dir, std::process::id(), is_delegated));
        match subtree.as_ref().map(Subtree::lacking) {
            Ok(None) => tracing::info!("cgroup limits: memory, pids and cpu of each session"),
            Ok(Some(why)) => tracing::info!("cgroup limits are not complete: {why}"),
            Err(why) => tracing::info!("no cgroup limits: {why}"),
        }
        Self { subtree }
    }

    /// A group for a worker of a session, empty as yet. `None` without a subtree, or if the kernel
    /// refuses one limit or the other: the worker then leans on its resource limits.
    pub(crate) fn for_worker(&self, id: u64, generation: u32, limits: &Limits) -> Option<Cgroup> {
        let subtree = self.subtree.as_ref().ok()?;
        subtree
            .group(&format!("{SESSION}{id}-{generation}"), limits)
            .map_err(|error| tracing::warn!(session = id, %error, "no cgroup for the session"))
            .ok()
    }

    /// The group that a daemon before this one gave a worker, with the same limits: they are gone when
    /// controllers were switched off meanwhile, so that a service manager could start this daemon.
    pub(crate) fn of_worker(&self, id: u64, generation: u32, limits: &Limits) -> Option<Cgroup> {
        let subtree = self.subtree.as_ref().ok()?;
        let dir = subtree.dir.join(format!("{SESSION}{id}-{generation}"));
        if !dir.is_dir() {
            return None;
        }
        let mut group = subtree.unlimited(dir);
        if let Err(error) = subtree.limit(&mut group, limits) {
            tracing::warn!(session = id, %error, "the session's cgroup has no limits");
        }
        Some(group)
    }

    /// What does not limit a session with this group, and why; `None` if nothing is missing.
    pub(crate) fn missing(&self, group: Option<&Cgroup>) -> Option<String> {
        match (&self.subtree, group) {
            (Err(why), _) => Some(why.clone()),
            (Ok(_), None) => Some("the kernel refused the session's group".to_owned()),
            (Ok(subtree), Some(_)) => subtree.lacking(),
        }
    }
}

impl Subtree {
    fn lacking(&self) -> Option<String> {
        missing_of(&self.controllers)
    }

    /// Takes `dir`, the group of the process `own`, if it is a subtree of its own.
    fn take(dir: PathBuf, own: u32, delegated: fn(&Path) -> bool) -> Result<Self, String> {
        let offered = look(&dir, own, delegated)?;
        let at = dir.display();
        let leaf = dir.join(OWN);
        // One that is there has what a daemon before has left: the keeper of its workers.
        fs::create_dir(&leaf)
            .or_else(|error| match leaf.is_dir() {
                true => Ok(()),
                false => Err(error),
            })
            .map_err(|error| format!("its cgroup {at} was not delegated: {error}"))?;
        let taken = write(&leaf.join("cgroup.procs"), &own.to_string())
            .map_err(|error| format!("its cgroup {at} was not delegated: {error}"))
            .and_then(|()| Self::enable(dir.clone(), &offered));
        if taken.is_err() {
            // Back to where it was; if that fails too, the daemon is merely one group further down.
            let _ = write(&dir.join("cgroup.procs"), &own.to_string());
            let _ = fs::remove_dir(&leaf);
        }
        taken
    }

    fn enable(dir: PathBuf, offered: &[Controller]) -> Result<Self, String> {
        let mut subtree = Self {
            dir,
            controllers: Vec::new(),
            leftovers: Leftovers::default(),
        };
        let control = subtree.dir.join("cgroup.subtree_control");
        let mut why = String::new();
        for controller in offered {
            match write(&control, &format!("+{}", controller.name())) {
                Ok(()) => subtree.controllers.push(*controller),
                Err(error) => why = format!("{} cannot be enabled: {error}", controller.name()),
            }
        }
        subtree.sweep_after_predecessor();
        let probe = subtree.dir.join(PROBE);
        make(&probe).map_err(|error| format!("no group can be made: {error}"))?;
        subtree.controllers.retain(|controller| {
            let limits = Limits::new(1 << 30, 0, 0, 0, 0);
            write(&probe.join(controller.file()), &controller.value(&limits))
                .map_err(|error| why = format!("{} is refused: {error}", controller.file()))
                .is_ok()
        });
        let _ = fs::remove_dir(&probe);
        if subtree.controllers.is_empty() {
            return Err(why);
        }
        Ok(subtree)
    }

    /// Groups of sessions that a daemon left here which did not end well. No session is ours yet.
    fn sweep_after_predecessor(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(SESSION) || name == PROBE {
                // One that still holds a process stays, and is tried again when its name is needed.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    fn group(&self, name: &str, limits: &Limits) -> io::Result<Cgroup> {
        self.leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|dir| !removed(dir));
        let dir = self.dir.join(name);
        make(&dir)?;
        let mut group = self.unlimited(dir);
        self.limit(&mut group, limits)?;
        Ok(group)
    }

    fn unlimited(&self, dir: PathBuf) -> Cgroup {
        Cgroup {
            dir,
            limits: Vec::new(),
            leftovers: Arc::clone(&self.leftovers),
        }
    }

    fn limit(&self, group: &mut Cgroup, limits: &Limits) -> io::Result<()> {
        for controller in &self.controllers {
            let file = group.dir.join(controller.file());
            write(&file, &controller.value(limits))?;
            let answer = read(&file)?;
            group
                .limits
                .push(format!("{} {}", controller.file(), answer.trim()));
        }
        if self.controllers.contains(&Controller::Memory) {
            // All of the worker or nothing: half a worker helps nobody. Linux 4.19.
            let _ = write(&group.dir.join("memory.oom.group"), "1");
        }
        Ok(())
    }
}

/// The group of one session. Dropping it ends whatever is still in it, and removes it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
    limits: Vec<String>,
    leftovers: Leftovers,
}

impl Cgroup {
    /// Moves a process here, with all its threads; what it starts from then on begins here.
    pub(crate) fn admit(&self, pid: i32) -> io::Result<()> {
        write(&self.dir.join("cgroup.procs"), &pid.to_string())
    }

    /// The limits in force, in the kernel's words, one a line.
    pub(crate) fn limits(&self) -> &[String] {
        &self.limits
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if removed(&self.dir) {
            return;
        }
        // Linux 5.14; before that, its worker has been killed already and needs a moment.
        let _ = write(&self.dir.join("cgroup.kill"), "1");
        if !removed(&self.dir) {
            let mut leftovers = self
                .leftovers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            leftovers.push(self.dir.clone());
        }
    }
}

/// Whether a daemon in this process's place would get limits for its sessions. Changes nothing, so
/// what only trying tells is not found out.
///
/// # Errors
/// What is missing, to follow a colon.
pub fn cgroup_limits() -> Result<(), String> {
    let offered = look(&own_dir()?, std::process::id(), is_delegated)?;
    match missing_of(&offered) {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

fn own_dir() -> Result<PathBuf, String> {
    own_group(
        &read(Path::new("/proc/self/cgroup")).unwrap_or_default(),
        &read(Path::new("/proc/self/mountinfo")).unwrap_or_default(),
    )
}

/// Whether `dir`, the group of the process `own`, looks like a subtree of its own, and what can be
/// limited there.
fn look(dir: &Path, own: u32, delegated: fn(&Path) -> bool) -> Result<Vec<Controller>, String> {
    let at = dir.display();
    match read(&dir.join("cgroup.type")).as_deref().map(str::trim) {
        Ok("domain") => {}
        Ok(other) => return Err(format!("its cgroup {at} is of the type {other:?}")),
        Err(_) => {
            return Err(format!(
                "it is in the root cgroup {at}: no subtree was delegated to it"
            ));
        }
    }
    if !delegated(dir) {
        return Err(format!(
            "its cgroup {at} was not delegated to it: no {} is 1 there; a service has that with \
             Delegate=yes",
            DELEGATED.join(" or ")
        ));
    }
    let offered = read(&dir.join("cgroup.controllers"))
        .map_err(|error| format!("its cgroup {at} cannot be read: {error}"))?;
    let offered: Vec<Controller> = Controller::ALL
        .into_iter()
        .filter(|wanted| offered.split_whitespace().any(|name| name == wanted.name()))
        .collect();
    if offered.is_empty() {
        return Err(format!(
            "its cgroup {at} has no controller for memory, pids or cpu"
        ));
    }
    let inside = read(&dir.join("cgroup.procs"))
        .map_err(|error| format!("its cgroup {at} cannot be read: {error}"))?;
    if inside.lines().any(|pid| pid.trim().parse() != Ok(own)) {
        return Err(format!("it shares its cgroup {at} with other processes"));
    }
    Ok(offered)
}

fn is_delegated(dir: &Path) -> bool {
    DELEGATED.iter().any(|name| {
        let mut value = [0; 4];
        match rustix::fs::getxattr(dir, *name, &mut value) {
            Ok(size) => value.get(..size) == Some(b"1"),
            Err(_) => false,
        }
    })
}

fn missing_of(controllers: &[Controller]) -> Option<String> {
    let lacking: Vec<_> = Controller::ALL
        .into_iter()
        .filter(|controller| !controllers.contains(controller))
        .map(Controller::file)
        .collect();
    let text = lacking.join(", ");
    (!lacking.is_empty()).then(|| format!("its subtree was delegated without {text}"))
}

/// Whether the group is gone now.
fn removed(dir: &Path) -> bool {
    match fs::remove_dir(dir) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes a group, in place of an empty one that was left.
fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir(dir)?;
            fs::create_dir(dir)
        }
        other => other,
    }
}

/// The directory of the group that the text of `/proc/self/cgroup` names, below the cgroup2 mount
/// that the text of `/proc/self/mountinfo` names.
fn own_group(cgroup: &str, mountinfo: &str) -> Result<PathBuf, String> {
    let group = cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("this kernel runs without cgroup v2")?;
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup2 ")
            .then(|| (unescape(root), unescape(at)))
    });
    let group = Path::new(group);
    let mut mounted = false;
    for (root, at) in mounts {
        mounted = true;
        if let Ok(below) = group.strip_prefix(&root) {
            return Ok(Path::new(&at).join(below));
        }
    }
    Err(if mounted {
        format!(
            "its cgroup {} is outside of what is mounted here",
            group.display()
        )
    } else {
        "cgroup v2 is not mounted".to_owned()
    })
}

/// Spaces and the like are written `\040` there.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_TEXT)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// In one write, as these files want it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    // The kernel makes these files, and no others; a tree of plain files has none to begin with.
    #[cfg(test)]
    options.create(true);
    options.open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    const OWN_PID: u32 = 4711;

    /// A directory that looks like a delegated group, as far as plain files can.
    fn tree(controllers: &str) -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("coldshoed.service");
        fs::create_dir(&dir).unwrap();
        for (file, text) in [
            ("cgroup.type", "domain\n".to_owned()),
            ("cgroup.controllers", format!("{controllers}\n")),
            ("cgroup.procs", format!("{OWN_PID}\n")),
            ("cgroup.subtree_control", String::new()),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        (top, dir)
    }

    fn cgroups(dir: &Path) -> Cgroups {
        Cgroups {
            subtree: Subtree::take(dir.to_owned(), OWN_PID, |_| true),
        }
    }

    /// Plain files keep a directory from being removed; the kernel's do not.
    fn clear(dir: &Path) {
        for entry in dir.read_dir().unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    const LIMITS: Limits = Limits {
        memory: 700,
        processes: 3,
        cpu: 110_000,
    };

    #[test]
    fn a_session_gets_a_group_with_its_limits_which_goes_with_it() {
        let (_top, dir) = tree("cpuset cpu io memory pids");
        let cgroups = cgroups(&dir);
        // The probe of a plain tree is not empty; see `clear`.
        clear(&dir.join(PROBE));
        assert_eq!(read(&dir.join("coldshoed/cgroup.procs")).unwrap(), "4711");
        let group = cgroups.for_worker(7, 2, &LIMITS).unwrap();
        let path = dir.join("session-7-2");
        assert_eq!(cgroups.missing(Some(&group)), None);
        assert!(cgroups.missing(None).unwrap().contains("refused"));
        let limits = ["memory.max 700", "pids.max 3", "cpu.max 110000 100000"];
        assert_eq!(group.limits(), limits);
        for line in limits {
            let (file, value) = line.split_once(' ').unwrap();
            assert_eq!(read(&path.join(file)).unwrap(), value);
        }
        group.admit(42).unwrap();
        assert_eq!(read(&path.join("cgroup.procs")).unwrap(), "42");
        clear(&path);
        drop(group);
        assert!(!path.exists());
    }

    #[test]
    fn a_group_that_is_not_empty_yet_is_removed_with_a_later_session() {
        let (_top, dir) = tree("memory pids cpu");
        let cgroups = cgroups(&dir);
        drop(cgroups.for_worker(1, 1, &LIMITS).unwrap());
        let path = dir.join("session-1-1");
        assert_eq!(read(&path.join("cgroup.kill")).unwrap(), "1");
        clear(&path);
        let _other = cgroups.for_worker(2, 1, &LIMITS).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_daemon_that_follows_joins_the_keeper_and_limits_its_workers_anew() {
        let (_top, dir) = tree("memory pids cpu");
        let first = cgroups(&dir);
        clear(&dir.join(PROBE));
        let group = first.for_worker(7, 2, &LIMITS).unwrap();
        // Its worker is still there, and so is the keeper; limits went with their controllers.
        std::mem::forget(group);
        fs::write(dir.join(OWN).join("keeper"), "").unwrap();
        let path = dir.join("session-7-2");
        fs::remove_file(path.join("memory.max")).unwrap();
        let next = cgroups(&dir);
        assert!(next.subtree.is_ok(), "{next:?}");
        let group = next.of_worker(7, 2, &LIMITS).unwrap();
        assert_eq!(read(&path.join("memory.max")).unwrap(), "700");
        assert_eq!(group.limits()[0], "memory.max 700");
        assert!(next.of_worker(8, 1, &LIMITS).is_none());
    }

    #[test]
    fn what_a_predecessor_left_is_removed() {
        let (_top, dir) = tree("memory pids cpu");
        for name in ["session-9", "other"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let _cgroups = cgroups(&dir);
        assert!(!dir.join("session-9").exists());
        assert!(dir.join("other").exists());
    }

    #[test]
    fn a_controller_that_was_not_delegated_is_named() {
        let (_top, dir) = tree("memory pids");
        let cgroups = cgroups(&dir);
        let group = cgroups.for_worker(1, 1, &LIMITS).unwrap();
        let missing = cgroups.missing(Some(&group)).unwrap();
        assert!(missing.ends_with("without cpu.max"), "{missing}");
        assert_eq!(group.limits().len(), 2);
    }

    #[test]
    fn no_subtree_is_absent_with_its_reason_and_nothing_is_touched() {
        let absent = |change: &dyn Fn(&Path)| {
            let (_top, dir) = tree("memory pids cpu");
            change(&dir);
            let cgroups = cgroups(&dir);
            assert!(cgroups.for_worker(1, 1, &LIMITS).is_none());
            assert!(!dir.join(OWN).exists());
            cgroups.missing(None).unwrap()
        };
        let put = |file: &'static str, text: &'static str| {
            move |dir: &Path| fs::write(dir.join(file), text).unwrap()
        };
        let root = absent(&|dir| fs::remove_file(dir.join("cgroup.type")).unwrap());
        assert!(root.contains("root cgroup"), "{root}");
        let threaded = absent(&put("cgroup.type", "threaded\n"));
        assert!(threaded.contains("threaded"), "{threaded}");
        let bare = absent(&put("cgroup.controllers", "cpuset io\n"));
        assert!(bare.contains("no controller"), "{bare}");
        let shared = absent(&put("cgroup.procs", "4711\n4712\n"));
        assert!(shared.contains("other processes"), "{shared}");
    }

    #[test]
    fn a_group_that_was_not_given_away_is_not_touched_and_the_way_to_have_one_is_told() {
        let (_top, dir) = tree("memory pids cpu");
        let why = Subtree::take(dir.clone(), OWN_PID, |_| false).unwrap_err();
        assert!(why.contains("Delegate=yes"), "{why}");
        assert!(!dir.join(OWN).exists());
        assert_eq!(read(&dir.join("cgroup.subtree_control")).unwrap(), "");
    }

    /// Of a plain directory, where its file system has such marks.
    #[test]
    fn the_mark_of_a_delegated_group_is_read() {
        let (_top, dir) = tree("memory");
        assert!(!is_delegated(&dir));
        let flags = rustix::fs::XattrFlags::empty();
        for (value, delegated) in [
            (&b"1"[..], true),
            (b"0", false),
            (b"11", false),
            (b"", false),
        ] {
            if let Err(error) = rustix::fs::setxattr(&dir, DELEGATED[0], value, flags) {
                eprintln!("SKIPPED: no extended attributes here: {error}");
                return;
            }
            assert_eq!(is_delegated(&dir), delegated, "{value:?}");
        }
    }

    #[test]
    fn limits_follow_the_profile_and_leave_room_to_start() {
        let single = Limits::new(512 << 20, 8 << 20, 0, 4 << 20, 33 << 20);
        assert_eq!(single.memory, (512 + 8 + 8 + 33 + 64) << 20);
        assert_eq!((single.processes, single.cpu), (2, 110_000));
        let threaded = Limits::new(512 << 20, 8 << 20, 3, 0, 0);
        assert_eq!((threaded.processes, threaded.cpu), (5, 410_000));
        assert_eq!(
            Limits::new(u64::MAX, 1, u64::MAX, u64::MAX, 1).memory,
            u64::MAX
        );
    }

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let hybrid = "9:pids:/x\n0::/system.slice/coldshoed.service\n";
        let mounts = "25 1 0:23 / /sys rw - sysfs sysfs rw\n\
            31 25 0:27 / /sys/fs/cgroup/uni\\040fied rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            own_group(hybrid, mounts).unwrap(),
            Path::new("/sys/fs/cgroup/uni fied/system.slice/coldshoed.service")
        );
        let inner = mounts.replace("0:27 / ", "0:27 /system.slice ");
        assert_eq!(
            own_group(hybrid, &inner).unwrap(),
            Path::new("/sys/fs/cgroup/uni fied/coldshoed.service")
        );
        for (cgroup, mounts, why) in [
            ("1:name=systemd:/\n", mounts, "without cgroup v2"),
            ("0::/\n", "", "not mounted"),
            ("0::/elsewhere\n", inner.as_str(), "outside"),
        ] {
            let error = own_group(cgroup, mounts).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    fn sleeper() -> Child {
        // It ends when its input does, which is when this test does.
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    /// The kernel's own files, without limits where it has no controllers to give.
    #[test]
    fn a_real_process_is_moved_ended_and_its_group_removed() {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mountinfo
            .lines()
            .find(|line| line.contains(" - cgroup2 "))
            .and_then(|line| line.split(' ').nth(4));
        let Some(mount) = mount.map(Path::new) else {
            eprintln!("SKIPPED: no cgroup2 is mounted here");
            return;
        };
        let dir = mount.join(format!("coldshoe-test-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&dir) {
            eprintln!(
                "SKIPPED: no group can be made in {}: {error}",
                mount.display()
            );
            return;
        }
        let subtree = Subtree {
            dir: dir.clone(),
            controllers: Vec::new(),
            leftovers: Leftovers::default(),
        };
        let group = subtree.group("session-1", &LIMITS).unwrap();
        let mut child = sleeper();
        group.admit(child.id().cast_signed()).unwrap();
        let procs = read(&group.dir.join("cgroup.procs")).unwrap();
        assert_eq!(procs.trim(), child.id().to_string());
        let path = group.dir.clone();
        drop(group);
        // Ended by the group, not by us.
        assert!(!child.wait().unwrap().success());
        let next = subtree.group("session-2", &LIMITS).unwrap();
        assert!(!path.exists());
        drop(next);
        fs::remove_dir(dir).unwrap();
    }

    /// With limits, where a subtree was delegated to whoever runs the tests.
    #[test]
    fn real_limits_are_in_force_where_a_subtree_was_delegated() {
        let cgroups = Cgroups::discover();
        let Some(group) = cgroups.for_worker(1, 1, &Limits::new(1 << 20, 0, 0, 0, 0)) else {
            let why = cgroups.missing(None).unwrap_or_default();
            eprintln!("SKIPPED: no delegated cgroup: {why}");
            return;
        };
        assert!(!group.limits().is_empty());
        for line in group.limits() {
            assert!(!line.ends_with("max max"), "{line}");
        }
    }
}
