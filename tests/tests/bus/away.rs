//! A bus that is not there, goes away, and comes back.

use coldshoe_tests::{Daemon, MessageBus, Objects, Place, assert_serves, run_frame, running};

use crate::on_bus;

#[test]
fn sessions_go_on_without_the_bus_and_are_there_when_it_is_back() {
    let mut bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    run_frame(&mut session, 1);
    bus.stop();
    daemon.log().wait_for("the bus is gone");
    for frame in 2..20 {
        run_frame(&mut session, frame);
    }
    assert_serves(&daemon);
    bus.start();
    coldshoe_tests::until(
        "the daemon is on the bus again",
        || daemon.log().all("on the bus").len() == 2,
        || daemon.turn(),
    );
    on_bus(async {
        let shown = Objects(bus.connect().await).session(session.id()).await;
        let frames: u64 = shown.get_property("Frames").await.expect("t");
        assert!(frames >= 19, "{frames}");
    });
    run_frame(&mut session, 20);
}

#[test]
fn a_daemon_whose_bus_is_not_there_says_so_once_and_serves() {
    let mut bus = MessageBus::new();
    bus.stop();
    let place = Place::new();
    let mut command = place.coldshoed();
    command
        .args(["--bus", "system"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    let daemon = Daemon::start_with(place, command);
    daemon.log().wait_for("no bus");
    assert_serves(&daemon);
    bus.start();
    daemon.log().wait_for("on the bus");
    assert_eq!(daemon.log().all("no bus").len(), 1);
}

#[test]
fn a_name_that_another_daemon_has_is_waited_for() {
    let bus = MessageBus::new();
    let first = bus.daemon();
    let place = Place::new();
    let mut command = place.coldshoed();
    command
        .args(["--bus", "system"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
    let second = Daemon::start_with(place, command);
    second.log().wait_for("it is waited for");
    assert_serves(&second);
    let session = running(&second, "good");
    first.stop();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let manager = objects.manager().await;
        let id = session.id().to_string();
        let found: zbus::OwnedObjectPath = manager.call("GetSession", &id).await.expect("found");
        assert!(found.as_str().ends_with(&id));
    });
}
