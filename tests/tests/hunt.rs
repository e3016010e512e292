#![forbid(unsafe_code)]
//! hunt
use coldshoe_tests::*;
use std::time::{Duration, Instant};
#[test]
fn hunt() {
    let daemon = Daemon::new();
    daemon.module("bad", &[("IN_PROCESS", r#"if (in->frame > 1) { if (write(3, "\x08\x07\x3a", 4) != 4) crash(); }"#)]);
    let n: usize = std::env::var("HUNT").unwrap().parse().unwrap();
    for i in 0..n {
        let mut session = running(&daemon, "bad");
        run_frame(&mut session, 1);
        let ticket = session.submit(&frame(2, Duration::from_secs(8)), &[0; 64]).unwrap();
        let start = Instant::now();
        let mut told = false;
        while session.fault().is_none() {
            daemon.turn();
            if start.elapsed() > Duration::from_secs(4) && !told {
                told = true;
                let pid = session.worker_pid();
                println!("STUCK at {i}: syscall {:?} wchan {:?}", std::fs::read_to_string(format!("/proc/{pid}/syscall")), std::fs::read_to_string(format!("/proc/{pid}/wchan")));
                let o = std::process::Command::new("ss").args(["-xp"]).output().unwrap();
                let me = format!("pid={pid},");
                let dd = format!("pid={},", daemon.pid());
                for l in String::from_utf8_lossy(&o.stdout).lines().filter(|l| l.contains(&me) || l.contains(&dd)) { println!("{l}"); }
                println!("log: {}", daemon.log().all("").iter().rev().take(5).cloned().collect::<Vec<_>>().join("\n"));
                let out = session.wait(ticket);
                println!("frame 2: {}", out.is_fresh());
                std::process::exit(1);
            }
        }
    }
}
