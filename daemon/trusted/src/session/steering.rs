//! What others than the pipeline ask of a session: controls, holds, another worker.

use coldshoe_control::client::{Controls, Steer};
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use super::*;

/// Patience with a pipeline that does not read what it is told.
const READ: Duration = Duration::from_secs(2);
/// Room in a client's queue that is left to those who must not fail.
const SPARE: usize = 32;

/// What a session is told from outside.
#[derive(Debug)]
pub(crate) enum Command {
    /// Controls for the frames from now on.
    Steer {
        controls: Controls,
        /// Those that were set before are forgotten.
        replace: bool,
        answer: Answer<()>,
    },
    /// Something is to stay as it is for as long as the descriptor lives that is answered.
    Hold {
        what: Vec<What>,
        why: String,
        answer: Answer<OwnedFd>,
    },
    /// Nobody holds that any more.
    LetGo { ticket: u64 },
    /// Another worker is to take over.
    Restart { answer: Answer<()> },
    /// This module is not to run any more.
    Evict { module: String, why: String },
}

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Unmet>>;

/// Why a command was not followed.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// Somebody else holds it.
    Held(String),
    Trouble(Trouble),
}

/// What can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Ae,
    Awb,
    Af,
}

impl What {
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("ae", Self::Ae), ("awb", Self::Awb), ("af", Self::Af)];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// What is asked for, and by whom it is held.
#[derive(Debug, Default)]
pub(super) struct Steering {
    pub(super) controls: Controls,
    held: [Option<Hold>; 3],
    tickets: u64,
    /// Ends with the session, and with it every hold.
    life: watch::Sender<()>,
    /// The pipeline was told of something.
    pub(super) ever: bool,
}

#[derive(Debug)]
struct Hold {
    ticket: u64,
    why: String,
}

impl Steering {
    /// What another daemon had; its holds ended with it, and what it had begun is begun.
    pub(super) fn kept(controls: Option<Controls>) -> Self {
        Self {
            ever: controls.is_some(),
            controls: Controls {
                af_trigger: None,
                ..controls.unwrap_or_default()
            },
            ..Self::default()
        }
    }

    fn on_the_wire(&self, session: u64) -> Steer {
        let held = |what: What| self.held[what as usize].is_some();
        Steer {
            session,
            controls: Some(self.controls),
            hold_ae: held(What::Ae),
            hold_awb: held(What::Awb),
            hold_af: held(What::Af),
        }
    }

    /// Takes over what is set in `controls`, and returns what is in force now.
    fn set(&mut self, controls: &Controls, replace: bool) {
        if replace {
            self.controls = Controls::default();
        }
        for control in &coldshoe_control::CONTROLS {
            if let Some(value) = controls.get(control.name) {
                self.controls.set(control.name, value);
            }
        }
    }

    fn hold(&mut self, what: &[What], why: String) -> Result<u64, String> {
        for what in what {
            if let Some(hold) = &self.held[*what as usize] {
                return Err(format!("{} is held already: {}", what.name(), hold.why));
            }
        }
        self.tickets += 1;
        for what in what {
            self.held[*what as usize] = Some(Hold {
                ticket: self.tickets,
                why: why.clone(),
            });
        }
        Ok(self.tickets)
    }

    fn let_go(&mut self, ticket: u64) {
        for hold in &mut self.held {
            if hold.as_ref().is_some_and(|hold| hold.ticket == ticket) {
                *hold = None;
            }
        }
    }
}

impl Session {
    /// Does what somebody outside asks for.
    pub(super) async fn heed(&mut self, command: Command) {
        match command {
            Command::Steer {
                controls,
                replace,
                answer,
            } => {
                if let Err(unmet) = self.has_room() {
                    return drop(answer.send(Err(unmet)));
                }
                self.steering.set(&controls, replace);
                let told = self.steer();
                // It begins something once, and not again with the next message.
                self.steering.controls.af_trigger = None;
                tokio::spawn(async move { answer.send(told.await) });
            }
            Command::Hold { what, why, answer } => match self.hold(&what, why) {
                Ok(held) => {
                    let told = self.steer();
                    tokio::spawn(async move { answer.send(told.await.map(|()| held)) });
                }
                Err(unmet) => drop(answer.send(Err(unmet))),
            },
            Command::LetGo { ticket } => {
                tracing::info!(session = self.id, hold = ticket, "let go");
                self.steering.let_go(ticket);
                tokio::spawn(self.steer());
            }
            Command::Restart { answer } => drop(answer.send(self.restart().await)),
            Command::Evict { module, why } => self.evict(&module, &why).await,
        }
    }

    fn hold(&mut self, what: &[What], why: String) -> Result<OwnedFd, Unmet> {
        self.has_room()?;
        let io = |error: std::io::Error| Unmet::Trouble(faults::no_descriptor(&error));
        let (ours, theirs) = pipe::pipe().map_err(io)?;
        let theirs = theirs.into_blocking_fd().map_err(io)?;
        let ticket = self.steering.hold(what, why.clone()).map_err(Unmet::Held)?;
        let names: Vec<_> = what.iter().map(|what| what.name()).collect();
        tracing::info!(
            session = self.id,
            hold = ticket,
            what = names.join(":"),
            why,
            "held"
        );
        let commands = self.commanders.clone();
        let mut life = self.steering.life.subscribe();
        tokio::spawn(async move {
            // Nothing is ever written: the other end can only go. When the session does, this one goes:
            // its holder sees that nothing is held any more.
            let let_go = async {
                while let Ok(ready) = ours.ready(Interest::ERROR).await
                    && !(ready.is_error() || ready.is_write_closed())
                {}
            };
            tokio::select! {
                () = let_go => {}
                Err(_) = life.changed() => return,
            }
            if let Some(commands) = commands.upgrade() {
                let _ = commands.send(Command::LetGo { ticket }).await;
            }
        });
        Ok(theirs)
    }

    /// A pipeline that does not read must not lose its connection for what others ask for.
    fn has_room(&self) -> Result<(), Unmet> {
        if self.client.outbox.room() > SPARE {
            return Ok(());
        }
        Err(Unmet::Trouble(Trouble::new(
            ErrorCode::Limit,
            format!("session {} cannot be steered", self.id),
            "its pipeline has not read yet what it was told before",
            "try again, less often",
        )))
    }

    /// Tells the pipeline what is asked for. It hears of it at its next frame, if frames flow; if not,
    /// it is told when they begin to. The answer comes when it can be heard.
    pub(super) fn steer(&mut self) -> impl Future<Output = Result<(), Unmet>> + use<> {
        self.steering.ever = true;
        let streams = matches!(self.stage, Stage::Streaming(_));
        let custody = match &self.state {
            State::Running(live) | State::Degraded(live) => Some(live.custody()),
            _ => None,
        };
        let heard = streams.then(|| {
            let (told, heard) = oneshot::channel();
            let steer = self.steering.on_the_wire(self.id);
            let reply = Reply::new(0, steer, Vec::new())
                .calling_once(custody)
                .telling(told);
            self.client.outbox.send(reply);
            heard
        });
        let id = self.id;
        async move {
            let Some(heard) = heard else { return Ok(()) };
            match timeout(READ, heard).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(Unmet::Trouble(Trouble::new(
                    ErrorCode::Limit,
                    format!("session {id} may not have heard what is asked for"),
                    "its pipeline does not read what it is told",
                    "see whether its frames flow",
                ))),
            }
        }
    }

    /// Tells the pipeline again, if it was told before.
    pub(super) fn steer_again(&mut self) {
        if self.steering.ever {
            tokio::spawn(self.steer());
        }
    }

    /// Has another worker take over, from the state of this one.
    async fn restart(&mut self) -> Result<(), Unmet> {
        let module = self.brief.module.name.clone();
        self.context
            .history
            .admit(&module)
            .map_err(Unmet::Trouble)?;
        self.save().await;
        let Some(live) = self.off_duty() else {
            return Err(Unmet::Trouble(Trouble::new(
                ErrorCode::ModuleFailed,
                format!("session {} has no worker to replace", self.id),
                "its last one failed, and another one is on its way",
                "see its State, and `coldshoectl list faults`",
            )));
        };
        tracing::info!(
            session = self.id,
            generation = live.generation,
            "restarted on request"
        );
        let since = Instant::now();
        self.give_up(live).await;
        self.state = State::Replacing(Gap { since, fault: 0 });
        match self.successor.take_ready() {
            Some(live) => self.promote(live).await,
            None if self.successor.is_none() => self.make_successor(Duration::ZERO),
            None => {}
        }
        Ok(())
    }

    /// Its module is not to run any more.
    async fn evict(&mut self, module: &str, why: &str) {
        if self.brief.module.name != module {
            return;
        }
        let fault = Fault::evicted(module, why);
        let since = Instant::now();
        match self.off_duty() {
            Some(live) => {
                let (generation, frame) = (live.generation, live.frame());
                self.give_up(live).await;
                self.state = State::Replacing(Gap { since, fault: 0 });
                self.end_module(fault, generation, frame).await;
            }
            // Its next worker is on its way.
            None if matches!(self.state, State::Replacing(_)) => {
                self.successor = Successor::None;
                self.end_module(fault, self.generation, 0).await;
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_held_once_and_let_go_together() {
        let mut steering = Steering::default();
        let first = steering
            .hold(&[What::Ae, What::Awb], "a panorama".into())
            .unwrap();
        let refused = steering
            .hold(&[What::Af, What::Awb], "mine".into())
            .unwrap_err();
        assert!(
            refused.contains("awb") && refused.contains("a panorama"),
            "{refused}"
        );
        assert!(!steering.on_the_wire(1).hold_af);
        let second = steering.hold(&[What::Af], "macro".into()).unwrap();
        steering.let_go(first);
        let wire = steering.on_the_wire(1);
        assert_eq!(
            (wire.hold_ae, wire.hold_awb, wire.hold_af),
            (false, false, true)
        );
        steering.let_go(second);
        assert!(!steering.on_the_wire(1).hold_af);
    }

    #[test]
    fn controls_add_up_unless_they_take_the_place_of_all() {
        let some = |change: fn(&mut Controls)| {
            let mut controls = Controls::default();
            change(&mut controls);
            controls
        };
        let mut steering = Steering::default();
        steering.set(&some(|c| c.contrast = Some(2.0)), false);
        steering.set(&some(|c| c.saturation = Some(0.5)), false);
        let both = some(|c| (c.contrast, c.saturation) = (Some(2.0), Some(0.5)));
        assert_eq!(steering.controls, both);
        let one = some(|c| c.ae_enable = Some(false));
        steering.set(&one, true);
        assert_eq!(steering.controls, one);
    }
}
