//! The interfaces as they are written down are those that the daemon has.
//!
//! `BLESS=1 cargo test -p coldshoe-tests --test bus introspection` writes them anew.

use std::path::PathBuf;

use coldshoe_tests::{MessageBus, Objects, running};

use crate::on_bus;

fn file(interface: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/dbus"))
        .join(format!("{interface}.xml"))
}

/// The part of an object's description that is about one interface.
fn part<'a>(xml: &'a str, interface: &str) -> &'a str {
    let begin = format!("<interface name=\"{interface}\">");
    let from = xml.find(&begin).expect("the interface is there");
    let len = xml[from..].find("</interface>").expect("it ends") + "</interface>".len();
    &xml[from..from + len]
}

#[test]
fn the_interfaces_are_as_they_are_written_down() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let session = running(&daemon, "good");
    on_bus(async {
        let objects = Objects(bus.connect().await);
        let session = format!("session_{}", session.id());
        for (name, below) in [
            ("Manager", String::new()),
            ("Session", format!("/{session}")),
            ("Module", "/module_good".to_owned()),
        ] {
            let path = format!("{}{below}", Objects::ROOT);
            let proxy = objects.any(path, "org.freedesktop.DBus.Introspectable".to_owned());
            let xml: String = proxy.await.call("Introspect", &()).await.expect("XML");
            let interface = format!("org.coldshoe.Coldshoe1.{name}");
            let found = part(&xml, &interface);
            assert!(
                !found.contains("<arg type"),
                "an argument has no name:\n{found}"
            );
            let text = format!(
                "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                 \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n\
                 <node>\n  {found}\n</node>\n"
            );
            let file = file(&interface);
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&file, &text).expect("written");
            }
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                written == text,
                "{} is not what the daemon has: BLESS=1 writes it anew\n{text}",
                file.display()
            );
        }
    });
}

/// Every action that is asked for is in the policy file, with the defaults of the design.
#[test]
fn the_policy_file_has_every_action() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../policy/polkit/org.coldshoe.Coldshoe1.policy"
    );
    let text = std::fs::read_to_string(file).expect("the policy file");
    for (action, any, active) in [
        ("control", "auth_admin", "yes"),
        ("trace", "auth_admin", "auth_admin_keep"),
        ("manage", "auth_admin", "auth_admin_keep"),
        ("trust-module", "auth_admin", "auth_admin"),
    ] {
        let begin = format!("<action id=\"org.coldshoe.Coldshoe1.{action}\">");
        let from = text.find(&begin).expect(action);
        let len = text[from..].find("</action>").expect("it ends");
        let part = &text[from..from + len];
        for (scope, value) in [("any", any), ("inactive", "no"), ("active", active)] {
            let line = format!("<allow_{scope}>{value}</allow_{scope}>");
            assert!(part.contains(&line), "{action}: {line}");
        }
    }
    assert_eq!(text.matches("<action id=").count(), 4);
}
