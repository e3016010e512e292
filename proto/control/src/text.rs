//! Text that goes to logs and terminals.

use crate::check::MAX_TEXT;

/// Makes one bounded line of any text, so that it can travel in a message.
///
/// Control characters become spaces, for texts end up on terminals and in logs;
/// what exceeds [`MAX_TEXT`] bytes is cut off between two characters.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_TEXT));
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if line.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(clean("größer als 4 KiB"), "größer als 4 KiB");
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(clean("a\nb\x1b[2Jc\u{9b}d\0"), "a b [2Jc d ");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let cut = clean(&"ü".repeat(MAX_TEXT));
        assert_eq!(cut.len(), MAX_TEXT);
        let cut = clean(&format!("x{}", "ü".repeat(MAX_TEXT)));
        assert_eq!(cut.len(), MAX_TEXT - 1);
    }
}
