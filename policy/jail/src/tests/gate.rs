//! The daemon's answers.

use super::{Answer, admitted, jails, mutated};
use crate::{Outcome, Phase, Profile, Verdict};

#[test]
fn every_load_entry_is_asked_about_and_continued_while_loading() {
    for jail in jails() {
        let gate = &jail.gate;
        for rule in jail.profile.load() {
            let Some(nr) = rule.number(jail.arch) else {
                continue;
            };
            let mut asked = 0;
            for args in admitted(rule) {
                if jail.kernel(nr, &args) == Answer::Ask {
                    asked += 1;
                    let verdict = gate.decide(Phase::Load, nr, &args);
                    let expected = |verdict| match verdict {
                        Verdict::Continue => rule.times.is_none(),
                        Verdict::Counted { times, .. } => rule.times == Some(times),
                        _ => false,
                    };
                    assert!(expected(verdict), "{} {args:#x?}: {verdict:?}", rule.name);
                }
            }
            assert!(asked > 0, "{} {}", jail.arch, rule.name);
            for args in mutated(rule) {
                let expected = jail.in_words(Phase::Load, nr, &args);
                assert_eq!(
                    jail.outcome(Phase::Load, nr, &args),
                    expected,
                    "{}",
                    rule.name
                );
            }
        }
    }
}

#[test]
fn no_load_entry_is_continued_while_running() {
    for jail in jails() {
        let gate = &jail.gate;
        for rule in jail.profile.load() {
            let Some(nr) = rule.number(jail.arch) else {
                continue;
            };
            for args in admitted(rule).into_iter().chain(mutated(rule)) {
                let verdict = gate.decide(Phase::Run, nr, &args);
                let passes = matches!(verdict, Verdict::Continue | Verdict::Counted { .. });
                assert!(!passes, "{} {args:#x?}", rule.name);
            }
        }
    }
}

#[test]
fn every_notified_entry_answers_its_error_while_running() {
    for jail in jails() {
        let gate = &jail.gate;
        for soft in jail.profile.notified() {
            let Some(nr) = soft.rule.number(jail.arch) else {
                continue;
            };
            for args in admitted(&soft.rule) {
                assert_eq!(jail.kernel(nr, &args), Answer::Ask, "{}", soft.rule.name);
                let verdict = gate.decide(Phase::Run, nr, &args);
                assert_eq!(verdict, Verdict::Errno(soft.errno.number()));
            }
        }
    }
}

/// RUN is the child of LOAD: what it lets through, LOAD lets through.
#[test]
fn running_has_nothing_that_loading_has_not() {
    let passes = |outcome| matches!(outcome, Outcome::Allowed | Outcome::AllowedByDaemon);
    for jail in jails() {
        let mut passed = 0;
        for rule in jail.rules() {
            let Some(nr) = rule.number(jail.arch) else {
                continue;
            };
            for args in admitted(rule).into_iter().chain(mutated(rule)) {
                if passes(jail.outcome(Phase::Run, nr, &args)) {
                    passed += 1;
                    let loading = jail.outcome(Phase::Load, nr, &args);
                    assert!(passes(loading), "{} {args:#x?}: {loading:?}", rule.name);
                }
            }
        }
        assert!(passed > 100, "{passed}");
    }
}

/// What the constructor that forges a confined process tries, in either phase.
#[test]
fn forging_is_a_violation_in_both_phases() {
    const SET_MODE_FILTER: u64 = 1;
    const NEW_LISTENER: u64 = 8;
    const PR_SET_SECCOMP: u64 = 22;
    const PR_SET_NO_NEW_PRIVS: u64 = 38;
    const PR_SET_DUMPABLE: u64 = 4;
    const PR_SET_PDEATHSIG: u64 = 1;
    let calls: &[(&str, [u64; 6])] = &[
        ("seccomp", [0; 6]),
        ("seccomp", [SET_MODE_FILTER, 0, 0x1000, 0, 0, 0]),
        ("seccomp", [SET_MODE_FILTER, NEW_LISTENER, 0x1000, 0, 0, 0]),
        ("prctl", [PR_SET_SECCOMP, 2, 0x1000, 0, 0, 0]),
        ("prctl", [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0]),
        ("prctl", [PR_SET_DUMPABLE, 1, 0, 0, 0, 0]),
        ("prctl", [PR_SET_PDEATHSIG, 0, 0, 0, 0, 0]),
        ("landlock_create_ruleset", [0x1000, 8, 0, 0, 0, 0]),
        ("landlock_create_ruleset", [0, 0, 1, 0, 0, 0]),
        ("landlock_add_rule", [4, 1, 0x1000, 0, 0, 0]),
        ("landlock_restrict_self", [4, 0, 0, 0, 0, 0]),
    ];
    for jail in jails() {
        for (name, args) in calls {
            let nr = jail.arch.number(name).unwrap();
            assert_eq!(jail.kernel(nr, args), Answer::Ask, "{name}");
            for phase in Phase::ALL {
                let verdict = jail.gate.decide(phase, nr, args);
                assert_eq!(verdict, Verdict::Violation, "{phase} {name} {args:#x?}");
            }
        }
    }
}

#[test]
fn the_budgets_of_the_daemons_answers_are_the_profiles() {
    let text = Profile::BUILTIN[0]
        .1
        .replace("load_budget = 2_000", "load_budget = 9")
        .replace("soft_budget = 200", "soft_budget = 7");
    let profile = Profile::parse(&text).unwrap();
    let gate = profile.gate(crate::Arch::X86_64);
    assert_eq!((gate.load_budget(), gate.soft_budget()), (9, 7));
    let explained = profile.explain(crate::Arch::X86_64, Phase::Load);
    assert_eq!((explained.load_budget, explained.soft_budget), (9, 7));
}

#[test]
fn a_program_takes_the_workers_place_once_and_only_while_loading() {
    for jail in jails() {
        let times = ["execve", "execveat"].map(|name| {
            let nr = jail.arch.number(name).unwrap();
            let verdict = |phase| jail.gate.decide(phase, nr, &[0; 6]);
            assert_eq!(verdict(Phase::Run), Verdict::Violation, "{name}");
            match verdict(Phase::Load) {
                Verdict::Counted { times, .. } => times,
                other => {
                    assert_eq!(other, Verdict::Violation, "{name}");
                    0
                }
            }
        });
        let libcamera = u32::from(jail.profile.name() == "libcamera");
        assert_eq!(times, [libcamera, 0], "{}", jail.profile.name());
    }
}
