//! `coldshoectl top`: how sessions do, live.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use crate::daemon::{self, Daemon};
use crate::told::{Session, summary};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    daemon: Daemon,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    every: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("allowed are 0.1 to 60 seconds".to_owned()),
    }
}

/// Why it ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The daemon does not tell any more.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// There is nothing to draw on.
    #[error(
        "there is no terminal to draw on\n  why: standard output is none\n  try: coldshoectl status, or list sessions --json"
    )]
    NoTerminal,
    /// The terminal cannot be used.
    #[error("the terminal cannot be used\n  why: {0}\n  try: coldshoectl status")]
    Terminal(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.exit_code(),
            Self::NoTerminal => 2,
            Self::Terminal(_) => 1,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    if !io::stdout().is_terminal() {
        return Err(Error::NoTerminal);
    }
    // Before the screen is taken: what is wrong is told on an ordinary one.
    let overview = options.daemon.ask()?;
    let mut terminal = ratatui::try_init()?;
    let ended = watch(
        &mut terminal,
        overview,
        Duration::from_secs_f64(options.every),
    );
    ratatui::try_restore()?;
    ended
}

fn watch(
    terminal: &mut DefaultTerminal,
    mut overview: coldshoe::Overview,
    every: Duration,
) -> Result<(), Error> {
    let mut screen = Screen::default();
    loop {
        let sessions = overview.sessions().map_err(daemon::Error::from)?;
        screen.take(sessions.iter().map(Session::of).collect(), Instant::now());
        let next = Instant::now() + every;
        loop {
            terminal.draw(|frame| screen.draw(frame))?;
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() || !event::poll(left)? {
                break;
            }
            if is_end(&event::read()?) {
                return Ok(());
            }
        }
    }
}

fn is_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// What is drawn.
#[derive(Default)]
struct Screen {
    sessions: Vec<Session>,
    /// Frames of each session when it was looked at last, and when that was.
    before: BTreeMap<u64, (u64, Instant)>,
    rates: BTreeMap<u64, f64>,
}

/// Frames that came to an end.
fn frames(session: &Session) -> u64 {
    session
        .statistics
        .as_ref()
        .map_or(0, |told| told.fresh + told.missed + told.module_errors)
}

impl Screen {
    fn take(&mut self, sessions: Vec<Session>, now: Instant) {
        let counted: BTreeMap<_, _> = sessions
            .iter()
            .map(|session| (session.session, (frames(session), now)))
            .collect();
        self.rates = counted
            .iter()
            .filter_map(|(id, (frames, _))| {
                let (before, then) = self.before.get(id)?;
                let seconds = now.saturating_duration_since(*then).as_secs_f64();
                (seconds > 0.0).then(|| (*id, frames.saturating_sub(*before) as f64 / seconds))
            })
            .collect();
        self.before = counted;
        self.sessions = sessions;
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, table, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let title = summary(&self.sessions);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(
            Paragraph::new(Line::styled(format!("coldshoe: {title}"), bold)),
            head,
        );
        let wide = frame.area().width >= 120;
        let mut names = vec![
            "", "SESSION", "CAMERA", "MODULE", "STATE", "FPS", "P99 ms", "MISSED", "REFUSED", "AE",
        ];
        let mut widths = vec![
            Constraint::Length(1),
            Constraint::Length(7),
            Constraint::Fill(2),
            Constraint::Fill(3),
            Constraint::Length(11),
            Constraint::Length(6),
            Constraint::Length(7),
            Constraint::Length(6),
            Constraint::Length(7),
            Constraint::Length(9),
        ];
        if wide {
            names.extend(["AWB", "AF", "CLAMPED", "LONGEST ms", "FAULTS", "WORKER"]);
            widths.extend([9, 9, 7, 10, 6, 8].map(Constraint::Length));
        }
        let rows = self.sessions.iter().map(|session| self.row(session, wide));
        let header = Row::new(names).style(bold);
        frame.render_widget(Table::new(rows, widths).header(header), table);
        frame.render_widget(Paragraph::new("q ends"), foot);
    }

    fn row(&self, session: &Session, wide: bool) -> Row<'static> {
        let colour = match session.is_well() {
            true => Color::Green,
            false => Color::Yellow,
        };
        let told = session.statistics.as_ref();
        let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let ms =
            |us: Option<u64>| us.map_or("-".to_owned(), |us| format!("{:.1}", us as f64 / 1e3));
        let word = |state: Option<&'static str>| state.unwrap_or("-").to_owned();
        let rate = self.rates.get(&session.session);
        let mut cells = vec![
            Cell::new("●").style(Style::new().fg(colour)),
            Cell::new(session.session.to_string()),
            Cell::new(session.camera.clone()),
            Cell::new(session.modules()),
            Cell::new(session.state),
            Cell::new(rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"))),
            Cell::new(ms(told.map(|told| told.latency_us.p99))),
            Cell::new(number(told.map(|told| told.missed))),
            Cell::new(number(told.map(|told| told.refused_blocks))),
            Cell::new(word(told.map(|told| told.ae))),
        ];
        if wide {
            cells.extend([
                Cell::new(word(told.map(|told| told.awb))),
                Cell::new(word(told.map(|told| told.af))),
                Cell::new(number(told.map(|told| told.clamped_requests))),
                Cell::new(ms(told.map(|told| told.latency_us.max))),
                Cell::new(session.faults.to_string()),
                Cell::new(session.worker.to_string()),
            ]);
        }
        Row::new(cells)
    }
}
