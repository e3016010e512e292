//! What was asked for on the bus, when the daemon is another one.

use std::os::fd::OwnedFd;

use coldshoe::Session;
use coldshoe_tests::{Manager, MessageBus, Objects, PATIENCE, running, until};
use tokio::time::timeout;
use zbus::Proxy;

use crate::steering::{asked, place, set};
use crate::{none, on_bus, one};

/// A session with a contrast that was set, a scan that was begun, and exposure that is held.
async fn steered(bus: &MessageBus, session: &mut Session) -> OwnedFd {
    let steered = Objects(bus.connect().await).session(session.id()).await;
    set(&steered, "Contrast", 2.0).await;
    set(&steered, "AfTrigger", 0).await;
    let held: zbus::OwnedFd = steered
        .call("Hold", &("ae", "a panorama", none()))
        .await
        .expect("held");
    let got = asked(session, 1);
    assert_eq!((got.contrast, got.ae), (2.0, 10.0));
    assert_ne!(got.bits & TRIGGER, 0, "the scan begins");
    held.into()
}

/// `COLDSHOE_IPA_AF_TRIGGER`.
const TRIGGER: u32 = 1 << 15;
/// `COLDSHOE_IPA_CONTRAST`.
const CONTRAST: u32 = 1 << 7;

/// The session, on the bus again after another daemon has taken it up.
async fn again(bus: &MessageBus, session: &Session) -> Proxy<'static> {
    let objects = Objects(bus.connect().await);
    let found = async {
        loop {
            let steered = objects.session(session.id()).await;
            if steered.get_property::<u32>("State").await.is_ok() {
                return steered;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, found).await.expect("it is there again")
}

/// Controls stay, what was held is not held any more, and more can be set beside what was.
async fn goes_on(bus: &MessageBus, session: &mut Session) {
    let mut number = 1;
    until(
        "another daemon says what is in force",
        || {
            number += 1;
            asked(session, number).ae == 11.0
        },
        || {},
    );
    let got = asked(session, 1000);
    assert_eq!((got.contrast, got.ae), (2.0, 11.0));
    assert_eq!(got.bits & TRIGGER, 0, "a scan is begun once");
    let steered = again(bus, session).await;
    set(&steered, "AeMeteringMode", 2).await;
    let got = asked(session, 1001);
    assert_eq!((got.contrast, got.metering), (2.0, 2.0));
    assert_eq!(got.bits & TRIGGER, 0, "nor by another daemon");
    let held: zbus::OwnedFd = steered
        .call("Hold", &("ae", "another one", none()))
        .await
        .expect("nobody holds it");
    drop(held);
    let replace = (one("AwbMode", 3), one("replace", true));
    steered
        .call::<_, _, ()>("SetControls", &replace)
        .await
        .expect("set");
    assert_eq!(asked(session, 1002).bits & CONTRAST, 0, "it is known here");
}

#[test]
fn a_session_that_is_resumed_brings_along_what_was_set() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    let _held = on_bus(steered(&bus, &mut session));
    let daemon = bus.daemon_in(daemon.kill(), &[]);
    until(
        "the session is resumed",
        || session.health() == coldshoe::Health::Running,
        || daemon.turn(),
    );
    on_bus(goes_on(&bus, &mut session));
    session.close().expect("closed");
}

#[test]
fn a_session_that_is_taken_over_keeps_what_was_set() {
    let bus = MessageBus::new();
    let environment = vec![("DBUS_SYSTEM_BUS_ADDRESS", bus.address())];
    let mut manager = Manager::start_with(place(), &["--bus", "system"], environment);
    let mut session = running(manager.place(), "tells");
    let _held = on_bus(steered(&bus, &mut session));
    let worker = session.worker_pid();
    manager.kill();
    manager.restart();
    on_bus(goes_on(&bus, &mut session));
    assert_eq!(session.worker_pid(), worker);
    session.close().expect("closed");
}
