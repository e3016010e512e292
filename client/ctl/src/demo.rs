//! `demo`: a camera, a jail, pictures and a report, with no hardware and no running daemon.

mod canvas;
mod chaos;
mod chart;
mod contact;
mod daemon;
mod error;
mod film;
mod latency;
mod output;
mod progress;
mod recovery;
mod report;
mod shoot;
mod summary;
mod table;
mod verdict;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coldshoe::{Confinement, ModuleInfo, Open, Session};
use coldshoe_camera::{Camera, LensConfig, scene};
use coldshoe_isp::{STATS_FORMAT, STATS_FORMAT_2, Statistics, soft};

use crate::installation;
use crate::signals::Interrupt;
use chaos::Chaos;
use daemon::Daemon;
pub(crate) use error::Error;
use film::{Film, MAX_FRAMES, MIN_FRAMES};
use output::Output;
use progress::Progress;
use recovery::Recoveries;
use shoot::{Manner, Reel};
use summary::Section;
use verdict::Verdict;

/// Length of a film, where nobody says otherwise.
const FRAMES: u32 = 120;
/// The same with faults, which take time.
const CHAOS_FRAMES: u32 = 240;
/// Frames that can be in flight: one is, and one may be late.
const SLOTS: u32 = 2;
/// Room for parameters; more than the format's largest buffer.
const PARAMS_CAPACITY: u32 = 4096;
const _: () = assert!(soft::MAX_PAYLOAD <= PARAMS_CAPACITY as usize);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to film: a folder of radiance mosaics, a raw frame or its sidecar, or "depth", a built-in
    /// card before a wall with a lens to focus [default: a built-in test chart]
    #[arg(long, value_name = "DIR|FILE")]
    scene: Option<PathBuf>,
    /// Length of the film [default: 120, and 240 with --chaos]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_FRAMES)..=i64::from(MAX_FRAMES))
    )]
    frames: Option<u32>,
    /// Where to write pictures and report; files of these names are replaced
    #[arg(long, value_name = "DIR", default_value = "coldshoe-demo")]
    out: PathBuf,
    /// The module to run
    #[arg(long, value_name = "NAME", default_value = "open")]
    module: String,
    /// Directory with modules, NAME.so each; goes before those of the installation
    #[arg(long = "module-dir", value_name = "DIR")]
    module_dirs: Vec<PathBuf>,
    /// Directory with tuning files, MODULE/CAMERA.toml; goes before those of the installation
    #[arg(long = "tuning-dir", value_name = "DIR")]
    tuning_dirs: Vec<PathBuf>,
    /// Kill, stop and corrupt workers while the film runs at its pace, and kill the daemon once; fails
    /// if a frame was without parameters or late
    #[arg(long)]
    chaos: bool,
    /// What decides when that happens; the report says it
    #[arg(long, value_name = "N", requires = "chaos")]
    seed: Option<u64>,
}

/// Films, and tells what it has seen.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let interrupt = Interrupt::catch().map_err(Error::Signals)?;
    let done = film_and_tell(options, &interrupt);
    match done {
        // The terminal sends a signal to the daemon too: what breaks then is no failure of its own.
        Err(_) if interrupt.came() => Err(Error::Interrupted),
        done => done,
    }
}

fn film_and_tell(options: &Options, interrupt: &Interrupt) -> Result<(), Error> {
    let mut output = Output::prepare(&options.out)?;
    let usual = if options.chaos { CHAOS_FRAMES } else { FRAMES };
    let film = Film::new(options.frames.unwrap_or(usual));
    let mut chaos = options.chaos.then(|| Chaos::new(options.seed, film.len()));
    let scene = scene::open(options.scene.as_deref())?;
    let size = scene.size();
    let cfa = format!("{:?}", scene.cfa()).to_uppercase();
    let (width, height) = (size.width(), size.height());
    let subject = format!("{}, {width}x{height} {cfa}", scene.name());
    let deep = scene.depth().is_some();
    let mut camera = Camera::new(scene, film.parts[0].light);
    if deep {
        camera = camera.with_lens(LensConfig::default());
    }
    let Shot {
        reel,
        verdict,
        module,
        confinement,
    } = film_with(options, &film, &mut camera, chaos.as_mut(), interrupt)?;
    let recoveries = chaos.as_ref().map(|chaos| {
        let recoveries = Recoveries::of(chaos.done(), &reel.records, &reel.pulses);
        (recoveries, chaos.seed())
    });
    let mut sections = vec![summary::setting(subject, &module)];
    sections.extend(summary::findings(&verdict));
    sections.extend(reel.focus.map(summary::focus));
    sections.extend(recoveries.as_ref().map(|(all, seed)| all.section(*seed)));
    sections.push(summary::jail(&confinement));
    let done = chaos.as_ref().map_or(&[][..], Chaos::done);
    let faults: Vec<_> = done.iter().map(|done| done.frame).collect();
    write(&mut output, &film, &reel, &faults, &module.name, &sections)?;
    let counts = recoveries.as_ref().map(|(all, _)| all.counts());
    print(&sections, counts.as_deref(), output.written())?;
    match recoveries {
        Some((Recoveries { without, late, .. }, seed)) if without + late > 0 => {
            Err(Error::Halted {
                without,
                late,
                seed,
            })
        }
        _ => Ok(()),
    }
}

/// What comes back from filming.
struct Shot {
    reel: Reel,
    verdict: Verdict,
    module: ModuleInfo,
    confinement: Confinement,
}

/// Films with a daemon that lives no longer than this function. Where that fails, shows what the
/// module logged: the log goes with the daemon.
fn film_with(
    options: &Options,
    film: &Film,
    camera: &mut Camera,
    chaos: Option<&mut Chaos>,
    interrupt: &Interrupt,
) -> Result<Shot, Error> {
    let program = installation::daemon()?;
    let patience: &[&str] = if chaos.is_some() {
        &chaos::OPTIONS
    } else {
        &[]
    };
    let (modules, tunings) = (&options.module_dirs, &options.tuning_dirs);
    let mut daemon = Daemon::start(&program, modules, tunings, patience)?;
    let shot = film_through(&mut daemon, options, film, camera, chaos, interrupt);
    if shot.is_err() && !interrupt.came() {
        let lines = daemon.module_log();
        if !lines.is_empty() {
            anstream::eprintln!("The module's log ends:\n  {}", lines.join("\n  "));
        }
    }
    shot
}

fn film_through(
    daemon: &mut Daemon,
    options: &Options,
    film: &Film,
    camera: &mut Camera,
    mut chaos: Option<&mut Chaos>,
    interrupt: &Interrupt,
) -> Result<Shot, Error> {
    let open = Open {
        standby: chaos.is_some(),
        module: options.module.clone(),
        camera: camera_name(options.scene.as_deref()).into(),
        stats_format: match camera.lens() {
            Some(_) => STATS_FORMAT_2.into(),
            None => STATS_FORMAT.into(),
        },
        params_format: soft::FORMAT.into(),
        slots: SLOTS,
        stats_capacity: Statistics::SIZE_2 as u32,
        params_capacity: PARAMS_CAPACITY,
        isp_capabilities: (1 << soft::TABLE.sizes.len()) - 1,
        ..Open::default()
    };
    let mut session = daemon.open(open, interrupt)?;
    let (module, confinement) = (session.module().clone(), session.confinement().clone());
    session.configure(&shoot::sensor(camera))?;
    session.start()?;
    let progress = Progress::new(film.len());
    let manner = match chaos {
        Some(_) => Manner::Unshaken,
        None => Manner::Plain,
    };
    let between = |frame: usize, session: &mut Session| {
        progress.at(frame);
        if interrupt.came() {
            return Err(Error::Interrupted);
        }
        match &mut chaos {
            Some(chaos) => chaos.before(frame, session, daemon),
            None => Ok(()),
        }
    };
    let still = contact::still;
    let reel = shoot::shoot(film, camera, &mut session, manner, still, between)?;
    session.close()?;
    let verdict = Verdict::of(film, &reel.records);
    if !verdict.answers_at_the_end {
        return Err(Error::NoAnswer {
            module: options.module.clone(),
            frames: film.len(),
            fresh: verdict.fresh,
            held: verdict.held,
            refused: verdict.refused,
        });
    }
    Ok(Shot {
        reel,
        verdict,
        module,
        confinement,
    })
}

/// The camera's name selects the tuning: scenes come through sensors of their own.
fn camera_name(scene: Option<&Path>) -> &'static str {
    match scene {
        None => "virtual",
        Some(path) if path == Path::new("depth") => "virtual",
        Some(path) if path.is_dir() => "flea3",
        Some(_) => "raw",
    }
}

fn write(
    output: &mut Output,
    film: &Film,
    reel: &Reel,
    faults: &[usize],
    module: &str,
    sections: &[Section],
) -> Result<(), Error> {
    output.picture("before.png", &reel.before)?;
    output.picture("after.png", &reel.after)?;
    let contact = contact::strip(film, reel)?;
    let contact = output.picture("contact.png", &contact)?;
    let heading = format!("Convergence of module {module}");
    let chart = chart::chart(&heading, film, &reel.records, faults)?;
    let chart = output.picture("convergence.png", &chart)?;
    let report = report::Report {
        module,
        sections,
        before: report::picture(&reel.before)?,
        after: report::picture(&reel.after)?,
        contact,
        chart,
        latencies: latency::Latencies::of(&reel.records),
    };
    output.write("report.html", report.page().as_bytes())
}

fn print(sections: &[Section], counts: Option<&str>, written: &[PathBuf]) -> Result<(), Error> {
    let table = table::layout(sections, table::width());
    let mut out = anstream::stdout().lock();
    let files = written.iter().map(|path| path.display().to_string());
    let files = files.collect::<Vec<_>>().join("\n  ");
    let counts = counts.map_or_else(String::new, |counts| format!("\n\n{counts}"));
    match writeln!(out, "{table}{counts}\n\nWritten:\n  {files}") {
        // Who stops reading has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Print(error)),
        _ => Ok(()),
    }
}

/// Text of several lines on one: what a parser quotes is left out, control characters are spaces.
fn one_line(text: &str) -> String {
    let quoted = |line: &&str| {
        let line = line.trim_start();
        line.trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .starts_with('|')
    };
    let lines = text.lines().filter(|line| !quoted(line)).map(str::trim);
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>();
    line.join("; ").replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_a_quotation_becomes_one_line() {
        let toml = "TOML parse error at line 3, column 1\n  |\n3 | widht = 4\n  | ^^^^^\nunknown field `widht`\n";
        let line = "TOML parse error at line 3, column 1; unknown field `widht`";
        assert_eq!(one_line(toml), line);
        assert_eq!(one_line("plain\x1b[2J"), "plain [2J");
    }

    #[test]
    fn each_kind_of_scene_has_a_camera_of_its_own() {
        assert_eq!(camera_name(None), "virtual");
        assert_eq!(camera_name(Some(Path::new("/"))), "flea3");
        assert_eq!(camera_name(Some(Path::new("frame.raw"))), "raw");
    }
}
