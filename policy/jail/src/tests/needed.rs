//! Nothing stands in a profile for nothing: whatever is taken out, a decision changes.

use super::{Jail, admitted, jails, mutated};
use crate::condition::Test;
use crate::{Outcome, Phase, Profile, Rule};

/// All rules that can be taken out, by table and place.
fn places(profile: &Profile) -> Vec<(usize, usize)> {
    let lengths = [
        profile.run.len(),
        profile.load.len(),
        profile.soft.len(),
        profile.notified.len(),
    ];
    let of = |(table, length): (usize, usize)| (0..length).map(move |at| (table, at));
    lengths.into_iter().enumerate().flat_map(of).collect()
}

fn rule_at(profile: &mut Profile, (table, at): (usize, usize)) -> &mut Rule {
    match table {
        0 => &mut profile.run[at],
        1 => &mut profile.load[at],
        2 => &mut profile.soft[at].rule,
        _ => &mut profile.notified[at].rule,
    }
}

fn without(profile: &Profile, (table, at): (usize, usize)) -> Profile {
    let mut profile = profile.clone();
    match table {
        0 => drop(profile.run.remove(at)),
        1 => drop(profile.load.remove(at)),
        2 => drop(profile.soft.remove(at)),
        _ => drop(profile.notified.remove(at)),
    }
    profile
}

/// Whether one of these calls, decided by kernel and daemon together, comes out otherwise.
fn differs(
    jail: &Jail,
    nr: u32,
    calls: &[[u64; 6]],
    other: impl Fn(Phase, &[u64; 6]) -> Outcome,
) -> bool {
    calls.iter().any(|args| {
        Phase::ALL
            .into_iter()
            .any(|phase| jail.outcome(phase, nr, args) != other(phase, args))
    })
}

#[test]
fn no_entry_is_redundant() {
    for mut jail in jails() {
        for place in places(&jail.profile) {
            let rule = rule_at(&mut jail.profile, place).clone();
            let Some(nr) = rule.number(jail.arch) else {
                continue;
            };
            let rest = Jail::of(without(&jail.profile, place), jail.arch);
            let other = |phase, args: &_| rest.outcome(phase, nr, args);
            let needed = differs(&jail, nr, &admitted(&rule), other);
            assert!(needed, "{} {} at {place:?}", jail.arch, rule.name);
        }
    }
}

#[test]
fn no_condition_and_no_value_of_a_condition_is_redundant() {
    for mut jail in jails() {
        for place in places(&jail.profile) {
            let rule = rule_at(&mut jail.profile, place).clone();
            let Some(nr) = rule.number(jail.arch) else {
                continue;
            };
            for at in 0..rule.args.len() {
                let mut rest = jail.profile.clone();
                rule_at(&mut rest, place).args.remove(at);
                // By its words: a rule that lost its conditions may not compile beside others.
                let other = |phase, args: &_| rest.outcome(jail.arch, phase, nr, args);
                let needed = differs(&jail, nr, &mutated(&rule), other);
                assert!(needed, "{} {} condition {at}", jail.arch, rule.name);
                let Test::OneOf { values, .. } = &rule.args[at].test else {
                    continue;
                };
                for value in (0..values.len()).filter(|_| values.len() > 1) {
                    let mut rest = jail.profile.clone();
                    let condition = &mut rule_at(&mut rest, place).args[at];
                    if let Test::OneOf { values, .. } = &mut condition.test {
                        values.remove(value);
                    }
                    let other = |phase, args: &_| rest.outcome(jail.arch, phase, nr, args);
                    let needed = differs(&jail, nr, &admitted(&rule), other);
                    assert!(needed, "{} {}: value {value}", jail.arch, rule.name);
                }
            }
        }
    }
}
