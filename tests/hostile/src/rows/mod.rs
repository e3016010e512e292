//! The escape list of `jail.md`, as data: one file a group of rows.

mod files;
mod kernel;
mod memory;
mod processes;
mod resources;
mod sockets;
mod worker;

use crate::probe::Row;

/// All rows that a module attempts, in order. Rows 14, 38, 39, 41 and 44 to 47 are also, or only,
/// in [`special`](crate::special): they need more than one session.
pub fn all() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        files::ROWS,
        memory::ROWS,
        sockets::ROWS,
        processes::ROWS,
        kernel::ROWS,
        worker::ROWS,
        resources::ROWS,
    ]
    .concat();
    rows.sort_by_key(|row| row.number);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_47_rows_and_each_once() {
        let numbers: Vec<u8> = all().iter().map(|row| row.number).collect();
        assert_eq!(numbers, (1..=47).collect::<Vec<_>>());
    }

    /// A probe that is in no row would be written for nothing.
    #[test]
    fn every_probe_of_the_modules_is_in_a_row() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("modules");
        let rows = all();
        let listed = |name: &str| {
            let probes = rows.iter().flat_map(|row| row.probes);
            probes.into_iter().any(|probe| probe.name == name)
                || crate::special::PROBES.contains(&name)
        };
        for entry in std::fs::read_dir(dir).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for (at, _) in text.match_indices("\nPROBE(") {
                let rest = &text[at + 7..];
                let name = &rest[..rest.find(')').unwrap()];
                assert!(listed(name), "{name} is in no row");
            }
        }
    }
}
