//! The table on standard output.

use comfy_table::{ContentArrangement, Row, Table, presets};

use super::summary::Section;

/// Width where the terminal does not tell.
const WIDTH: u16 = 100;

/// Lays the sections out in `width` columns.
pub(super) fn layout(sections: &[Section], width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    for section in sections {
        if table.row_count() > 0 {
            table.add_row(Row::from([""; 3]));
        }
        let titles = std::iter::once(section.title).chain(std::iter::repeat(""));
        for (title, (what, value)) in titles.zip(&section.rows) {
            table.add_row(Row::from([title, what, value]));
        }
    }
    table.trim_fmt()
}

/// Width of the terminal on standard output.
pub(super) fn width() -> u16 {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(WIDTH, |size| size.ws_col.clamp(40, 120))
}
