//! The rules of ARCHITECTURE.md, and what breaks them.
//!
//! [`Workspace::read`] looks at the sources and at what cargo knows of their dependencies;
//! [`Workspace::violations`] judges that picture and nothing else, so that a test can show it a
//! doctored one.

mod graph;
mod source;
mod workspace;

pub use graph::{Crate, Graph};
pub use source::words;
pub use workspace::{Member, Source, Workspace};

/// Where crates may be, and whether they may hold `unsafe` code (★).
pub const CRATES: [(&str, bool); 22] = [
    ("proto/control", false),
    ("proto/frame", true),
    ("proto/isp", false),
    ("proto/libcamera", false),
    ("proto/dbus", false),
    ("policy/jail", false),
    ("policy/contract", false),
    ("daemon/trusted", false),
    ("daemon/wall", true),
    ("daemon/jailed/worker", true),
    ("daemon/jailed/ipa", true),
    ("daemon/jailed/open", false),
    ("client/pipeline", false),
    ("client/capi", true),
    ("client/libcamera", false),
    ("client/camera", false),
    ("client/ctl", false),
    ("tests", false),
    ("tests/bench", false),
    ("tests/hostile", false),
    ("tests/fuzz", false),
    ("tests/gates", false),
];

/// The folders at the top. Those whose names begin with a dot belong to tools.
pub const FOLDERS: [&str; 7] = [
    "proto", "policy", "daemon", "client", "systemd", "tests", "target",
];

const JAILED: &str = "daemon/jailed/";
const TRUSTED: &str = "daemon/trusted";
const WALL: &str = "daemon/wall";
const PROTO: &str = "proto/";
const POLICY: &str = "policy/";

/// What nothing in the jail reaches.
const KEPT_OUT_OF_JAIL: [&str; 2] = ["tokio", "zbus"];
/// What no policy crate names: the ways to files, sockets and system calls.
const KEPT_OUT_OF_POLICY: [&str; 11] = [
    "env", "fs", "io", "libc", "net", "nix", "os", "process", "rustix", "thread", "tokio",
];
/// Modules that tests compile and load: foreign code, which nothing here links.
const FOREIGN: &str = "/tests/jail/modules/";
const FORBID: &str = "#![forbid(unsafe_code)]";

impl Workspace {
    /// Everything that breaks a rule, a line each.
    pub fn violations(&self) -> Vec<String> {
        [
            self.layout(),
            self.jail_is_small(),
            self.jail_and_daemon_meet_at_the_wall(),
            self.unsafe_is_where_it_may_be(),
            self.policy_is_pure(),
        ]
        .concat()
    }

    /// Folders and crates are where the architecture draws them.
    fn layout(&self) -> Vec<String> {
        let strange = self
            .folders
            .iter()
            .filter(|folder| !folder.starts_with('.') && !FOLDERS.contains(&folder.as_str()))
            .map(|folder| format!("{folder}/ is no folder of the fixed layout"));
        let misplaced = self
            .members
            .iter()
            .filter(|member| !CRATES.iter().any(|(place, _)| *place == member.folder))
            .map(|member| format!("{} is no place for a crate", member.folder));
        strange.chain(misplaced).collect()
    }

    /// Rule 1: nothing under daemon/jailed reaches tokio or zbus.
    fn jail_is_small(&self) -> Vec<String> {
        let mut found = Vec::new();
        for start in self.graph.under(JAILED) {
            for kept_out in KEPT_OUT_OF_JAIL {
                if let Some(way) = self.graph.way(start, |reached| reached.name == kept_out) {
                    found.push(format!("the jail reaches {kept_out}: {way}"));
                }
            }
        }
        found
    }

    /// Rule 2: daemon/jailed and daemon/trusted meet only in proto/ and daemon/wall.
    fn jail_and_daemon_meet_at_the_wall(&self) -> Vec<String> {
        let meeting_place = |folder: &str| folder.starts_with(PROTO) || folder == WALL;
        let mut found = Vec::new();
        for daemon in self.graph.under(TRUSTED) {
            for jailed in self.graph.under(JAILED) {
                let theirs = self.graph.reached(jailed);
                let shared = |reached: &Crate| {
                    let folder = reached.folder.as_deref();
                    folder.is_some_and(|folder| !meeting_place(folder))
                        && theirs.contains(&reached.name)
                };
                if let Some(way) = self.graph.way(daemon, shared) {
                    found.push(format!("daemon and {jailed} meet behind the wall: {way}"));
                }
            }
        }
        found
    }

    /// Rule 3: `unsafe` only where it may be, forbidden to the compiler elsewhere, and each block
    /// with its reason.
    fn unsafe_is_where_it_may_be(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.undocumented_unsafe_is_denied {
            found.push("the workspace does not deny undocumented_unsafe_blocks".to_owned());
        }
        for member in &self.members {
            if !member.inherits_lints {
                found.push(format!(
                    "{} does not inherit the workspace's lints",
                    member.folder
                ));
            }
            let may = CRATES.iter().any(|place| *place == (&member.folder, true));
            if may {
                continue;
            }
            let roots = member.sources.iter().filter(|source| source.is_root);
            for root in roots.filter(|root| !root.text.lines().any(|line| line == FORBID)) {
                found.push(format!("{} lacks {FORBID}", root.path));
            }
            // In tests, examples and build scripts too. What a Rust module exports comes from a
            // macro of coldshoe-ipa and is judged there.
            let unsafe_code = |source: &&Source| words(&source.text).any(|word| word == "unsafe");
            let own = |source: &&Source| !source.path.contains(FOREIGN);
            for source in member.sources.iter().filter(own).filter(unsafe_code) {
                found.push(format!("{} holds unsafe code", source.path));
            }
        }
        found
    }

    /// Rule 4: policy crates do no I/O and no system calls.
    fn policy_is_pure(&self) -> Vec<String> {
        let mut found = Vec::new();
        let kept_out = |word: &str| KEPT_OUT_OF_POLICY.contains(&word);
        for name in self.graph.under(POLICY) {
            let needs = self.graph.needs(name);
            for need in needs.iter().filter(|need| kept_out(need)) {
                found.push(format!("{name} depends on {need}"));
            }
        }
        let policy = |member: &&Member| member.folder.starts_with(POLICY);
        for member in self.members.iter().filter(policy) {
            for source in member.sources.iter().filter(|source| source.is_product) {
                if let Some(word) = words(&source.text).find(|word| kept_out(word)) {
                    found.push(format!("{} names `{word}`", source.path));
                }
            }
        }
        found
    }
}
