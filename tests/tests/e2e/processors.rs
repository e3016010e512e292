//! Workers with a processor of their own.

use std::fs;

use coldshoe_tests::{Daemon, Place, run_frame, running};
use rustix::thread::sched_getaffinity;

fn allowed(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.expect("every kernel tells").trim().to_owned()
}

fn started(options: &[&str]) -> Daemon {
    let place = Place::new();
    let mut command = place.coldshoed();
    command.args(options);
    Daemon::start_with(place, command)
}

/// Two processors that this process may use.
fn two() -> Option<(usize, usize)> {
    let set = sched_getaffinity(None).expect("our own");
    let mut cpus = (0..1024).filter(|cpu| set.is_set(*cpu));
    cpus.next().zip(cpus.next())
}

#[test]
fn a_predictive_worker_has_a_processor_to_itself_and_the_next_one_sleeps() {
    let Some((_, second)) = two() else {
        return eprintln!("SKIPPED: this machine has one processor, none can be set aside");
    };
    let reserve = second.to_string();
    let options = ["--profile", "predictive", "--reserve-cpus", &reserve];
    let daemon = started(&options);
    let own = |pid| allowed(pid) == reserve;
    assert!(!own(daemon.pid()));
    for _ in 0..2 {
        let mut session = running(&daemon, "good");
        assert!(session.is_predictive() && own(session.worker_pid()));
        let told = format!("processor {second} is its own");
        assert!(session.confinement().notes.contains(&told));
        for number in 0..200 {
            run_frame(&mut session, number);
        }
        let mut other = running(&daemon, "good");
        assert!(!other.is_predictive() && !own(other.worker_pid()));
        let notes = other.confinement().notes.join("\n");
        assert!(notes.contains("--reserve-cpus"), "{notes}");
        run_frame(&mut other, 1);
        other.close().expect("closed");
        session.stop().expect("stopped");
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn without_a_processor_set_aside_a_predictive_profile_sleeps() {
    let daemon = started(&["--profile", "predictive"]);
    let mut session = running(&daemon, "good");
    assert!(!session.is_predictive());
    run_frame(&mut session, 1);
}

#[test]
fn processors_that_are_not_there_are_refused_on_three_lines() {
    let place = Place::new();
    let output = place
        .coldshoed()
        .args(["--reserve-cpus", "1023"])
        .output()
        .expect("coldshoed");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["1023", "why: processor 1023", "try: "] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_predictive_worker_that_expects_a_frame_much_later_hears_orders_at_once() {
    let Some((_, second)) = two() else {
        return eprintln!("SKIPPED: this machine has one processor, none can be set aside");
    };
    let reserve = second.to_string();
    let daemon = started(&["--profile", "predictive", "--reserve-cpus", &reserve]);
    let mut session = running(&daemon, "good");
    // A rhythm is learnt from four frames, whose period is a good deal of an order's patience.
    for number in 0..5 {
        run_frame(&mut session, number);
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    run_frame(&mut session, 5);
    let before = cpu(session.worker_pid());
    session.stop().expect("stopped");
    let spent = cpu(session.worker_pid()) - before;
    // In ticks of 10 ms: half a second awake would be 50 of them.
    assert!(spent <= 10, "{spent}");
}

/// Processor time of a process, in ticks.
fn cpu(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum()
}
