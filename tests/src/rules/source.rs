//! Rust sources, as far as rules look into them.

/// The identifiers and keywords of a source, without what comments and literals say.
pub fn words(source: &str) -> impl Iterator<Item = &str> {
    let mut rest = source;
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            if first.is_alphanumeric() || first == '_' {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
                rest = tail;
                let literal = match word {
                    "r" | "br" | "cr" => raw_string(rest),
                    _ => None,
                };
                match literal {
                    Some(len) => rest = &rest[len..],
                    None => return Some(word),
                }
            } else {
                rest = &rest[skipped(rest, first)..];
            }
        }
    })
}

/// Length of what begins here and is no word: a comment, a literal, or one character.
fn skipped(rest: &str, first: char) -> usize {
    let to_end_of = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    match first {
        '/' if rest.starts_with("//") => to_end_of("\n"),
        '/' if rest.starts_with("/*") => block_comment(rest),
        '"' => quoted(rest, '"'),
        // A character, or a lifetime: one quote alone.
        '\'' if rest.starts_with("'\\") => quoted(rest, '\''),
        '\'' => match rest[1..].chars().next() {
            Some(c) if rest[1 + c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
            _ => 1,
        },
        other => other.len_utf8(),
    }
}

/// Length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a literal with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Length of a raw string after its letters, if it is one.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &rest[..hashes]);
    let len = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(hashes + 1 + len)
}

#[cfg(test)]
mod tests {
    use super::words;

    fn unsafes(source: &str) -> usize {
        words(source).filter(|word| *word == "unsafe").count()
    }

    #[test]
    fn code_counts_and_nothing_else_does() {
        assert_eq!(unsafes("unsafe { f() }"), 1);
        assert_eq!(
            unsafes("#[unsafe(no_mangle)] pub unsafe extern \"C\" fn f()"),
            2
        );
        assert_eq!(unsafes("// unsafe\n/* unsafe /* unsafe */ unsafe */ f"), 0);
        assert_eq!(unsafes("/// unsafe\n//! unsafe"), 0);
        assert_eq!(unsafes(r#""unsafe" "\" unsafe""#), 0);
        assert_eq!(
            unsafes("r\"unsafe\\\" r##\"unsafe \"# unsafe\"## br#\"unsafe\"#"),
            0
        );
        assert_eq!(unsafes("unsafe_code is_unsafe Unsafe"), 0);
    }

    #[test]
    fn code_after_a_literal_or_a_comment_is_seen() {
        assert_eq!(unsafes("'\"' unsafe '\\'' unsafe 'a' unsafe"), 3);
        assert_eq!(unsafes("fn f<'a>(x: &'a str) { unsafe {} }"), 1);
        assert_eq!(unsafes("r#type r \"x\" unsafe // end\nunsafe"), 2);
        assert_eq!(unsafes("\"ü\" unsafe 'ü' unsafe"), 2);
    }
}
