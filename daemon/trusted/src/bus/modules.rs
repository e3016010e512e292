//! What is known of the modules: looked at beside the frames, and read anew only where a file has
//! changed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::registry::{Look, Stamp};
use crate::roster::View;
use crate::session::Context;
use crate::trust::Trust;

/// Modules that are shown.
const MOST: usize = 1024;

/// A module, as the bus shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// As it told itself when it was loaded.
    pub(super) version: String,
    pub(super) license: String,
    pub(super) path: String,
    pub(super) digest: Vec<u8>,
    pub(super) trust: u32,
    pub(super) profile: String,
    pub(super) state: u32,
    pub(super) faults: u64,
}

/// What a module is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum State {
    /// It may be loaded.
    Ready = 1,
    /// A session runs it.
    InUse = 2,
    /// It failed too often, or was put away.
    Quarantined = 3,
    /// Its file is not fit to be loaded, or is gone.
    Unfit = 4,
}

/// The modules that there are, by name.
#[derive(Debug, Default)]
pub(super) struct Modules {
    facts: Mutex<BTreeMap<String, Facts>>,
    /// What was read of their files, and when.
    looks: Mutex<BTreeMap<String, (Stamp, Look)>>,
    /// Held while somebody looks: a disk that hangs must not gather threads.
    looking: Mutex<()>,
}

impl Modules {
    pub(super) fn get(&self, name: &str) -> Option<Facts> {
        lock(&self.facts).get(name).cloned()
    }

    pub(super) fn all(&self) -> BTreeMap<String, Facts> {
        lock(&self.facts).clone()
    }

    /// Looks at all of them. Reads files: not for a thread that must not wait.
    pub(super) fn refresh(&self, context: &Context) {
        let _alone = match self.looking.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poison)) => poison.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let views = context.roster.views();
        let mut names = context.registry.names();
        names.truncate(MOST);
        names.extend(views.iter().map(|view| view.info.module.clone()));
        names.extend(context.history.quarantined().into_iter().map(|q| q.module));
        names.sort();
        names.dedup();
        let before = self.all();
        let facts = names
            .into_iter()
            .map(|name| {
                let facts = self.look(context, &views, &name, before.get(&name));
                (name, facts)
            })
            .collect();
        *lock(&self.facts) = facts;
        let facts = lock(&self.facts);
        lock(&self.looks).retain(|name, _| facts.contains_key(name));
    }

    fn look(&self, context: &Context, views: &[View], name: &str, before: Option<&Facts>) -> Facts {
        let stamp = context.registry.stamp(name);
        let known = lock(&self.looks).get(name).cloned();
        let look = match (known, stamp) {
            (Some((then, look)), Some(now)) if then == now => Some(look),
            (_, None) => None,
            (_, Some(now)) => {
                let look = context.registry.look(name);
                if let Some(look) = &look {
                    lock(&self.looks).insert(name.to_owned(), (now, look.clone()));
                }
                look
            }
        };
        let own = views.iter().find_map(|view| {
            let last = view.last.as_ref()?;
            let runs = match view.info.stand_in.as_str() {
                "" => &view.info.module,
                stand_in => stand_in,
            };
            (runs == name).then_some((view, last))
        });
        let told = own.map(|(_, last)| &last.module);
        let in_use = own.is_some_and(|(view, _)| view.info.worker_pid != 0);
        let fit = look.as_ref().is_some_and(|look| look.unfit.is_none());
        let state = if context.history.is_quarantined(name) {
            State::Quarantined
        } else if in_use {
            State::InUse
        } else if fit {
            State::Ready
        } else {
            State::Unfit
        };
        let kept = |pick: fn(&Facts) -> &String| before.map(pick).cloned().unwrap_or_default();
        let trust = look.as_ref().map(|look| context.registry.standing(look));
        Facts {
            version: told.map_or_else(|| kept(|facts| &facts.version), |m| m.version.clone()),
            license: told.map_or_else(|| kept(|facts| &facts.license), |m| m.license.clone()),
            path: look.as_ref().map_or(String::new(), |look| {
                look.path.to_string_lossy().into_owned()
            }),
            digest: look
                .as_ref()
                .and_then(|look| look.digest)
                .map_or(Vec::new(), |digest| digest.0.to_vec()),
            trust: number(trust.unwrap_or(Trust::Unknown)),
            profile: context.jailer.profile.clone(),
            state: state as u32,
            faults: context.history.faults_of(name),
        }
    }
}

fn number(trust: Trust) -> u32 {
    match trust {
        Trust::Unknown => 0,
        Trust::Trusted => 1,
        Trust::Changed => 2,
        Trust::Revoked => 3,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
