//! Faults and transitions are told, at a bounded rate.

use std::collections::HashMap;

use coldshoe_tests::{MessageBus, Objects, Place, frame, run_frame, running};
use rustix::process::{Pid, Signal, kill_process};
use zbus::{Message, OwnedObjectPath, OwnedVariant};

use crate::{changed, next, on_bus};

type Fault = (
    OwnedObjectPath,
    OwnedObjectPath,
    u32,
    u64,
    HashMap<String, OwnedVariant>,
);

fn fault(message: &Message) -> Option<Fault> {
    let faulted = message.header().member()?.as_str() == "WorkerFaulted";
    let body = message.body();
    faulted.then(|| body.deserialize().expect("(oouta{sv})"))
}

#[test]
fn a_worker_that_is_killed_is_told_of_and_so_is_the_next() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let mut signals = objects.signals().await;
        run_frame(&mut session, 42);
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        let pid = session.worker_pid();
        let worker = Pid::from_raw(pid.cast_signed()).expect("a process number");
        kill_process(worker, Signal::KILL).expect("ours");
        let told = next(&mut signals, fault).await;
        assert_eq!(told.0.as_str(), path);
        assert_eq!(told.1.as_str(), format!("{}/module_good", Objects::ROOT));
        assert_eq!((told.2, told.3), (1, 42));
        for text in ["What", "Why"] {
            assert!(!<&str>::try_from(&told.4[text]).expect("s").is_empty());
        }
        assert!(!told.4.contains_key("LeftOut"));
        let proxy = objects.session(session.id()).await;
        loop {
            let shown: u32 = proxy.get_property("WorkerPid").await.expect("u");
            let state: u32 = proxy.get_property("State").await.expect("u");
            if shown != pid && state == 2 {
                break;
            }
            next(&mut signals, |message| changed(message, &path)).await;
        }
        let restarts: u32 = proxy.get_property("Restarts").await.expect("u");
        assert_eq!(restarts, 1);
    });
}

#[test]
fn of_many_faults_each_is_told_or_counted() {
    let bus = MessageBus::new();
    let place = Place::new();
    place.module("dies", &[("IN_PROCESS", "crash()")]);
    let options = ["--max-faults", "1000", "--max-pause", "1"];
    let daemon = bus.daemon_in(place, &options);
    let mut session = running(&daemon, "dies");
    on_bus(async {
        let mut signals = Objects(bus.connect().await).signals().await;
        // Each worker dies of the frame that it is given.
        let mut number = 0;
        while daemon.log().all("reason=\"crash\"").len() < 25 {
            number += 1;
            assert!(number < 20_000, "the workers do not die");
            let patience = std::time::Duration::from_millis(50);
            if let Ok(ticket) = session.submit(&frame(number, patience), &[7; 64]) {
                let _ = session.wait(ticket);
            }
        }
        session.close().expect("closed");
        let count = daemon.log().all("reason=\"crash\"").len() as u32;
        let mut told = 0;
        while told < count {
            let (.., details) = next(&mut signals, fault).await;
            told += match details.get("LeftOut") {
                Some(number) => u32::try_from(number).expect("u"),
                None => 1,
            };
        }
        assert_eq!(told, count);
    });
}
