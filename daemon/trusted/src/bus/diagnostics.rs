//! What the daemon knows, as text for whoever looks for a fault.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use memfd::{FileSeal, MemfdOptions};
use serde_json::{Value, json};

use super::House;
use super::manager::Health;
use crate::roster::View;

/// Number of this layout.
const SCHEMA: u32 = 1;

/// A sealed memory file with JSON, at its beginning.
pub(super) fn dump(house: &House) -> io::Result<OwnedFd> {
    let text = serde_json::to_vec_pretty(&tell(house))?;
    let memfd = MemfdOptions::default()
        .allow_sealing(true)
        .close_on_exec(true)
        .create("coldshoe-diagnostics")
        .map_err(io::Error::other)?;
    memfd.as_file().write_all(&text)?;
    rustix::fs::seek(memfd.as_file(), rustix::fs::SeekFrom::Start(0))?;
    let seals = [
        FileSeal::SealShrink,
        FileSeal::SealGrow,
        FileSeal::SealWrite,
        FileSeal::SealSeal,
    ];
    memfd.add_seals(&seals).map_err(io::Error::other)?;
    Ok(memfd.into_file().into())
}

fn tell(house: &House) -> Value {
    let context = &house.context;
    let shortfall = &context.jailer.shortfall;
    let sessions: Vec<Value> = context
        .roster
        .views()
        .iter()
        .map(|view| session(house, view))
        .collect();
    let modules: Vec<Value> = house
        .modules
        .all()
        .into_iter()
        .map(|(name, facts)| {
            let digest: String = facts
                .digest
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            json!({
                "name": name, "version": facts.version, "license": facts.license,
                "path": facts.path, "sha256": digest, "trust": facts.trust,
                "profile": facts.profile, "state": facts.state, "faults": facts.faults,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "health": Health::of(house) as u32,
        "sandbox": {
            "profile": context.jailer.profile,
            "landlock_abi": context.jailer.jail.landlock_abi,
            "refused": shortfall.refused.as_ref().map(|(what, why)| format!("{what}: {why}")),
            "degraded": shortfall.degraded,
            "notes": shortfall.notes,
        },
        "sessions": sessions,
        "modules": modules,
        "faults": faults(house),
    })
}

fn session(house: &House, view: &View) -> Value {
    let s = house.context.roster.statistics(view.info.session);
    let s = s.unwrap_or_default();
    let info = &view.info;
    json!({
        "id": info.session, "camera": info.camera, "module": info.module,
        "stand_in": info.stand_in, "state": info.state, "generation": info.generation,
        "worker_pid": info.worker_pid, "restarts": info.restarts, "faults": info.faults,
        "owner_uid": view.owner.uid, "owner_pid": view.owner.pid,
        "pipeline": view.owner.software, "started_us": view.began_us,
        "fresh": s.fresh, "missed": s.missed, "late": s.late, "skipped": s.skipped,
        "refused_blocks": s.refused_blocks, "clamped_requests": s.clamped_requests,
        "latency_us": [
            s.latency_p50_us, s.latency_p95_us, s.latency_p99_us, s.latency_max_us,
        ],
        "ae_state": s.ae_state, "awb_state": s.awb_state, "af_state": s.af_state,
    })
}

fn faults(house: &House) -> Vec<Value> {
    let (mut faults, mut after) = (Vec::new(), 0);
    loop {
        let some = house.context.history.faults(after, |_| true);
        let Some(last) = some.last() else {
            return faults;
        };
        after = last.number;
        faults.extend(some.iter().map(|fault| {
            json!({
                "number": fault.number, "time": fault.time, "session": fault.session,
                "camera": fault.camera, "module": fault.module, "generation": fault.generation,
                "reason": fault.reason().word(), "frame": fault.frame, "what": fault.what,
                "why": fault.why, "recovery_us": fault.recovery_us,
            })
        }));
    }
}
