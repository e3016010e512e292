//! Modules: what is known of them, and what is decided about them.

use coldshoe::{Health, Session};
use coldshoe_tests::{MessageBus, Objects, run_frame, running};
use sha2::{Digest, Sha256};

use crate::{changed, next, none, on_bus};

#[test]
fn a_module_is_shown_with_its_bytes_and_what_was_decided_about_them() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let mut signals = objects.signals().await;
        let module = objects.module("good").await;
        let file = std::fs::read(daemon.module_file("good")).expect("the module");
        let digest: Vec<u8> = module.get_property("Digest").await.expect("ay");
        assert_eq!(digest, Sha256::digest(&file).to_vec());
        let path: String = module.get_property("Path").await.expect("s");
        assert_eq!(path, daemon.module_file("good").to_string_lossy());
        let number = async |name: &str| module.get_property::<u32>(name).await.expect("u");
        assert_eq!((number("Trust").await, number("State").await), (0, 1));
        let session = running(&daemon, "good");
        let path = format!("{}/module_good", Objects::ROOT);
        let said = next(&mut signals, |message| changed(message, &path)).await;
        assert_eq!(u32::try_from(&said["State"]).expect("u"), 2);
        assert_eq!(u32::try_from(&said["Trust"]).expect("u"), 1);
        assert_eq!(<&str>::try_from(&said["ModuleVersion"]).expect("s"), "1.0");
        drop(session);
        module
            .call::<_, _, ()>("Forget", &())
            .await
            .expect("forgotten");
        next(&mut signals, |message| {
            let said = changed(message, &path)?;
            (u32::try_from(said.get("Trust")?).expect("u") == 0).then_some(())
        })
        .await;
        module
            .call::<_, _, ()>("Trust", &none())
            .await
            .expect("trusted");
        next(&mut signals, |message| {
            let said = changed(message, &path)?;
            (u32::try_from(said.get("Trust")?).expect("u") == 1).then_some(())
        })
        .await;
    });
}

#[test]
fn a_module_in_quarantine_is_not_loaded_and_does_not_go_on_until_it_is_released() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let mut session = running(&daemon, "good");
        run_frame(&mut session, 1);
        let module = objects.module("good").await;
        let call = module.call::<_, _, ()>("Quarantine", &"it is too old");
        call.await.expect("quarantined");
        coldshoe_tests::until(
            "the session hears of it",
            || session.health() == Health::Quarantined,
            || daemon.turn(),
        );
        let fault = session.fault().expect("told").to_string();
        assert!(fault.contains("it is too old"), "{fault}");
        let refused = Session::open(&daemon.open("good")).expect_err("refused");
        assert!(refused.to_string().contains("it is too old"), "{refused}");
        let steered = objects.session(session.id()).await;
        crate::refused(
            steered.call::<_, _, ()>("Restart", &()).await,
            "ModuleQuarantined",
            "it is too old",
        );
        module
            .call::<_, _, ()>("Release", &())
            .await
            .expect("released");
        coldshoe_tests::until(
            "the session goes on",
            || session.health() == Health::Running,
            || daemon.turn(),
        );
        run_frame(&mut session, 2);
    });
}
