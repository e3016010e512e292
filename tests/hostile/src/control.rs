//! The control: the same probe of the same module in a plain process, where it must work. The host
//! program can also lay single layers of the jail around it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bench::{Bench, SECRET};
use crate::finding::Free;
use crate::probe::{Control, Phase, Probe};

/// How long a control may take, in seconds, as timeout(1) wants it.
const PATIENCE: &str = "20";

/// How the host program begins to tell that it could not lay a layer.
const UNLAID: &str = "layer: ";

/// What the host program told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its lines.
    pub lines: Vec<String>,
}

impl Told {
    /// The probe's answer.
    pub fn answer(&self, probe: &Probe) -> Option<i64> {
        let start = format!("probe {}: ", probe.name);
        let answer = |line: &String| line.strip_prefix(&start)?.trim().parse().ok();
        self.lines.iter().rev().find_map(answer)
    }

    fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }

    /// Whether the attack has worked.
    pub fn worked(&self, probe: &Probe) -> bool {
        let answered = self.answer(probe).is_some_and(|answer| answer >= 0);
        match probe.control {
            Control::Works | Control::WorksWith(_) => answered,
            Control::Hits => answered && self.says("victim: hit"),
            Control::Dies(words) => self.says(words),
            Control::Arrives(words) => self.says(words),
        }
    }

    /// Whether the attack works without the jail, or why it cannot, or that it does not.
    pub fn judge(&self, probe: &Probe) -> Free {
        let summary = self.summary(probe);
        let missing = match probe.control {
            Control::WorksWith(need) => need.missing(self.answer(probe)),
            _ => None,
        };
        match missing {
            _ if self.worked(probe) => Free::Works(summary),
            Some(what) => Free::Impossible(format!("{summary}; it takes {what}")),
            None => Free::Broken(summary),
        }
    }

    /// The layer that could not be laid here, and why.
    pub fn unlaid(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(UNLAID))
    }

    /// In few words.
    pub fn summary(&self, probe: &Probe) -> String {
        match self.answer(probe) {
            Some(answer) if answer < 0 => crate::probe::error_name(-answer),
            Some(_) if matches!(probe.control, Control::Hits) && !self.says("victim: hit") => {
                "sent, and nobody was hit".into()
            }
            _ => self.lines.join("; "),
        }
    }
}

/// Runs a probe in the host program with these options beside its own.
pub fn run(bench: &Bench, probe: &Probe, options: &[&str]) -> anyhow::Result<Told> {
    let module = bench
        .built
        .dir
        .join("modules")
        .join(probe.module)
        .with_extension("so");
    run_module(bench, probe, &module, options)
}

/// The same with the module of that file.
pub fn run_module(
    bench: &Bench,
    probe: &Probe,
    module: &Path,
    options: &[&str],
) -> anyhow::Result<Told> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    bench.tidy()?;
    let own = format!(
        "probe={} phase={} {} free=1 give_up=200 claimed=16",
        probe.name,
        probe.phase.word(),
        probe.args,
    );
    let dir = bench
        .dir
        .join(format!("control-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&dir)?;
    // A core dump is one of the things that must work.
    let mut command = Command::new("timeout");
    command
        .args([
            PATIENCE,
            "sh",
            "-c",
            "ulimit -c unlimited; exec \"$0\" \"$@\"",
        ])
        .arg(bench.built.dir.join("host"))
        .arg(module)
        .arg(bench.words(&own))
        .args(options);
    for option in probe.host {
        match *option {
            "segments" if options.iter().any(|option| option.starts_with("segments=")) => {}
            "segments" => {
                command.arg(bench.segments(false));
            }
            option => {
                command.arg(option);
            }
        }
    }
    let output = command
        .current_dir(&dir)
        .env(SECRET.0, SECRET.1)
        .env("LD_LIBRARY_PATH", "/nonexistent")
        // Where a constructor looks, which gets no tuning data.
        .env("HOSTILE_ARGUMENTS", bench.words("give_up=200 free=1"))
        .stdin(Stdio::null())
        .output()?;
    std::fs::remove_dir_all(&dir)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Told {
        lines: text.lines().map(str::to_owned).collect(),
    })
}

/// Whether a probe can be run with layers around it: those are laid before `start()`.
pub fn can_be_layered(probe: &Probe) -> bool {
    probe.phase == Phase::Run && probe.module == "hostile" && probe.profile == "single"
}
