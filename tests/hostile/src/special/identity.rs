//! Rows 46 and 47: the module's file, and the way to it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use coldshoe::Error;
use rustix::process::{getegid, geteuid, getgroups};
use sha2::{Digest, Sha256};

use super::with_control;
use crate::bench::{Bench, Daemon, Running};
use crate::control;
use crate::finding::{Finding, Free};
use crate::jail;
use crate::probe::{Phase, Probe, Seen, refused};

const DIGEST: Probe = refused("own_digest", 0).at(Phase::Load);
const WHICH: Probe = refused("which_build", 0).at(Phase::Load);

/// Sessions that are opened while the file is replaced.
const TRIES: u32 = 24;
/// Only a race that goes wrong takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a file is replaced.
#[derive(Clone, Copy)]
enum Way {
    /// Another file of the same name.
    Renamed,
    /// Written over.
    InPlace,
}

/// Row 46: a file that is replaced all the time. What is loaded is what was hashed.
pub(super) fn replaced(bench: &Bench) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (way, name) in [
        (Way::Renamed, "replaced by another file"),
        (Way::InPlace, "written over in place"),
    ] {
        let outcome = race(bench, way)?;
        let free = naive(bench, way)?;
        findings.push(with_control(46, name, outcome, free));
    }
    Ok(findings)
}

fn race(bench: &Bench, way: Way) -> anyhow::Result<Result<String, String>> {
    let (name, dir) = match way {
        Way::Renamed => ("renamed", bench.dir.join("renamed")),
        Way::InPlace => ("in-place", bench.dir.join("in-place")),
    };
    fs::create_dir(&dir)?;
    let builds = builds(bench)?;
    put(&dir, &builds[0], Way::Renamed)?;
    let daemon = Daemon::start(&bench.built, &bench.dir, name, "single", &[&dir])?;
    let stop = AtomicBool::new(false);
    let camera = bench.tuning("m", "probe=own_digest phase=load")?;
    let known = builds.each_ref().map(|build| start_of(&digest(build)));
    let (mut checked, mut refused) = (BTreeMap::new(), 0);
    let mut outcome = Ok(());
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let writer = scope.spawn(|| -> anyhow::Result<()> {
            for build in builds.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                put(&dir, build, way)?;
                // Whole for a while, too, or nothing is ever loaded.
                std::thread::sleep(Duration::from_millis(3));
            }
            Ok(())
        });
        // By count, and on until both have been seen: a machine may be slow.
        let both = |checked: &BTreeMap<u64, u32>| known.iter().all(|one| checked.contains_key(one));
        let end = Instant::now() + PATIENCE;
        let mut tries = 0;
        while outcome.is_ok() && (tries < TRIES || !both(&checked)) && Instant::now() < end {
            tries += 1;
            match own_digest(&daemon.running, &camera)? {
                Some((logged, loaded)) if logged == loaded => {
                    *checked.entry(logged).or_insert(0_u32) += 1;
                }
                Some((logged, loaded)) => {
                    outcome = Err(format!("checked {logged:x}…, loaded {loaded:x}…"));
                }
                None => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer's thread"))?
    })?;
    let [first, second] = known;
    let times = |digest: u64| checked.get(&digest).copied().unwrap_or(0);
    let others: u32 = checked.values().sum::<u32>() - times(first) - times(second);
    let text = format!(
        "loaded as checked: {} and {} times, {others} times a mixture of both; refused {refused} \
         times",
        times(first),
        times(second)
    );
    Ok(match outcome {
        Err(differ) => Err(differ),
        Ok(()) if times(first) == 0 || times(second) == 0 => {
            Err(format!("{text}: not each of both was loaded"))
        }
        Ok(()) => Ok(text),
    })
}

/// The digest that the daemon says it has checked, and that of the file which the module sees it was
/// loaded from. `None` if it was not loaded.
fn own_digest(daemon: &Running, camera: &str) -> anyhow::Result<Option<(u64, u64)>> {
    let trouble = match jail::open(daemon, "m", camera) {
        Err(Error::Refused(trouble)) => trouble,
        Ok(_) => anyhow::bail!("the probe did not run"),
        Err(error) => return Err(error.into()),
    };
    let Seen::Answered(loaded) = jail::classify(&trouble, &DIGEST) else {
        return Ok(None);
    };
    let log = fs::read_to_string(&daemon.log)?;
    let line = log
        .lines()
        .rfind(|line| line.contains("sha256="))
        .context("no digest logged")?;
    let (_, logged) = line.split_once("sha256=").context("no digest logged")?;
    Ok(Some((start_of(logged), loaded.unsigned_abs())))
}

/// The first 63 bits of a digest.
fn start_of(hex: &str) -> u64 {
    hex.get(..16)
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(0)
        >> 1
}

/// Checks a path and then loads it, as one should not.
fn naive(bench: &Bench, way: Way) -> anyhow::Result<Free> {
    let dir = match way {
        Way::Renamed => bench.dir.join("naive-renamed"),
        Way::InPlace => bench.dir.join("naive-in-place"),
    };
    fs::create_dir(&dir)?;
    let builds = builds(bench)?;
    put(&dir, &builds[0], Way::Renamed)?;
    let checked = digest(&fs::read(dir.join("m.so"))?);
    put(&dir, &builds[1], way)?;
    let told = control::run_module(bench, &WHICH, &dir.join("m.so"), &[])?;
    Ok(match told.answer(&WHICH) {
        Some(2) if checked == digest(&builds[0]) => {
            Free::Works("build 1 was checked, build 2 was loaded".into())
        }
        _ => Free::Broken(told.lines.join("; ")),
    })
}

fn builds(bench: &Bench) -> anyhow::Result<[Vec<u8>; 2]> {
    let modules = bench.built.dir.join("modules");
    Ok([
        fs::read(modules.join("hostile.so"))?,
        fs::read(modules.join("second.so"))?,
    ])
}

fn put(dir: &Path, build: &[u8], way: Way) -> anyhow::Result<()> {
    let path = dir.join("m.so");
    match way {
        Way::InPlace => fs::write(path, build)?,
        Way::Renamed => {
            fs::write(dir.join("next"), build)?;
            fs::rename(dir.join("next"), path)?;
        }
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A place that is not safe, and what the refusal must say.
struct Case {
    name: &'static str,
    says: &'static str,
    make: fn(&Path, &Path) -> std::io::Result<()>,
    for_whom: ForWhom,
}

/// Who can make such a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ForWhom {
    Everybody,
    Root,
    /// Members of a group that has others in it. A right of a group that is one user's alone is
    /// given to nobody, and the daemon allows it.
    InSharedGroup,
}

impl ForWhom {
    fn is_this_user(self) -> bool {
        match self {
            Self::Everybody => true,
            Self::Root => geteuid().is_root(),
            Self::InSharedGroup => shared_group().is_some(),
        }
    }
}

/// A group of this process that is not this user's alone; root's own always counts.
fn shared_group() -> Option<u32> {
    let (users, groups) = (
        fs::read_to_string("/etc/passwd").unwrap_or_default(),
        fs::read_to_string("/etc/group").unwrap_or_default(),
    );
    let own = geteuid();
    let mut mine: Vec<u32> = vec![getegid().as_raw()];
    mine.extend(getgroups().unwrap_or_default().iter().map(|g| g.as_raw()));
    let shared = |gid: &u32| own.is_root() || !is_private(&users, &groups, own.as_raw(), *gid);
    mine.into_iter().find(shared)
}

/// Whether `own` is the only user of that group, and nobody is named as its member.
fn is_private(users: &str, groups: &str, own: u32, gid: u32) -> bool {
    let field = |line: &str, at: usize| line.split(':').nth(at).unwrap_or_default().to_owned();
    let is = |line: &&str, at: usize| field(line, at) == gid.to_string();
    let of_group: Vec<String> = users
        .lines()
        .filter(|line| is(line, 3))
        .map(|line| field(line, 2))
        .collect();
    let members: Vec<String> = groups
        .lines()
        .filter(|line| is(line, 2))
        .map(|line| field(line, 3))
        .collect();
    of_group == [own.to_string()] && members == [""]
}

/// Row 47: each gets its own directory; `m.so` is made from the module that is given.
const PLACES: &[Case] = &[
    Case {
        name: "symbolic link to a module",
        says: "symbolic link",
        make: |module, dir| symlink(module, dir.join("m.so")),
        for_whom: ForWhom::Everybody,
    },
    Case {
        name: "module that everybody may write",
        says: "can be written by everybody",
        make: |module, dir| {
            fs::copy(module, dir.join("m.so"))?;
            fs::set_permissions(dir.join("m.so"), Permissions::from_mode(0o646))
        },
        for_whom: ForWhom::Everybody,
    },
    Case {
        name: "module that its group may write",
        says: "can be written by its group",
        make: |module, dir| {
            fs::copy(module, dir.join("m.so"))?;
            chown(dir.join("m.so"), None, shared_group())?;
            fs::set_permissions(dir.join("m.so"), Permissions::from_mode(0o664))
        },
        for_whom: ForWhom::InSharedGroup,
    },
    Case {
        name: "directory that everybody may write",
        says: "can be written by everybody",
        make: |module, dir| {
            fs::copy(module, dir.join("m.so"))?;
            fs::set_permissions(dir, Permissions::from_mode(0o777))
        },
        for_whom: ForWhom::Everybody,
    },
    Case {
        name: "module of somebody else",
        says: "belongs to user 4242",
        make: |module, dir| {
            fs::copy(module, dir.join("m.so"))?;
            chown(dir.join("m.so"), Some(4242), None)
        },
        for_whom: ForWhom::Root,
    },
    Case {
        name: "directory of somebody else",
        says: "belongs to user 4242",
        make: |module, dir| {
            fs::copy(module, dir.join("m.so"))?;
            chown(dir, Some(4242), None)
        },
        for_whom: ForWhom::Root,
    },
];

/// Row 47: each place is refused with its reason, and a plain process loads from there.
pub(super) fn places(bench: &Bench) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (number, place) in PLACES
        .iter()
        .enumerate()
        .filter(|(_, place)| place.for_whom.is_this_user())
    {
        let dir: PathBuf = bench.dir.join(format!("place-{number}"));
        fs::create_dir(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
        (place.make)(&bench.built.dir.join("modules/second.so"), &dir)?;
        let name = format!("place-{number}");
        let daemon = Daemon::start(&bench.built, &bench.dir, &name, "single", &[&dir])?;
        let outcome = match jail::open(&daemon.running, "m", "nothing") {
            Ok(_) => Err("it was loaded".to_owned()),
            Err(Error::Refused(trouble)) if trouble.why.contains(place.says) => Ok(trouble.why),
            Err(error) => Err(error.to_string()),
        };
        let told = control::run_module(bench, &WHICH, &dir.join("m.so"), &[])?;
        let free = match told.answer(&WHICH) {
            Some(build) => Free::Works(Seen::Answered(build).to_string()),
            None => Free::Broken(told.lines.join("; ")),
        };
        findings.push(with_control(47, place.name, outcome, free));
    }
    Ok(findings)
}

/// A right of a group in which this user is alone is given to nobody: the daemon allows it, or
/// whatever a user with umask 002 builds would be refused. No row of the list, but its border.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_private_to_its_only_user() {
        let users = "ada:x:1000:1000::/:/bin/sh\nbob:x:1001:100::/:/\neve:x:1002:100::/:/\n";
        let groups = "ada:x:1000:\nusers:x:100:\nvideo:x:44:ada\n";
        assert!(is_private(users, groups, 1000, 1000));
        assert!(!is_private(users, groups, 1001, 100));
        assert!(!is_private(users, groups, 1000, 44));
        assert!(!is_private(users, groups, 1000, 4242));
    }
}
