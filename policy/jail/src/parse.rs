//! From TOML to a checked profile.

use crate::Arch;
use crate::entry::rule;
use crate::error::{Problem, ProfileError, Table};
use crate::never::reaches_beyond;
use crate::profile::{Profile, Rule, Soft};
use crate::settings::settings;
use crate::text::{ProfileText, RuleText, SoftText};

const PROT_EXEC: u64 = 0x4;
const PROT_WRITE_AND_EXEC: u64 = 0x2 | PROT_EXEC;
/// Calls whose argument 2 is a memory protection.
const SET_PROTECTION: [&str; 3] = ["mmap", "mprotect", "pkey_mprotect"];
/// Calls that make code by other ways: READ_IMPLIES_EXEC, SHM_EXEC, writing to any memory, moving
/// what a mapping shows.
const CODE_BEHIND: [&str; 5] = [
    "personality",
    "shmat",
    "ptrace",
    "process_vm_writev",
    "remap_file_pages",
];

/// Calls that put another program in the worker's place: its own code may do that once, before any
/// foreign code runs.
const EXECUTES: [&str; 2] = ["execve", "execveat"];

pub(crate) fn parse(text: &str) -> Result<Profile, ProfileError> {
    let stated: ProfileText = toml::from_str(text)?;
    let parent = stated
        .extends
        .as_deref()
        .map(Profile::builtin)
        .transpose()
        .map_err(|source| ProfileError::Parent {
            profile: stated.name.clone(),
            source: Box::new(source),
        })?;
    let mut profile = settings(&stated, parent)?;
    entries(text, &stated, &mut profile)?;
    Ok(profile)
}

/// Adds the entries that are stated to those of the parent, each checked against all before it.
fn entries(text: &str, stated: &ProfileText, profile: &mut Profile) -> Result<(), ProfileError> {
    let at = |table, syscall: &str, start| {
        let (line, syscall) = (line(text, start), syscall.to_owned());
        move |problem| ProfileError::Entry {
            line,
            table,
            syscall,
            problem,
        }
    };
    for entry in &stated.run {
        let at = at(Table::Run, &entry.get_ref().name, entry.span().start);
        let rule = run(entry.get_ref(), profile).map_err(at)?;
        profile.run.push(rule);
    }
    for entry in &stated.load {
        let at = at(Table::Load, &entry.get_ref().name, entry.span().start);
        let rule = load(entry.get_ref(), profile).map_err(at)?;
        profile.load.push(rule);
    }
    for (table, entries) in [
        (Table::Soft, &stated.soft),
        (Table::Notified, &stated.notified),
    ] {
        for entry in entries {
            let at = at(table, &entry.get_ref().name, entry.span().start);
            let soft = soft(table, entry.get_ref(), profile).map_err(at)?;
            match table {
                Table::Soft => profile.soft.push(soft),
                _ => profile.notified.push(soft),
            }
        }
    }
    Ok(())
}

fn run(text: &RuleText, profile: &Profile) -> Result<Rule, Problem> {
    let rule = permitted(text)?;
    if rule.times.is_some() {
        return Err(Problem::CountedInRun);
    }
    if profile.parent.is_some() && reaches_beyond(&rule) {
        return Err(Problem::ReachesBeyond);
    }
    if EXECUTES.contains(&rule.name.as_str()) {
        return Err(Problem::AnotherProgram);
    }
    let rule = beside(profile.run.iter(), rule)?;
    if sets_protection(&rule) && !never(&rule, PROT_EXEC) {
        return Err(Problem::CodeInRun);
    }
    let refused = profile.soft.iter().map(|soft| &soft.rule);
    let notified = profile.notified.iter().map(|soft| &soft.rule);
    if names(refused, &rule.name)
        || notified
            .clone()
            .any(|soft| soft.is_within([&rule].into_iter()))
    {
        return Err(Problem::SoftAndRun);
    }
    let with = || profile.run.iter().chain(std::iter::once(&rule));
    if profile.load.iter().any(|load| load.is_within(with())) {
        return Err(Problem::AllowedAnyway);
    }
    Ok(rule)
}

fn load(text: &RuleText, profile: &Profile) -> Result<Rule, Problem> {
    let rule = beside(profile.load.iter(), permitted(text)?)?;
    if profile.parent.is_some() {
        return Err(Problem::LoadBeyondParent);
    }
    if rule.is_within(profile.run.iter()) {
        return Err(Problem::AllowedAnyway);
    }
    if EXECUTES.contains(&rule.name.as_str()) && rule.times != Some(1) {
        return Err(Problem::AnotherProgram);
    }
    Ok(rule)
}

fn soft(table: Table, text: &SoftText, profile: &Profile) -> Result<Soft, Problem> {
    let same = match table {
        Table::Soft => &profile.soft,
        _ => &profile.notified,
    };
    let rule = beside(same.iter().map(|soft| &soft.rule), rule(&text.rule())?)?;
    let (running, loading) = (
        names(profile.run.iter(), &rule.name),
        names(profile.load.iter(), &rule.name),
    );
    // An error of the kernel beats asking the daemon: it would hold while loading, too. And it holds
    // for a call as a whole: where running has some of it, the daemon is to refuse the rest.
    match table {
        Table::Soft if running => Err(Problem::SoftAndRun),
        Table::Soft if loading => Err(Problem::SoftAndLoad),
        Table::Notified if rule.is_within(profile.run.iter()) => Err(Problem::AllowedAnyway),
        Table::Notified if !running && !loading => Err(Problem::NotifiedForNothing),
        _ => Ok(Soft {
            rule,
            errno: text.errno,
        }),
    }
}

fn names<'a>(mut rules: impl Iterator<Item = &'a Rule>, name: &str) -> bool {
    rules.any(|rule| rule.name == name)
}

/// A rule of a table that lets calls through.
fn permitted(text: &RuleText) -> Result<Rule, Problem> {
    let rule = rule(text)?;
    if CODE_BEHIND.contains(&rule.name.as_str()) {
        return Err(Problem::CodeBehind);
    }
    if sets_protection(&rule) && !never(&rule, PROT_WRITE_AND_EXEC) {
        return Err(Problem::WriteAndExecute);
    }
    Ok(rule)
}

fn sets_protection(rule: &Rule) -> bool {
    SET_PROTECTION.contains(&rule.name.as_str())
}

/// Whether no protection that the rule admits has all of `bits`.
fn never(rule: &Rule, bits: u64) -> bool {
    let mut protections = rule.args.iter().filter(|condition| condition.arg == 2);
    protections.any(|condition| !condition.admits_some_with(bits))
}

/// A new rule, if it can stand beside those of its table.
fn beside<'a>(rules: impl Iterator<Item = &'a Rule> + Clone, new: Rule) -> Result<Rule, Problem> {
    let meets = |rule: &&Rule| {
        let on_both = |arch| rule.number(arch).is_some() && new.number(arch).is_some();
        rule.name == new.name && Arch::ALL.into_iter().any(on_both)
    };
    for rule in rules.clone().filter(meets) {
        if rule.args.is_empty() != new.args.is_empty() {
            return Err(Problem::Ambiguous);
        }
        if rule.is_within([&new].into_iter()) {
            return Err(Problem::Redundant);
        }
    }
    if new.is_within(rules) {
        return Err(Problem::Redundant);
    }
    Ok(new)
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}
