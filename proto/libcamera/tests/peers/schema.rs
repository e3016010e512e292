//! The files of `policy/libcamera`, read once more and in another way than the firewall's.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

#[derive(Clone, Debug)]
pub enum Kind {
    Plain(usize),
    Bool,
    Text,
    Fd,
    Map,
    List,
    Struct(Vec<Field>),
    Array(Box<Kind>),
    Pairs(Box<Kind>, Box<Kind>),
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub parameters: Vec<Field>,
    /// Whether there is a result in front, and what follows.
    pub answer: Option<(bool, Vec<Field>)>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub name: String,
    pub parameters: Vec<Field>,
    /// The command that it answers, and the field that both have.
    pub answers: Option<(u32, Option<String>)>,
}

/// A control: type, and how many there are of it if it is an array.
#[derive(Clone, Debug)]
pub struct Control {
    pub kind: u8,
    pub array: Option<Option<u16>>,
}

#[derive(Clone, Debug)]
pub struct Schema {
    pub ipa: String,
    pub series: String,
    pub calls: Vec<Call>,
    pub events: Vec<Event>,
    pub format: u32,
    pub tagged: bool,
    pub types: Vec<(String, usize)>,
    pub controls: BTreeMap<u32, Control>,
}

impl Kind {
    pub fn has_fd(&self) -> bool {
        match self {
            Self::Fd => true,
            Self::Struct(fields) => fields.iter().any(|field| field.kind.has_fd()),
            Self::Array(of) => of.has_fd(),
            Self::Pairs(key, value) => key.has_fd() || value.has_fd(),
            _ => false,
        }
    }
}

impl Schema {
    pub fn all() -> Vec<Self> {
        let core = file("core");
        let mut all = Vec::new();
        for ipa in ["ipu3", "mali-c55", "raspberrypi", "rkisp1", "soft", "vimc"] {
            for interface in file(ipa)["interface"].as_array().unwrap() {
                for series in texts(&interface["series"]) {
                    all.push(Self::of(&core, ipa, &series, interface));
                }
            }
        }
        all
    }

    fn of(core: &Table, ipa: &str, series: &str, interface: &Value) -> Self {
        let how = &core["series"][series];
        let types = how["types"].as_array().unwrap().iter();
        let types = types.map(|of| (text(&of[0]), number(&of[1]) as usize));
        let mut schema = Self {
            ipa: ipa.to_owned(),
            series: series.to_owned(),
            calls: Vec::new(),
            events: Vec::new(),
            format: number(&how["format"]) as u32,
            tagged: how["tagged"].as_bool().unwrap(),
            types: types.collect(),
            controls: BTreeMap::new(),
        };
        let defined = file(&format!("controls-{series}"));
        for who in texts(&interface["controls"]) {
            for of in defined[&who].as_table().unwrap().values() {
                let (name, array) = match text(&of[1]).split_once('[') {
                    None => (text(&of[1]), None),
                    Some((name, count)) => (
                        name.to_owned(),
                        Some(count.trim_end_matches(']').parse().ok()),
                    ),
                };
                let kind = schema.kind(&name);
                let id = number(&of[0]) as u32;
                schema.controls.insert(id, Control { kind, array });
            }
        }
        let mut structs = core["structs"].as_table().unwrap().clone();
        if let Some(own) = interface.get("structs") {
            structs.extend(own.as_table().unwrap().clone());
        }
        for call in texts(&interface["calls"]) {
            let answer = call.split_once(" -> ").map(|(_, answer)| {
                let (result, outputs) = match answer.strip_prefix("i32 ") {
                    Some(outputs) => (true, outputs),
                    None => (false, answer),
                };
                (result, fields(&structs, outputs))
            });
            let call = call
                .split(" -> ")
                .next()
                .unwrap()
                .trim_start_matches("async ");
            schema.calls.push(Call {
                name: call.split('(').next().unwrap().to_owned(),
                parameters: fields(&structs, call),
                answer,
            });
        }
        for event in texts(&interface["events"]) {
            let mut parts = event.split(" answers ");
            let signature = parts.next().unwrap();
            let answers = parts.next().map(|answers| {
                let (answers, _) = answers.split_once(", fills ").unwrap_or((answers, ""));
                let mut parts = answers.split(" by ");
                (
                    schema.command(parts.next().unwrap()),
                    parts.next().map(str::to_owned),
                )
            });
            schema.events.push(Event {
                name: signature.split('(').next().unwrap().to_owned(),
                parameters: fields(&structs, signature),
                answers,
            });
        }
        schema
    }

    /// The number of a type of values.
    pub fn kind(&self, name: &str) -> u8 {
        self.types
            .iter()
            .position(|(known, _)| known == name)
            .unwrap() as u8
    }

    /// The number of a call.
    pub fn command(&self, name: &str) -> u32 {
        let index = self.calls.iter().position(|call| call.name == name);
        index.unwrap() as u32 + 1
    }

    pub fn call(&self, command: u32) -> Option<&Call> {
        self.calls.get((command as usize).checked_sub(1)?)
    }

    pub fn event(&self, command: u32) -> Option<&Event> {
        self.events.get((command as usize).checked_sub(1)?)
    }

    /// The event that answers a call.
    pub fn answering(&self, command: u32) -> Option<(u32, &Event)> {
        let mut events = (1..).zip(&self.events);
        events.find(|(_, event)| {
            event
                .answers
                .as_ref()
                .is_some_and(|(call, _)| *call == command)
        })
    }
}

/// What is in the parentheses.
fn fields(structs: &Table, signature: &str) -> Vec<Field> {
    let (_, inside) = signature.split_once('(').unwrap();
    let (inside, _) = inside.split_once(')').unwrap();
    list(structs, inside)
}

fn list(structs: &Table, text: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut depth = 0;
    let parts = text.split(|letter| {
        depth += i32::from(letter == '<') - i32::from(letter == '>');
        letter == ',' && depth == 0
    });
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, kind) = part.trim().split_once(": ").unwrap();
        fields.push(Field {
            name: name.to_owned(),
            kind: kind_of(structs, kind),
        });
    }
    fields
}

fn kind_of(structs: &Table, text: &str) -> Kind {
    match text.trim_end_matches('>').split_once('<') {
        Some(("array", of)) => return Kind::Array(Box::new(kind_of(structs, of))),
        Some((_, pair)) => {
            let (key, value) = pair.split_once(", ").unwrap();
            let of = |text| Box::new(kind_of(structs, text));
            return Kind::Pairs(of(key), of(value));
        }
        None => {}
    }
    match text {
        "bool" => Kind::Bool,
        "u8" => Kind::Plain(1),
        "u32" | "i32" | "f32" => Kind::Plain(4),
        "u64" | "i64" => Kind::Plain(8),
        "string" => Kind::Text,
        "fd" => Kind::Fd,
        "InfoMap" => Kind::Map,
        "ControlList" => Kind::List,
        name => Kind::Struct(list(structs, structs[name].as_str().unwrap())),
    }
}

fn file(name: &str) -> Table {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy/libcamera");
    let text = std::fs::read_to_string(dir.join(format!("{name}.toml"))).unwrap();
    text.parse().unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn number(value: &Value) -> i64 {
    value.as_integer().unwrap()
}
