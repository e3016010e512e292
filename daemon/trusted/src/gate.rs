//! The gate of a worker: system calls that its filter leaves to the daemon.
//!
//! While the module loads, the daemon lets pass what loading takes. Once it is loaded, the daemon
//! flips to RUN for good: the worker has no part in that, so whatever runs there cannot fake it.
//! What neither phase knows ends the worker. Decisions look at registers alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coldshoe_jail::{Arch, Gate, Phase, Verdict};
use coldshoe_wall::outside::{Answer, Listener, Maps, Notification};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Duration, Instant, timeout};

/// Calls answered before others get their turn.
const BATCH: usize = 32;
/// How long the place of a violation is looked for. Its thread waits meanwhile, but others of the
/// worker may not.
const LOOK: Duration = Duration::from_millis(50);
/// The signal of abort().
const SIGABRT: u64 = 6;
/// The signals that the C library keeps for threads, and installs handlers of before the first.
const THREAD_SIGNALS: [u64; 2] = [32, 33];
/// CLONE_THREAD of clone(2).
const CLONE_THREAD: u64 = 0x0001_0000;

/// What a worker was killed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    /// Which call, from where, in which phase.
    pub(crate) call: String,
}

/// What it looks like, from the registers. Anybody can make it look so: it only chooses words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// abort(), whose calls no profile allows.
    Abort,
    /// Starting a thread.
    Thread,
    /// More harmless refusals than a module may draw.
    Budget,
    /// More calls than loading a module takes.
    LoadBudget,
    /// Anything else.
    Other,
}

/// Whether the gate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Holds,
    Broken(Violation),
    /// The daemon cannot keep it: the worker was killed for that.
    Lost(String),
    /// No process is left behind it.
    Ended,
}

/// Who watches a gate. Dropping it closes the gate for good: what waits there fails.
pub(crate) struct Keeper {
    phase: Arc<Mutex<Phase>>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

/// Why a worker that the gate's keeper killed had to go.
pub(crate) enum Broken {
    Violation(Violation),
    Lost(String),
}

impl Keeper {
    /// Keeps the gate behind `listener`: of the process of `pidfd`, with the memory map `maps`.
    pub(crate) fn start(
        listener: OwnedFd,
        maps: Maps,
        pidfd: OwnedFd,
        rules: Rules,
    ) -> std::io::Result<Self> {
        Self::in_phase(Phase::Load, listener, maps, pidfd, rules)
    }

    /// The same of a worker that another daemon had loaded. What waits there meanwhile is answered
    /// now.
    pub(crate) fn resume(
        listener: OwnedFd,
        maps: Maps,
        pidfd: OwnedFd,
        rules: Rules,
    ) -> std::io::Result<Self> {
        Self::in_phase(Phase::Run, listener, maps, pidfd, rules)
    }

    fn in_phase(
        phase: Phase,
        listener: OwnedFd,
        maps: Maps,
        pidfd: OwnedFd,
        rules: Rules,
    ) -> std::io::Result<Self> {
        let listener = watch_for_calls(Listener::new(listener)?)?;
        let phase = Arc::new(Mutex::new(phase));
        let (told, state) = watch::channel(State::Holds);
        let watch = Watch {
            rules,
            maps: Some(maps),
            pidfd,
            phase: Arc::clone(&phase),
            passed: 0,
            refused: 0,
            counted: HashMap::new(),
        };
        let task = tokio::spawn(watch.keep(listener, told));
        Ok(Self { phase, state, task })
    }

    /// From now on only computing is allowed. No answer of the phase before comes after this.
    pub(crate) fn flip(&self) {
        *lock(&self.phase) = Phase::Run;
    }

    /// Why it does not hold any more, if it does not. Known before the worker's end can be seen.
    pub(crate) fn broken(&self) -> Option<Broken> {
        match &*self.state.borrow() {
            State::Broken(violation) => Some(Broken::Violation(violation.clone())),
            State::Lost(why) => Some(Broken::Lost(why.clone())),
            State::Holds | State::Ended => None,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The policy of one profile on this machine.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) gate: Arc<Gate>,
    pub(crate) arch: Arch,
}

struct Watch {
    rules: Rules,
    /// Until the one violation is looked up in it.
    maps: Option<Maps>,
    pidfd: OwnedFd,
    phase: Arc<Mutex<Phase>>,
    /// Calls that went on while loading.
    passed: u32,
    /// Calls that were answered with an error since.
    refused: u32,
    /// How often an entry that is counted by itself has let one through.
    counted: HashMap<usize, u32>,
}

/// A call that nothing allows, and what the worker stood in.
struct Caught {
    call: Notification,
    phase: Phase,
    kind: Kind,
}

impl Watch {
    async fn keep(mut self, listener: AsyncFd<Listener>, told: watch::Sender<State>) {
        let end = loop {
            let ready = listener.readable().await;
            let answered = match ready {
                Ok(mut ready) => match self.answer(listener.get_ref()) {
                    Ok(Turn::Empty) => {
                        ready.clear_ready();
                        continue;
                    }
                    Ok(Turn::More) => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Ok(Turn::Broken(caught)) => State::Broken(self.report(&caught).await),
                    Err(error) if error.kind() == std::io::ErrorKind::NotConnected => State::Ended,
                    Err(error) => State::Lost(error.to_string()),
                },
                Err(error) => State::Lost(error.to_string()),
            };
            break answered;
        };
        let kill = !matches!(end, State::Ended);
        // The reason is there before the end can be seen.
        told.send_replace(end);
        if kill {
            // The listener is closed after that: the call that waits is never answered.
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    /// Answers what waits, up to a bound.
    fn answer(&mut self, listener: &Listener) -> std::io::Result<Turn> {
        for _ in 0..BATCH {
            let Some(call) = listener.recv()? else {
                return Ok(Turn::Empty);
            };
            // Held until the answer is out: a flip never overtakes it.
            let lock = Arc::clone(&self.phase);
            let phase = self::lock(&lock);
            let verdict = self.rules.gate.decide(*phase, call.nr, &call.args);
            let answer = match self.within_budget(verdict, &call) {
                Ok(answer) => answer,
                Err(kind) => {
                    let phase = *phase;
                    return Ok(Turn::Broken(Caught { call, phase, kind }));
                }
            };
            listener.respond(call.id, answer)?;
        }
        Ok(Turn::More)
    }

    /// Each answer costs the daemon a wake-up, so they are counted.
    fn within_budget(&mut self, verdict: Verdict, call: &Notification) -> Result<Answer, Kind> {
        let gate = &self.rules.gate;
        let verdict = match verdict {
            Verdict::Counted { entry, times } => {
                let spent = self.counted.entry(entry).or_default();
                *spent += 1;
                match *spent > times {
                    true => Verdict::Violation,
                    false => Verdict::Continue,
                }
            }
            verdict => verdict,
        };
        let (answer, spent, budget, kind) = match verdict {
            Verdict::Continue => (
                Answer::Continue,
                &mut self.passed,
                gate.load_budget(),
                Kind::LoadBudget,
            ),
            Verdict::Errno(errno) => (
                Answer::Errno(errno),
                &mut self.refused,
                gate.soft_budget(),
                Kind::Budget,
            ),
            Verdict::Violation | Verdict::Counted { .. } => {
                let name = self.rules.arch.name_of(call.nr).unwrap_or_default();
                return Err(kind(name, &call.args));
            }
        };
        if *spent >= budget {
            return Err(kind);
        }
        *spent += 1;
        Ok(answer)
    }

    /// Finds out where it came from: away from the runtime, and not for long.
    async fn report(&mut self, Caught { call, phase, kind }: &Caught) -> Violation {
        let (ip, deadline) = (call.ip, Instant::now() + LOOK);
        let unknown = || format!("{ip:#x}");
        let place = match self.maps.take() {
            Some(mut maps) => {
                let look = spawn_blocking(move || maps.locate(ip, deadline.into_std()));
                match timeout(2 * LOOK, look).await {
                    Ok(Ok(place)) => place,
                    _ => unknown(),
                }
            }
            None => unknown(),
        };
        Violation {
            kind: *kind,
            call: describe(self.rules.arch.name_of(call.nr), call, &place, *phase),
        }
    }
}

enum Turn {
    Empty,
    More,
    Broken(Caught),
}

fn lock(phase: &Mutex<Phase>) -> MutexGuard<'_, Phase> {
    phase.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    deprecated,
    reason = "unsound only for types that do not own their descriptor; the replacement is unsafe"
)]
fn watch_for_calls(listener: Listener) -> std::io::Result<AsyncFd<Listener>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}

fn kind(name: &str, args: &[u64; 6]) -> Kind {
    match name {
        "rt_sigaction" if args[0] == SIGABRT => Kind::Abort,
        "rt_sigaction" if THREAD_SIGNALS.contains(&args[0]) => Kind::Thread,
        "clone" if args[0] & CLONE_THREAD != 0 => Kind::Thread,
        _ => Kind::Other,
    }
}

fn describe(name: Option<&str>, call: &Notification, place: &str, phase: Phase) -> String {
    let mut text = match name {
        Some(name) => name.to_owned(),
        None => format!("system call {}", call.nr),
    };
    let mut between = '(';
    for argument in call.args {
        let _ = write!(text, "{between}{argument:#x}");
        between = ',';
    }
    let phase = phase.name().to_uppercase();
    format!("{}) at {place} in {phase}", text.replace(',', ", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(nr: u32, args: [u64; 6]) -> Notification {
        Notification {
            id: 1,
            pid: 2,
            nr,
            args,
            ip: 0x1000,
        }
    }

    #[test]
    fn a_violation_names_call_arguments_place_and_phase() {
        let args = [0x7f00_1000, 2, 0, 0, 0, 0];
        assert_eq!(
            describe(
                Some("execve"),
                &call(59, args),
                "module.so+0x1234",
                Phase::Load
            ),
            "execve(0x7f001000, 0x2, 0x0, 0x0, 0x0, 0x0) at module.so+0x1234 in LOAD"
        );
        let unknown = describe(None, &call(9999, args), "libc.so.6+0x1", Phase::Run);
        assert!(
            unknown.starts_with("system call 9999(0x7f001000"),
            "{unknown}"
        );
    }

    #[test]
    fn aborting_and_starting_threads_are_told_apart_from_the_rest() {
        let args = |first| [first, 0, 0, 0, 0, 0];
        assert_eq!(kind("rt_sigaction", &args(6)), Kind::Abort);
        assert_eq!(kind("rt_sigaction", &args(33)), Kind::Thread);
        assert_eq!(kind("clone", &args(0x3d_0f00)), Kind::Thread);
        assert_eq!(kind("rt_sigaction", &args(11)), Kind::Other);
        assert_eq!(kind("clone", &args(17)), Kind::Other);
        assert_eq!(kind("execve", &args(6)), Kind::Other);
    }
}
