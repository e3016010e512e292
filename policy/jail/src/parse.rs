//! From TOML to a checked profile.

use crate::Arch;
use crate::condition::{Condition, Test, Width};
use crate::error::{Problem, ProfileError, Table};
use crate::profile::{Errno, Landlock, Limits, Profile, Rule, Soft};
use serde::Deserialize;
use toml::Spanned;

/// Bounds the size of the program one entry can make.
const MAX_COMBINATIONS: usize = 64;

const PROT_WRITE_AND_EXEC: u64 = 0x2 | 0x4;
/// Calls whose argument 2 is a memory protection.
const SET_PROTECTION: [&str; 3] = ["mmap", "mprotect", "pkey_mprotect"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileText {
    name: String,
    description: String,
    limits: Limits,
    landlock: Landlock,
    run: Vec<Spanned<RuleText>>,
    load: Vec<Spanned<RuleText>>,
    soft: Vec<Spanned<SoftText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    name: String,
    why: String,
    archs: Option<Vec<Arch>>,
    args: Option<Vec<ConditionText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SoftText {
    name: String,
    errno: Errno,
    why: String,
    archs: Option<Vec<Arch>>,
    args: Option<Vec<ConditionText>>,
}

impl SoftText {
    fn rule(&self) -> RuleText {
        RuleText {
            name: self.name.clone(),
            why: self.why.clone(),
            archs: self.archs.clone(),
            args: self.args.clone(),
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionText {
    arg: u8,
    r#type: WidthText,
    is: Option<Vec<u64>>,
    at_most: Option<u64>,
    ignore: Option<u64>,
    mask: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WidthText {
    Int,
    Long,
}

pub(crate) fn parse(text: &str) -> Result<Profile, ProfileError> {
    let profile: ProfileText = toml::from_str(text)?;
    let run = rules(text, Table::Run, &profile.run)?;
    let load = rules(text, Table::Load, &profile.load)?;
    let soft = soft(text, &profile.soft, &run, &load)?;
    Ok(Profile {
        name: profile.name,
        description: profile.description,
        limits: profile.limits,
        landlock: profile.landlock,
        run,
        load,
        soft,
    })
}

fn rules(
    text: &str,
    table: Table,
    entries: &[Spanned<RuleText>],
) -> Result<Vec<Rule>, ProfileError> {
    let mut rules: Vec<Rule> = Vec::with_capacity(entries.len());
    for entry in entries {
        let rule = rule(entry.get_ref())
            .and_then(|rule| beside(&rules, rule))
            .map_err(|problem| ProfileError::Entry {
                line: line(text, entry.span().start),
                table,
                syscall: entry.get_ref().name.clone(),
                problem,
            })?;
        rules.push(rule);
    }
    Ok(rules)
}

fn soft(
    text: &str,
    entries: &[Spanned<SoftText>],
    run: &[Rule],
    load: &[Rule],
) -> Result<Vec<Soft>, ProfileError> {
    let in_table = |table: &[Rule], name: &str| table.iter().any(|rule| rule.name == name);
    let mut rules: Vec<Rule> = Vec::with_capacity(entries.len());
    let mut soft = Vec::with_capacity(entries.len());
    for entry in entries {
        let SoftText { name, errno, .. } = entry.get_ref();
        let rule = rule(&entry.get_ref().rule())
            .and_then(|rule| beside(&rules, rule))
            .and_then(|rule| match in_table(run, name) {
                true => Err(Problem::SoftAndRun),
                false => Ok(rule),
            })
            .map_err(|problem| ProfileError::Entry {
                line: line(text, entry.span().start),
                table: Table::Soft,
                syscall: name.clone(),
                problem,
            })?;
        rules.push(rule.clone());
        soft.push(Soft {
            rule,
            errno: *errno,
            needed_while_loading: in_table(load, name),
        });
    }
    Ok(soft)
}

fn rule(text: &RuleText) -> Result<Rule, Problem> {
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
    if SET_PROTECTION.contains(&text.name.as_str())
        && !args
            .iter()
            .any(|c| c.arg == 2 && !c.admits_some_with(PROT_WRITE_AND_EXEC))
    {
        return Err(Problem::WriteAndExecute);
    }
    Ok(Rule {
        name: text.name.clone(),
        why: text.why.clone(),
        archs: text.archs.clone(),
        args,
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

/// A new rule, if it can stand beside those of its table.
fn beside(rules: &[Rule], new: Rule) -> Result<Rule, Problem> {
    let shares_arch = |rule: &Rule| Arch::ALL.iter().any(|a| rule.is_for(*a) && new.is_for(*a));
    for rule in rules {
        if rule.name != new.name || !shares_arch(rule) {
            continue;
        }
        if rule.args == new.args {
            return Err(Problem::Duplicate);
        }
        if rule.args.is_empty() || new.args.is_empty() {
            return Err(Problem::Ambiguous);
        }
    }
    Ok(new)
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A profile of these entries alone.
    fn with(entries: &str) -> Result<Profile, ProfileError> {
        let absent = ["run", "load", "soft"]
            .into_iter()
            .filter(|table| !entries.contains(&format!("[[{table}]]")))
            .map(|table| format!("{table} = []\n"))
            .collect::<String>();
        Profile::parse(&format!(
            "name = 'p'\ndescription = 'd'\n{absent}landlock = {{ read = [] }}\n[limits]\ndata = 1\n\
             stack = 1\nnofile = 1\nfsize = 1\ncore = 1\nmemlock = 1\nmsgqueue = 1\nrtprio = 1\n\
             {entries}"
        ))
    }

    fn problem(entry: &str) -> Problem {
        match with(entry) {
            Err(ProfileError::Entry { problem, .. }) => problem,
            other => panic!("{entry}: {other:?}"),
        }
    }

    #[test]
    fn every_builtin_profile_is_sound() {
        for (name, text) in Profile::BUILTIN {
            let profile = Profile::parse(text).unwrap();
            assert_eq!(profile.name(), name);
            assert_eq!(Profile::builtin(name).unwrap(), profile);
        }
    }

    #[test]
    fn a_profile_that_does_not_exist_names_those_that_do() {
        let error = Profile::builtin("solitary").unwrap_err().to_string();
        assert!(
            error.contains("solitary") && error.contains("single"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = with("[[run]]\nname = 'read'\nwhy = 'x'\nagrs = []\n").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("agrs") && error.contains("line 18"),
            "{error}"
        );
    }

    #[test]
    fn an_entry_is_refused_with_its_line_table_and_name() {
        let error = with("\n[[run]]\nname = 'raed'\nwhy = 'x'\n").unwrap_err();
        let start = "jail profile, line 16: [[run]] `raed`: no architecture has";
        assert!(error.to_string().starts_with(start), "{error}");
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        assert_eq!(problem("[[run]]\nname='read'\nwhy=' '"), Problem::NoReason);
        let soft = "[[soft]]\nname='open'\nerrno='EACCES'\nwhy=''";
        assert_eq!(problem(soft), Problem::NoReason);
    }

    #[test]
    fn a_plain_entry_beside_a_narrowed_one_is_refused_in_either_order() {
        let plain = "[[run]]\nname='read'\nwhy='x'\n";
        let narrow = "[[run]]\nname='read'\nwhy='x'\nargs=[{arg=0,type='int',is=[3]}]\n";
        assert_eq!(problem(&format!("{plain}{narrow}")), Problem::Ambiguous);
        assert_eq!(problem(&format!("{narrow}{plain}")), Problem::Ambiguous);
    }

    #[test]
    fn the_same_entry_twice_is_refused() {
        let plain = "[[run]]\nname='getpid'\nwhy='x'\n";
        assert_eq!(problem(&plain.repeat(2)), Problem::Duplicate);
        let soft = "[[soft]]\nname='open'\nerrno='EACCES'\nwhy='x'\n";
        assert_eq!(problem(&soft.repeat(2)), Problem::Duplicate);
    }

    #[test]
    fn entries_for_different_architectures_do_not_meet() {
        let on = |a: &str| format!("[[run]]\nname='getpid'\nwhy='x'\narchs=['{a}']\n");
        assert!(with(&(on("aarch64") + &on("riscv64"))).is_ok());
        assert_eq!(problem(&on("aarch64").repeat(2)), Problem::Duplicate);
    }

    #[test]
    fn writable_and_executable_memory_is_refused_however_it_is_written() {
        let prot = |condition: &str| {
            problem(&format!(
                "[[run]]\nname='mprotect'\nwhy='x'\nargs=[{{arg=2,type='long',{condition}}}]"
            ))
        };
        assert_eq!(prot("is=[7]"), Problem::WriteAndExecute);
        assert_eq!(prot("is=[1,6]"), Problem::WriteAndExecute);
        assert_eq!(prot("ignore=0x6,is=[0]"), Problem::WriteAndExecute);
        assert_eq!(prot("ignore=0x2,is=[4]"), Problem::WriteAndExecute);
        assert_eq!(prot("mask=0x1,is=[1]"), Problem::WriteAndExecute);
        assert_eq!(prot("at_most=6"), Problem::WriteAndExecute);
        let plain = "[[run]]\nname='mmap'\nwhy='x'";
        assert_eq!(problem(plain), Problem::WriteAndExecute);
        let other = "[[load]]\nname='mmap'\nwhy='x'\nargs=[{arg=3,type='long',is=[2]}]";
        assert_eq!(problem(other), Problem::WriteAndExecute);
    }

    #[test]
    fn conditions_that_mean_nothing_are_refused() {
        let args = |args: &str| problem(&format!("[[run]]\nname='read'\nwhy='x'\nargs=[{args}]"));
        assert_eq!(args(""), Problem::NoConditions);
        assert_eq!(
            args("{arg=6,type='int',is=[1]}"),
            Problem::NoSuchArgument(6)
        );
        let twice = "{arg=0,type='int',is=[1]},{arg=0,type='int',is=[2]}";
        assert_eq!(args(twice), Problem::ArgumentTwice(0));
        assert_eq!(args("{arg=0,type='int'}"), Problem::NoTest(0));
        assert_eq!(args("{arg=0,type='int',is=[]}"), Problem::NoTest(0));
        assert_eq!(
            args("{arg=0,type='int',is=[1],at_most=1}"),
            Problem::NoTest(0)
        );
        let masks = "{arg=0,type='int',is=[1],mask=1,ignore=2}";
        assert_eq!(args(masks), Problem::TwoMasks(0));
        assert_eq!(
            args("{arg=0,type='int',at_most=1,mask=1}"),
            Problem::TwoMasks(0)
        );
        let value = "{arg=0,type='int',mask=0x4,is=[6]}";
        assert_eq!(args(value), Problem::UnreachableValue(0, 6));
        let wide = "{arg=0,type='int',is=[0x100000000]}";
        assert_eq!(args(wide), Problem::UnreachableValue(0, 0x1_0000_0000));
    }

    #[test]
    fn a_combination_bomb_is_refused_before_it_is_built() {
        let many = (0..60).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let args = (0..6)
            .map(|arg| format!("{{arg={arg},type='int',is=[{many}]}}"))
            .collect::<Vec<_>>()
            .join(",");
        let entry = format!("[[run]]\nname='read'\nwhy='x'\nargs=[{args}]");
        assert!(matches!(problem(&entry), Problem::TooManyCombinations(..)));
    }

    #[test]
    fn an_architecture_without_the_call_is_refused_when_named() {
        let entry = "[[run]]\nname='open'\nwhy='x'\narchs=['aarch64']";
        assert_eq!(problem(entry), Problem::NotOnArch);
    }

    #[test]
    fn a_call_cannot_be_both_softly_refused_and_run() {
        let entry = "[[soft]]\nname='getpid'\nerrno='EACCES'\nwhy='x'\n\
                     [[run]]\nname='getpid'\nwhy='x'\n";
        assert_eq!(problem(entry), Problem::SoftAndRun);
    }
}
