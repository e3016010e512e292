//! What the compiled program, the gate and the profile's words decide, held against each other.

mod decisions;
mod design;
mod gate;
mod needed;
mod refused;

use crate::condition::Test;
use crate::{Arch, Gate, Outcome, Phase, Profile, Program, Rule, Verdict};

/// The kernel's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Kill,
    Errno(u32),
    Ask,
    Allow,
}

/// Runs a program over `struct seccomp_data`, as the kernel's interpreter does.
fn run(program: &Program, arch: u32, nr: u32, args: &[u64; 6]) -> Answer {
    let load = |offset: u32| match offset {
        0 => nr,
        4 => arch,
        16..=60 if offset.is_multiple_of(4) => {
            let word = (offset - 16) / 4;
            (args[(word / 2) as usize] >> (32 * (word % 2))) as u32
        }
        _ => panic!("a program reads offset {offset}"),
    };
    let code = program.instructions();
    let (mut at, mut a) = (0_usize, 0_u32);
    loop {
        let i = code[at];
        at += 1;
        let mut jump = |taken: bool| at += usize::from(if taken { i.jt } else { i.jf });
        match i.code {
            0x20 => a = load(i.k),      // ld [k]
            0x54 => a &= i.k,           // and k
            0x05 => at += i.k as usize, // ja
            0x15 => jump(a == i.k),     // jeq
            0x25 => jump(a > i.k),      // jgt
            0x35 => jump(a >= i.k),     // jge
            0x06 => {
                return match i.k & 0xFFFF_0000 {
                    0x8000_0000 => Answer::Kill,
                    0x0005_0000 => Answer::Errno(i.k & 0xFFFF),
                    0x7FC0_0000 => Answer::Ask,
                    0x7FFF_0000 => Answer::Allow,
                    other => panic!("a program answers {other:#x}"),
                };
            }
            other => panic!("a program holds operation {other:#x}"),
        }
    }
}

/// One profile on one architecture, with all that decides.
struct Jail {
    arch: Arch,
    profile: Profile,
    program: Program,
    gate: Gate,
}

impl Jail {
    fn of(profile: Profile, arch: Arch) -> Jail {
        Jail {
            arch,
            program: profile.compile(arch).unwrap(),
            gate: profile.gate(arch),
            profile,
        }
    }

    fn kernel(&self, nr: u32, args: &[u64; 6]) -> Answer {
        run(&self.program, self.arch.audit(), nr, args)
    }

    /// Kernel and daemon together.
    fn outcome(&self, phase: Phase, nr: u32, args: &[u64; 6]) -> Outcome {
        match self.kernel(nr, args) {
            Answer::Allow => Outcome::Allowed,
            Answer::Errno(errno) => Outcome::Refused(errno_of(errno as i32)),
            Answer::Kill => Outcome::Killed,
            Answer::Ask => match self.gate.decide(phase, nr, args) {
                Verdict::Continue | Verdict::Counted { .. } => Outcome::AllowedByDaemon,
                Verdict::Errno(errno) => Outcome::RefusedByDaemon(errno_of(errno)),
                Verdict::Violation => Outcome::Killed,
            },
        }
    }

    fn in_words(&self, phase: Phase, nr: u32, args: &[u64; 6]) -> Outcome {
        self.profile.outcome(self.arch, phase, nr, args)
    }

    /// The rules of all tables.
    fn rules(&self) -> impl Iterator<Item = &Rule> {
        let profile = &self.profile;
        let soft = profile.soft().iter().chain(profile.notified());
        profile
            .run()
            .iter()
            .chain(profile.load())
            .chain(soft.map(|soft| &soft.rule))
    }
}

fn errno_of(number: i32) -> crate::Errno {
    crate::Errno::ALL
        .into_iter()
        .find(|errno| errno.number() == number)
        .unwrap()
}

/// Every built-in profile on every architecture.
fn jails() -> impl Iterator<Item = Jail> {
    Profile::BUILTIN.into_iter().flat_map(|(name, _)| {
        let profile = Profile::builtin(name).unwrap();
        Arch::ALL.map(|arch| Jail::of(profile.clone(), arch))
    })
}

/// Argument vectors a rule admits: each value of each condition, once with all bits that do not
/// count clear and once with all of them set.
fn admitted(rule: &Rule) -> Vec<[u64; 6]> {
    let mut vectors = vec![[0; 6], [u64::MAX; 6]];
    for condition in &rule.args {
        let arg = usize::from(condition.arg);
        let beyond = !condition.width.bits();
        vectors = vectors
            .iter()
            .flat_map(|vector| {
                let values: Vec<u64> = match &condition.test {
                    Test::OneOf { mask, values } => values
                        .iter()
                        .flat_map(|value| [*value, value | !mask])
                        .collect(),
                    Test::AtMost(most) => vec![0, *most, most | beyond],
                };
                values.into_iter().map(|value| {
                    let mut vector = *vector;
                    vector[arg] = value;
                    vector
                })
            })
            .collect();
    }
    vectors
}

/// The same vectors, with the argument of one condition moved to where it no longer holds: each
/// bit that counts flipped, the neighbours of each value, and the extremes.
fn mutated(rule: &Rule) -> Vec<[u64; 6]> {
    let mut mutants = Vec::new();
    for vector in admitted(rule) {
        for condition in &rule.args {
            let arg = usize::from(condition.arg);
            let value = vector[arg];
            let flips = (0..64).map(|bit| value ^ (1 << bit));
            let near = [value.wrapping_add(1), value.wrapping_sub(1), 0, u64::MAX];
            for other in flips.chain(near).filter(|other| !condition.admits(*other)) {
                let mut mutant = vector;
                mutant[arg] = other;
                mutants.push(mutant);
            }
        }
    }
    mutants
}
