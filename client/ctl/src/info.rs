//! `coldshoectl info`: all that the daemon shows of a session or of a module.

use std::io;

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::daemon::Whose;
use crate::objects::{self, Module, Object, Objects, Session};
use crate::words::{plain, print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;

#[derive(Args)]
pub(crate) struct Options {
    /// A session's number or a module's name, or as much of it as tells it from others
    #[arg(value_name = "SESSION|MODULE")]
    what: String,
    #[command(flatten)]
    whose: Whose,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// The words do not go out.
    #[error("the words cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Objects(error) => error.exit_code(),
            Self::Print(_) => 1,
        }
    }
}

/// A table has rows; JSON has a name for what it is.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Shown<'a> {
    Session(&'a Session),
    Module(&'a Module),
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (_bus, objects) = Objects::ask(options.whose)?;
    let object = objects.any(&options.what)?;
    Ok(print(&match options.json {
        true => in_json(&object)?,
        false => in_words(&object, width()),
    })?)
}

fn in_json(object: &Object) -> io::Result<String> {
    let shown = match object {
        Object::Session(session) => Shown::Session(session),
        Object::Module(module) => Shown::Module(module),
    };
    let mut json = serde_json::to_value(shown)?;
    if let Some(fields) = json.as_object_mut() {
        fields.insert("schema".to_owned(), SCHEMA.into());
    }
    Ok(format!("{json:#}"))
}

fn in_words(object: &Object, width: u16) -> String {
    let bold = AnsiColor::Cyan.on_default().bold();
    let (title, rows) = match object {
        Object::Session(session) => (format!("session {}", session.session), session.rows()),
        Object::Module(module) => (format!("module {}", module.module), module.rows()),
    };
    let mut table = plain(width);
    for (name, value) in rows {
        table.add_row([format!("  {name}"), value]);
    }
    format!("{bold}{title}{bold:#}\n{}", table.trim_fmt())
}

/// A row of the table. What is not known is a dash.
fn row(name: &str, value: impl ToString) -> (String, String) {
    let value = value.to_string();
    let value = if value.is_empty() {
        "-".to_owned()
    } else {
        value
    };
    (name.to_owned(), value)
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1e3)
}

impl Session {
    fn rows(&self) -> Vec<(String, String)> {
        let latency = &self.latency_us;
        let worker = match self.worker {
            0 => "none".to_owned(),
            process => format!("process {process}"),
        };
        let module = match self.fallback_active {
            true => format!("{}; another one stands in for it", self.module),
            false => self.module.clone(),
        };
        let mut rows = vec![
            row("camera", &self.camera),
            row("pipeline", &self.pipeline),
            row("owner", format!("user {}", self.owner_uid)),
            row("module", module),
            row("state", self.state),
            row("worker", worker),
            row("restarts", self.restarts),
            row("exposure", self.ae),
            row("white balance", self.awb),
            row("focus", self.af),
            row(
                "frames",
                format!(
                    "{}, {} missed their deadline",
                    self.frames, self.deadline_misses
                ),
            ),
            row("refused blocks", self.rejected_blocks),
            row("clamped requests", self.clamped_controls),
            row(
                "latency",
                format!(
                    "{} in the median, 95 % within {}, 99 % within {}, longest {}",
                    ms(latency.p50),
                    ms(latency.p95),
                    ms(latency.p99),
                    ms(latency.max)
                ),
            ),
        ];
        let jail = self.confinement.iter();
        rows.extend(jail.map(|(name, value)| row(name, in_a_cell(value))));
        rows
    }
}

impl Module {
    fn rows(&self) -> Vec<(String, String)> {
        vec![
            row("version", &self.version),
            row("licence", &self.license),
            row("file", &self.file),
            row("SHA-256", &self.sha256),
            row("trust", self.trust),
            row("profile", &self.profile),
            row("state", self.state),
            row(
                "faults",
                format!("{} since the daemon started", self.faults),
            ),
        ]
    }
}

fn in_a_cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(in_a_cell).collect();
            all.join(", ")
        }
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::shown;

    /// What is printed as JSON changes with its `schema` number, and not without.
    #[test]
    fn a_session_and_a_module_are_printed_in_this_form() {
        let json = |wanted: &str| {
            let text = in_json(&shown().any(wanted).unwrap()).unwrap();
            let json: Value = serde_json::from_str(&text).unwrap();
            json.to_string()
        };
        assert_eq!(
            json("3"),
            concat!(
                r#"{"schema":1,"session":{"ae":"converged","af":"-","awb":"searching","#,
                r#""camera":"front","clamped_controls":2,"confinement":{"LandlockAbi":6,"#,
                r#""Namespaces":["user","net"],"NoNewPrivs":true},"deadline_misses":3,"#,
                r#""fallback_active":false,"frames":1200,"latency_us":{"max":5000,"p50":900,"#,
                r#""p95":1100,"p99":1200},"module":"acme-2","owner_uid":1000,"#,
                r#""pipeline":"acme-camera 2","rejected_blocks":7,"restarts":1,"session":"3","#,
                r#""started_us":1700000000000000,"state":"running","worker":4711}}"#,
            )
        );
        assert_eq!(
            json("acme-2"),
            format!(
                concat!(
                    r#"{{"module":{{"faults":5,"file":"/opt/acme/acme-2.so","license":"MIT","#,
                    r#""module":"acme-2","profile":"single","sha256":"{}","state":"in use","#,
                    r#""trust":"trusted","version":"1.0"}},"schema":1}}"#,
                ),
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn it_fits_into_80_columns_and_shows_the_jail() {
        for wanted in ["3", "12", "acme", "acme-2"] {
            let text = in_words(&shown().any(wanted).unwrap(), 80);
            let text = anstream::adapter::strip_str(&text).to_string();
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        let text = in_words(&shown().any("3").unwrap(), 100);
        assert!(
            text.contains("LandlockAbi") && text.contains("user, net"),
            "{text}"
        );
    }
}
