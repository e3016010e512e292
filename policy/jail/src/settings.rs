//! Everything of a profile but its entries, and what a derived profile may make of its parent's.

use crate::error::ProfileError;
use crate::feature::{Feature, Grade};
use crate::profile::{Landlock, Limits, Profile};
use crate::text::{LimitsText, ProfileText};

/// Everything but the entries, which are the parent's as yet.
pub(crate) fn settings(
    stated: &ProfileText,
    parent: Option<Profile>,
) -> Result<Profile, ProfileError> {
    let ProfileText {
        name, description, ..
    } = stated;
    let limits = limits(name, &stated.limits, parent.as_ref())?;
    let landlock = landlock(name, stated.landlock.as_ref(), parent.as_ref())?;
    let budget =
        |key, stated, of: fn(&Profile) -> u32| inherit(name, key, stated, parent.as_ref().map(of));
    let load_budget = budget("load_budget", stated.load_budget, |p| p.load_budget)?;
    let soft_budget = budget("soft_budget", stated.soft_budget, |p| p.soft_budget)?;
    let wake = stated.wake.or(parent.as_ref().map(|parent| parent.wake));
    let wake = wake.ok_or_else(|| missing(name, "wake"))?;
    let standby = stated
        .standby
        .or(parent.as_ref().map(|parent| parent.standby));
    let standby = standby.ok_or_else(|| missing(name, "standby"))?;
    let allow_degraded = match (&stated.allow_degraded, &parent) {
        (Some(features), _) => degraded(name, features)?,
        (None, Some(parent)) => parent.allow_degraded.clone(),
        (None, None) => return Err(missing(name, "allow_degraded")),
    };
    let (run, load, soft, notified, parent) = match parent {
        Some(p) => (p.run, p.load, p.soft, p.notified, Some(p.name)),
        None => Default::default(),
    };
    Ok(Profile {
        name: name.clone(),
        description: description.clone(),
        parent,
        allow_degraded,
        load_budget,
        soft_budget,
        wake,
        standby,
        limits,
        landlock,
        run,
        load,
        soft,
        notified,
    })
}

fn missing(profile: &str, key: &'static str) -> ProfileError {
    ProfileError::Missing {
        profile: profile.to_owned(),
        key,
    }
}

fn beyond(profile: &str, what: String) -> ProfileError {
    ProfileError::BeyondParent {
        profile: profile.to_owned(),
        what,
    }
}

/// A number that is stated, no larger than the parent's, or else the parent's.
fn inherit<T: PartialOrd + std::fmt::Display>(
    profile: &str,
    key: &'static str,
    stated: Option<T>,
    parent: Option<T>,
) -> Result<T, ProfileError> {
    match (stated, parent) {
        (Some(stated), Some(parent)) if stated > parent => Err(beyond(
            profile,
            format!("{key} is {stated}, and its parent's is {parent}"),
        )),
        (Some(value), _) | (None, Some(value)) => Ok(value),
        (None, None) => Err(missing(profile, key)),
    }
}

fn limits(
    profile: &str,
    stated: &LimitsText,
    parent: Option<&Profile>,
) -> Result<Limits, ProfileError> {
    let parent = parent.map(Profile::limits);
    let threads = stated.threads.or(parent.map(|limits| limits.threads));
    let limit = |key, stated, of: fn(&Limits) -> u64| inherit(profile, key, stated, parent.map(of));
    Ok(Limits {
        threads: threads.ok_or_else(|| missing(profile, "limits.threads"))?,
        data: limit("limits.data", stated.data, |l| l.data)?,
        address_space: limit("limits.address_space", stated.address_space, |l| {
            l.address_space
        })?,
        stack: limit("limits.stack", stated.stack, |l| l.stack)?,
        nofile: limit("limits.nofile", stated.nofile, |l| l.nofile)?,
        fsize: limit("limits.fsize", stated.fsize, |l| l.fsize)?,
        core: limit("limits.core", stated.core, |l| l.core)?,
        memlock: limit("limits.memlock", stated.memlock, |l| l.memlock)?,
        msgqueue: limit("limits.msgqueue", stated.msgqueue, |l| l.msgqueue)?,
        rtprio: limit("limits.rtprio", stated.rtprio, |l| l.rtprio)?,
    })
}

fn landlock(
    profile: &str,
    stated: Option<&Landlock>,
    parent: Option<&Profile>,
) -> Result<Landlock, ProfileError> {
    let Some(stated) = stated else {
        let parent = parent.ok_or_else(|| missing(profile, "landlock"))?;
        return Ok(parent.landlock.clone());
    };
    for path in &stated.read {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(ProfileError::Path {
                profile: profile.to_owned(),
                path: path.clone(),
            });
        }
        let held = |parent: &Profile| {
            parent.readable().iter().any(|above| {
                path.strip_prefix(above.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        if !parent.is_none_or(held) {
            return Err(beyond(
                profile,
                format!("landlock.read has {path}, which its parent has not"),
            ));
        }
    }
    Ok(stated.clone())
}

fn degraded(profile: &str, features: &[String]) -> Result<Vec<Feature>, ProfileError> {
    let feature = |name: &String| {
        let refuse = |why| Err(ProfileError::degraded(profile, name, why));
        match Feature::from_name(name).map(|feature| (feature, feature.grade())) {
            Some((feature, Grade::Required)) => Ok(feature),
            Some((_, Grade::Mandatory)) => refuse("without which nothing runs"),
            Some((_, Grade::Reported)) => refuse("whose absence stops no session anyway"),
            None => refuse("which is no feature"),
        }
    };
    features.iter().map(feature).collect()
}
