//! From a checked profile to a classic-BPF program.

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

/// A sound profile that does not fit into a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("jail profile `{profile}` cannot be compiled for {arch}: {reason}")]
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
    /// Compiles the system calls into one program: it refuses softly what both phases refuse,
    /// allows what running needs, and asks the daemon about everything else, which
    /// [`Gate`](crate::Gate) answers. Installed with a listener; it lets no other program follow.
    ///
    /// # Errors
    /// [`CompileError`] when the program gets longer than the kernel takes.
    pub fn compile(&self, arch: Arch) -> Result<Program, CompileError> {
        let failed = |reason: String| CompileError {
            profile: self.name.clone(),
            arch,
            reason,
        };
        let program = self
            .program(arch)
            .map_err(|reason| failed(reason.to_string()))?;
        match program.0.len() {
            length if length > MAX_INSTRUCTIONS => Err(failed(format!(
                "{length} instructions, and the kernel takes {MAX_INSTRUCTIONS}; take entries out"
            ))),
            _ => Ok(program),
        }
    }

    fn program(&self, arch: Arch) -> Result<Program, seccompiler::BackendError> {
        let (mut often, mut passed) = (Calls::new(), Calls::new());
        for rule in &self.run {
            let calls = match EVERY_FRAME.contains(&rule.name.as_str()) {
                true => &mut often,
                false => &mut passed,
            };
            add(calls, rule, arch)?;
        }
        let mut refused: BTreeMap<Errno, Calls> = BTreeMap::new();
        for soft in &self.soft {
            add(refused.entry(soft.errno).or_default(), &soft.rule, arch)?;
        }
        let refused = refused.into_iter().map(|(errno, calls)| {
            let refuse = SeccompAction::Errno(errno.number().unsigned_abs());
            (calls, refuse)
        });
        let parts = [(often, SeccompAction::Allow)]
            .into_iter()
            .chain(refused)
            .chain([(passed, SeccompAction::Allow)])
            .map(|(calls, answer)| part(calls, answer, arch))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(joined(parts, arch))
    }
}

/// What a worker calls for each frame: the kernel reads a program from its start, and nothing else
/// of the jail costs a frame anything.
const EVERY_FRAME: [&str; 2] = ["futex", "write"];

/// One program out of parts that each know some calls. No call is in two parts, so that a part
/// decides for good on a call it knows, whatever the arguments, and leaves all others to the next.
///
/// The compiler has no action that asks the daemon, so it is given one that nothing else uses, and
/// that one is replaced. On x86_64 the calling convention x32 shares the architecture's number with
/// the native one, so its calls die here, as those of foreign architectures do.
fn joined(parts: Vec<BpfProgram>, arch: Arch) -> Program {
    const LOAD_NUMBER: SockFilter = statement(0x20, 0);
    const X32: SockFilter = SockFilter {
        code: 0x35, // at least
        jt: 0,
        jf: 1,
        k: 0x4000_0000,
    };
    const KILL_PROCESS: SockFilter = statement(RETURN, 0x8000_0000);
    const TRAP: SockFilter = statement(RETURN, 0x0003_0000);
    const USER_NOTIF: SockFilter = statement(RETURN, 0x7FC0_0000);

    let mut program = match arch {
        Arch::X86_64 => vec![LOAD_NUMBER, X32, KILL_PROCESS],
        Arch::Aarch64 | Arch::Riscv64 => Vec::new(),
    };
    for mut part in parts {
        // Its last word is on calls that it does not know. Jumps are relative and end before it.
        part.pop();
        program.extend(part.into_iter().map(|i| SockFilter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        }));
    }
    for instruction in &mut program {
        if *instruction == TRAP {
            *instruction = USER_NOTIF;
        }
    }
    program.push(USER_NOTIF);
    Program(program)
}

/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

const fn statement(code: u16, k: u32) -> SockFilter {
    SockFilter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn add(calls: &mut Calls, rule: &Rule, arch: Arch) -> Result<(), seccompiler::BackendError> {
    let Some(number) = rule.number(arch) else {
        return Ok(());
    };
    // A call without alternatives matches whatever its arguments. The profile's checks keep such
    // a rule from standing beside one with conditions.
    let alternatives = calls.entry(i64::from(number)).or_default();
    if !rule.args.is_empty() {
        for conditions in combine(&rule.args)? {
            alternatives.push(SeccompRule::new(conditions)?);
        }
    }
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

fn part(
    calls: Calls,
    answer: SeccompAction,
    arch: Arch,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let target = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
        Arch::Riscv64 => TargetArch::riscv64,
    };
    SeccompFilter::new(calls, SeccompAction::Trap, answer, target)?.try_into()
}
