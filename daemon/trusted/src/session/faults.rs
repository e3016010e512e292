//! When a worker fails, and what follows: a successor, a stand-in, or quarantine.

use super::*;

pub(super) fn no_descriptor(error: &std::io::Error) -> Trouble {
    Trouble::new(
        ErrorCode::Internal,
        "no descriptor left",
        error.to_string(),
        "close sessions",
    )
}

impl Session {
    /// Whether a second worker is to be ready.
    pub(super) fn wants_standby(&self) -> bool {
        let jailer = &self.context.jailer;
        let allowed = jailer.standby && jailer.wake != Wake::Predictive;
        self.brief.request.standby && allowed
    }

    pub(super) fn make_successor(&mut self, pause: Duration) {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.successor = Successor::make(
            Arc::clone(&self.context),
            Arc::clone(&self.brief),
            self.generation,
            self.stage.sensor().cloned(),
            pause,
            matches!(self.state, State::Running(_)),
        );
    }

    /// The one that is ready, or on its way, is not what is needed any more.
    pub(super) fn renew_standby(&mut self) {
        if !self.successor.is_none() || self.wants_standby() {
            self.make_successor(Duration::ZERO);
        }
    }

    /// The worker on duty is gone or must go.
    pub(super) async fn fail(&mut self, live: Box<Live>, fault: Fault) {
        let since = Instant::now();
        let (generation, frame) = (live.generation, live.frame());
        self.give_up(live).await;
        let fault_number = self.record(generation, frame, &fault);
        self.state = State::Replacing(Gap {
            since,
            fault: fault_number,
        });
        self.go_on(fault, generation, frame).await;
    }

    /// Ends a worker, and keeps what its module saved.
    pub(super) async fn give_up(&mut self, live: Box<Live>) {
        live.call_pipeline();
        let (restored, frames, custody) = (live.restored, live.frames(), live.custody());
        // It has ended before another one takes over.
        let saved = live.end().await;
        // A pipeline that sees it gone waits for what follows.
        custody.notify();
        self.former = Some(custody);
        self.states.after(restored, frames, saved);
    }

    /// Tells of a fault and remembers it; the answer names it.
    fn record(&mut self, generation: u32, frame: u64, fault: &Fault) -> u64 {
        self.faults = self.faults.saturating_add(1);
        let module = self.brief.module.name.as_str();
        let whose = Whose {
            session: self.id,
            owner: self.owner.uid,
            camera: &self.brief.request.camera,
            module,
            generation,
            frame,
        };
        let number = self.context.history.fault(whose, fault);
        tracing::error!(
            session = self.id,
            fault = number,
            reason = fault.reason.word(),
            module,
            generation,
            frame,
            "{}",
            fault.trouble
        );
        number
    }

    /// Decides what follows a fault, and does it.
    pub(super) async fn go_on(&mut self, fault: Fault, generation: u32, frame: u64) {
        let verdict = match fault.reason {
            // It has been put up with for as long as its contract says.
            FaultReason::Contract => Verdict::Quarantine,
            _ => self.supervision.fault(Instant::now(), rand::random()),
        };
        self.follow_up(verdict, fault, generation, frame).await;
    }

    /// The module is not to run any more in this session.
    pub(super) async fn end_module(&mut self, fault: Fault, generation: u32, frame: u64) {
        self.follow_up(Verdict::Quarantine, fault, generation, frame)
            .await;
    }

    async fn follow_up(&mut self, verdict: Verdict, fault: Fault, generation: u32, frame: u64) {
        let module = self.brief.module.name.clone();
        let stand_in = match verdict {
            Verdict::Replace(_) => None,
            Verdict::Quarantine => {
                self.quarantine(&module, &fault);
                Some(self.stand_in().await)
            }
        };
        let quarantined = matches!(stand_in, Some(None));
        let mut told = fault
            .trouble
            .clone()
            .into_fault(self.id, fault.reason, frame);
        (told.module, told.generation, told.quarantined) = (module, generation, quarantined);
        let told = Reply::new(0, told, Vec::new()).calling(self.former.clone());
        self.client.outbox.send(told);
        match (verdict, stand_in) {
            (_, Some(Some(brief))) => {
                self.brief = Arc::new(brief);
                self.stands_in = true;
                self.states.forget();
                self.supervision = Supervision::new(self.brief.terms.patience);
                self.make_successor(Duration::ZERO);
            }
            (Verdict::Quarantine, _) => {
                if let Some(serial) = self.resuming.take() {
                    self.client
                        .outbox
                        .send(Reply::trouble(serial, fault.trouble));
                }
                self.successor = Successor::None;
                self.releases = self.context.history.releases();
                self.state = State::Quarantined;
            }
            (Verdict::Replace(pause), _) => match self.successor.take_ready() {
                Some(live) => self.promote(live).await,
                None if self.successor.is_none() => self.make_successor(pause),
                None => {}
            },
        }
    }

    pub(super) fn quarantine(&self, module: &str, fault: &Fault) {
        let why = fault.trouble.what.as_str();
        // What a client alone has seen counts in its own session alone.
        let everywhere =
            fault.witnessed && self.context.history.quarantined_in_session(module, why);
        tracing::error!(
            session = self.id,
            module,
            everywhere,
            "quarantined: it failed too often; `coldshoectl module release {module}` lifts that"
        );
    }

    pub(super) async fn stand_in(&self) -> Option<Brief> {
        if self.stands_in {
            return None;
        }
        let name = stand_in(&self.context, &self.brief.terms, &self.brief.request)?;
        let request = self.brief.request.clone();
        let memory = Arc::clone(&self.brief.memory);
        let (terms, permit) = (&self.brief.terms, &self.permit);
        let found = Brief::find(
            self.id,
            &self.context,
            request,
            &name,
            memory,
            terms,
            permit,
        )
        .await;
        found
            .inspect_err(|trouble| tracing::error!(session = self.id, "no stand-in: {trouble}"))
            .ok()
    }

    pub(super) async fn made(&mut self, live: Box<Live>) {
        match &self.state {
            State::Loading | State::Replacing(_) => self.promote(live).await,
            _ => {
                self.lost_standbys = 0;
                tracing::debug!(
                    session = self.id,
                    worker = live.worker.pid(),
                    "standby ready"
                );
                self.successor = Successor::Ready(live);
            }
        }
    }

    pub(super) async fn not_made(&mut self, refusal: Refusal) {
        match &self.state {
            State::Loading => {
                let (Refusal::Verb(trouble) | Refusal::Fault(Fault { trouble, .. })) = refusal;
                self.not_opened(trouble);
            }
            State::Replacing(_) => {
                let fault = match refusal {
                    Refusal::Fault(fault) => fault,
                    Refusal::Verb(trouble) => Fault::refused(trouble),
                };
                self.failed_again(fault).await;
            }
            _ => {
                let (Refusal::Verb(trouble) | Refusal::Fault(Fault { trouble, .. })) = refusal;
                tracing::warn!(session = self.id, "no standby: {trouble}");
                self.next_standby();
            }
        }
    }

    /// A worker failed on its way to duty: another fault, of which the pipeline knows already.
    pub(super) async fn failed_again(&mut self, fault: Fault) {
        let generation = self.generation;
        self.record(generation, 0, &fault);
        // Boxed: promoting may fail again, and that leads here.
        Box::pin(self.go_on(fault, generation, 0)).await;
    }

    pub(super) async fn standby_lost(&mut self, fault: &Fault) {
        tracing::warn!(session = self.id, "standby lost: {}", fault.trouble);
        if let Some(live) = self.successor.take_ready() {
            live.end().await;
        }
        self.next_standby();
    }

    /// Another standby, later the more of them were lost.
    pub(super) fn next_standby(&mut self) {
        let patience = self.brief.terms.patience;
        let pause = patience.first_pause * (1 << self.lost_standbys.min(10));
        self.lost_standbys = self.lost_standbys.saturating_add(1);
        if self.wants_standby() {
            self.make_successor(pause.min(patience.longest_pause));
        }
    }

    /// Puts a worker on duty, brought to where the pipeline is.
    pub(super) async fn promote(&mut self, mut live: Box<Live>) {
        if let Stage::Streaming(_) = self.stage {
            match live.start(self.states.next()).await {
                Ok(None) => {}
                Ok(Some(why)) => {
                    tracing::warn!(session = self.id, why, "the module went without its state");
                    self.states.refused();
                }
                Err(refusal) => {
                    let restored = live.restored;
                    live.end().await;
                    self.states.after(restored, 0, Vec::new());
                    let fault = match refusal {
                        Refusal::Fault(fault) => fault,
                        Refusal::Verb(trouble) => Fault::refused(trouble),
                    };
                    return match self.state {
                        State::Loading => self.not_opened(fault.trouble),
                        _ => self.failed_again(fault).await,
                    };
                }
            }
        }
        let mut resumed = false;
        match &self.state {
            State::Loading => match self.opened(&live) {
                Ok(reply) => {
                    let (module, camera) = (&live.module.name, &self.brief.request.camera);
                    let worker = live.worker.pid();
                    tracing::info!(session = self.id, module, camera, worker, "session opened");
                    self.client.outbox.send(reply.to(self.client.serial));
                }
                // A session that its client never hears of would have no end.
                Err(trouble) => {
                    live.end().await;
                    return self.not_opened(trouble);
                }
            },
            State::Replacing(gap) => {
                let after = gap.since.elapsed();
                let reply = match self.resuming {
                    Some(serial) => self.opened(&live).map(|reply| reply.to(serial)),
                    None => self
                        .replaced(&live, after)
                        .map(|reply| reply.calling(self.former.take())),
                };
                let reply = match reply {
                    Ok(reply) => reply,
                    // One that its pipeline never hears of is of no use. That is not its module's doing.
                    Err(trouble) => {
                        tracing::error!(session = self.id, "{trouble}");
                        live.end().await;
                        let pause = self.brief.terms.patience.longest_pause;
                        return self.make_successor(pause);
                    }
                };
                resumed = self.resuming.take().is_some();
                self.restarts = self.restarts.saturating_add(1);
                self.client.outbox.send(reply);
                self.context.history.recovered(gap.fault, after);
                let recovery_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                tracing::info!(
                    session = self.id,
                    fault = gap.fault,
                    generation = live.generation,
                    worker = live.worker.pid(),
                    recovery_us,
                    "worker replaced"
                );
            }
            _ => {}
        }
        self.state = State::Running(live);
        if resumed {
            self.steer_again();
        }
        if self.wants_standby() && self.successor.is_none() {
            self.make_successor(Duration::ZERO);
        }
    }

    pub(super) fn not_opened(&mut self, trouble: Trouble) {
        tracing::warn!(session = self.id, "{trouble}");
        self.state = State::Closed;
        let serial = self.client.serial;
        self.client.outbox.send(Reply::trouble(serial, trouble));
    }

    /// Its module may be used again.
    pub(super) fn released(&mut self) {
        if self.context.history.admit(&self.brief.module.name).is_ok() {
            let module = &self.brief.module.name;
            tracing::info!(session = self.id, module, "released");
            self.state = State::Replacing(Gap {
                since: Instant::now(),
                fault: 0,
            });
            self.make_successor(Duration::ZERO);
        }
    }

    pub(super) fn opened(&self, live: &Live) -> Result<Reply, Trouble> {
        let opened = SessionOpened {
            session: self.id,
            generation: live.generation,
            module: Some(live.module.clone()),
            confinement: Some(live.confinement.clone()),
            worker_pid: live.worker.pid().unsigned_abs(),
            wake: live.wake.into(),
            token: self.token.to_vec(),
            standby: self.wants_standby(),
        };
        let reply = Reply::new(
            0,
            opened,
            live.fds().map_err(|error| no_descriptor(&error))?,
        );
        reply.check().map(|()| reply)
    }

    pub(super) fn replaced(&self, live: &Live, after: Duration) -> Result<Reply, Trouble> {
        let replaced = WorkerReplaced {
            session: self.id,
            generation: live.generation,
            worker_pid: live.worker.pid().unsigned_abs(),
            module: Some(live.module.clone()),
            confinement: Some(live.confinement.clone()),
            wake: live.wake.into(),
            recovery_us: u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
        };
        let fds = live.fds().map_err(|error| no_descriptor(&error))?;
        let reply = Reply::new(0, replaced, fds);
        reply.check().map(|()| reply)
    }
}
