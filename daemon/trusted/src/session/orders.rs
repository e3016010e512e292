//! What the pipeline asks for, and how it says that its frames go.

use super::*;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Configure,
    Start,
    Stop,
}

impl Session {
    pub(super) async fn follow(&mut self, Order { serial, body }: Order) {
        match body {
            Body::Close(Close { .. }) => {
                self.close().await;
                self.client.outbox.send(Reply::done(serial, self.id));
            }
            Body::Report(report) => self.hear(&report).await,
            order => {
                let outbox = self.client.outbox.clone();
                tokio::select! {
                    () = self.carry_out(serial, order) => {}
                    // Nobody waits for the verb any more, and it may hang.
                    () = outbox.closed() => {}
                }
            }
        }
    }

    pub(super) async fn carry_out(&mut self, serial: u32, order: Body) {
        let (verb, next) = match (order, &self.stage) {
            (Body::Configure(order), Stage::Opened | Stage::Configured(_)) => {
                let sensor = order.sensor.unwrap_or_default();
                (Verb::Configure, Stage::Configured(sensor))
            }
            (Body::Start(_), Stage::Configured(sensor)) => {
                (Verb::Start, Stage::Streaming(sensor.clone()))
            }
            (Body::Stop(_), Stage::Streaming(sensor)) => {
                (Verb::Stop, Stage::Configured(sensor.clone()))
            }
            (order, stage) => {
                let trouble = self.out_of_place(order.kind(), stage);
                tracing::warn!(session = self.id, "{trouble}");
                return self.client.outbox.send(Reply::trouble(serial, trouble));
            }
        };
        let done = match &mut self.state {
            State::Running(live) | State::Degraded(live) => match (verb, &next) {
                (Verb::Configure, Stage::Configured(sensor)) => {
                    live.configure(sensor.clone()).await
                }
                (Verb::Start, _) => live.start(None).await.map(drop),
                (_, _) => live.stop().await,
            },
            // The next worker is brought there when it comes.
            _ => Ok(()),
        };
        // A module whose stop() fails has stopped all the same: no more frames are taken.
        if done.is_ok() || verb == Verb::Stop {
            self.stage = next;
        }
        match done {
            Ok(()) => {
                if verb == Verb::Configure {
                    self.renew_standby();
                }
                if verb == Verb::Start {
                    self.steer_again();
                }
                self.client.outbox.send(Reply::done(serial, self.id));
            }
            Err(Refusal::Verb(trouble)) => {
                tracing::warn!(
                    session = self.id,
                    module = self.brief.module.name,
                    "{trouble}"
                );
                self.client.outbox.send(Reply::trouble(serial, trouble));
            }
            Err(Refusal::Fault(fault)) => {
                let told = fault.trouble.clone();
                self.client.outbox.send(Reply::trouble(serial, told));
                if let Some(live) = self.off_duty() {
                    self.fail(live, fault).await;
                }
            }
        }
    }

    pub(super) fn out_of_place(&self, order: &str, stage: &Stage) -> Trouble {
        Trouble::new(
            ErrorCode::BadState,
            format!("{order} is out of place"),
            format!("session {} is {}", self.id, stage.name()),
            "the order is Configure, Start, Stop; Close goes at any time",
        )
    }

    /// The pipeline says how its frames go.
    pub(super) async fn hear(&mut self, report: &Report) {
        let current = match &self.state {
            State::Running(live) | State::Degraded(live) => live.generation == report.generation,
            _ => false,
        };
        // Of another worker's time.
        if !current {
            return;
        }
        let Some(live) = self.off_duty() else { return };
        let (session, frame) = (self.id, report.frame);
        self.state = match report.course() {
            Course::Degraded => {
                tracing::warn!(session, frame, "degraded: answers do not come in time");
                State::Degraded(live)
            }
            Course::Stalled => {
                let name = live.brief.module.name.clone();
                let fault = match report.reason() {
                    FaultReason::Protocol => Fault::unusable(&name, frame),
                    FaultReason::Contract => Fault::outside_contract(&name, frame),
                    _ => Fault::stalled(&name, frame),
                };
                return self.fail(live, fault).await;
            }
            _ => {
                tracing::info!(session, frame, "answers come in time again");
                State::Running(live)
            }
        };
    }
}
