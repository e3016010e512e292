//! `demo`: a camera, a jail, pictures and a report, with no hardware and no running daemon.

mod canvas;
mod chart;
mod contact;
mod daemon;
mod error;
mod film;
mod installation;
mod latency;
mod output;
mod progress;
mod report;
mod shoot;
mod summary;
mod table;
mod verdict;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use coldshoe::{Confinement, ModuleInfo, Open};
use coldshoe_camera::{Camera, scene};
use coldshoe_isp::{STATS_FORMAT, Statistics, soft};

use crate::signals::Interrupt;
use daemon::Daemon;
pub(crate) use error::Error;
use film::{Film, MAX_FRAMES, MIN_FRAMES};
use output::Output;
use progress::Progress;
use shoot::Reel;
use summary::Section;
use verdict::Verdict;

/// Frames that can be in flight: one is, and one may be late.
const SLOTS: u32 = 2;
/// Room for parameters; more than the format's largest buffer.
const PARAMS_CAPACITY: u32 = 4096;
const _: () = assert!(soft::MAX_PAYLOAD <= PARAMS_CAPACITY as usize);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to film: a folder of radiance mosaics, a raw frame or its sidecar [default: a built-in
    /// test chart]
    #[arg(long, value_name = "DIR|FILE")]
    scene: Option<PathBuf>,
    /// Length of the film
    #[arg(
        long,
        value_name = "N",
        default_value_t = 120,
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_FRAMES)..=i64::from(MAX_FRAMES))
    )]
    frames: u32,
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
    let film = Film::new(options.frames);
    let scene = scene::open(options.scene.as_deref())?;
    let size = scene.size();
    let cfa = format!("{:?}", scene.cfa()).to_uppercase();
    let (width, height) = (size.width(), size.height());
    let subject = format!("{}, {width}x{height} {cfa}", scene.name());
    let mut camera = Camera::new(scene, film.parts[0].light);
    let Shot {
        reel,
        verdict,
        module,
        confinement,
    } = film_with(options, &film, &mut camera, interrupt)?;
    let mut sections = vec![summary::setting(subject, &module)];
    sections.extend(summary::findings(&verdict));
    sections.push(summary::jail(&confinement));
    write(&mut output, &film, &reel, &module.name, &sections)?;
    print(&sections, output.written())
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
    interrupt: &Interrupt,
) -> Result<Shot, Error> {
    let program = installation::daemon()?;
    let mut daemon = Daemon::start(&program, &options.module_dirs, &options.tuning_dirs)?;
    let shot = film_through(&mut daemon, options, film, camera, interrupt);
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
    interrupt: &Interrupt,
) -> Result<Shot, Error> {
    let open = Open {
        module: options.module.clone(),
        camera: camera_name(options.scene.as_deref()).into(),
        stats_format: STATS_FORMAT.into(),
        params_format: soft::FORMAT.into(),
        slots: SLOTS,
        stats_capacity: Statistics::SIZE as u32,
        params_capacity: PARAMS_CAPACITY,
        isp_capabilities: (1 << soft::TABLE.sizes.len()) - 1,
        ..Open::default()
    };
    let mut session = daemon.open(open, interrupt)?;
    let (module, confinement) = (session.module().clone(), session.confinement().clone());
    session.configure(&shoot::sensor(camera))?;
    session.start()?;
    let progress = Progress::new(film.len());
    let reel = shoot::shoot(film, camera, &mut session, contact::still, |frame| {
        progress.at(frame);
        if interrupt.came() {
            return Err(Error::Interrupted);
        }
        Ok(())
    })?;
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
        Some(path) if path.is_dir() => "flea3",
        Some(_) => "raw",
    }
}

fn write(
    output: &mut Output,
    film: &Film,
    reel: &Reel,
    module: &str,
    sections: &[Section],
) -> Result<(), Error> {
    output.picture("before.png", &reel.before)?;
    output.picture("after.png", &reel.after)?;
    let contact = contact::strip(film, reel)?;
    let contact = output.picture("contact.png", &contact)?;
    let heading = format!("Convergence of module {module}");
    let chart = chart::chart(&heading, film, &reel.records)?;
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

fn print(sections: &[Section], written: &[PathBuf]) -> Result<(), Error> {
    let table = table::layout(sections, table::width());
    let mut out = anstream::stdout().lock();
    let files = written.iter().map(|path| path.display().to_string());
    let files = files.collect::<Vec<_>>().join("\n  ");
    match writeln!(out, "{table}\n\nWritten:\n  {files}") {
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
