//! What is on the bus, and that it is true.

use std::collections::HashMap;

use coldshoe::Session;
use coldshoe_tests::{Daemon, MessageBus, Objects, built, run_frame, running, sensor};
use zbus::export::serde::de::DeserializeOwned;
use zbus::fdo::ManagedObjects;
use zbus::{OwnedObjectPath, OwnedVariant, Proxy};

use crate::{changed, next, on_bus, refused};

async fn get<T>(proxy: &Proxy<'_>, property: &str) -> T
where
    T: DeserializeOwned + zbus::Type,
{
    proxy.get_property(property).await.expect(property)
}

async fn paths(objects: &Objects) -> Vec<String> {
    let interface = "org.freedesktop.DBus.ObjectManager".to_owned();
    let manager = objects.any(Objects::ROOT.to_owned(), interface).await;
    let managed: ManagedObjects = manager
        .call("GetManagedObjects", &())
        .await
        .expect("the objects");
    let mut paths: Vec<_> = managed.into_keys().map(|path| path.to_string()).collect();
    paths.sort();
    paths
}

#[test]
fn a_session_is_there_from_its_opening_to_its_end_and_what_it_says_is_true() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let mut signals = objects.signals().await;
        let mut session = running(&daemon, "good");
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        next(&mut signals, |message| {
            let header = message.header();
            let added = header.member()?.as_str() == "InterfacesAdded";
            let body = message.body();
            let (added, _): (
                OwnedObjectPath,
                HashMap<String, HashMap<String, OwnedVariant>>,
            ) = added.then(|| body.deserialize().expect("its signature"))?;
            (added.as_str() == path).then_some(())
        })
        .await;
        let shown = objects.session(session.id()).await;
        for frame in 0..20 {
            run_frame(&mut session, frame);
        }
        assert_eq!(get::<String>(&shown, "Id").await, session.id().to_string());
        assert_eq!(get::<String>(&shown, "Camera").await, "virtual");
        assert!(
            get::<String>(&shown, "Pipeline")
                .await
                .starts_with("coldshoe ")
        );
        let own = rustix::process::getuid().as_raw();
        assert_eq!(get::<u32>(&shown, "OwnerUid").await, own);
        let module: OwnedObjectPath = get(&shown, "Module").await;
        assert_eq!(module.as_str(), format!("{}/module_good", Objects::ROOT));
        assert!(get::<u64>(&shown, "StartedUSec").await > 1_700_000_000_000_000);
        let confinement: HashMap<String, OwnedVariant> = get(&shown, "Confinement").await;
        assert!(bool::try_from(&confinement["NoNewPrivs"]).expect("b"));
        assert_eq!(u32::try_from(&confinement["SeccompMode"]).expect("u"), 2);
        assert_eq!(get::<u32>(&shown, "State").await, 2);
        assert_eq!(get::<u32>(&shown, "WorkerPid").await, session.worker_pid());
        assert_eq!(get::<u32>(&shown, "Restarts").await, 0);
        assert!(!get::<bool>(&shown, "FallbackActive").await);
        assert_eq!(get::<u64>(&shown, "Frames").await, 20);
        assert_eq!(get::<u64>(&shown, "DeadlineMisses").await, 0);
        assert_eq!(get::<u64>(&shown, "RejectedBlocks").await, 0);
        // The test module says that it searches; that is looked at once a second.
        assert_eq!(get::<u32>(&shown, "AeState").await, 1);
        next(&mut signals, |message| {
            let changed = changed(message, &path)?;
            let state = u32::try_from(changed.get("AeState")?).expect("u");
            (state == 1).then_some(())
        })
        .await;
        let (median, _, _, longest): (u64, u64, u64, u64) = get(&shown, "LatencyUSec").await;
        assert!(longest > 0 && median <= longest, "{median} {longest}");
        session.close().expect("closed");
        next(&mut signals, |message| {
            let header = message.header();
            let removed = header.member()?.as_str() == "InterfacesRemoved";
            let body = message.body();
            let (gone, _): (OwnedObjectPath, Vec<String>) =
                removed.then(|| body.deserialize().expect("its signature"))?;
            (gone.as_str() == path).then_some(())
        })
        .await;
        assert!(!paths(&objects).await.contains(&path));
    });
}

#[test]
fn the_manager_finds_sessions_by_number_and_by_process() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let manager = objects.manager().await;
        assert_eq!(
            get::<String>(&manager, "Version").await,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(get::<u32>(&manager, "Health").await, 1);
        assert!(get::<u64>(&manager, "DefaultDeadlineUSec").await > 0);
        let mut signals = objects.signals().await;
        let session = running(&daemon, "good");
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        let id = session.id().to_string();
        let found: OwnedObjectPath = manager.call("GetSession", &id).await.expect("found");
        assert_eq!(found.as_str(), path);
        for none in ["", "7777", "x", "-1", "18446744073709551616"] {
            let called = manager.call::<_, _, OwnedObjectPath>("GetSession", &none);
            refused(called.await, "NoSuchSession", "there is no session");
        }
        for fd in [
            session.worker_pidfd().try_clone().expect("a copy"),
            own_pidfd(),
        ] {
            let fd = zbus::OwnedFd::from(fd);
            let found: OwnedObjectPath =
                manager.call("GetSessionByPidFd", &fd).await.expect("found");
            assert_eq!(found.as_str(), path);
        }
        let file = std::fs::File::open(built("coldshoed")).expect("a file");
        let fd = zbus::OwnedFd::from(std::os::fd::OwnedFd::from(file));
        let called = manager.call::<_, _, OwnedObjectPath>("GetSessionByPidFd", &fd);
        refused(
            called.await,
            "org.freedesktop.DBus.Error.InvalidArgs",
            "pidfd",
        );
        let json: zbus::OwnedFd = manager
            .call("DumpDiagnostics", &crate::none())
            .await
            .expect("a file");
        let file = std::fs::File::from(std::os::fd::OwnedFd::from(json));
        let told: serde_json::Value = serde_json::from_reader(file).expect("JSON");
        assert_eq!(told["schema"], 1);
        assert_eq!(told["sessions"][0]["id"], session.id());
        drop(session);
        next(&mut signals, |message| {
            (message.header().member()?.as_str() == "InterfacesRemoved").then_some(())
        })
        .await;
    });
}

fn own_pidfd() -> std::os::fd::OwnedFd {
    let pid = rustix::process::getpid();
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("a pidfd")
}

/// Frames are nobody's affair but the pipeline's.
#[test]
fn a_thousand_frames_are_not_told_of_on_the_bus() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let mut signals = objects.signals().await;
        let mut session = running(&daemon, "good");
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        run_frame(&mut session, 0);
        // What the first answer said of its exposure control is told once.
        next(&mut signals, |message| {
            changed(message, &path)?.get("AeState").map(drop)
        })
        .await;
        for frame in 1..=1000 {
            run_frame(&mut session, frame);
        }
        // Told in order: what comes before this is all that came.
        let shown = objects.session(session.id()).await;
        let frames: u64 = get(&shown, "Frames").await;
        assert_eq!(frames, 1001);
        session.close().expect("closed");
        let mut between = Vec::new();
        next_or_keep(&mut signals, &path, &mut between).await;
        assert!(between.len() <= 1, "{between:?}");
    });
}

/// Keeps what comes before a session's object goes, but for what is said of modules.
async fn next_or_keep(signals: &mut zbus::MessageStream, path: &str, kept: &mut Vec<String>) {
    let kept = std::sync::Mutex::new(kept);
    next(signals, |message| {
        let header = message.header();
        let member = header.member()?.to_string();
        let body = message.body();
        if member == "InterfacesRemoved" {
            let (gone, _): (OwnedObjectPath, Vec<String>) = body.deserialize().expect("(oas)");
            return (gone.as_str() == path).then_some(());
        }
        if !header.path()?.as_str().contains("/module_") {
            kept.lock()
                .expect("kept")
                .push(format!("{message}: {member}"));
        }
        None
    })
    .await;
}

#[test]
fn a_session_that_never_opened_was_never_there() {
    let bus = MessageBus::new();
    let daemon: Daemon = bus.daemon();
    daemon.module("broken", &[("IN_CREATE", "return -EINVAL")]);
    on_bus(async {
        let objects = Objects(bus.connect().await);
        assert!(Session::open(&daemon.open("broken")).is_err());
        let mut session = Session::open(&daemon.open("good")).expect("a session");
        session.configure(&sensor()).expect("configured");
        let manager = objects.manager().await;
        let id = (session.id() - 1).to_string();
        let called = manager.call::<_, _, OwnedObjectPath>("GetSession", &id);
        refused(called.await, "NoSuchSession", "there is no session");
    });
}
