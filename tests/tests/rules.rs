//! The dependency rules of ARCHITECTURE.md hold, and a breach of each would be noticed.
#![forbid(unsafe_code)]

use coldshoe_tests::rules::{Crate, Member, Source, Workspace};

#[test]
fn the_workspace_keeps_its_rules() {
    let violations = Workspace::read().violations();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_picture_of_the_workspace_is_not_empty() {
    let workspace = Workspace::read();
    let worker = &workspace.graph.0["coldshoe-worker"];
    assert_eq!(worker.folder.as_deref(), Some("daemon/jailed/worker"));
    assert!(worker.needs.contains(&"coldshoe-wall".to_owned()));
    let daemon = &workspace.graph.0["coldshoed"];
    let tokio = |id: &String| workspace.graph.0[id].name == "tokio";
    assert!(daemon.needs.iter().any(tokio));
    let jail = member(&workspace, "policy/jail");
    assert!(jail.sources.iter().any(|source| source.is_root));
    assert!(workspace.folders.contains(&"proto".to_owned()));
}

/// Changes the picture of the workspace and tells what the rules say to it.
fn doctored(change: impl FnOnce(&mut Workspace)) -> Vec<String> {
    let mut workspace = Workspace::read();
    change(&mut workspace);
    workspace.violations()
}

fn member<'a>(workspace: &'a Workspace, folder: &str) -> &'a Member {
    let mut members = workspace.members.iter();
    members
        .find(|member| member.folder == folder)
        .expect(folder)
}

fn member_mut<'a>(workspace: &'a mut Workspace, folder: &str) -> &'a mut Member {
    let mut members = workspace.members.iter_mut();
    members
        .find(|member| member.folder == folder)
        .expect(folder)
}

fn add_need(workspace: &mut Workspace, of: &str, need: &str) {
    let krate = workspace.graph.0.get_mut(of).expect(of);
    krate.needs.push(need.to_owned());
}

#[test]
fn a_way_from_the_jail_to_tokio_or_zbus_is_noticed_with_all_its_steps() {
    for kept_out in ["tokio", "zbus"] {
        let violations = doctored(|workspace| {
            for (name, needs) in [(kept_out, vec![]), ("helper", vec![kept_out.to_owned()])] {
                let krate = Crate {
                    name: name.into(),
                    folder: None,
                    needs,
                };
                workspace.graph.0.insert(name.into(), krate);
            }
            add_need(workspace, "coldshoe-control", "helper");
        });
        let way = format!("coldshoe-worker → coldshoe-control → helper → {kept_out}");
        let expected = format!("the jail reaches {kept_out}: {way}");
        assert!(violations.contains(&expected), "{violations:#?}");
    }
}

#[test]
fn a_daemon_that_reaches_into_the_jail_is_noticed() {
    let violations = doctored(|workspace| add_need(workspace, "coldshoed", "coldshoe-ipa"));
    let expected = "daemon and coldshoe-ipa meet behind the wall: coldshoed → coldshoe-ipa";
    assert!(violations.contains(&expected.to_owned()), "{violations:#?}");
}

#[test]
fn a_jail_that_shares_more_than_protocols_with_the_daemon_is_noticed() {
    let violations = doctored(|workspace| add_need(workspace, "coldshoe-wall", "coldshoe-jail"));
    let expected = "daemon and coldshoe-worker meet behind the wall: coldshoed → coldshoe-jail";
    assert!(violations.contains(&expected.to_owned()), "{violations:#?}");
}

#[test]
fn unsafe_code_outside_its_crates_is_noticed_even_in_tests() {
    let violations = doctored(|workspace| {
        let test = Source {
            path: "client/pipeline/tests/sly.rs".into(),
            text: "fn f() { unsafe { core::hint::unreachable_unchecked() } }".into(),
            ..Source::default()
        };
        member_mut(workspace, "client/pipeline").sources.push(test);
    });
    assert_eq!(
        violations,
        ["client/pipeline/tests/sly.rs holds unsafe code"]
    );
}

#[test]
fn a_crate_that_does_not_forbid_unsafe_code_is_noticed() {
    let violations = doctored(|workspace| {
        let daemon = member_mut(workspace, "daemon/trusted");
        for root in daemon.sources.iter_mut().filter(|source| source.is_root) {
            root.text = root.text.replace("#![forbid", "#![deny");
        }
    });
    assert_eq!(
        violations,
        ["lib.rs", "main.rs"]
            .map(|root| format!("daemon/trusted/src/{root} lacks #![forbid(unsafe_code)]")),
    );
}

#[test]
fn lints_that_are_not_taken_or_not_there_are_noticed() {
    let violations = doctored(|workspace| {
        workspace.undocumented_unsafe_is_denied = false;
        member_mut(workspace, "daemon/wall").inherits_lints = false;
    });
    assert_eq!(
        violations,
        [
            "the workspace does not deny undocumented_unsafe_blocks",
            "daemon/wall does not inherit the workspace's lints",
        ]
    );
}

#[test]
fn policy_that_does_something_is_noticed() {
    let violations = doctored(|workspace| {
        let rustix = Crate {
            name: "rustix".into(),
            ..Crate::default()
        };
        workspace.graph.0.insert("rustix".into(), rustix);
        add_need(workspace, "coldshoe-jail", "rustix");
        let jail = member_mut(workspace, "policy/jail");
        let sources = jail.sources.iter_mut();
        let mut products = sources.filter(|source| source.is_product);
        products.next().expect("a source").text = "use std::{fmt, fs};".into();
    });
    let [depends, names] = violations.as_slice() else {
        panic!("{violations:#?}");
    };
    assert_eq!(depends, "coldshoe-jail depends on rustix");
    assert!(names.ends_with("names `fs`"), "{names}");
}

#[test]
fn a_folder_or_a_crate_beside_the_layout_is_noticed() {
    let violations = doctored(|workspace| {
        workspace.folders.push("misc".into());
        let stray = Member {
            folder: "client/helpers".into(),
            inherits_lints: true,
            sources: Vec::new(),
        };
        workspace.members.push(stray);
    });
    assert_eq!(
        violations,
        [
            "misc/ is no folder of the fixed layout",
            "client/helpers is no place for a crate",
        ]
    );
}
