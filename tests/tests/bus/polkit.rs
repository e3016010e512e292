//! Who may do what.

use std::os::unix::process::CommandExt;
use std::process::Output;

use coldshoe_tests::{MessageBus, Objects, Polkit, running};

use crate::{none, on_bus, one, refused};

const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

/// Calls as another user of the machine; `None` where this user cannot become one.
fn as_nobody(bus: &MessageBus, path: &str, method: &str, arguments: &[&str]) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return None;
    }
    let mut tool = bus.tool("gdbus");
    tool.args(["call", "--address", &bus.address()])
        .args(["-d", Objects::SERVICE, "-o", path, "-m", method])
        .args(arguments)
        .uid(65534)
        .gid(65534);
    Some(tool.output().expect("gdbus"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_polkit_root_and_the_daemons_user_may_and_others_may_not() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let session = running(&daemon, "good");
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let module = objects.module("good").await;
        module
            .call::<_, _, ()>("Release", &())
            .await
            .expect("allowed");
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        let interface = "org.coldshoe.Coldshoe1.Session";
        for (method, arguments) in [
            ("Restart", vec![]),
            ("SetControls", vec!["{}", "{}"]),
            ("OpenTrace", vec!["{}"]),
            ("Hold", vec!["ae", "x", "{}"]),
        ] {
            let method = format!("{interface}.{method}");
            let Some(output) = as_nobody(&bus, &path, &method, &arguments) else {
                return;
            };
            let text = said(&output);
            assert!(!output.status.success(), "{method}");
            assert!(text.contains(DENIED) && text.contains("65534"), "{text}");
        }
        // To look is free.
        let get = "org.freedesktop.DBus.Properties.Get";
        let output = as_nobody(&bus, &path, get, &[interface, "State"]).expect("seen above");
        assert!(output.status.success(), "{}", said(&output));
    });
}

#[test]
fn polkit_decides_and_each_method_has_its_action() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let session = running(&daemon, "good");
    on_bus(async {
        let polkit = Polkit::on(&bus).await;
        let objects = Objects(bus.connect().await);
        let (steered, module) = (
            objects.session(session.id()).await,
            objects.module("good").await,
        );
        let manager = objects.manager().await;
        refused(
            steered.call::<_, _, ()>("Restart", &()).await,
            DENIED,
            "polkit says no",
        );
        let empty = none();
        let trace = steered.call::<_, _, zbus::OwnedFd>("OpenTrace", &empty);
        refused(trace.await, DENIED, "org.coldshoe.Coldshoe1.trace");
        let dump = manager.call::<_, _, zbus::OwnedFd>("DumpDiagnostics", &empty);
        refused(dump.await, DENIED, "org.coldshoe.Coldshoe1.manage");
        let quarantine = module.call::<_, _, ()>("Quarantine", &"it is old");
        refused(quarantine.await, DENIED, "org.coldshoe.Coldshoe1.manage");
        refused(
            module.call::<_, _, ()>("Release", &()).await,
            DENIED,
            "manage",
        );
        refused(
            module.call::<_, _, ()>("Trust", &none()).await,
            DENIED,
            "trust-module",
        );
        refused(
            module.call::<_, _, ()>("Forget", &()).await,
            DENIED,
            "trust-module",
        );
        let actions: Vec<String> = polkit.asked().into_iter().map(|asked| asked.0).collect();
        let short: Vec<&str> = actions
            .iter()
            .filter_map(|action| action.strip_prefix("org.coldshoe.Coldshoe1."))
            .collect();
        let expected = [
            "manage",
            "trace",
            "manage",
            "manage",
            "manage",
            "trust-module",
            "trust-module",
        ];
        assert_eq!(short, expected);
        // Its owner steers a session without being asked for anything.
        let call = (one("Contrast", 1.0), none());
        steered
            .call::<_, _, ()>("SetControls", &call)
            .await
            .expect("its owner");
        assert!(polkit.asked().is_empty());
        polkit.answers("manage", true, false);
        module
            .call::<_, _, ()>("Release", &())
            .await
            .expect("allowed now");
        let path = format!("{}/session_{}", Objects::ROOT, session.id());
        let set = "org.coldshoe.Coldshoe1.Session.SetControls";
        if let Some(output) = as_nobody(&bus, &path, set, &["{}", "{}"]) {
            assert!(
                said(&output).contains("polkit says no"),
                "{}",
                said(&output)
            );
            polkit.answers("control", true, false);
            let output = as_nobody(&bus, &path, set, &["{}", "{}"]).expect("root");
            assert!(output.status.success(), "{}", said(&output));
        }
    });
}

#[test]
fn somebody_is_asked_only_where_the_call_allows_it() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let _session = running(&daemon, "good");
    on_bus(async {
        let polkit = Polkit::on(&bus).await;
        polkit.answers("manage", false, true);
        let objects = Objects(bus.connect().await);
        let module = objects.module("good").await;
        refused(
            module.call::<_, _, ()>("Release", &()).await,
            "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
            "somebody to agree",
        );
        let manage = "org.coldshoe.Coldshoe1.manage".to_owned();
        assert_eq!(polkit.asked(), [(manage.clone(), false)]);
        let flags = zbus::proxy::MethodFlags::ALLOW_INTERACTIVE_AUTH;
        let called = module.call_with_flags::<_, _, ()>("Release", flags, &());
        // Whoever was asked said no.
        refused(called.await.map(drop), DENIED, "polkit says no");
        assert_eq!(polkit.asked(), [(manage, true)]);
    });
}
