//! What the next daemon would need of a session, kept whenever it changes.

use super::*;

impl Session {
    /// Has all that the next daemon would need kept, whenever it has changed.
    pub(super) fn keep(&mut self) {
        let store = self.context.store;
        if !store.is_there() {
            return;
        }
        let (id, first) = (self.id, self.stored.version == 0);
        let live = match &mut self.state {
            State::Closed => return self.forget(),
            // Until its first worker is there it can be asked for again.
            State::Loading => return,
            State::Running(live) | State::Degraded(live) => Some(live),
            State::Replacing(_) | State::Quarantined => None,
        };
        if first {
            self.brief.keep(store);
            if let Some(socket) = self.client.outbox.socket() {
                store.keep(&format!("s{id}.client"), socket);
            }
        }
        let on_duty = live.as_ref().map_or(0, |live| live.generation);
        let before = std::mem::replace(&mut self.stored.worker, on_duty);
        let worker = live.map(|live| {
            if before != on_duty {
                live.keep(store);
            }
            live.kept()
        });
        let kept = self.kept(worker);
        if self.stored.last.as_ref() != Some(&kept) {
            let version = self.stored.version + 1;
            match kept.clone().write() {
                Ok(fd) => store.keep(&format!("s{id}.state.{version}"), fd.as_fd()),
                Err(error) => return tracing::warn!(session = id, %error, "not kept"),
            }
            if !first {
                store.forget(&format!("s{id}.state.{}", self.stored.version));
            }
            self.stored.version = version;
            self.stored.last = Some(kept);
        }
        if before != on_duty && before != 0 {
            Live::forget(store, id, before);
        }
    }

    pub(super) fn kept(&self, worker: Option<KeptWorker>) -> Kept {
        Kept {
            version: 0,
            request: Some(self.brief.request.clone()),
            token: self.token.to_vec(),
            sensor: self.stage.sensor().cloned(),
            streaming: matches!(self.stage, Stage::Streaming(_)),
            generation: self.generation,
            stands_in: self.stands_in,
            faults: self.faults,
            states: self.states.all().map(<[u8]>::to_vec).collect(),
            module: Some(self.brief.kept()),
            worker,
            restarts: self.restarts,
            owner_uid: self.owner.uid,
            owner_pid: self.owner.pid,
            software: self.owner.software.clone(),
            began_us: self.began_us,
            controls: self.steering.ever.then_some(self.steering.controls),
            quarantined: matches!(self.state, State::Quarantined),
        }
    }

    pub(super) fn forget(&mut self) {
        let (id, store) = (self.id, self.context.store);
        let Stored {
            version, worker, ..
        } = std::mem::take(&mut self.stored);
        if version == 0 {
            return;
        }
        // First of all: without it the rest is nothing.
        store.forget(&format!("s{id}.state.{version}"));
        if worker != 0 {
            Live::forget(store, id, worker);
        }
        store.forget(&format!("s{id}.client"));
        self.brief.forget(store);
    }
}
