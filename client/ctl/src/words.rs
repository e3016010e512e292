//! Tables and widths.

use comfy_table::{ContentArrangement, Table, presets};

/// Width where the terminal does not tell.
const WIDTH: u16 = 100;

/// Columns to write on.
pub(crate) fn width() -> u16 {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(WIDTH, |size| size.ws_col.clamp(60, 140))
}

/// A table without lines that fits into `width`.
pub(crate) fn plain(width: u16) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table
}

/// Writes to standard output. Who stops reading has read enough.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    match writeln!(anstream::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Text of others in one line of at most `most` bytes.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut length = 0;
    line.take_while(|c| {
        length += c.len_utf8();
        length <= most
    })
    .collect()
}
