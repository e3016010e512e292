//! Why a profile is refused.

use crate::feature::Feature;
use std::fmt;

/// A table of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What computing needs.
    Run,
    /// What loading a module needs beyond that.
    Load,
    /// What the kernel answers with an error instead of death.
    Soft,
    /// What the daemon answers with an error once the module is loaded.
    Notified,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Table::Run => "run",
            Table::Load => "load",
            Table::Soft => "soft",
            Table::Notified => "notified",
        })
    }
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// No profile of that name is built in.
    #[error("jail profile `{name}` does not exist; built in are: {known}")]
    NoSuchProfile {
        /// The name asked for.
        name: String,
        /// Those that exist, separated by commas.
        known: String,
    },
    /// Not TOML, a key is unknown or of the wrong type. The source shows the line.
    #[error("jail profile: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A key is missing, and there is no parent to take it from.
    #[error(
        "jail profile `{profile}`: `{key}` is missing; state it, or extend a profile that does"
    )]
    Missing {
        /// Name of the profile.
        profile: String,
        /// The key, with its table.
        key: &'static str,
    },
    /// The parent cannot be had.
    #[error("jail profile `{profile}` extends another: {source}")]
    Parent {
        /// Name of the profile.
        profile: String,
        /// What is wrong with its parent.
        source: Box<ProfileError>,
    },
    /// `allow_degraded` names what is no feature, or one that cannot be named there.
    #[error("jail profile `{profile}`: allow_degraded names `{feature}`, {why}; it takes: {known}")]
    Degraded {
        /// Name of the profile.
        profile: String,
        /// What it names.
        feature: String,
        /// Why it cannot stand there.
        why: &'static str,
        /// Those that can, separated by commas.
        known: String,
    },
    /// A derived profile has more than its parent.
    #[error(
        "jail profile `{profile}`: {what}; a derived profile adds to its parent [[run]] entries and \
         limits.threads, and may state everything else equal or narrower"
    )]
    BeyondParent {
        /// Name of the profile.
        profile: String,
        /// What it has, and what its parent has.
        what: String,
    },
    /// A path that names more than one place.
    #[error(
        "jail profile `{profile}`: landlock.read has {path:?}; state absolute paths without `..`"
    )]
    Path {
        /// Name of the profile.
        profile: String,
        /// The path.
        path: String,
    },
    /// An entry of a table is wrong.
    #[error("jail profile, line {line}: [[{table}]] `{syscall}`: {problem}")]
    Entry {
        /// Line of the entry, from 1.
        line: usize,
        /// Table of the entry.
        table: Table,
        /// The entry's system call.
        syscall: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl ProfileError {
    pub(crate) fn degraded(profile: &str, feature: &str, why: &'static str) -> Self {
        let known: Vec<&str> = Feature::ALL
            .into_iter()
            .filter(|feature| feature.grade() == crate::Grade::Required)
            .map(Feature::name)
            .collect();
        ProfileError::Degraded {
            profile: profile.to_owned(),
            feature: feature.to_owned(),
            why,
            known: known.join(", "),
        }
    }
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// `why` is empty.
    #[error("`why` is empty; say in one line what needs this call, or take the entry out")]
    NoReason,
    /// No architecture has such a call.
    #[error("no architecture has a system call of this name; see syscalls(2) for the spelling")]
    UnknownSyscall,
    /// `archs` names an architecture without this call.
    #[error("`archs` names an architecture that does not have this call, or none at all")]
    NotOnArch,
    /// One entry allows the call whatever its arguments, another narrows it.
    #[error(
        "an entry without `args` stands beside one with `args` in the same table, so the conditions \
         mean nothing; keep one of the two"
    )]
    Ambiguous,
    /// It matches no call that others do not match.
    #[error("other entries match all that it matches; take out the one that says less")]
    Redundant,
    /// A load entry matches no call that run entries do not match.
    #[error("[[run]] allows all of this anyway, in both phases; take out the [[load]] entry")]
    AllowedAnyway,
    /// Memory both writable and executable would be allowed.
    #[error(
        "allows memory that is writable and executable at once; narrow the protection (arg 2) so \
         that no allowed value has both 0x2 and 0x4"
    )]
    WriteAndExecute,
    /// Memory would become executable while running.
    #[error(
        "allows memory to become executable while running, when it may have been written before; \
         code comes with loading, so narrow the protection (arg 2) or move the entry to [[load]]"
    )]
    CodeInRun,
    /// The call makes memory executable in a way that no condition holds.
    #[error("makes memory executable, or writes to code, behind mmap's back; take the entry out")]
    CodeBehind,
    /// Softly refused, and needed for running.
    #[error("is softly refused and also allowed in [[run]]; keep one of the two")]
    SoftAndRun,
    /// Refused by the kernel in both phases, and needed for loading.
    #[error(
        "would be refused while loading too, and [[load]] says otherwise; make it [[notified]], or \
         take the [[load]] entry out"
    )]
    SoftAndLoad,
    /// The daemon would be asked for a call that loading does not need.
    #[error(
        "has no [[load]] entry, so the kernel can refuse it by itself in both phases; make it \
         [[soft]]"
    )]
    NotifiedForNothing,
    /// Running is not counted: the kernel decides there by itself.
    #[error("has `times` in [[run]], where nobody counts; take the key out")]
    CountedInRun,
    /// A second program could take the worker's place.
    #[error(
        "puts another program in the worker's place; it may stand in [[load]] alone, with `times = 1`"
    )]
    AnotherProgram,
    /// A derived profile adds to loading.
    #[error("a derived profile loads as its parent does; take the [[load]] entry out")]
    LoadBeyondParent,
    /// A derived profile adds a call that reaches beyond the worker.
    #[error(
        "reaches beyond the worker's own memory, threads and descriptors, which no derived profile \
         may; take the entry out (prctl may have arg 0 = 15, clone the flags of a thread)"
    )]
    ReachesBeyond,
    /// `args` is there and empty.
    #[error("`args` is empty; leave the key out to allow all arguments")]
    NoConditions,
    /// There is no such argument.
    #[error("arg {0} does not exist; arguments count from 0 to 5")]
    NoSuchArgument(u8),
    /// Two conditions on one argument.
    #[error("two conditions on arg {0}; write one, or two entries")]
    ArgumentTwice(u8),
    /// A condition needs one of `is` and `at_most`.
    #[error("the condition on arg {0} needs either `is` with at least one value, or `at_most`")]
    NoTest(u8),
    /// `mask` and `ignore` exclude each other, and need `is`.
    #[error("the condition on arg {0} takes `mask` or `ignore` beside `is`, and not both")]
    TwoMasks(u8),
    /// A value that can never be met.
    #[error("the condition on arg {0} names {1:#x}, which has bits that are not compared")]
    UnreachableValue(u8, u64),
    /// Too many combinations of values.
    #[error("makes {0} combinations of values; at most {1} are taken")]
    TooManyCombinations(usize, usize),
}
