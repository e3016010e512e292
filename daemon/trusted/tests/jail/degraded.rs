//! Kernels that lack something: refused by name, or allowed by name and then told.

use coldshoe::{Confinement, ErrorCode};
use coldshoe_jail::{Feature, Grade, Profile};

use crate::place::{Daemon, frame};

/// A daemon on a kernel without these, whose profile allows going without those.
fn without(missing: &[Feature], allowed: &[Feature]) -> Daemon {
    Daemon::start(|config| {
        config.disable_features = missing.to_vec();
        config.profile = profile(allowed);
    })
}

fn profile(allowed: &[Feature]) -> Profile {
    let (_, text) = Profile::BUILTIN[0];
    let names: Vec<_> = allowed
        .iter()
        .map(|feature| format!("\"{feature}\""))
        .collect();
    let key = format!("allow_degraded = [{}]", names.join(", "));
    assert!(text.contains("allow_degraded = []"));
    Profile::parse(&text.replace("allow_degraded = []", &key)).expect("a profile")
}

fn of(grade: Grade) -> impl Iterator<Item = Feature> {
    let all = Feature::ALL.into_iter();
    all.filter(move |feature| feature.grade() == grade && *feature != Feature::CgroupLimits)
}

fn namespaces() -> Vec<Feature> {
    of(Grade::Required).collect()
}

/// The module works there, and the report says so.
fn works(daemon: &Daemon) -> Confinement {
    let mut session = daemon.run("plain");
    frame(&mut session, 1);
    assert_eq!(session.fault(), None);
    session.confinement().clone()
}

#[test]
fn without_a_mandatory_feature_no_session_is_opened_whatever_the_profile_says() {
    for feature in of(Grade::Mandatory) {
        let trouble = without(&[feature], &[]).refusal("plain");
        assert_eq!(trouble.code, ErrorCode::SandboxUnavailable);
        assert!(trouble.what.contains(feature.name()), "{trouble}");
        assert!(!trouble.remedy.contains("allow_degraded"), "{trouble}");
    }
}

#[test]
fn without_a_required_feature_no_session_is_opened_and_the_key_is_named() {
    for feature in of(Grade::Required) {
        let trouble = without(&[feature], &[]).refusal("plain");
        assert_eq!(trouble.code, ErrorCode::SandboxUnavailable);
        assert!(trouble.what.contains(feature.name()), "{trouble}");
        for word in ["--profile FILE", "extends \"single\"", "allow_degraded"] {
            assert!(trouble.remedy.contains(word), "{trouble}");
        }
    }
}

#[test]
fn a_required_feature_that_the_profile_allows_to_miss_is_told_in_the_report() {
    for feature in of(Grade::Required) {
        // Without that one there is none of the others.
        let allowed = match feature {
            Feature::UserNamespace => namespaces(),
            other => vec![other],
        };
        let report = works(&without(&[feature], &allowed));
        assert_eq!(
            report.degraded.len(),
            allowed.len(),
            "{:?}",
            report.degraded
        );
        for (line, feature) in report.degraded.iter().zip(&allowed) {
            assert!(line.starts_with(feature.name()), "{line}");
        }
        let kept = 6 - allowed.iter().filter(|f| namespaces().contains(f)).count();
        let kept = match feature {
            // The UTS namespace is gone with it.
            Feature::UserNamespace => 0,
            _ => kept,
        };
        assert_eq!(report.namespaces.len(), kept, "{:?}", report.namespaces);
    }
}

#[test]
fn allowing_one_feature_to_miss_does_not_allow_another() {
    let daemon = without(&[Feature::NetNamespace], &[Feature::MountNamespace]);
    assert!(daemon.refusal("plain").what.contains("net_namespace"));
}

#[test]
fn a_feature_that_exists_is_used_even_if_it_may_be_missing() {
    let report = works(&without(&[], &namespaces()));
    assert_eq!(report.degraded, [""; 0]);
    assert_eq!(report.namespaces.len(), 6);
}

#[test]
fn reported_features_do_not_stop_a_session_and_are_told() {
    for feature in of(Grade::Reported) {
        let report = works(&without(&[feature], &[]));
        let told = report
            .notes
            .iter()
            .any(|note| note.starts_with(feature.name()));
        assert!(told, "{feature}: {:?}", report.notes);
    }
}

#[test]
fn an_old_landlock_is_used_as_far_as_it_goes() {
    // As of Debian 12's own kernel.
    let report = works(&without(&[Feature::LandlockTruncate, Feature::Mdwe], &[]));
    assert_eq!(report.landlock_abi, 2);
    assert!(!report.landlock_rights.contains(&"truncate".to_owned()));
}
