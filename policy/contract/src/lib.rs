//! Contracts: what a parameter buffer may say, and what may be asked of a sensor and its lens.
//!
//! A [`Contract`] is read from TOML, one file a format (`formats/rkisp1.toml` explains its own form).
//! It documents every block and every field of it: type, size, offset, range, unit, meaning. What it
//! does not document is refused. [`Contract::validate`] judges a buffer, [`Contract::admit`] copies
//! what of it may go on. [`Actuators`] holds requests for exposure, gains, lens and frame duration
//! against the limits of a sensor and the contract's [`Rates`].
//!
//! Nothing here does I/O. Judging does not allocate, and nothing panics on bytes: callers copy a
//! peer's bytes into private memory first and have the copy judged.
//!
//! ```
//! use coldshoe_contract::{Contract, Reason, Report};
//!
//! let soft = Contract::builtin("coldshoe-soft")?;
//! // Version 1 and 24 bytes: white balance gains, switched on, and a block that nobody documents.
//! let mut buffer = vec![1, 0, 0, 0, 24, 0, 0, 0];
//! buffer.extend([1, 0, 2, 0, 16, 0, 0, 0, 0, 16, 0, 16, 0, 16, 0, 16]);
//! buffer.extend([9, 0, 2, 0, 8, 0, 0, 0]);
//! let mut out = [0; 64];
//! let mut report = Report::new();
//! let admitted = soft.admit(&buffer, soft.all_blocks(), &mut out, &mut report)?;
//! assert_eq!(admitted[8..], buffer[8..24]);
//! assert_eq!(report.refusals()[0].reason, Reason::Unknown);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod actuators;
mod block;
mod checks;
mod contract;
mod error;
mod field;
mod parse;
mod rates;
mod report;
mod standing;
mod tally;
mod text;
mod trace;
mod usage;
mod validate;
mod words;

pub use actuators::{
    Actuator, Actuators, Clamp, Dioptres, Gain, GainCode, GainModel, Granted, Judged, Limits,
    LimitsError, Lines, MAX_DELAY, Microseconds, Requests, Sensor, Unfit, Wanted,
};
pub use block::Block;
pub use contract::{Contract, Mode, Source};
pub use error::{ContractError, Problem};
pub use field::{Allowed, Field, Number};
pub use rates::Rates;
pub use report::{Accepted, Class, Reason, Refusal, Report, UNKNOWN_NAMED, Whole};
pub use standing::{Quarantine, Standing};
pub use tally::Tally;
pub use trace::{MAX_DUMPED, Trace, TraceError};
pub use usage::{BlockUse, UnknownUse, Usage};
pub use validate::Verdict;
