//! Modules that do nothing wrong must load and run: a jail that stops them would be switched off.

use std::time::Duration;

use coldshoe::{Error, Outcome};
use comfy_table::{ContentArrangement, Table, presets};

use crate::bench::Bench;
use crate::jail;

/// Frames that each module answers.
const FRAMES: u64 = 20;

/// What a profile must do with a module.
enum Must {
    Run,
    /// Refuse it, and say this.
    Refuse(&'static [&'static str]),
}

/// It is found out when it starts one, which all of these do at once.
const NO_THREADS: Must = Must::Refuse(&["tried to start a thread", "--profile threaded"]);

const MODULES: &[(&str, &str, Must)] = &[
    ("benign_plain", "single", Must::Run),
    ("benign_busybody", "single", Must::Run),
    ("benign_streams", "single", Must::Run),
    ("benign_panic", "single", Must::Run),
    ("benign_plain", "threaded", Must::Run),
    ("benign_busybody", "threaded", Must::Run),
    ("benign_streams", "threaded", Must::Run),
    ("benign_panic", "threaded", Must::Run),
    ("benign_threads", "threaded", Must::Run),
    ("benign_workers", "threaded", Must::Run),
    ("benign_openmp", "threaded", Must::Run),
    ("benign_threads", "single", NO_THREADS),
    ("benign_workers", "single", NO_THREADS),
    ("benign_openmp", "single", NO_THREADS),
];

/// Tries them all, prints what happened, and says whether it was as it must be.
pub fn all_work(bench: &Bench) -> anyhow::Result<bool> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["MODULE", "PROFILE", "", "WHAT HAPPENED"]);
    let mut good = true;
    for (module, profile, must) in MODULES {
        let happened = live(bench, module, profile);
        let right = match (&happened, must) {
            (Ok(()), Must::Run) => true,
            (Err(Error::Refused(trouble)), Must::Refuse(words)) => {
                let text = trouble.to_string();
                words.iter().all(|word| text.contains(word))
            }
            _ => false,
        };
        good &= right;
        let text = match happened {
            Ok(()) => format!("{FRAMES} frames answered"),
            Err(Error::Refused(trouble)) if right => trouble.what,
            Err(error) => error.to_string().replace("\n  ", "; "),
        };
        let verdict = if right { "as it must" } else { "WRONG" };
        table.add_row([*module, *profile, verdict, &text]);
    }
    anstream::println!("\n==> Modules that do nothing wrong\n\n{table}");
    Ok(good)
}

/// A whole life: two runs of frames with a stop between.
fn live(bench: &Bench, module: &str, profile: &str) -> Result<(), Error> {
    let internal = |error: anyhow::Error| Error::Unreachable {
        path: module.into(),
        source: std::io::Error::other(error.to_string()),
    };
    let daemon = bench.daemon(profile).map_err(internal)?;
    let mut session = jail::open(&daemon, module, "nothing")?;
    for run in 0..2 {
        session.configure(&jail::sensor())?;
        session.start()?;
        for number in 0..FRAMES / 2 {
            let frame = jail::frame(run * FRAMES + number, Duration::from_secs(2));
            let ticket = session
                .prepare(&frame)
                .map_err(|error| internal(error.into()))?;
            let outcome = session.wait(ticket);
            if !matches!(outcome, Outcome::Fresh(_)) {
                let why = format!("a frame was not answered: {outcome:?}");
                return match session.stop() {
                    Err(error) => Err(error),
                    Ok(()) => Err(internal(anyhow::anyhow!(why))),
                };
            }
        }
        session.stop()?;
    }
    session.close()
}
