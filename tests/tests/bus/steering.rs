//! Controls, holds, restarts and traces.

use std::io::Read;
use std::os::fd::OwnedFd;

use coldshoe::Session;
use coldshoe_tests::{Daemon, MessageBus, Objects, PATIENCE, Place, frame, run_frame, running};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zbus::Proxy;

use crate::{changed, next, none, on_bus, one, refused};

/// A module that answers with what it was asked for: metadata hold what a test looks at.
const TELLS: &str = "out->metadata.colour_temperature = in->controls.set; \
    out->metadata.lux = (in->controls.set & COLDSHOE_IPA_AE_ENABLE) ? \
    10 + in->controls.ae_enable : 1; \
    out->metadata.colour_gain_red = 1 + in->controls.contrast; \
    out->metadata.colour_gain_blue = 1 + in->controls.ae_metering";

pub(crate) fn place() -> Place {
    let place = Place::new();
    place.module("tells", &[("IN_PROCESS", TELLS)]);
    place
}

/// What a module was asked for with a frame: bits, AE (1 not asked, 10 off, 11 on), contrast, metering.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) bits: u32,
    pub(crate) ae: f64,
    pub(crate) contrast: f64,
    pub(crate) metering: f64,
}

pub(crate) fn asked(session: &mut Session, number: u64) -> Asked {
    let ticket = session
        .submit(&frame(number, PATIENCE), &[7; 64])
        .expect("a slot");
    let outcome = session.wait(ticket);
    assert!(outcome.is_fresh(), "{outcome:?}");
    let told = outcome.answer().expect("fresh").metadata;
    let [red, blue] = told.colour_gains.unwrap_or([1.0; 2]);
    Asked {
        bits: told.colour_temperature.unwrap_or(0.0) as u32,
        ae: told.lux.unwrap_or(0.0),
        contrast: red - 1.0,
        metering: blue - 1.0,
    }
}

pub(crate) async fn set(session: &Proxy<'_>, name: &str, value: impl Into<zbus::Variant<'static>>) {
    let call = (one(name, value), none());
    session
        .call::<_, _, ()>("SetControls", &call)
        .await
        .expect("set");
}

#[test]
fn controls_reach_the_module_with_the_next_frame_and_stay() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    on_bus(async {
        let steered = Objects(bus.connect().await).session(session.id()).await;
        assert_eq!(asked(&mut session, 1).bits, 0);
        for round in 0..50_u32 {
            let contrast = 1.0 + f64::from(round) / 100.0;
            set(&steered, "Contrast", contrast).await;
            let got = asked(&mut session, 2 + u64::from(round));
            assert!((got.contrast - contrast).abs() < 1e-9, "{round}: {got:?}");
        }
        set(&steered, "AeMeteringMode", 2).await;
        set(&steered, "AeEnable", false).await;
        let got = asked(&mut session, 100);
        assert_eq!((got.ae, got.metering), (10.0, 2.0));
        assert!((got.contrast - 1.49).abs() < 1e-9);
        let replace = (one("AwbMode", 3), one("replace", true));
        steered
            .call::<_, _, ()>("SetControls", &replace)
            .await
            .expect("set");
        assert_eq!(asked(&mut session, 101).bits, 1 << 13);
    });
}

#[test]
fn controls_that_were_set_while_no_frames_flow_are_there_with_the_first() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = Session::open(&daemon.open("tells")).expect("a session");
    session
        .configure(&coldshoe_tests::sensor())
        .expect("configured");
    on_bus(async {
        let steered = Objects(bus.connect().await).session(session.id()).await;
        // More than any queue holds: a pipeline that does not read comes to no harm.
        for round in 0..500_u32 {
            set(&steered, "Contrast", f64::from(round) / 100.0).await;
        }
        session.start().expect("started");
        assert!((asked(&mut session, 1).contrast - 4.99).abs() < 1e-9);
    });
}

#[test]
fn controls_stay_when_another_worker_takes_over() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let mut signals = objects.signals().await;
        let steered = objects.session(session.id()).await;
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        set(&steered, "Contrast", 2.0).await;
        assert!((asked(&mut session, 1).contrast - 2.0).abs() < 1e-9);
        let before = session.worker_pid();
        steered
            .call::<_, _, ()>("Restart", &())
            .await
            .expect("restarted");
        next(&mut signals, |message| {
            let changed = changed(message, &path)?;
            let restarts = changed.get("Restarts")?;
            (u32::try_from(restarts).expect("u") == 1).then_some(())
        })
        .await;
        assert!((asked(&mut session, 2).contrast - 2.0).abs() < 1e-9);
        assert_ne!(session.worker_pid(), before);
        // It was asked for: nobody failed.
        assert!(session.fault().is_none());
        assert!(daemon.log().all("restarted on request").len() == 1);
    });
}

#[test]
fn what_is_held_is_held_until_its_descriptor_is_closed() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let steered = objects.session(session.id()).await;
        assert_eq!(asked(&mut session, 1).ae, 1.0);
        let held: zbus::OwnedFd = steered
            .call("Hold", &("ae:awb", "a panorama", none()))
            .await
            .expect("held");
        assert_eq!(asked(&mut session, 2).ae, 10.0);
        for what in ["ae", "awb:af"] {
            let call = (what, "me, too", none());
            let called = steered.call::<_, _, zbus::OwnedFd>("Hold", &call).await;
            refused(called, "HoldConflict", "a panorama");
        }
        let other: zbus::OwnedFd = steered
            .call("Hold", &("af", "macro", none()))
            .await
            .expect("held");
        for bad in [("iso", "x"), ("ae:ae", "x"), ("", "x"), ("ae", "")] {
            let call = (bad.0, bad.1, none());
            let called = steered.call::<_, _, zbus::OwnedFd>("Hold", &call).await;
            refused(called, "org.freedesktop.DBus.Error.InvalidArgs", "option");
        }
        drop(OwnedFd::from(held));
        daemon.log().wait_for("let go");
        let (mut number, mut ae) = (3, 10.0);
        while ae == 10.0 {
            number += 1;
            assert!(number < 100_000, "exposure is held for ever");
            ae = asked(&mut session, number).ae;
        }
        assert_eq!(ae, 11.0);
        drop(other);
    });
}

#[test]
fn a_hold_ends_with_its_session_and_its_holder_sees_that() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let session = running(&daemon, "tells");
    on_bus(async {
        let steered = Objects(bus.connect().await).session(session.id()).await;
        let held: zbus::OwnedFd = steered
            .call("Hold", &("ae", "a panorama", none()))
            .await
            .expect("held");
        let held = OwnedFd::from(held);
        let seen = |timeout: Option<&Timespec>| {
            let mut events = [PollFd::new(&held, PollFlags::empty())];
            poll(&mut events, timeout).expect("polled") == 1
        };
        assert!(!seen(Some(&Timespec::default())), "it is held");
        session.close().expect("closed");
        let patience = Timespec::try_from(PATIENCE).expect("some seconds");
        assert!(seen(Some(&patience)), "nobody tells its holder");
    });
}

#[test]
fn a_trace_has_the_parameters_of_frames_and_ends() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    on_bus(async {
        let traced = Objects(bus.connect().await).session(session.id()).await;
        let pipe: zbus::OwnedFd = traced
            .call("OpenTrace", &one("frames", 3_u32))
            .await
            .expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut file = std::fs::File::from(OwnedFd::from(pipe));
            file.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut number = 0;
        coldshoe_tests::until(
            "the trace ends",
            || reader.is_finished(),
            || {
                number += 1;
                run_frame(&mut session, number);
            },
        );
        let bytes = reader.join().expect("read").expect("read");
        let first = u32::from_le_bytes(bytes[..4].try_into().expect("four")) as usize;
        assert_eq!(bytes.len(), 3 * (4 + first));
        let no_frames = one("frames", 0_u32);
        let called = traced.call::<_, _, zbus::OwnedFd>("OpenTrace", &no_frames);
        refused(
            called.await,
            "org.freedesktop.DBus.Error.InvalidArgs",
            "frames",
        );
    });
    let _: Daemon = daemon;
}
