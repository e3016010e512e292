//! What the compiled programs decide, found by running them.

use coldshoe_jail::{Arch, FD_CONTROL, FD_STDERR, Profile, Program, Programs, Rule, Test};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The kernel's answers, the severest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Kill,
    Errno(u32),
    Allow,
}
use Answer::{Allow, Errno, Kill};

/// Runs one program over `struct seccomp_data`, as the kernel's interpreter does.
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
                    0x8000_0000 => Kill,
                    0x0005_0000 => Errno(i.k & 0xFFFF),
                    0x7FFF_0000 => Allow,
                    other => panic!("a program answers {other:#x}"),
                };
            }
            other => panic!("a program holds operation {other:#x}"),
        }
    }
}

fn decide(programs: &Programs, arch: u32, nr: u32, args: &[u64; 6]) -> Answer {
    programs
        .in_order()
        .map(|program| run(program, arch, nr, args))
        .min()
        .unwrap()
}

fn single() -> Profile {
    Profile::builtin("single").unwrap()
}

fn jails() -> impl Iterator<Item = (Arch, Profile, Programs)> {
    Arch::ALL.into_iter().map(|arch| {
        let profile = single();
        let programs = profile.compile(arch).unwrap();
        (arch, profile, programs)
    })
}

/// What the profile's own words say, without the compiler.
fn in_words(profile: &Profile, arch: Arch, nr: u32, args: &[u64; 6]) -> Answer {
    let is = |name: &str| arch.number(name) == Some(nr);
    let admits = |rule: &Rule| is(&rule.name) && rule.is_for(arch) && rule.admits(args);
    let mut always_soft = profile
        .soft()
        .iter()
        .filter(|soft| !soft.needed_while_loading);
    if let Some(soft) = always_soft.find(|soft| admits(&soft.rule)) {
        Errno(soft.errno.number())
    } else if profile.run().iter().chain(profile.load()).any(admits) {
        Allow
    } else {
        Kill
    }
}

/// Argument vectors a rule allows: each value of each condition, once with all bits that do not
/// count clear and once with all of them set.
fn allowed(rule: &Rule) -> Vec<[u64; 6]> {
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
    for vector in allowed(rule) {
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

#[test]
fn every_named_call_is_allowed_with_its_arguments() {
    for (arch, profile, programs) in jails() {
        for rule in profile.run().iter().chain(profile.load()) {
            let Some(nr) = arch.number(&rule.name).filter(|_| rule.is_for(arch)) else {
                continue;
            };
            for args in allowed(rule) {
                let answer = decide(&programs, arch.audit(), nr, &args);
                assert_eq!(answer, Allow, "{arch:?} {} {args:#x?}", rule.name);
            }
        }
    }
}

#[test]
fn every_condition_refuses_its_mutations() {
    for (arch, profile, programs) in jails() {
        for rule in profile.run().iter().chain(profile.load()) {
            let Some(nr) = arch.number(&rule.name).filter(|_| rule.is_for(arch)) else {
                continue;
            };
            let mut refused = 0;
            for args in mutated(rule) {
                let answer = decide(&programs, arch.audit(), nr, &args);
                // Another entry of the same call may admit what this one does not.
                let expected = in_words(&profile, arch, nr, &args);
                assert_eq!(answer, expected, "{arch:?} {} {args:#x?}", rule.name);
                refused += usize::from(answer == Kill);
            }
            let plainly_loaded = profile
                .load()
                .iter()
                .any(|other| other.name == rule.name && other.args.is_empty());
            if !rule.args.is_empty() && !plainly_loaded {
                assert!(refused > 0, "{arch:?} {}: nothing is refused", rule.name);
            }
        }
    }
}

#[test]
fn every_number_not_named_is_killed() {
    for (arch, profile, programs) in jails() {
        let named: BTreeSet<u32> = profile
            .run()
            .iter()
            .chain(profile.load())
            .map(|rule| &rule.name)
            .chain(profile.soft().iter().map(|soft| &soft.rule.name))
            .filter_map(|name| arch.number(name))
            .collect();
        let numbers = (0..2048).chain([u32::MAX, 1 << 31]);
        for nr in numbers.filter(|nr| !named.contains(nr)) {
            let answer = decide(&programs, arch.audit(), nr, &[0; 6]);
            assert_eq!(answer, Kill, "{arch:?} number {nr}");
        }
    }
}

#[test]
fn soft_refusals_answer_their_error() {
    for (arch, profile, programs) in jails() {
        for soft in profile.soft().iter().filter(|s| !s.needed_while_loading) {
            let Some(nr) = arch.number(&soft.rule.name) else {
                continue;
            };
            for args in allowed(&soft.rule) {
                let answer = decide(&programs, arch.audit(), nr, &args);
                assert_eq!(
                    answer,
                    Errno(soft.errno.number()),
                    "{arch:?} {}",
                    soft.rule.name
                );
            }
            for args in mutated(&soft.rule) {
                let answer = decide(&programs, arch.audit(), nr, &args);
                assert_eq!(answer, Kill, "{arch:?} {} {args:#x?}", soft.rule.name);
            }
        }
    }
}

#[test]
fn foreign_architectures_are_killed() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    for (arch, _, programs) in jails() {
        let others = Arch::ALL.into_iter().filter(|other| *other != arch);
        for foreign in others.map(Arch::audit).chain([I386, ARM, 0]) {
            for nr in 0..512 {
                assert_eq!(decide(&programs, foreign, nr, &[0; 6]), Kill);
            }
        }
    }
}

#[test]
fn the_x32_convention_is_killed() {
    let (_, _, programs) = jails().next().unwrap();
    for nr in 0..1024 {
        let x32 = 0x4000_0000 | nr;
        assert_eq!(decide(&programs, Arch::X86_64.audit(), x32, &[0; 6]), Kill);
    }
}

/// Attacks and needs, written out by hand: what must hold whatever the profile's text says.
#[test]
fn the_single_profile_decides_as_its_design_does() {
    const NULL: u64 = 0;
    let control = FD_CONTROL as u64;
    let stderr = FD_STDERR as u64;
    let denied = Errno(13);
    let table: &[(&str, [u64; 6], Answer)] = &[
        ("write", [control, 0, 1, 0, 0, 0], Allow),
        ("write", [stderr, 0, 1, 0, 0, 0], Allow),
        ("write", [0, 0, 1, 0, 0, 0], Kill),
        ("write", [4, 0, 1, 0, 0, 0], Kill),
        ("sendmsg", [4, 0, 0, 0, 0, 0], Kill),
        ("recvmsg", [control, 0, 0, 0, 0, 0], Allow),
        // private anonymous, read and write
        ("mmap", [NULL, 4096, 3, 0x22, u64::MAX, 0], Allow),
        ("mmap", [NULL, 4096, 3, 0x4022, u64::MAX, 0], Allow),
        // a segment, and a library's code
        ("mmap", [NULL, 4096, 1, 0x1, 5, 0], Allow),
        ("mmap", [NULL, 4096, 5, 0x802, 4, 0], Allow),
        // writable and executable; anonymous and executable; shared and executable
        ("mmap", [NULL, 4096, 7, 0x22, u64::MAX, 0], Kill),
        ("mmap", [NULL, 4096, 7, 0x2, 4, 0], Kill),
        ("mmap", [NULL, 4096, 5, 0x22, u64::MAX, 0], Kill),
        ("mmap", [NULL, 4096, 5, 0x1, 4, 0], Kill),
        // past the memory budget: shared anonymous, growing down
        ("mmap", [NULL, 1 << 30, 3, 0x21, u64::MAX, 0], Kill),
        ("mmap", [NULL, 1 << 30, 3, 0x122, u64::MAX, 0], Kill),
        // upper halves do not hide anything
        ("mmap", [NULL, 4096, 1 << 32, 0x22, u64::MAX, 0], Kill),
        ("mprotect", [0, 4096, 1, 0, 0, 0], Allow),
        ("mprotect", [0, 4096, 4, 0, 0, 0], Kill),
        ("mprotect", [0, 4096, 5, 0, 0, 0], Kill),
        ("mprotect", [0, 4096, 7, 0, 0, 0], Kill),
        ("mprotect", [0, 4096, 0x15, 0, 0, 0], Kill),
        ("mremap", [0, 1, 2, 1, 0, 0], Allow),
        ("mremap", [0, 1, 2, 3, 0, 0], Kill),
        ("madvise", [0, 1, 4, 0, 0, 0], Allow),
        // MADV_REMOVE punches holes
        ("madvise", [0, 1, 9, 0, 0, 0], Kill),
        ("futex", [0, 0x189, 1, 0, 0, 0], Allow),
        // FUTEX_LOCK_PI, FUTEX_REQUEUE
        ("futex", [0, 6, 1, 0, 0, 0], Kill),
        ("futex", [0, 3, 1, 0, 0, 0], Kill),
        ("clock_gettime", [7, 0, 0, 0, 0, 0], Allow),
        ("clock_gettime", [8, 0, 0, 0, 0, 0], Kill),
        // the processor clock of another process is a negative number
        ("clock_gettime", [(-14_i64) as u64, 0, 0, 0, 0, 0], Kill),
        // O_RDONLY|O_CLOEXEC; O_RDWR; O_CREAT|O_WRONLY; O_TMPFILE
        ("openat", [u64::MAX - 99, 0, 0o2_000_000, 0, 0, 0], Allow),
        ("openat", [u64::MAX - 99, 0, 2, 0, 0, 0], Kill),
        ("openat", [u64::MAX - 99, 0, 0o101, 0, 0, 0], Kill),
        ("openat", [u64::MAX - 99, 0, 0o20_000_000, 0, 0, 0], Kill),
        ("prlimit64", [0, 3, 0, 0x1000, 0, 0], Allow),
        ("prlimit64", [1, 3, 0, 0x1000, 0, 0], Kill),
        ("prlimit64", [0, 3, 0x1000, 0, 0, 0], Kill),
        ("clone3", [0; 6], Errno(38)),
        ("ioctl", [1, 0x5401, 0, 0, 0, 0], denied),
        ("tgkill", [1, 1, 9, 0, 0, 0], denied),
        ("clone", [0; 6], Kill),
        ("clone", [0x3d_0f00, 0, 0, 0, 0, 0], Kill),
        ("execve", [0; 6], Kill),
        ("execveat", [0; 6], Kill),
        ("socket", [1, 1, 0, 0, 0, 0], Kill),
        ("connect", [control, 0, 0, 0, 0, 0], Kill),
        ("kill", [1, 9, 0, 0, 0, 0], Kill),
        ("ptrace", [0; 6], Kill),
        ("process_vm_readv", [0; 6], Kill),
        ("memfd_create", [0; 6], Kill),
        ("io_uring_setup", [0; 6], Kill),
        ("seccomp", [1, 0, 0, 0, 0, 0], Kill),
        ("prctl", [22, 2, 0, 0, 0, 0], Kill),
        ("landlock_create_ruleset", [0; 6], Kill),
        ("pkey_mprotect", [0, 4096, 1, 0, 0, 0], Kill),
        ("unshare", [0; 6], Kill),
        ("mount", [0; 6], Kill),
        ("rt_sigaction", [11, 0, 0, 8, 0, 0], Kill),
        ("dup3", [3, 4, 0, 0, 0, 0], Kill),
        // F_GETFD; F_DUPFD, F_SETFL, F_SETOWN, F_ADD_SEALS
        ("fcntl", [3, 1, 0, 0, 0, 0], denied),
        ("fcntl", [3, 0, 0, 0, 0, 0], Kill),
        ("fcntl", [3, 4, 0, 0, 0, 0], Kill),
        ("fcntl", [3, 8, 0, 0, 0, 0], Kill),
        ("fcntl", [3, 1033, 0, 0, 0, 0], Kill),
        ("openat2", [0; 6], Kill),
    ];
    for (arch, _, programs) in jails() {
        for (name, args, expected) in table {
            let nr = arch.number(name).unwrap();
            let answer = decide(&programs, arch.audit(), nr, args);
            assert_eq!(answer, *expected, "{arch:?} {name} {args:#x?}");
        }
    }
}

#[test]
fn only_aarch64_maps_code_with_branch_targets() {
    for (arch, _, programs) in jails() {
        let nr = arch.number("mmap").unwrap();
        let args = [0, 4096, 0x15, 0x12, 4, 0];
        let expected = if arch == Arch::Aarch64 { Allow } else { Kill };
        assert_eq!(decide(&programs, arch.audit(), nr, &args), expected);
    }
}

#[test]
fn running_needs_at_most_27_calls() {
    let profile = single();
    for arch in Arch::ALL {
        let calls: BTreeSet<u32> = profile
            .run()
            .iter()
            .filter_map(|rule| arch.number(&rule.name))
            .collect();
        assert!(calls.len() <= 27, "{arch:?}: {}", calls.len());
    }
}

#[test]
fn bytes_are_the_instructions_in_kernel_order() {
    let (_, _, programs) = jails().next().unwrap();
    let bytes = programs.wall.to_bytes();
    assert_eq!(bytes.len(), programs.wall.instructions().len() * 8);
    for (chunk, i) in bytes.chunks(8).zip(programs.wall.instructions()) {
        assert_eq!(u16::from_le_bytes([chunk[0], chunk[1]]), i.code);
        assert_eq!((chunk[2], chunk[3]), (i.jt, i.jf));
        assert_eq!(u32::from_le_bytes(chunk[4..8].try_into().unwrap()), i.k);
    }
    let all = programs.to_bytes();
    assert_eq!(all.last(), Some(&bytes), "the wall comes last");
    assert_eq!(all.len(), 3, "one program an error number, and the wall");
}

proptest! {
    /// The programs decide every call as the profile's words do.
    #[test]
    fn programs_decide_as_the_words_do(
        arch in proptest::sample::select(Arch::ALL.to_vec()),
        nr in 0_u32..512,
        args in proptest::array::uniform6(prop_oneof![
            0_u64..32,
            any::<u32>().prop_map(u64::from),
            any::<u64>(),
        ]),
    ) {
        let profile = single();
        let programs = profile.compile(arch).unwrap();
        prop_assert_eq!(
            decide(&programs, arch.audit(), nr, &args),
            in_words(&profile, arch, nr, &args)
        );
    }
}
