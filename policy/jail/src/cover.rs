//! Does one rule say anything that others do not?

use crate::Arch;
use crate::condition::{Condition, Test};
use crate::profile::Rule;

impl Rule {
    /// Whether `others` together admit every call that this rule admits, on every architecture it
    /// is for. The answer "no" may be too careful where ranges and masks meet, "yes" is exact.
    pub(crate) fn is_within<'a>(&self, others: impl Iterator<Item = &'a Rule> + Clone) -> bool {
        Arch::ALL
            .into_iter()
            .filter(|arch| self.number(*arch).is_some())
            .all(|arch| {
                let same: Vec<&Rule> = others
                    .clone()
                    .filter(|other| other.name == self.name && other.number(arch).is_some())
                    .collect();
                alternatives(&self.args)
                    .iter()
                    .all(|call| same.iter().any(|other| implies(call, &other.args)))
            })
    }
}

/// The conditions multiplied out: each test of a set becomes a test of one value.
fn alternatives(args: &[Condition]) -> Vec<Vec<Condition>> {
    args.iter().fold(vec![Vec::new()], |heads, condition| {
        let tails: Vec<Condition> = match &condition.test {
            Test::AtMost(_) => vec![condition.clone()],
            Test::OneOf { mask, values } => values
                .iter()
                .map(|value| Condition {
                    test: Test::OneOf {
                        mask: *mask,
                        values: vec![*value],
                    },
                    ..condition.clone()
                })
                .collect(),
        };
        heads
            .iter()
            .flat_map(|head| {
                tails.iter().map(|tail| {
                    let mut call = head.clone();
                    call.push(tail.clone());
                    call
                })
            })
            .collect()
    })
}

fn implies(narrow: &[Condition], wide: &[Condition]) -> bool {
    wide.iter().all(|wide| {
        narrow
            .iter()
            .any(|narrow| narrow.arg == wide.arg && narrow.implies(wide))
    })
}

impl Condition {
    /// Whether each value that this condition admits is admitted by `wide`.
    fn implies(&self, wide: &Condition) -> bool {
        let bits = wide.width.bits();
        match (&self.test, &wide.test) {
            (Test::OneOf { mask, values }, Test::AtMost(most)) => {
                values.iter().all(|value| (value | !mask) & bits <= *most)
            }
            // A bit that is open here must not matter there.
            (Test::OneOf { mask, values }, Test::OneOf { mask: others, .. }) => {
                others & !mask == 0 && values.iter().all(|value| wide.admits(*value))
            }
            (Test::AtMost(narrow), Test::AtMost(most)) => {
                let open = !self.width.bits() & bits;
                let high = if *narrow > bits { bits } else { *narrow };
                (high | open) <= *most
            }
            (Test::AtMost(_), Test::OneOf { .. }) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Width;
    use proptest::prelude::*;

    fn rule(conditions: Vec<Condition>) -> Rule {
        Rule {
            name: "read".to_owned(),
            why: "a test".to_owned(),
            archs: None,
            args: conditions,
            times: None,
        }
    }

    fn condition(arg: u8, width: Width, test: Test) -> Condition {
        Condition { arg, width, test }
    }

    fn one_of(values: &[u64]) -> Test {
        Test::OneOf {
            mask: 0xFFFF_FFFF,
            values: values.to_vec(),
        }
    }

    #[test]
    fn a_rule_lies_within_several_that_share_its_values() {
        let int = |test| rule(vec![condition(0, Width::Int, test)]);
        let (both, one, two) = (int(one_of(&[1, 2])), int(one_of(&[1])), int(one_of(&[2])));
        assert!(both.is_within([&one, &two].into_iter()));
        assert!(!both.is_within([&one].into_iter()));
        assert!(both.is_within([&int(Test::AtMost(2))].into_iter()));
        assert!(!int(Test::AtMost(3)).is_within([&int(Test::AtMost(2))].into_iter()));
        assert!(both.is_within([&rule(vec![])].into_iter()));
        assert!(!rule(vec![]).is_within([&both].into_iter()));
    }

    #[test]
    fn a_rule_for_one_architecture_does_not_cover_the_others() {
        let all = rule(vec![]);
        let one = Rule {
            archs: Some(vec![Arch::Aarch64]),
            ..all.clone()
        };
        assert!(one.is_within([&all].into_iter()));
        assert!(!all.is_within([&one].into_iter()));
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        let test = prop_oneof![
            (0_u64..32).prop_map(Test::AtMost),
            (0_u64..32, proptest::collection::vec(0_u64..32, 1..4)).prop_map(|(mask, values)| {
                Test::OneOf {
                    mask,
                    values: values.into_iter().map(|v| v & mask).collect(),
                }
            }),
        ];
        let width = prop_oneof![Just(Width::Int), Just(Width::Long)];
        (0_u8..2, width, test).prop_map(|(arg, width, test)| Condition { arg, width, test })
    }

    proptest! {
        #[test]
        fn what_lies_within_is_admitted(
            narrow in proptest::collection::vec(any_condition(), 0..3),
            wide in proptest::collection::vec(any_condition(), 0..3),
            args in proptest::array::uniform6(prop_oneof![0_u64..32, any::<u64>()]),
        ) {
            let (narrow, wide) = (rule(narrow), rule(wide));
            if narrow.is_within([&wide].into_iter()) && narrow.admits(&args) {
                prop_assert!(wide.admits(&args));
            }
        }
    }
}
