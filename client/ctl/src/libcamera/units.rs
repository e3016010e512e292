//! Units of systemd under which libcamera cannot start a worker.
//!
//! libcamera makes a worker's process by clone3 with namespaces of its own. A unit with
//! RestrictNamespaces= has a filter that cannot look at what clone3 asks for, and answers ENOSYS whatever
//! it is, as long as any kind of namespace is restricted. libcamera has no other way, and gives up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::library::names;
use super::under;
use crate::file;

/// Most bytes of a file.
const MAX_FILE: u64 = 1 << 20;
/// Namespaces that may be restricted.
const KINDS: [&str; 7] = ["cgroup", "ipc", "net", "mnt", "pid", "user", "uts"];
const ALL: u8 = (1 << KINDS.len()) - 1;
/// Parts of the names of units that may well use a camera.
const CAMERAS: [&str; 9] = [
    "pipewire",
    "wireplumber",
    "media-session",
    "xdg-desktop-portal",
    "camera",
    "webcam",
    "gstreamer",
    "mediamtx",
    "motion",
];
const SYSTEM: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Before and after those of a user's own data.
const USER: [[&str; 2]; 2] = [
    ["/etc/systemd/user", "/run/systemd/user"],
    ["/usr/local/lib/systemd/user", "/usr/lib/systemd/user"],
];

/// Whose service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Manager {
    System,
    User,
}

/// A unit that restricts namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Restricted {
    pub(crate) unit: String,
    pub(crate) manager: Manager,
    /// The last file that says so.
    pub(crate) file: PathBuf,
    /// As it stands there.
    pub(crate) value: String,
    /// Whether it uses cameras, as far as its name tells.
    pub(crate) camera: bool,
    /// What mends it.
    pub(crate) remedy: String,
}

/// Where units are; the first match counts.
pub(crate) struct Dirs {
    manager: Manager,
    dirs: Vec<PathBuf>,
}

impl Dirs {
    pub(crate) fn system(root: &Path) -> Self {
        Self {
            manager: Manager::System,
            dirs: SYSTEM.map(|dir| under(root, Path::new(dir))).into(),
        }
    }

    /// Those of a user, whose own configuration and data are in these directories.
    pub(crate) fn user(root: &Path, config: Option<&Path>, data: Option<&Path>) -> Self {
        let own = |dir: Option<&Path>| dir.map(|dir| dir.join("systemd/user"));
        let [before, after] = USER.map(|dirs| dirs.map(|dir| under(root, Path::new(dir))));
        let dirs = own(config).into_iter().chain(before);
        Self {
            manager: Manager::User,
            dirs: dirs.chain(own(data)).chain(after).collect(),
        }
    }

    /// Services that restrict namespaces, by name.
    pub(crate) fn restricted(&self) -> Vec<Restricted> {
        let mut units = BTreeSet::new();
        for dir in &self.dirs {
            let names = names(dir).into_iter();
            units.extend(names.filter(|name| name.ends_with(".service")));
        }
        units
            .into_iter()
            .filter_map(|unit| self.look(unit))
            .collect()
    }

    fn look(&self, unit: String) -> Option<Restricted> {
        let file = self.dirs.iter().map(|dir| dir.join(&unit));
        let file = file
            .into_iter()
            .find(|file| file.symlink_metadata().is_ok())?;
        // Another name of a unit that is looked at by its own; or a unit that is put away.
        let real = file.canonicalize().ok()?;
        if real.file_name().is_none_or(|name| name != unit.as_str()) {
            return None;
        }
        let mut state = State::default();
        for file in std::iter::once(file).chain(self.drop_ins(&unit)) {
            if let Ok(bytes) = file::read(&file, MAX_FILE) {
                state.read(&String::from_utf8_lossy(&bytes), &file);
            }
        }
        let (file, value) = state.said.filter(|_| state.allowed != ALL)?;
        let user = match self.manager {
            Manager::System => "",
            Manager::User => "--user ",
        };
        Some(Restricted {
            remedy: format!(
                "a drop-in with the lines [Service] and RestrictNamespaces=no: systemctl {user}edit {unit}; \
                 then systemctl {user}restart {unit}"
            ),
            camera: CAMERAS.iter().any(|part| unit.contains(part)),
            manager: self.manager,
            unit,
            file,
            value,
        })
    }

    /// Its drop-ins, in the order in which they count: by name, and a directory that comes first hides
    /// files of the same name in others.
    fn drop_ins(&self, unit: &str) -> Vec<PathBuf> {
        let mut found = BTreeMap::new();
        for of in drop_in_dirs(unit) {
            for dir in &self.dirs {
                let dir = dir.join(&of);
                let names = names(&dir).into_iter();
                for name in names.filter(|name| name.ends_with(".conf")) {
                    found.entry(name.clone()).or_insert_with(|| dir.join(name));
                }
            }
        }
        found.into_values().collect()
    }
}

/// `a-b.service.d`, `a-.service.d` and `service.d` for `a-b.service`: the more it says the more it counts.
fn drop_in_dirs(unit: &str) -> Vec<String> {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let mut dirs = vec![format!("{unit}.d")];
    let dashes = stem.char_indices().rev().filter(|(_, c)| *c == '-');
    for (at, _) in dashes.filter(|(at, _)| at + 1 < stem.len()) {
        dirs.push(format!("{}.service.d", &stem[..=at]));
    }
    dirs.push("service.d".to_owned());
    dirs
}

/// What files say, one after the other.
struct State {
    allowed: u8,
    /// Nothing was restricted or allowed yet.
    initial: bool,
    /// By which file, in which words.
    said: Option<(PathBuf, String)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            allowed: ALL,
            initial: true,
            said: None,
        }
    }
}

impl State {
    fn read(&mut self, text: &str, file: &Path) {
        let mut section = String::new();
        for line in logical_lines(text) {
            if let Some(name) = line.strip_prefix('[') {
                name.trim_end_matches(']').clone_into(&mut section);
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if (section.as_str(), key.trim()) == ("Service", "RestrictNamespaces") {
                self.take(value.trim());
                self.said = Some((file.to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// As systemd does: a word of yes or no replaces what was said before, lists add up.
    fn take(&mut self, value: &str) {
        match value.to_ascii_lowercase().as_str() {
            "" => return *self = Self::default(),
            "1" | "yes" | "y" | "true" | "t" | "on" => self.allowed = 0,
            "0" | "no" | "n" | "false" | "f" | "off" => self.allowed = ALL,
            _ => {
                let (inverted, list) = match value.strip_prefix('~') {
                    Some(list) => (true, list),
                    None => (false, value),
                };
                let kind = |word: &str| KINDS.iter().position(|kind| *kind == word);
                let listed = list.split_whitespace().filter_map(kind);
                let listed = listed.fold(0, |all, kind| all | (1 << kind));
                self.allowed = match (self.initial, inverted) {
                    (true, true) => ALL & !listed,
                    (true, false) => listed,
                    (false, true) => self.allowed & !listed,
                    (false, false) => self.allowed | listed,
                };
            }
        }
        self.initial = false;
    }
}

/// Lines without comments; a backslash at the end goes on in the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(part) => begun = begun + part + " ",
            None => lines.push(std::mem::take(&mut begun) + line),
        }
    }
    lines.push(begun);
    lines
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn user(&self) -> Vec<Restricted> {
            Dirs::user(self.0.path(), None, None).restricted()
        }

        /// The file that decides, beneath the root.
        fn file(&self, one: &Restricted) -> String {
            let file = one.file.strip_prefix(self.0.path()).unwrap();
            file.to_str().unwrap().to_owned()
        }
    }

    const UNIT: &str = "usr/lib/systemd/user/wireplumber.service";
    const YES: &str = "[Unit]\nRestrictNamespaces=no\n[Service]\n RestrictNamespaces = yes\n";

    fn allowed(values: &[&str]) -> u8 {
        let mut state = State::default();
        for value in values {
            state.take(value);
        }
        state.allowed
    }

    #[test]
    fn a_unit_that_restricts_namespaces_is_named_with_its_way_out() {
        let root = Root::new(&[(UNIT, YES)]);
        let found = root.user();
        let [one] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(root.file(one), UNIT);
        assert_eq!((one.value.as_str(), one.camera), ("yes", true));
        assert!(
            one.remedy
                .contains("systemctl --user edit wireplumber.service")
        );
        let system = root.0.path().join("etc/systemd/system");
        fs::create_dir_all(&system).unwrap();
        fs::write(system.join("tape.service"), YES).unwrap();
        let found = Dirs::system(root.0.path()).restricted();
        assert_eq!(
            (found[0].unit.as_str(), found[0].camera),
            ("tape.service", false)
        );
        assert!(found[0].remedy.contains("systemctl edit tape.service"));
    }

    #[test]
    fn a_drop_in_counts_after_the_unit_and_one_that_is_hidden_does_not() {
        let way_out = "[Service]\nRestrictNamespaces=no\n";
        let drop_in = "etc/systemd/user/wireplumber.service.d/override.conf";
        assert_eq!(Root::new(&[(UNIT, YES), (drop_in, way_out)]).user(), []);
        let packaged = "usr/lib/systemd/user/wireplumber.service.d/override.conf";
        assert_eq!(
            Root::new(&[(UNIT, YES), (drop_in, way_out), (packaged, YES)]).user(),
            []
        );
        let later = "usr/lib/systemd/user/service.d/zz.conf";
        let root = Root::new(&[(UNIT, YES), (drop_in, way_out), (later, YES)]);
        assert_eq!(root.file(&root.user()[0]), later);
    }

    #[test]
    fn a_unit_that_hides_another_counts_alone_and_one_that_is_put_away_does_not_count() {
        let own = "etc/systemd/user/wireplumber.service";
        assert_eq!(Root::new(&[(UNIT, YES), (own, "[Service]\n")]).user(), []);
        let root = Root::new(&[(UNIT, YES), ("etc/systemd/user/x", "")]);
        let masked = root.0.path().join(own);
        std::os::unix::fs::symlink("/dev/null", masked).unwrap();
        assert_eq!(root.user(), []);
        let alias = root
            .0
            .path()
            .join("etc/systemd/user/session-manager.service");
        std::os::unix::fs::symlink(root.0.path().join(UNIT), alias).unwrap();
        assert_eq!(root.user(), []);
    }

    #[test]
    fn values_add_up_as_they_do_for_systemd() {
        assert_eq!(allowed(&["yes"]), 0);
        assert_eq!(allowed(&["yes", ""]), ALL);
        assert_eq!(allowed(&["yes", "no"]), ALL);
        assert_eq!(allowed(&["user net"]), 0b10_0100);
        assert_eq!(allowed(&["user", "net"]), 0b10_0100);
        assert_eq!(allowed(&["~user"]), ALL & !0b10_0000);
        assert_eq!(allowed(&["~user", "~net"]), ALL & !0b10_0100);
        assert_eq!(allowed(&["yes", "user"]), 0b10_0000);
        assert_eq!(allowed(&["cgroup ipc net mnt pid user uts"]), ALL);
    }

    #[test]
    fn lines_go_on_after_a_backslash_and_comments_do_not() {
        let text = "[Service]\n# RestrictNamespaces=yes\n;RestrictNamespaces=yes\nRestrictNamespaces=~user \\\n# between\n  net\n";
        let mut state = State::default();
        state.read(text, Path::new("/x"));
        assert_eq!(state.allowed, ALL & !0b10_0100);
    }

    #[test]
    fn every_name_has_its_directories() {
        assert_eq!(
            drop_in_dirs("a-b-c.service"),
            [
                "a-b-c.service.d",
                "a-b-.service.d",
                "a-.service.d",
                "service.d"
            ]
        );
        assert_eq!(drop_in_dirs("é-.service"), ["é-.service.d", "service.d"]);
    }
}
