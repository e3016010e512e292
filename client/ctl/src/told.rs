//! What a daemon tells, in the form in which it is printed.

use coldshoe::{Class, FaultRecord, SessionInfo, SessionState};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    pub(crate) session: u64,
    pub(crate) camera: String,
    pub(crate) module: String,
    pub(crate) stand_in: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) generation: u32,
    pub(crate) worker: u32,
    pub(crate) standby: bool,
    pub(crate) faults: u32,
    pub(crate) statistics: Option<Statistics>,
}

/// What its pipeline has counted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Statistics {
    pub(crate) fresh: u64,
    pub(crate) missed: u64,
    pub(crate) late: u64,
    pub(crate) skipped: u64,
    pub(crate) module_errors: u64,
    pub(crate) rejected: u64,
    pub(crate) refused_blocks: u64,
    pub(crate) refused_requests: u64,
    pub(crate) clamped_requests: u64,
    pub(crate) latency_us: Latency,
    pub(crate) ae: &'static str,
    pub(crate) awb: &'static str,
    pub(crate) af: &'static str,
    pub(crate) refusals: Vec<Refusals>,
}

/// How far an algorithm has come, as the protocol counts.
pub(crate) fn algorithm(state: u32) -> &'static str {
    match state {
        1 => "searching",
        2 => "converged",
        3 => "locked",
        4 => "failed",
        _ => "-",
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// Blocks that were refused.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusals {
    pub(crate) r#type: u32,
    pub(crate) reason: &'static str,
    pub(crate) count: u32,
}

impl Statistics {
    pub(crate) fn of(told: &coldshoe::Statistics) -> Self {
        let refusals = told.refusals.iter().map(|refusal| Refusals {
            r#type: refusal.r#type,
            reason: Class::ALL
                .get(refusal.reason as usize)
                .map_or("unknown", |class| class.name()),
            count: refusal.count,
        });
        Self {
            fresh: told.fresh,
            missed: told.missed,
            late: told.late,
            skipped: told.skipped,
            module_errors: told.module_errors,
            rejected: told.rejected,
            refused_blocks: told.refused_blocks,
            refused_requests: told.refused_requests,
            clamped_requests: told.clamped_requests,
            latency_us: Latency {
                p50: told.latency_p50_us,
                p95: told.latency_p95_us,
                p99: told.latency_p99_us,
                max: told.latency_max_us,
            },
            ae: algorithm(told.ae_state),
            awb: algorithm(told.awb_state),
            af: algorithm(told.af_state),
            refusals: refusals.collect(),
        }
    }
}

impl Session {
    /// Whether a worker answers.
    pub(crate) fn is_well(&self) -> bool {
        matches!(self.state, "running" | "loading")
    }

    /// The module that its worker runs, and for which.
    pub(crate) fn modules(&self) -> String {
        match &self.stand_in {
            Some(other) => format!("{other} for {}", self.module),
            None => self.module.clone(),
        }
    }

    pub(crate) fn of(info: &SessionInfo) -> Self {
        Self {
            session: info.session,
            camera: info.camera.clone(),
            module: info.module.clone(),
            stand_in: Some(info.stand_in.clone()).filter(|name| !name.is_empty()),
            state: state(info.state()),
            generation: info.generation,
            worker: info.worker_pid,
            standby: info.standby,
            faults: info.faults,
            statistics: info.statistics.as_ref().map(Statistics::of),
        }
    }
}

/// A state in a word.
pub(crate) fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Loading => "loading",
        SessionState::Running => "running",
        SessionState::Degraded => "degraded",
        SessionState::Replacing => "replacing",
        SessionState::Quarantined => "quarantined",
        SessionState::Closed => "closed",
        SessionState::Unspecified => "unknown",
    }
}

/// How sessions do, in a few words.
pub(crate) fn summary(sessions: &[Session]) -> String {
    let ill = sessions.iter().filter(|session| !session.is_well()).count();
    match (sessions.len(), ill) {
        (0, _) => "no session".to_owned(),
        (1, 0) => "1 session, and it is well".to_owned(),
        (1, _) => "1 session, and it is not well".to_owned(),
        (all, 0) => format!("{all} sessions, all of them well"),
        (all, ill) => format!("{all} sessions, {ill} of them not well"),
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fault {
    pub(crate) number: u64,
    /// Seconds since 1970.
    pub(crate) time: u64,
    pub(crate) session: u64,
    pub(crate) camera: String,
    pub(crate) module: String,
    pub(crate) generation: u32,
    pub(crate) reason: &'static str,
    pub(crate) frame: u64,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) recovery_us: Option<u64>,
}

impl Fault {
    pub(crate) fn of(record: &FaultRecord) -> Self {
        Self {
            number: record.number,
            time: record.time,
            session: record.session,
            camera: record.camera.clone(),
            module: record.module.clone(),
            generation: record.generation,
            reason: record.reason().word(),
            frame: record.frame,
            what: record.what.clone(),
            why: record.why.clone(),
            recovery_us: Some(record.recovery_us).filter(|us| *us > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed as JSON changes with its `schema` number, and not without.
    #[test]
    fn sessions_and_faults_are_printed_in_this_form() {
        let session = Session::of(&SessionInfo {
            session: 3,
            owner: 1000,
            restarts: 1,
            module: "acme".into(),
            stand_in: "open".into(),
            camera: "front".into(),
            state: SessionState::Degraded.into(),
            generation: 2,
            worker_pid: 4711,
            standby: true,
            faults: 1,
            statistics: Some(coldshoe::Statistics {
                fresh: 100,
                missed: 2,
                latency_p50_us: 900,
                latency_p95_us: 1100,
                latency_p99_us: 1200,
                latency_max_us: 5000,
                ae_state: 2,
                refused_blocks: 7,
                refusals: vec![coldshoe::RefusedBlocks {
                    r#type: 21,
                    reason: 0,
                    count: 7,
                }],
                ..coldshoe::Statistics::default()
            }),
        });
        assert_eq!(
            serde_json::to_string(&session).unwrap(),
            concat!(
                r#"{"session":3,"camera":"front","module":"acme","stand_in":"open","#,
                r#""state":"degraded","generation":2,"worker":4711,"standby":true,"faults":1,"#,
                r#""statistics":{"fresh":100,"missed":2,"late":0,"skipped":0,"module_errors":0,"#,
                r#""rejected":0,"refused_blocks":7,"refused_requests":0,"clamped_requests":0,"#,
                r#""latency_us":{"p50":900,"p95":1100,"p99":1200,"max":5000},"#,
                r#""ae":"converged","awb":"-","af":"-","#,
                r#""refusals":[{"type":21,"reason":"unknown","count":7}]}}"#,
            )
        );
        let fault = Fault::of(&FaultRecord {
            number: 9,
            time: 1_700_000_000,
            session: 3,
            camera: "front".into(),
            module: "acme".into(),
            generation: 1,
            reason: coldshoe::FaultReason::Contract.into(),
            frame: 42,
            what: "what".into(),
            why: "why".into(),
            recovery_us: 0,
        });
        assert_eq!(
            serde_json::to_string(&fault).unwrap(),
            concat!(
                r#"{"number":9,"time":1700000000,"session":3,"camera":"front","module":"acme","#,
                r#""generation":1,"reason":"contract","frame":42,"what":"what","why":"why","#,
                r#""recovery_us":null}"#,
            )
        );
    }
}
