//! What cannot be asked for, and those who ask too much.

use coldshoe_tests::{MessageBus, Objects, PATIENCE, assert_serves, run_frame, running};
use tokio::time::timeout;
use zbus::Variant;

use crate::{changed, next, none, on_bus, one, refused};

const ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";

#[test]
fn controls_that_cannot_be_are_refused_by_their_name_with_the_range() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let session = running(&daemon, "good");
    on_bus(async {
        let steered = Objects(bus.connect().await).session(session.id()).await;
        for (name, value, said) in [
            ("Magic", Variant::from(1.0), "no such control"),
            ("Contrast", Variant::from(1_i32), "of type i"),
            ("Contrast", Variant::from("much"), "of type s"),
            ("Contrast", Variant::from(33.0), "0 to 32"),
            ("Contrast", Variant::from(f64::NAN), "NaN"),
            ("ExposureTime", Variant::from(0_i32), "1 to"),
            ("ExposureTime", Variant::from(5000.0), "of type d"),
            ("AwbMode", Variant::from(8_i32), "0 to 7"),
            ("ColourGains", Variant::from((1.0, -1.0)), "-1"),
            ("ColourGains", Variant::from(vec![1.0, 1.0]), "of type ad"),
            ("AeEnable", Variant::from(1_i32), "true or false"),
        ] {
            let call = (one(name, value), none());
            let called = steered.call::<_, _, ()>("SetControls", &call).await;
            refused(called, "InvalidControl", said);
        }
        let call = (none(), one("later", true));
        refused(
            steered.call::<_, _, ()>("SetControls", &call).await,
            ARGS,
            "later",
        );
        let call = (none(), one("replace", 1_u32));
        refused(
            steered.call::<_, _, ()>("SetControls", &call).await,
            ARGS,
            "replace",
        );
        let (name, _) = crate::refusal(steered.call::<_, _, ()>("SetControls", &"x").await);
        assert!(name == ARGS || name.contains("Error"), "{name}");
        let (name, _) = crate::refusal(steered.call::<_, _, ()>("Explode", &()).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.UnknownMethod");
    });
    assert_serves(&daemon);
}

#[test]
fn a_session_that_is_gone_is_told_to_be_gone() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let session = running(&daemon, "good");
        let steered = objects.session(session.id()).await;
        let held: zbus::OwnedFd = steered
            .call("Hold", &("ae", "x", none()))
            .await
            .expect("held");
        session.close().expect("closed");
        let (name, _) = crate::refusal(steered.call::<_, _, ()>("Restart", &()).await);
        let gone = [
            "org.coldshoe.Coldshoe1.Error.NoSuchSession",
            "org.freedesktop.DBus.Error.UnknownObject",
        ];
        assert!(gone.contains(&name.as_str()), "{name}");
        drop(held);
    });
    assert_serves(&daemon);
}

#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    let id = session.id();
    on_bus(async {
        let mut clients = Vec::new();
        for _ in 0..1000 {
            clients.push(bus.connect().await);
        }
        let asking: Vec<_> = clients
            .iter()
            .map(|client| {
                let client = client.clone();
                tokio::spawn(async move {
                    let path = format!("{}/session_{id}", Objects::ROOT);
                    let answer = client.call_method(
                        Some(Objects::SERVICE),
                        path.as_str(),
                        Some("org.freedesktop.DBus.Properties"),
                        "GetAll",
                        &"org.coldshoe.Coldshoe1.Session",
                    );
                    timeout(PATIENCE, answer).await.expect("in time").map(drop)
                })
            })
            .collect();
        run_frame(&mut session, 1);
        for asked in asking {
            asked.await.expect("asked").expect("answered");
        }
        run_frame(&mut session, 2);
    });
}

#[test]
fn a_client_that_never_reads_its_signals_holds_up_nobody() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    on_bus(async {
        let deaf = deaf_listener(&bus);
        let objects = Objects(bus.connect().await);
        let mut signals = objects.signals().await;
        let steered = objects.session(session.id()).await;
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        for round in 1..=5_u32 {
            steered
                .call::<_, _, ()>("Restart", &())
                .await
                .expect("restarted");
            next(&mut signals, |message| {
                let said = changed(message, &path)?;
                (u32::try_from(said.get("Restarts")?).expect("u") == round).then_some(())
            })
            .await;
            run_frame(&mut session, round.into());
        }
        drop(deaf);
    });
}

/// A client that asks for every signal and reads nothing.
fn deaf_listener(bus: &MessageBus) -> std::os::unix::net::UnixStream {
    use std::io::{Read, Write};
    let path = bus.address();
    let path = path.strip_prefix("unix:path=").expect("a path");
    let mut stream = std::os::unix::net::UnixStream::connect(path).expect("connected");
    let uid = rustix::process::geteuid().as_raw().to_string();
    let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
    write!(stream, "\0AUTH EXTERNAL {hex}\r\n").expect("sent");
    let mut answer = [0; 256];
    let read = stream.read(&mut answer).expect("read");
    assert!(answer[..read].starts_with(b"OK "));
    write!(stream, "BEGIN\r\n").expect("sent");
    let driver = |member: &'static str| {
        zbus::Message::method_call("/org/freedesktop/DBus", member)
            .destination("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
    };
    let hello = driver("Hello").build(&()).expect("a message");
    let rule = driver("AddMatch")
        .build(&"type='signal'")
        .expect("a message");
    for message in [hello, rule] {
        stream.write_all(message.data().bytes()).expect("sent");
    }
    stream
}
