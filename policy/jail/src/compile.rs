//! From a checked profile to classic-BPF programs.

use crate::Arch;
use crate::condition::{Condition, Test, Width};
use crate::profile::{Errno, Profile, Rule};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// The kernel takes no longer program (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction, `struct sock_filter` of `linux/filter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<SockFilter>);

impl Program {
    /// Its instructions, at least one and at most [`MAX_INSTRUCTIONS`].
    pub fn instructions(&self) -> &[SockFilter] {
        &self.0
    }

    /// Its instructions as the kernel reads them: 8 bytes each, little-endian like the three
    /// architectures.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 8);
        for SockFilter { code, jt, jf, k } in &self.0 {
            bytes.extend_from_slice(&code.to_le_bytes());
            bytes.extend_from_slice(&[*jt, *jf]);
            bytes.extend_from_slice(&k.to_le_bytes());
        }
        bytes
    }
}

/// The programs of a profile on one architecture. All are in force together, and the severest
/// answer holds: kill before error before allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// Soft refusals, one program an error number: they refuse what they name and allow the rest.
    pub soft: Vec<Program>,
    /// Allows what the profile names, kills on anything else.
    pub wall: Program,
}

impl Programs {
    /// In the order of installation. `wall` is the last: it does not allow installing another.
    pub fn in_order(&self) -> impl Iterator<Item = &Program> {
        self.soft.iter().chain([&self.wall])
    }

    /// [`Program::to_bytes`] of each, in the order of installation.
    pub fn to_bytes(&self) -> Vec<Vec<u8>> {
        self.in_order().map(Program::to_bytes).collect()
    }
}

/// A sound profile that does not fit into a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("jail profile `{profile}` cannot be compiled for {arch:?}: {reason}")]
pub struct CompileError {
    /// Name of the profile.
    pub profile: String,
    /// The architecture.
    pub arch: Arch,
    /// The compiler's words.
    pub reason: String,
}

/// Rules by system call number; a call without rules matches whatever its arguments.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

impl Profile {
    /// Compiles the system calls.
    ///
    /// Loading and running share the programs for now: what either table allows is allowed, and a
    /// soft refusal that loading cannot bear is left to its `load` rule.
    ///
    /// # Errors
    /// [`CompileError`] when a program gets longer than the kernel takes.
    pub fn compile(&self, arch: Arch) -> Result<Programs, CompileError> {
        self.programs(arch).map_err(|reason| CompileError {
            profile: self.name.clone(),
            arch,
            reason: reason.to_string(),
        })
    }

    fn programs(&self, arch: Arch) -> Result<Programs, seccompiler::BackendError> {
        let mut refused: BTreeMap<Errno, Calls> = BTreeMap::new();
        let mut passed = Calls::new();
        for rule in self.run.iter().chain(&self.load) {
            add(&mut passed, rule, arch)?;
        }
        for soft in self.soft.iter().filter(|soft| !soft.needed_while_loading) {
            add(refused.entry(soft.errno).or_default(), &soft.rule, arch)?;
            // Killing is severer than an error, so the wall must let the call through.
            add(&mut passed, &soft.rule, arch)?;
        }
        let (kill, pass) = (SeccompAction::KillProcess, SeccompAction::Allow);
        let soft = refused
            .into_iter()
            .map(|(errno, calls)| {
                let refuse = SeccompAction::Errno(errno.number());
                program(calls, pass.clone(), refuse, arch)
            })
            .collect::<Result<_, _>>()?;
        let wall = program(passed, kill, pass, arch)?;
        Ok(Programs { soft, wall })
    }
}

fn add(calls: &mut Calls, rule: &Rule, arch: Arch) -> Result<(), seccompiler::BackendError> {
    let Some(number) = arch.number(&rule.name).filter(|_| rule.is_for(arch)) else {
        return Ok(());
    };
    let number = i64::from(number);
    if rule.args.is_empty() {
        // Plain: conditions of the other table no longer matter.
        calls.insert(number, Vec::new());
        return Ok(());
    }
    if calls.get(&number).is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let mut alternatives = Vec::new();
    for conditions in combine(&rule.args)? {
        alternatives.push(SeccompRule::new(conditions)?);
    }
    calls.entry(number).or_default().extend(alternatives);
    Ok(())
}

/// Multiplies the alternatives out: a rule of the compiler is one comparison an argument.
fn combine(args: &[Condition]) -> Result<Vec<Vec<SeccompCondition>>, seccompiler::BackendError> {
    let mut combined = vec![Vec::new()];
    for condition in args {
        let alternatives = comparisons(condition)?;
        combined = combined
            .iter()
            .flat_map(|head: &Vec<SeccompCondition>| {
                alternatives.iter().map(|tail| {
                    let mut conditions = head.clone();
                    conditions.push(tail.clone());
                    conditions
                })
            })
            .collect();
    }
    Ok(combined)
}

fn comparisons(condition: &Condition) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    let width = || match condition.width {
        Width::Int => SeccompCmpArgLen::Dword,
        Width::Long => SeccompCmpArgLen::Qword,
    };
    let compare = |op, value| SeccompCondition::new(condition.arg, width(), op, value);
    match &condition.test {
        Test::OneOf { mask, values } => values
            .iter()
            .map(|value| compare(SeccompCmpOp::MaskedEq(*mask), *value))
            .collect(),
        Test::AtMost(most) => Ok(vec![compare(SeccompCmpOp::Le, *most)?]),
    }
}

fn program(
    calls: Calls,
    otherwise: SeccompAction,
    matched: SeccompAction,
    arch: Arch,
) -> Result<Program, seccompiler::BackendError> {
    let target = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
        Arch::Riscv64 => TargetArch::riscv64,
    };
    let filter = SeccompFilter::new(calls, otherwise, matched, target)?;
    let instructions = BpfProgram::try_from(filter)?;
    Ok(Program(
        instructions
            .into_iter()
            .map(|i| SockFilter {
                code: i.code,
                jt: i.jt,
                jf: i.jf,
                k: i.k,
            })
            .collect(),
    ))
}
