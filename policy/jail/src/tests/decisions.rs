//! The program, evaluated: each entry, each condition, each number, each architecture.

use super::{Answer, Jail, admitted, jails, mutated, run};
use crate::{Arch, Outcome, Phase, Profile, Rule};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn every_run_entry_is_allowed_without_asking() {
    for jail in jails() {
        for (rule, nr) in numbered(&jail, jail.profile.run()) {
            for args in admitted(rule) {
                let answer = jail.kernel(nr, &args);
                assert_eq!(
                    answer,
                    Answer::Allow,
                    "{} {} {args:#x?}",
                    jail.arch,
                    rule.name
                );
            }
        }
    }
}

#[test]
fn every_run_condition_asks_about_its_mutations() {
    for jail in jails() {
        let entries = numbered(&jail, jail.profile.run());
        for (rule, nr) in &entries {
            let mut asked = 0;
            for args in mutated(rule) {
                // Another entry of the same call may admit what this one does not.
                let other = entries.iter().any(|(r, n)| n == nr && r.admits(&args));
                let expected = if other { Answer::Allow } else { Answer::Ask };
                let answer = jail.kernel(*nr, &args);
                assert_eq!(answer, expected, "{} {} {args:#x?}", jail.arch, rule.name);
                asked += usize::from(!other);
            }
            assert_eq!(
                asked > 0,
                !rule.args.is_empty(),
                "{} {}",
                jail.arch,
                rule.name
            );
        }
    }
}

#[test]
fn every_soft_entry_answers_its_error_and_asks_about_its_mutations() {
    for jail in jails() {
        for soft in jail.profile.soft() {
            let Some(nr) = soft.rule.number(jail.arch) else {
                continue;
            };
            let errno = Answer::Errno(soft.errno.number().unsigned_abs());
            for args in admitted(&soft.rule) {
                assert_eq!(jail.kernel(nr, &args), errno, "{}", soft.rule.name);
            }
            for args in mutated(&soft.rule) {
                assert_eq!(jail.kernel(nr, &args), Answer::Ask, "{}", soft.rule.name);
            }
        }
    }
}

#[test]
fn every_number_not_named_is_asked_about_and_refused_in_both_phases() {
    for jail in jails() {
        let named: BTreeSet<u32> = jail
            .rules()
            .filter_map(|rule| jail.arch.number(&rule.name))
            .collect();
        let numbers = (0..4096).chain([0x3FFF_FFFF]);
        for nr in numbers.filter(|nr| !named.contains(nr)) {
            for args in [[0; 6], [u64::MAX; 6], [3; 6]] {
                assert_eq!(jail.kernel(nr, &args), Answer::Ask, "{} {nr}", jail.arch);
                for phase in Phase::ALL {
                    assert_eq!(jail.outcome(phase, nr, &args), Outcome::Killed);
                }
            }
        }
    }
}

#[test]
fn foreign_architectures_are_killed() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    for jail in jails() {
        let others = Arch::ALL.into_iter().filter(|other| *other != jail.arch);
        for foreign in others.map(Arch::audit).chain([I386, ARM, 0]) {
            for nr in (0..512).chain([u32::MAX]) {
                let answer = run(&jail.program, foreign, nr, &[0; 6]);
                assert_eq!(answer, Answer::Kill, "{} {foreign:#x} {nr}", jail.arch);
            }
        }
    }
}

#[test]
fn the_x32_convention_is_killed() {
    for jail in jails().filter(|jail| jail.arch == Arch::X86_64) {
        for nr in (0..1024).chain([0x3FFF_FFFF]) {
            for args in [[0; 6], [3; 6]] {
                assert_eq!(jail.kernel(0x4000_0000 | nr, &args), Answer::Kill);
            }
        }
    }
}

#[test]
fn running_needs_at_most_27_calls_with_threads_32_and_under_libcamera_41() {
    for (profile, most) in [
        ("single", 27),
        ("threaded", 32),
        ("predictive", 27),
        ("libcamera", 41),
    ] {
        let profile = Profile::builtin(profile).unwrap();
        for arch in Arch::ALL {
            let numbers = profile.run().iter().filter_map(|rule| rule.number(arch));
            let calls = numbers.collect::<BTreeSet<u32>>().len();
            assert!(calls <= most, "{} on {arch}: {calls}", profile.name());
        }
    }
}

#[test]
fn bytes_are_the_instructions_in_kernel_order() {
    for jail in jails() {
        let program = &jail.program;
        let bytes = program.to_bytes();
        assert_eq!(bytes.len(), program.instructions().len() * 8);
        for (chunk, i) in bytes.chunks(8).zip(program.instructions()) {
            assert_eq!(u16::from_le_bytes([chunk[0], chunk[1]]), i.code);
            assert_eq!((chunk[2], chunk[3]), (i.jt, i.jf));
            assert_eq!(u32::from_le_bytes(chunk[4..8].try_into().unwrap()), i.k);
        }
    }
}

fn numbered<'a>(jail: &Jail, rules: &'a [Rule]) -> Vec<(&'a Rule, u32)> {
    rules
        .iter()
        .filter_map(|rule| Some((rule, rule.number(jail.arch)?)))
        .collect()
}

proptest! {
    /// Kernel and daemon together decide every call as the profile's words do.
    #[test]
    fn program_and_gate_decide_as_the_words_do(
        profile in proptest::sample::select(vec!["single", "threaded", "predictive", "libcamera"]),
        arch in proptest::sample::select(Arch::ALL.to_vec()),
        phase in proptest::sample::select(Phase::ALL.to_vec()),
        nr in 0_u32..512,
        args in proptest::array::uniform6(prop_oneof![
            0_u64..32,
            any::<u32>().prop_map(u64::from),
            any::<u64>(),
        ]),
    ) {
        let jail = Jail::of(Profile::builtin(profile).unwrap(), arch);
        prop_assert_eq!(jail.outcome(phase, nr, &args), jail.in_words(phase, nr, &args));
    }
}
