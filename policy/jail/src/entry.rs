//! One entry of a table, by itself.

use crate::Arch;
use crate::condition::{Condition, Test, Width};
use crate::error::Problem;
use crate::profile::Rule;
use crate::text::{ConditionText, RuleText, WidthText};

/// Bounds the size of the program one entry can make.
const MAX_COMBINATIONS: usize = 64;

/// The rule that an entry states.
pub(crate) fn rule(text: &RuleText) -> Result<Rule, Problem> {
    if text.why.trim().is_empty() {
        return Err(Problem::NoReason);
    }
    if Arch::ALL
        .iter()
        .all(|arch| arch.number(&text.name).is_none())
    {
        return Err(Problem::UnknownSyscall);
    }
    if let Some(archs) = &text.archs
        && (archs.is_empty() || archs.iter().any(|a| a.number(&text.name).is_none()))
    {
        return Err(Problem::NotOnArch);
    }
    let mut args: Vec<Condition> = Vec::new();
    for condition in text.args.iter().flatten() {
        if args.iter().any(|seen| seen.arg == condition.arg) {
            return Err(Problem::ArgumentTwice(condition.arg));
        }
        args.push(self::condition(condition)?);
    }
    if text.args.is_some() && args.is_empty() {
        return Err(Problem::NoConditions);
    }
    let combinations = combinations(&args);
    if combinations > MAX_COMBINATIONS {
        return Err(Problem::TooManyCombinations(combinations, MAX_COMBINATIONS));
    }
    Ok(Rule {
        name: text.name.clone(),
        why: text.why.clone(),
        archs: text.archs.clone(),
        args,
        times: text.times,
    })
}

fn condition(text: &ConditionText) -> Result<Condition, Problem> {
    let arg = text.arg;
    if arg > 5 {
        return Err(Problem::NoSuchArgument(arg));
    }
    let width = match text.r#type {
        WidthText::Int => Width::Int,
        WidthText::Long => Width::Long,
    };
    let mask = match (text.mask, text.ignore) {
        (None, None) => width.bits(),
        (Some(mask), None) => mask,
        (None, Some(ignore)) => !ignore & width.bits(),
        (Some(_), Some(_)) => return Err(Problem::TwoMasks(arg)),
    };
    let masked = text.mask.is_some() || text.ignore.is_some();
    let reaches = |value: u64, bits: u64| match value & !bits {
        0 => Ok(()),
        _ => Err(Problem::UnreachableValue(arg, value)),
    };
    reaches(mask, width.bits())?;
    let test = match (&text.is, text.at_most) {
        (Some(values), None) if !values.is_empty() => {
            for value in values {
                reaches(*value, mask)?;
            }
            let values = values.clone();
            Test::OneOf { mask, values }
        }
        (None, Some(_)) if masked => return Err(Problem::TwoMasks(arg)),
        (None, Some(most)) => {
            reaches(most, width.bits())?;
            Test::AtMost(most)
        }
        _ => return Err(Problem::NoTest(arg)),
    };
    Ok(Condition { arg, width, test })
}

/// How many plain comparisons the alternatives multiply to.
fn combinations(args: &[Condition]) -> usize {
    args.iter()
        .map(|c| match &c.test {
            Test::OneOf { values, .. } => values.len(),
            Test::AtMost(_) => 1,
        })
        .fold(1, usize::saturating_mul)
}
