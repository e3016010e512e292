//! For the fuzzers: what reads files, without the files.

use std::io::Cursor;
use std::path::Path;

use crate::{elf, trust_file};

/// The first look at a module's bytes. Whatever they are, the answer has a reason and a way out.
pub fn module(bytes: &[u8]) {
    let _ = elf::needed(Cursor::new(bytes));
    if let Err(unfit) = elf::check(Cursor::new(bytes)) {
        assert!(!unfit.to_string().is_empty() && !unfit.remedy().is_empty());
    }
}

/// A trust file's text. What is understood is written back, and understood the same way.
pub fn trust_file(text: &str) {
    let path = Path::new("/trust.toml");
    match trust_file::parse(path, text) {
        Ok(records) => {
            let again = trust_file::text(&records).expect("what was read can be written");
            let again = trust_file::parse(path, &again).expect("what was written can be read");
            assert_eq!(again, records);
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.remedy().is_empty()),
    }
}
