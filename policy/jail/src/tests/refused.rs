//! Profiles that are refused, and why.

use crate::{Feature, Problem, Profile, ProfileError};

/// A profile of these entries alone.
fn with(entries: &str) -> Result<Profile, ProfileError> {
    Profile::parse(&format!(
        "name = 'p'\ndescription = 'd'\nallow_degraded = []\nload_budget = 1\nsoft_budget = 1\nwake = 'sleep'\nstandby = true\n\
         landlock = {{ read = [] }}\n[limits]\nthreads = 0\ndata = 1\naddress_space = 1\nstack = 1\nnofile = 1\n\
         fsize = 1\ncore = 1\nmemlock = 1\nmsgqueue = 1\nrtprio = 1\n{entries}"
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
        error.contains("agrs") && error.contains("line 23"),
        "{error}"
    );
}

#[test]
fn an_entry_is_refused_with_its_line_table_and_name() {
    let error = with("\n[[run]]\nname = 'raed'\nwhy = 'x'\n").unwrap_err();
    let start = "jail profile, line 21: [[run]] `raed`: no architecture has";
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
    assert_eq!(problem(&plain.repeat(2)), Problem::Redundant);
    let soft = "[[soft]]\nname='open'\nerrno='EACCES'\nwhy='x'\n";
    assert_eq!(problem(&soft.repeat(2)), Problem::Redundant);
}

#[test]
fn entries_for_different_architectures_do_not_meet() {
    let on = |a: &str| format!("[[run]]\nname='getpid'\nwhy='x'\narchs=['{a}']\n");
    assert!(with(&(on("aarch64") + &on("riscv64"))).is_ok());
    assert_eq!(problem(&on("aarch64").repeat(2)), Problem::Redundant);
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

#[test]
fn memory_cannot_become_code_while_running() {
    let prot = |table: &str, condition: &str| {
        format!("[[{table}]]\nname='mprotect'\nwhy='x'\nargs=[{{arg=2,type='long',{condition}}}]\n")
    };
    assert_eq!(problem(&prot("run", "is=[5]")), Problem::CodeInRun);
    assert_eq!(
        problem(&prot("run", "ignore=0x4,is=[1]")),
        Problem::CodeInRun
    );
    assert!(with(&prot("load", "is=[5]")).is_ok());
    assert!(with(&prot("run", "ignore=0x3,is=[0]")).is_ok());
}

#[test]
fn calls_that_make_code_behind_mmap_are_refused() {
    for name in ["personality", "shmat", "ptrace", "process_vm_writev"] {
        for table in ["run", "load"] {
            let entry = format!("[[{table}]]\nname='{name}'\nwhy='x'");
            assert_eq!(problem(&entry), Problem::CodeBehind, "{name}");
        }
    }
}

#[test]
fn an_entry_whose_calls_others_match_is_refused_in_either_order() {
    let fd = |is: &str| {
        format!("[[run]]\nname='read'\nwhy='x'\nargs=[{{arg=0,type='int',is=[{is}]}}]\n")
    };
    assert_eq!(problem(&(fd("1") + &fd("1,2"))), Problem::Redundant);
    assert_eq!(problem(&(fd("1,2") + &fd("2"))), Problem::Redundant);
    assert_eq!(
        problem(&(fd("1") + &fd("2") + &fd("2,1"))),
        Problem::Redundant
    );
    assert!(with(&(fd("1,2") + &fd("2,3"))).is_ok());
}

#[test]
fn a_load_entry_that_running_has_anyway_is_refused() {
    let fd = |table: &str, is: &str| {
        format!("[[{table}]]\nname='read'\nwhy='x'\nargs=[{{arg=0,type='int',is=[{is}]}}]\n")
    };
    let plain = |table: &str| format!("[[{table}]]\nname='read'\nwhy='x'\n");
    assert_eq!(
        problem(&(plain("run") + &plain("load"))),
        Problem::AllowedAnyway
    );
    assert_eq!(
        problem(&(plain("run") + &fd("load", "3"))),
        Problem::AllowedAnyway
    );
    assert_eq!(
        problem(&(fd("run", "2,3") + &fd("load", "3"))),
        Problem::AllowedAnyway
    );
    assert!(with(&(fd("run", "3") + &fd("load", "2,3"))).is_ok());
    assert!(with(&(fd("run", "3") + &plain("load"))).is_ok());
}

#[test]
fn a_refusal_fits_the_phases() {
    let soft = |table: &str| format!("[[{table}]]\nname='openat'\nerrno='EACCES'\nwhy='x'\n");
    let load = "[[load]]\nname='openat'\nwhy='x'\n";
    assert_eq!(problem(&(soft("soft") + load)), Problem::SoftAndLoad);
    assert_eq!(problem(&soft("notified")), Problem::NotifiedForNothing);
    assert!(with(&(soft("notified") + load)).is_ok());
    assert!(with(&soft("soft")).is_ok());
}

#[test]
fn another_program_may_start_once_while_loading_and_never_else() {
    let exec = |table: &str, more: &str| format!("[[{table}]]\nname='execve'\nwhy='x'\n{more}\n");
    assert!(with(&exec("load", "times=1")).is_ok());
    assert_eq!(problem(&exec("load", "")), Problem::AnotherProgram);
    assert_eq!(problem(&exec("load", "times=2")), Problem::AnotherProgram);
    assert_eq!(problem(&exec("run", "")), Problem::AnotherProgram);
    assert_eq!(problem(&exec("run", "times=1")), Problem::CountedInRun);
}

#[test]
fn the_daemon_refuses_what_is_left_of_a_call_that_running_has_in_part() {
    let run = "[[run]]\nname='clone'\nwhy='x'\nargs=[{arg=0,type='long',is=[0x3d0f00]}]\n";
    let rest = "[[notified]]\nname='clone'\nerrno='EAGAIN'\nwhy='x'\n";
    assert!(with(&(run.to_owned() + rest)).is_ok());
    let same = rest.replace(
        "why='x'",
        "why='x'\nargs=[{arg=0,type='long',is=[0x3d0f00]}]",
    );
    assert_eq!(problem(&(run.to_owned() + &same)), Problem::AllowedAnyway);
    assert_eq!(problem(rest), Problem::NotifiedForNothing);
}

#[test]
fn a_setting_that_is_missing_is_named() {
    let text = "name = 'p'\ndescription = 'd'\n[limits]\nthreads = 0";
    let error = Profile::parse(text).unwrap_err();
    assert!(
        matches!(
            error,
            ProfileError::Missing {
                key: "limits.data",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn only_required_features_can_be_gone_without() {
    let allow = |features: &str| {
        let text = format!("{CHILD}allow_degraded = [{features}]\n");
        Profile::parse(&text).map_err(|error| error.to_string())
    };
    let both = allow("'net_namespace', 'ipc_namespace'").unwrap();
    let expected = [Feature::NetNamespace, Feature::IpcNamespace];
    assert_eq!(both.allow_degraded(), expected);
    for (feature, why) in [
        ("seatbelt", "no feature"),
        ("landlock", "without which nothing runs"),
        ("mdwe", "stops no session anyway"),
    ] {
        let error = allow(&format!("'{feature}'")).unwrap_err();
        assert!(error.contains(feature) && error.contains(why), "{error}");
        assert!(error.contains("net_namespace"), "{error}");
    }
}

const CHILD: &str = "name = 'child'\ndescription = 'd'\nextends = 'single'\n";

#[test]
fn a_derived_profile_is_its_parent_where_it_says_nothing() {
    let single = Profile::builtin("single").unwrap();
    let child = Profile::parse(CHILD).unwrap();
    let expected = Profile {
        name: "child".to_owned(),
        description: "d".to_owned(),
        parent: Some("single".to_owned()),
        ..single
    };
    assert_eq!(child, expected);
}

#[test]
fn a_derived_profile_may_have_less() {
    let less = "soft_budget = 0\nlandlock = { read = ['/usr/lib/aarch64-linux-gnu'] }\n\
                [limits]\ndata = 1\nstack = 1\n";
    let child = Profile::parse(&format!("{CHILD}{less}")).unwrap();
    assert_eq!((child.limits().data, child.limits().stack), (1, 1));
    assert_eq!(child.readable(), ["/usr/lib/aarch64-linux-gnu"]);
}

#[test]
fn a_derived_profile_has_no_more_than_its_parent() {
    for (more, what) in [
        ("soft_budget = 201", "soft_budget"),
        ("load_budget = 2001", "load_budget"),
        ("limits.data = 536870913", "limits.data"),
        ("limits.address_space = 17179869185", "limits.address_space"),
        ("limits.stack = 8388609", "limits.stack"),
        ("limits.nofile = 65", "limits.nofile"),
        ("limits.fsize = 1", "limits.fsize"),
        ("limits.core = 2", "limits.core"),
        ("limits.memlock = 1", "limits.memlock"),
        ("limits.msgqueue = 1", "limits.msgqueue"),
        ("limits.rtprio = 1", "limits.rtprio"),
        ("landlock = { read = ['/usr'] }", "/usr,"),
        ("landlock = { read = ['/usr/libexec'] }", "/usr/libexec,"),
    ] {
        let error = Profile::parse(&format!("{CHILD}{more}\n")).unwrap_err();
        assert!(
            matches!(error, ProfileError::BeyondParent { .. }),
            "{more}: {error}"
        );
        assert!(error.to_string().contains(what), "{more}: {error}");
    }
    let climbs = format!("{CHILD}landlock = {{ read = ['/usr/lib/../../etc'] }}\n");
    let error = Profile::parse(&climbs).unwrap_err();
    assert!(matches!(error, ProfileError::Path { .. }), "{error}");
}

#[test]
fn a_derived_profile_adds_to_running_in_the_open_and_to_loading_nothing() {
    let derived = |entry: &str| match Profile::parse(&format!("{CHILD}{entry}")) {
        Err(ProfileError::Entry { problem, .. }) => Err(problem),
        other => Ok(other.unwrap()),
    };
    let entry = |table: &str, name: &str| format!("[[{table}]]\nname='{name}'\nwhy='x'\n");
    assert!(derived(&entry("run", "rseq")).is_ok());
    assert_eq!(
        derived(&entry("load", "rseq")),
        Err(Problem::LoadBeyondParent)
    );
    // Twice; beside the parent's conditions; against its refusals; in place of its loading.
    assert_eq!(derived(&entry("run", "getpid")), Err(Problem::Redundant));
    assert_eq!(derived(&entry("run", "futex")), Err(Problem::Ambiguous));
    assert_eq!(derived(&entry("run", "ioctl")), Err(Problem::SoftAndRun));
    assert_eq!(derived(&entry("run", "uname")), Err(Problem::SoftAndRun));
    assert_eq!(
        derived(&entry("run", "pread64")),
        Err(Problem::AllowedAnyway)
    );
}

#[test]
fn a_derived_profile_cannot_add_what_reaches_beyond_the_worker() {
    let add = |name: &str, args: &str| {
        let entry = format!("[[run]]\nname='{name}'\nwhy='x'\n{args}\n");
        match Profile::parse(&format!("{CHILD}{entry}")) {
            Err(ProfileError::Entry { problem, .. }) => Err(problem),
            other => other.map(drop).map_err(|error| panic!("{name}: {error}")),
        }
    };
    let narrow = "args=[{arg=0,type='int',is=[3]}]";
    for name in [
        "execve",
        "socket",
        "connect",
        "bind",
        "mount",
        "openat2",
        "bpf",
        "io_uring_setup",
        "userfaultfd",
        "seccomp",
        "process_vm_readv",
        "pidfd_open",
        "unshare",
        "setns",
        "kill",
        "clone3",
        "memfd_create",
    ] {
        assert_eq!(add(name, ""), Err(Problem::ReachesBeyond), "{name}");
        assert_eq!(add(name, narrow), Err(Problem::ReachesBeyond), "{name}");
    }
    let first = |name, condition: &str| add(name, &format!("args=[{{arg=0,{condition}}}]"));
    // SET_NAME; with others; not narrowed by its value
    assert_eq!(first("prctl", "type='int',is=[15]"), Ok(()));
    for condition in [
        "type='int',is=[15,22]",
        "type='int',mask=0xF,is=[15]",
        "type='int',at_most=15",
    ] {
        let refused = first("prctl", condition);
        assert_eq!(refused, Err(Problem::ReachesBeyond), "{condition}");
    }
    assert_eq!(add("prctl", ""), Err(Problem::ReachesBeyond));
    // pthread_create's; a process, a namespace, a signal at its end, anything beside the bits looked at
    assert_eq!(first("clone", "type='long',is=[0x3d0f00]"), Ok(()));
    for condition in [
        "type='long',is=[0x3d0f00,17]",
        "type='long',is=[0x103d0f00]",
        "type='long',is=[0x3d0f11]",
        "type='long',mask=0x10000,is=[0x10000]",
        "type='long',ignore=0x20000000,is=[0x3d0f00]",
    ] {
        let refused = first("clone", condition);
        assert_eq!(refused, Err(Problem::ReachesBeyond), "{condition}");
    }
}

#[test]
fn threaded_is_single_and_five_calls_more() {
    let [single, threaded] = ["single", "threaded"].map(|name| Profile::builtin(name).unwrap());
    assert_eq!(threaded.run()[..single.run().len()], *single.run());
    assert_eq!(threaded.load(), single.load());
    assert_eq!(threaded.soft(), single.soft());
    assert_eq!(threaded.notified(), single.notified());
    assert_eq!(threaded.readable(), single.readable());
    assert_eq!((single.threads(), single.limits().nproc()), (0, 1));
    assert_eq!((threaded.threads(), threaded.limits().nproc()), (63, 64));
}

#[test]
fn a_parent_that_does_not_exist_is_refused() {
    let error = Profile::parse(&CHILD.replace("single", "solitary")).unwrap_err();
    assert!(error.to_string().contains("child"), "{error}");
}
