//! What can be set: in `coldshoed.toml`, in its drop-ins, and on the command line, which overrides
//! them.
//!
//! `keys` lists what there is, `values` says what each may be, `files` finds and reads the files.

mod files;
mod keys;
mod values;

pub use files::{SettingsError, Sources};
pub use keys::{Entry, Key, Origin, Said, Settings, When};
pub use values::{FilePath, Filter, ProfileName, SeriesName, Within};
