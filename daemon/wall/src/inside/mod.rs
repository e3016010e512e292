//! The worker's face: give everything up, before any foreign code runs.
//!
//! It goes through stages in one order, and each can only be had from the one before:
//!
//! | call                   | leaves behind                                                      |
//! |------------------------|--------------------------------------------------------------------|
//! | [`divide`]             | the namespaces; a second stage goes on, which dies with the daemon |
//! | [`Divided::settle`]    | the file system, but for libraries and the module                  |
//! | [`Settled::renounce`]  | capabilities, limits, new privileges, writable code                |
//! | [`Renounced::fence`]   | files, by Landlock, and every descriptor that is not in the table  |
//! | [`Fenced::gate`]       | system calls                                                       |
//! | [`Gated::ship`]        | the gate itself, which is the daemon's from then on                |
//!
//! Only what is needed later is still possible after each. The [`Confined`] at the end is the
//! permit to load a module.

mod alone;
mod divide;
mod error;
mod execute;
mod fence;
mod filter;
mod renounce;
mod settle;

use crate::{Limit, Namespace};
pub use divide::{Stage, divide};
pub use error::ConfineError;
pub use filter::Gated;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub(crate) use divide::leave_namespaces;
pub(crate) use fence::NEWEST as NEWEST_LANDLOCK;
pub(crate) use filter::install_gate;
pub(crate) use settle::Root;

/// What is decided about this worker, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Namespaces to leave for new ones.
    pub namespaces: Vec<Namespace>,
    /// Files and directories that may be read; a directory stands for all beneath it. What does
    /// not exist, or cannot be reached, grants nothing and is passed over.
    pub readable: Vec<PathBuf>,
    /// Limits to lower to, soft and hard.
    pub limits: Vec<(Limit, u64)>,
    /// Highest Landlock ABI to use.
    pub landlock_abi: u32,
    /// Whether to refuse memory that becomes executable (Linux 6.3).
    pub mdwe: bool,
    /// System libraries to load before the module, by soname.
    pub preload: Vec<String>,
    /// The dynamic loader of a program that takes this one's place: it may be executed, too.
    pub interpreter: Option<PathBuf>,
    /// The classic-BPF program whose notifications the daemon answers, 8 bytes an instruction.
    pub gate: Vec<u8>,
}

impl Confinement {
    fn leaves(&self, namespace: Namespace) -> bool {
        self.namespaces.contains(&namespace)
    }
}

/// Where the module is, now that its file is out of reach.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Open where there is no file system of its own to copy the module to.
    memory: Option<OwnedFd>,
}

impl Place {
    /// What to load, for as long as this exists.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The second stage: in its namespaces, and dead as soon as the daemon is.
#[derive(Debug)]
pub struct Divided(PhantomData<*const ()>);

/// In a file system of its own.
#[derive(Debug)]
pub struct Settled {
    place: Place,
    readable: Vec<PathBuf>,
    executable: Vec<PathBuf>,
    proof: PhantomData<*const ()>,
}

/// Without capabilities, and never to gain any.
#[derive(Debug)]
pub struct Renounced {
    place: Place,
    readable: Vec<PathBuf>,
    executable: Vec<PathBuf>,
    proof: PhantomData<*const ()>,
}

/// Landlock is in force.
#[derive(Debug)]
pub struct Fenced {
    place: Place,
    proof: PhantomData<*const ()>,
}

/// Proof that this process is confined: foreign code may run now.
///
/// It stays on the thread that was confined; threads started afterwards inherit the confinement.
#[derive(Debug)]
pub struct Confined {
    place: Place,
    proof: PhantomData<*const ()>,
}

impl Confined {
    /// Where the module is. It can be given up once the module is loaded.
    pub fn into_place(self) -> Place {
        self.place
    }
}

/// Ends this process at once, without destructors or exit handlers: those of the language
/// runtimes need calls that a confined process no longer has, and those of a module are foreign.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit takes no memory and does not return.
    unsafe { libc::_exit(code) }
}
