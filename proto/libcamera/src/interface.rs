//! Interfaces of libcamera's algorithms, from the files of `policy/libcamera`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use crate::controls::Vocabulary;

/// Series of libcamera whose interfaces are known.
pub const SERIES: [&str; 3] = ["0.3", "0.4", "0.7"];

const CORE: &str = include_str!("../../../policy/libcamera/core.toml");
const INTERFACES: [(&str, &str); 6] = [
    ("ipu3", include_str!("../../../policy/libcamera/ipu3.toml")),
    (
        "mali-c55",
        include_str!("../../../policy/libcamera/mali-c55.toml"),
    ),
    (
        "raspberrypi",
        include_str!("../../../policy/libcamera/raspberrypi.toml"),
    ),
    (
        "rkisp1",
        include_str!("../../../policy/libcamera/rkisp1.toml"),
    ),
    ("soft", include_str!("../../../policy/libcamera/soft.toml")),
    ("vimc", include_str!("../../../policy/libcamera/vimc.toml")),
];
const CONTROLS: [(&str, &str); 3] = [
    (
        "0.3",
        include_str!("../../../policy/libcamera/controls-0.3.toml"),
    ),
    (
        "0.4",
        include_str!("../../../policy/libcamera/controls-0.4.toml"),
    ),
    (
        "0.7",
        include_str!("../../../policy/libcamera/controls-0.7.toml"),
    ),
];

/// What one interface of one series says, and how.
#[derive(Clone, Debug)]
pub struct Dialect(Arc<Spoken>);

#[derive(Debug)]
struct Spoken {
    calls: Vec<Call>,
    events: Vec<Event>,
    vocabulary: Vocabulary,
}

impl Dialect {
    /// The interface `ipa` of the series `series`, if it is known.
    #[must_use]
    pub fn find(ipa: &str, series: &str) -> Option<Self> {
        ALL.get(&(ipa, series)).cloned()
    }

    pub(crate) fn call(&self, command: u32) -> Option<&Call> {
        numbered(&self.0.calls, command)
    }

    pub(crate) fn event(&self, command: u32) -> Option<&Event> {
        numbered(&self.0.events, command)
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    /// How events answer this call, if they do.
    pub(crate) fn answers(&self, command: u32) -> Option<&Answers> {
        let answers = self
            .0
            .events
            .iter()
            .filter_map(|event| event.answers.as_ref());
        answers.into_iter().find(|answers| answers.call == command)
    }
}

/// Calls and events count from 1.
fn numbered<T>(all: &[T], command: u32) -> Option<&T> {
    let index = usize::try_from(command).ok()?.checked_sub(1)?;
    all.get(index)
}

/// A call of the host.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) parameters: Arc<[Field]>,
    /// `None`: there is none.
    pub(crate) answer: Option<Answer>,
}

/// What a call is answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    /// A 32-bit number in front.
    pub(crate) result: bool,
    pub(crate) parameters: Arc<[Field]>,
}

/// What an algorithm says by itself.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) parameters: Arc<[Field]>,
    pub(crate) answers: Option<Answers>,
}

/// The call that an event answers.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) call: u32,
    /// The field that both have in common. `None`: they come in order.
    pub(crate) by: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// So many bytes.
    Plain(usize),
    Bool,
    String,
    Fd,
    InfoMap,
    ControlList,
    Struct(Arc<[Field]>),
    Array(Arc<Kind>),
    Map(Arc<(Kind, Kind)>),
}

impl Kind {
    pub(crate) fn has_fd(&self) -> bool {
        match self {
            Self::Fd => true,
            Self::Struct(fields) => fields.iter().any(|field| field.kind.has_fd()),
            Self::Array(of) => of.has_fd(),
            Self::Map(of) => of.0.has_fd() || of.1.has_fd(),
            _ => false,
        }
    }
}

/// Files that are part of the program are in order: the tests read them all.
static ALL: LazyLock<BTreeMap<(&str, &str), Dialect>> = LazyLock::new(|| match read() {
    Ok(all) => all,
    Err(why) => unreachable!("{why}"),
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Core {
    structs: BTreeMap<String, String>,
    series: BTreeMap<String, Series>,
}

/// How a series writes controls.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Series {
    pub(crate) format: u32,
    pub(crate) tagged: bool,
    pub(crate) types: Vec<(String, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    interface: Vec<Interface>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    series: Vec<String>,
    controls: Vec<String>,
    #[serde(default)]
    structs: BTreeMap<String, String>,
    calls: Vec<String>,
    events: Vec<String>,
}

/// By who defines them, then by name: number and type.
pub(crate) type Defined = BTreeMap<String, BTreeMap<String, (u32, String)>>;

fn read() -> Result<BTreeMap<(&'static str, &'static str), Dialect>, String> {
    fn parse<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, String> {
        toml::from_str(text).map_err(|error| format!("{name}.toml: {error}"))
    }
    let core: Core = parse("core", CORE)?;
    let mut defined = BTreeMap::new();
    for (series, text) in CONTROLS {
        defined.insert(series, parse::<Defined>("controls", text)?);
    }
    let mut all = BTreeMap::new();
    for (name, text) in INTERFACES {
        let file: File = parse(name, text)?;
        for interface in file.interface {
            for series in &interface.series {
                let known = SERIES.into_iter().find(|known| known == series);
                let (Some(known), Some(how), Some(defined)) =
                    (known, core.series.get(series), defined.get(series.as_str()))
                else {
                    return Err(format!("{name}.toml: {series:?} is no series"));
                };
                let spoken = Spoken {
                    vocabulary: Vocabulary::new(how, defined, &interface.controls)
                        .map_err(|why| format!("{name}.toml: {why}"))?,
                    ..speech(&core.structs, &interface)
                        .map_err(|why| format!("{name}.toml: {why}"))?
                };
                if all
                    .insert((name, known), Dialect(Arc::new(spoken)))
                    .is_some()
                {
                    return Err(format!("{name}.toml: {series} is there twice"));
                }
            }
        }
    }
    Ok(all)
}

fn speech(core: &BTreeMap<String, String>, interface: &Interface) -> Result<Spoken, String> {
    let names = Names {
        own: &interface.structs,
        core,
    };
    let mut calls = Vec::new();
    for text in &interface.calls {
        calls.push(names.call(text).ok_or_else(|| format!("no call: {text}"))?);
    }
    let mut events = Vec::new();
    for text in &interface.events {
        let event = names.event(text, &calls);
        events.push(event.ok_or_else(|| format!("no event: {text}"))?);
    }
    Ok(Spoken {
        calls,
        events,
        vocabulary: Vocabulary::default(),
    })
}

/// The structs that may be named.
struct Names<'a> {
    own: &'a BTreeMap<String, String>,
    core: &'a BTreeMap<String, String>,
}

impl Names<'_> {
    /// `[async] name(fields)` or `name(fields) -> [i32] (fields)`.
    fn call(&self, text: &str) -> Option<Call> {
        if let Some(text) = text.strip_prefix("async ") {
            let (name, parameters) = self.signature(text)?;
            return Some(Call {
                name,
                parameters,
                answer: None,
            });
        }
        let (call, answer) = text.split_once(" -> ")?;
        let (name, parameters) = self.signature(call)?;
        let (result, outputs) = match answer.strip_prefix("i32 ") {
            Some(outputs) => (true, outputs),
            None => (false, answer),
        };
        let outputs = outputs.strip_prefix('(')?.strip_suffix(')')?;
        let answer = Answer {
            result,
            parameters: self.fields(outputs)?,
        };
        Some(Call {
            name,
            parameters,
            answer: Some(answer),
        })
    }

    /// `name(fields)`, and `answers CALL [by FIELD]`.
    fn event(&self, text: &str, calls: &[Call]) -> Option<Event> {
        let (signature, answers) = match text.split_once(" answers ") {
            None => (text, None),
            Some((signature, answers)) => {
                let (call, by) = match answers.split_once(" by ") {
                    Some((call, by)) => (call, Some(by.to_owned())),
                    None => (answers, None),
                };
                let index = calls.iter().position(|known| known.name == call)?;
                let call = u32::try_from(index).ok()?.checked_add(1)?;
                (signature, Some(Answers { call, by }))
            }
        };
        let (name, parameters) = self.signature(signature)?;
        Some(Event {
            name,
            parameters,
            answers,
        })
    }

    fn signature(&self, text: &str) -> Option<(String, Arc<[Field]>)> {
        let (name, fields) = text.strip_suffix(')')?.split_once('(')?;
        Some((name.to_owned(), self.fields(fields)?))
    }

    fn fields(&self, text: &str) -> Option<Arc<[Field]>> {
        let mut fields = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, after) = rest.split_once(": ")?;
            let end = end_of_kind(after);
            let (kind, after) = after.split_at(end);
            fields.push(Field {
                name: name.to_owned(),
                kind: self.kind(kind)?,
            });
            rest = after.strip_prefix(", ").unwrap_or(after);
        }
        Some(fields.into())
    }

    fn kind(&self, text: &str) -> Option<Kind> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_suffix('>');
        Some(match text {
            "bool" => Kind::Bool,
            "u8" => Kind::Plain(1),
            "u32" | "i32" | "f32" => Kind::Plain(4),
            "u64" | "i64" => Kind::Plain(8),
            "string" => Kind::String,
            "fd" => Kind::Fd,
            "InfoMap" => Kind::InfoMap,
            "ControlList" => Kind::ControlList,
            _ => {
                if let Some(of) = inside("array<") {
                    Kind::Array(Arc::new(self.kind(of)?))
                } else if let Some(of) = inside("map<") {
                    let (key, value) = of.split_once(", ")?;
                    Kind::Map(Arc::new((self.kind(key)?, self.kind(value)?)))
                } else {
                    let fields = self.own.get(text).or_else(|| self.core.get(text))?;
                    Kind::Struct(self.fields(fields)?)
                }
            }
        })
    }
}

/// Where a type ends: at a comma outside of angle brackets.
fn end_of_kind(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_order() {
        let all = read().unwrap();
        // mali-c55 is not in 0.3.
        assert_eq!(all.len(), INTERFACES.len() * SERIES.len() - 1);
        assert!(Dialect::find("mali-c55", "0.3").is_none());
        assert!(Dialect::find("soft", "0.9").is_none());
    }

    #[test]
    fn every_interface_begins_with_what_recovery_needs() {
        for ((ipa, series), dialect) in read().unwrap() {
            let named = |name: &str| dialect.0.calls.iter().any(|call| call.name == name);
            for name in ["init", "configure", "start", "stop"] {
                assert!(named(name), "{ipa} {series} has no {name}");
            }
            assert_eq!(dialect.call(1).unwrap().name, "init", "{ipa} {series}");
        }
    }

    #[test]
    fn what_an_event_answers_has_the_field_that_both_have_in_common() {
        fn has(fields: &[Field], name: &str) -> bool {
            fields.iter().any(|field| {
                field.name == name || matches!(&field.kind, Kind::Struct(inner) if has(inner, name))
            })
        }
        for (of, dialect) in read().unwrap() {
            for event in &dialect.0.events {
                let Some(answers) = &event.answers else {
                    continue;
                };
                let call = dialect.call(answers.call).unwrap();
                assert!(call.answer.is_none(), "{of:?} {}", event.name);
                if let Some(by) = &answers.by {
                    assert!(has(&event.parameters, by), "{of:?} {}", event.name);
                    assert!(has(&call.parameters, by), "{of:?} {}", call.name);
                }
            }
        }
    }

    #[test]
    fn numbers_are_those_of_libcameras_headers() {
        let name = |ipa, command| {
            let dialect = Dialect::find(ipa, "0.7").unwrap();
            dialect.call(command).unwrap().name.clone()
        };
        assert_eq!(name("soft", 7), "processStats");
        assert_eq!(name("vimc", 2), "configure");
        assert_eq!(name("mali-c55", 8), "fillParams");
        assert_eq!(name("raspberrypi", 8), "processStats");
        let soft = Dialect::find("soft", "0.7").unwrap();
        assert!(soft.call(0).is_none() && soft.call(8).is_none());
        assert_eq!(soft.event(3).unwrap().name, "metadataReady");
    }
}
