//! What is put into libcamera's configuration and taken out again: text in, text out.
//!
//! Lines are put in between two comments, right below `ipa:`, or below `configuration:` where there is no
//! `ipa:`. Nothing else is touched, so taking them out leaves each byte as it was. What else was made for
//! them, the first comment says.

use super::outline::{Key, Line, Lines, Unclear, keys};

const BEGIN: &str = "# coldshoe: begin, by coldshoectl libcamera enable";
const END: &str = "# coldshoe: end";
/// How any of our first comments begins.
const ANY_BEGIN: &str = "# coldshoe: begin";
/// What libcamera's configuration begins with.
const FRAME: [&str; 2] = ["version: 1", "configuration:"];
const MADE_FRAME: &str = "the two lines above";
const MADE_FILE: &str = "the file";
const MADE_DIRS: &str = "directories: ";

/// What was made beside our lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    /// `FRAME`, right before them.
    pub(crate) frame: bool,
    pub(crate) file: bool,
    /// Directories on the way to the file.
    pub(crate) dirs: u8,
}

/// A text without our lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parted {
    pub(crate) rest: String,
    pub(crate) made: Made,
    /// What they name, as it is written.
    pub(crate) proxies: String,
}

/// What a text says of isolation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Whether it has our lines.
    pub(crate) ours: bool,
    /// Whether every algorithm is isolated.
    pub(crate) forced: bool,
    /// Where workers are looked for first.
    pub(crate) paths: Vec<String>,
}

/// Where our lines go.
struct Place {
    /// In bytes.
    at: usize,
    indent: usize,
    missing: Missing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Everything,
    Ipa,
    Keys,
}

/// A path as YAML has it; `None` where a text cannot hold it.
pub(crate) fn quoted(path: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    match path {
        path if path.chars().any(super::outline::is_odd) || path.contains('\t') => None,
        path if path.starts_with('/') && path.chars().all(plain) => Some(path.to_owned()),
        path => Some(format!("'{}'", path.replace('\'', "''"))),
    }
}

fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    match inner.or_else(|| text.strip_prefix('"')?.strip_suffix('"')) {
        Some(inner) => inner.replace("''", "'"),
        None => text.to_owned(),
    }
}

/// The text with our lines, which name `proxies` as [`quoted`] gives it; `made` says what else is made
/// for them.
pub(crate) fn joined(text: &str, proxies: &str, mut made: Made) -> Result<String, Unclear> {
    let place = place(text)?;
    made.frame = place.missing == Missing::Everything;
    let mut lines: Vec<String> = Vec::new();
    if made.frame {
        lines.extend(FRAME.map(str::to_owned));
    }
    lines.push(pad(place.indent, &begin(made)));
    let mut indent = place.indent;
    if place.missing != Missing::Keys {
        lines.push(pad(indent, "ipa:"));
        indent += 2;
    }
    lines.push(pad(indent, "force_isolation: true"));
    lines.push(pad(indent, "proxy_paths:"));
    lines.push(pad(indent + 2, &format!("- {proxies}")));
    lines.push(pad(place.indent, END));
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    let ending = if first.ends_with("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let (before, after) = text.split_at(place.at);
    let ours = lines.join(ending);
    let with = if before.is_empty() || before.ends_with('\n') {
        format!("{before}{ours}{ending}{after}")
    } else {
        // The last line has no ending, and ours has none either: that is how it is found again.
        format!("{before}{ending}{ours}")
    };
    // Comments that look like ours may have been there before.
    match parted(&with)? {
        Some(parted) if parted.rest == text && said(&with)?.forced => Ok(with),
        _ => Err(Unclear {
            line: 1,
            why: "what coldshoe writes into it could not be taken out again".to_owned(),
        }),
    }
}

fn pad(indent: usize, text: &str) -> String {
    format!("{:indent$}{text}", "")
}

fn begin(made: Made) -> String {
    let mut parts = Vec::new();
    if made.frame {
        parts.push(MADE_FRAME.to_owned());
    }
    if made.file {
        parts.push(MADE_FILE.to_owned());
    }
    if made.dirs > 0 {
        parts.push(format!("{MADE_DIRS}{}", made.dirs));
    }
    match parts.as_slice() {
        [] => BEGIN.to_owned(),
        parts => format!("{BEGIN}, which made {}", parts.join(", ")),
    }
}

/// What our first comment says was made. What somebody has changed there was not.
fn made(comment: &str) -> Made {
    let parts = comment.strip_prefix(BEGIN).unwrap_or_default();
    let parts = parts.strip_prefix(", which made ").unwrap_or_default();
    let mut made = Made::default();
    for part in parts.split(", ") {
        match part {
            MADE_FRAME => made.frame = true,
            MADE_FILE => made.file = true,
            part => {
                let count = part.strip_prefix(MADE_DIRS);
                let count = count.and_then(|count| count.parse().ok());
                made.dirs = count.unwrap_or_default();
            }
        }
    }
    made
}

fn place(text: &str) -> Result<Place, Unclear> {
    let document = Lines::of(text)?;
    let Some(first) = document.lines.first() else {
        return Ok(Place {
            at: document.begin,
            indent: 2,
            missing: Missing::Everything,
        });
    };
    let top = keys(&document.lines)?;
    if first.indent > 0 {
        return Err(first.unclear("it is indented, and nothing is above it"));
    }
    check_version(first, &top)?;
    let last = document.lines.last().unwrap_or(first);
    let configuration = find(&top, "configuration")
        .ok_or_else(|| last.unclear("`configuration:` is in no line up to here"))?;
    let children = configuration.children()?;
    let Some(ipa) = find(&children, "ipa") else {
        return Ok(Place {
            at: configuration.line.end,
            indent: children.first().map_or(2, |key| key.line.indent),
            missing: Missing::Ipa,
        });
    };
    let settings = ipa.children()?;
    for name in ["force_isolation", "proxy_paths"] {
        if let Some(key) = find(&settings, name) {
            return Err(key.line.unclear(format!("it sets `{name}` itself")));
        }
    }
    let deeper = ipa.line.indent + 2;
    Ok(Place {
        at: ipa.line.end,
        indent: settings.first().map_or(deeper, |key| key.line.indent),
        missing: Missing::Keys,
    })
}

fn check_version(first: &Line<'_>, top: &[Key<'_>]) -> Result<(), Unclear> {
    let version = find(top, "version");
    if version.is_some_and(|key| key.value == "1" && key.beneath.is_empty()) {
        return Ok(());
    }
    let line = version.map_or(first, |key| &key.line);
    Err(line.unclear("libcamera reads files with `version: 1` alone"))
}

fn find<'k, 'a>(keys: &'k [Key<'a>], name: &str) -> Option<&'k Key<'a>> {
    keys.iter().find(|key| key.name == name)
}

/// The text without our lines; `None`: it has none. Lines among ours that are somebody else's are neither
/// thrown away nor left without what they belong to: they are named.
pub(crate) fn parted(text: &str) -> Result<Option<Parted>, Unclear> {
    let mut begin: Option<(usize, usize, usize, &str)> = None;
    let mut ours = Vec::new();
    let mut end = None;
    // Whether a line that is no comment came after ours.
    let mut followed = false;
    let mut at = 0;
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let (number, start) = (index + 1, at);
        at += whole.len();
        let line = whole.trim();
        let unclear = |why: &str| Unclear {
            line: number,
            why: why.to_owned(),
        };
        let indent = whole.len() - whole.trim_start_matches(' ').len();
        match (line.starts_with(ANY_BEGIN), line == END, &begin, &end) {
            (true, _, None, _) => begin = Some((number, start, indent, line)),
            (true, _, Some(_), _) => return Err(unclear("lines of coldshoe's begin once more")),
            (_, true, Some(_), None) => end = Some(at),
            (_, true, _, _) => return Err(unclear("lines of coldshoe's end that do not begin")),
            (_, _, Some(_), None) => ours.push((number, line)),
            (_, _, Some((.., outer, _)), Some(_)) if !followed && !is_empty(line) => {
                if indent > *outer {
                    return Err(unclear("it belongs to coldshoe's lines above"));
                }
                followed = true;
            }
            _ => {}
        }
    }
    let Some((number, start, _, comment)) = begin else {
        return Ok(None);
    };
    let end = end.ok_or_else(|| Unclear {
        line: number,
        why: "lines of coldshoe's begin that do not end".to_owned(),
    })?;
    let proxies = proxies(&ours, number)?;
    let (mut before, after) = (&text[..start], &text[end..]);
    let mut made = made(comment);
    match unframed(before).filter(|before| made.frame && is_empty(before) && is_empty(after)) {
        Some(above) => before = above,
        None => made = Made::default(),
    }
    if !text[..end].ends_with('\n') {
        let above = before.strip_suffix('\n').unwrap_or(before);
        before = above.strip_suffix('\r').unwrap_or(above);
    }
    let rest = format!("{before}{after}");
    made.file &= rest.is_empty();
    Ok(Some(Parted {
        rest,
        made,
        proxies,
    }))
}

/// The directory that our lines name, if they are as they were written.
fn proxies(lines: &[(usize, &str)], begin: usize) -> Result<String, Unclear> {
    let foreign = |line: usize| Unclear {
        line,
        why: "it stands between coldshoe's lines and is not as coldshoe wrote it".to_owned(),
    };
    let lines = match lines {
        [(_, "ipa:"), lines @ ..] => lines,
        lines => lines,
    };
    let wanted: [fn(&str) -> bool; 3] = [
        |line| line == "force_isolation: true",
        |line| line == "proxy_paths:",
        |line| line.starts_with("- "),
    ];
    for (index, (number, line)) in lines.iter().enumerate() {
        if !wanted.get(index).is_some_and(|wanted| wanted(line)) {
            return Err(foreign(*number));
        }
    }
    match lines {
        [_, _, (_, item)] => Ok(unquoted(item.trim_start_matches("- "))),
        _ => Err(foreign(begin)),
    }
}

/// What is above the frame, if that is the end of it.
fn unframed(before: &str) -> Option<&str> {
    let mut above = before;
    for wanted in FRAME.iter().rev() {
        let ended = above.strip_suffix('\n')?;
        let (rest, line) = ended.split_at(ended.rfind('\n').map_or(0, |at| at + 1));
        if line.strip_suffix('\r').unwrap_or(line) != *wanted {
            return None;
        }
        above = rest;
    }
    Some(above)
}

/// Whether there is nothing in it that libcamera would read.
fn is_empty(text: &str) -> bool {
    let nothing = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
    text.lines().all(|line| nothing(line.trim()))
}

/// What a text says of isolation.
pub(crate) fn said(text: &str) -> Result<Said, Unclear> {
    let ours = parted(text)?.is_some();
    let document = Lines::of(text)?;
    let top = keys(&document.lines)?;
    if let Some(first) = document.lines.first() {
        check_version(first, &top)?;
    }
    let children = find(&top, "configuration").map(Key::children).transpose()?;
    let children = children.unwrap_or_default();
    let settings = find(&children, "ipa").map(Key::children).transpose()?;
    let settings = settings.unwrap_or_default();
    let forced = find(&settings, "force_isolation").is_some_and(|key| key.value == "true");
    let paths = find(&settings, "proxy_paths").map(|key| {
        let flow = key.value.trim_start_matches('[').trim_end_matches(']');
        let flow = flow.split(',').map(str::trim);
        let items = key.beneath.iter().map(|line| line.item());
        let all = flow.chain(items).filter(|path| !path.is_empty());
        all.map(unquoted).collect()
    });
    Ok(Said {
        ours,
        forced,
        paths: paths.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
