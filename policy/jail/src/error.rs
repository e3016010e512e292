//! Why a profile is refused.

use std::fmt;

/// A table of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What computing needs.
    Run,
    /// What loading a module needs beyond that.
    Load,
    /// What is answered with an error instead of death.
    Soft,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Table::Run => "run",
            Table::Load => "load",
            Table::Soft => "soft",
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
    /// Not TOML, a key is missing, unknown, or of the wrong type. The source shows the line.
    #[error("jail profile: {0}")]
    Syntax(#[from] toml::de::Error),
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
    /// The same entry twice.
    #[error("a second entry says the same; take one out")]
    Duplicate,
    /// Memory both writable and executable would be allowed.
    #[error(
        "allows memory that is writable and executable at once; narrow the protection (arg 2) so \
         that no allowed value has both 0x2 and 0x4"
    )]
    WriteAndExecute,
    /// Softly refused, and needed for running.
    #[error("is softly refused and also allowed in [[run]]; keep one of the two")]
    SoftAndRun,
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
