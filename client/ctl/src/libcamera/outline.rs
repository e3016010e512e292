//! As much of YAML as it takes to find one place in libcamera's configuration, and no more.
//!
//! What decides where a line may be put is understood line by line; whatever could make a line mean
//! something else than it seems to is not guessed at, but named. What is deeper than the mappings on the
//! way is only held against that.

/// Why a text is not touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(crate) struct Unclear {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// A line that is neither empty nor a comment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: usize,
    /// Where the next one begins, in bytes.
    pub(crate) end: usize,
    pub(crate) indent: usize,
    /// Without what is before and after it.
    text: &'a str,
}

/// A key of a mapping, with what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) name: &'a str,
    /// On the same line, without a comment.
    pub(crate) value: &'a str,
    pub(crate) line: Line<'a>,
    pub(crate) beneath: &'a [Line<'a>],
}

/// The lines of a document, and where the first may begin.
#[derive(Debug, Default)]
pub(crate) struct Lines<'a> {
    pub(crate) lines: Vec<Line<'a>>,
    /// In bytes: after the line that begins a document, if there is one.
    pub(crate) begin: usize,
}

impl Line<'_> {
    pub(crate) fn unclear(&self, why: impl Into<String>) -> Unclear {
        unclear(self.number, why)
    }

    fn is_item(&self) -> bool {
        self.text == "-" || self.text.starts_with("- ")
    }

    /// What it has as an item of a list.
    pub(crate) fn item(&self) -> &str {
        self.text.trim_start_matches("- ").trim()
    }
}

fn unclear(line: usize, why: impl Into<String>) -> Unclear {
    let why = why.into();
    Unclear { line, why }
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Result<Self, Unclear> {
        let mut found = Self::default();
        let mut end = 0;
        for (index, whole) in text.split_inclusive('\n').enumerate() {
            let number = index + 1;
            end += whole.len();
            let line = match whole.strip_suffix('\n') {
                Some(line) => line.strip_suffix('\r').unwrap_or(line),
                None => whole,
            };
            if let Some(odd) = line.chars().find(|c| is_odd(*c)) {
                return Err(unclear(number, format!("it has the character {odd:?}")));
            }
            let text = line.trim_matches([' ', '\t']);
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let indent = line.len() - line.trim_start_matches(' ').len();
            if line[indent..].starts_with('\t') {
                return Err(unclear(number, "it begins with a tab"));
            }
            if indent == 0 && text == "---" && found.begin == 0 && found.lines.is_empty() {
                found.begin = end;
                continue;
            }
            if indent == 0
                && ["---", "...", "%"]
                    .iter()
                    .any(|mark| text.starts_with(mark))
            {
                return Err(unclear(number, "it begins or ends a document"));
            }
            if !is_whole(text) {
                let why = "a quotation mark or bracket in it does not seem to be closed";
                return Err(unclear(number, why));
            }
            found.lines.push(Line {
                number,
                end,
                indent,
                text,
            });
        }
        Ok(found)
    }
}

/// What may end a line for YAML, or not be seen; a tab is neither.
pub(crate) fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether a line's quotation marks and brackets are closed in it, so that the next one stands for
/// itself. A mark within a word may be one or not: it counts as not closed.
fn is_whole(text: &str) -> bool {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('"'), '\\') => {
                chars.next();
            }
            (Some('\''), '\'') if chars.peek() == Some(&'\'') => {
                chars.next();
            }
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '#') if matches!(before, ' ' | '\t') => break,
            (None, '\'' | '"') if matches!(before, ' ' | '\t' | '[' | '{' | ',') => quote = Some(c),
            (None, '\'' | '"') => return false,
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            (None, _) => {}
        }
        before = c;
    }
    quote.is_none() && depth == 0
}

/// The keys of the mapping that these lines are.
pub(crate) fn keys<'a>(lines: &'a [Line<'a>]) -> Result<Vec<Key<'a>>, Unclear> {
    let mut keys: Vec<Key<'a>> = Vec::new();
    let Some(indent) = lines.first().map(|line| line.indent) else {
        return Ok(keys);
    };
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        if line.indent != indent {
            return Err(line.unclear("it is indented neither as those before it nor deeper"));
        }
        let (name, value) = key(line)?;
        if keys.iter().any(|other| other.name == name) {
            return Err(line.unclear(format!("`{name}:` is there twice")));
        }
        // A list may be indented no deeper than its key.
        let own = |other: &Line| {
            other.indent > indent || (value.is_empty() && is_own_item(other, indent))
        };
        let count = after.iter().take_while(|other| own(other)).count();
        let (beneath, others) = after.split_at(count);
        let line = *line;
        keys.push(Key {
            name,
            value,
            line,
            beneath,
        });
        rest = others;
    }
    Ok(keys)
}

fn is_own_item(line: &Line<'_>, indent: usize) -> bool {
    line.indent == indent && line.is_item()
}

/// A plain key, and its value without a comment.
fn key<'a>(line: &Line<'a>) -> Result<(&'a str, &'a str), Unclear> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let length = line.text.find(|c| !plain(c)).unwrap_or(line.text.len());
    let (name, rest) = line.text.split_at(length);
    let value = rest.strip_prefix(':').filter(|value| {
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        begins && (value.is_empty() || value.starts_with([' ', '\t']))
    });
    let value =
        value.ok_or_else(|| line.unclear("it does not begin with a plain key, as in `key:`"))?;
    let comment = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, space), mark)| matches!(space, ' ' | '\t') && *mark == '#');
    let end = comment.map_or(value.len(), |((at, _), _)| at);
    Ok((name, value[..end].trim_matches([' ', '\t'])))
}

impl<'a> Key<'a> {
    /// The keys beneath it, which must be a mapping in lines of its own, or nothing.
    pub(crate) fn children(&self) -> Result<Vec<Key<'a>>, Unclear> {
        if !self.value.is_empty() {
            let why = format!("`{}:` has its value on the same line", self.name);
            return Err(self.line.unclear(why));
        }
        keys(self.beneath)
    }
}
