//! Tuning: a versioned TOML file, read once, refused whole.
//!
//! `tuning/default.toml` documents every key. Each algorithm owns its table and the checks on it;
//! this file turns bytes into tables and faults into messages with a line.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Deserialize;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use crate::af::AfTuning;
use crate::agc::AgcTuning;
use crate::awb::AwbTuning;
use crate::black_level::BlackLevelTuning;
use crate::ccm::CcmTuning;
use crate::lsc::LscTuning;
use crate::lux::LuxTuning;
use crate::targets::tuning::{NoiseTuning, Rkisp1Tuning};
use crate::tone::ToneTuning;

/// The version of the file format that this module reads.
pub const VERSION: i64 = 1;

/// Larger files are refused unread; the largest tables of the format stay far below.
pub const MAX_BYTES: usize = 256 * 1024;

/// What is used without a tuning file.
const DEFAULT: &str = include_str!("../tuning/default.toml");

/// A tuning file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// [`VERSION`].
    pub version: i64,
    /// Exposure and gain.
    #[serde(default)]
    pub agc: AgcTuning,
    /// Focus.
    #[serde(default)]
    pub af: AfTuning,
    /// White balance.
    #[serde(default)]
    pub awb: AwbTuning,
    /// What a pixel reads without light.
    #[serde(default)]
    pub black_level: BlackLevelTuning,
    /// Colour correction.
    #[serde(default)]
    pub ccm: CcmTuning,
    /// Contrast and gamma.
    #[serde(default)]
    pub tone: ToneTuning,
    /// Lens shading; without it the block is switched off.
    pub lsc: Option<LscTuning>,
    /// How bright a scene is in lux; without it the module does not know.
    pub lux: Option<LuxTuning>,
    /// How much the sensor's noise is; without it that of a typical one.
    pub noise: Option<NoiseTuning>,
    /// What the Rockchip ISP1 alone has.
    #[serde(default)]
    pub rkisp1: Rkisp1Tuning,
}

/// Why a tuning file was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TuningError {
    /// Too large to be one.
    #[error("tuning: {bytes} bytes, at most {MAX_BYTES} are read; name the tuning file itself")]
    TooLarge {
        /// Bytes found.
        bytes: usize,
    },
    /// Not text.
    #[error("tuning line {line}: not UTF-8; save the file as UTF-8 text")]
    NotUtf8 {
        /// The line with the first wrong byte, counted from 1.
        line: usize,
    },
    /// No version.
    #[error("tuning: no version; write `version = {VERSION}` on the first line")]
    NoVersion,
    /// Another version.
    #[error(
        "tuning line {line}: version is {found}, this module reads {VERSION}; \
         use a file of version {VERSION}"
    )]
    Version {
        /// Where it stands.
        line: usize,
        /// What it says.
        found: String,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("tuning line {line} `{text}`: {reason}; see tuning/default.toml for all keys")]
    Syntax {
        /// Where it stands.
        line: usize,
        /// The line, shortened.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that makes no sense.
    #[error("tuning line {line}: {key} {reason}")]
    Value {
        /// Where the key stands.
        line: usize,
        /// The key with its tables; a number counts the elements of a list from 0.
        key: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
}

/// A value that makes no sense, found by the algorithm it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key} {reason}")]
pub struct Fault {
    key: String,
    reason: String,
}

impl Fault {
    /// A fault of `key`, dotted from the file's root; `reason` continues the sentence and says
    /// what to write instead.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// Fails unless `value` is in `range`; NaN never is.
    pub(crate) fn unless_in<T: PartialOrd + Display + Copy>(
        key: impl Into<String>,
        value: T,
        range: RangeInclusive<T>,
    ) -> Result<(), Self> {
        if range.contains(&value) {
            return Ok(());
        }
        let (low, high) = (range.start(), range.end());
        Err(Self::new(
            key,
            format!("is {value}; write a value from {low} to {high}"),
        ))
    }
}

impl Tuning {
    /// The built-in tuning: any sensor, grey world.
    ///
    /// # Errors
    /// None in a build whose tests pass.
    pub fn built_in() -> Result<Self, TuningError> {
        Self::parse(DEFAULT.as_bytes())
    }

    /// Reads a tuning file's content.
    ///
    /// # Errors
    /// [`TuningError`] names the line, the key and the way out.
    pub fn parse(bytes: &[u8]) -> Result<Self, TuningError> {
        if bytes.len() > MAX_BYTES {
            return Err(TuningError::TooLarge { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| TuningError::NotUtf8 {
            line: line_at(bytes, error.valid_up_to()),
        })?;
        let table = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
        check_version(text, table.get_ref())?;
        let tuning: Self = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        tuning.check().map_err(|fault| TuningError::Value {
            line: line_of(text, table.get_ref(), &fault.key),
            key: fault.key,
            reason: fault.reason,
        })?;
        Ok(tuning)
    }

    fn check(&self) -> Result<(), Fault> {
        self.agc.check()?;
        self.af.check()?;
        self.awb.check()?;
        self.black_level.check()?;
        self.ccm.check()?;
        self.tone.check()?;
        self.lsc.as_ref().map_or(Ok(()), LscTuning::check)?;
        self.lux.as_ref().map_or(Ok(()), LuxTuning::check)?;
        self.noise.as_ref().map_or(Ok(()), NoiseTuning::check)?;
        self.rkisp1.check()
    }
}

/// A newer file may have keys that this module does not know: its version is the better message.
fn check_version(text: &str, table: &DeTable<'_>) -> Result<(), TuningError> {
    let version = table.get("version").ok_or(TuningError::NoVersion)?;
    let number = match version.get_ref() {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    if number == Some(VERSION) {
        return Ok(());
    }
    let found = text.get(version.span()).unwrap_or_default();
    Err(TuningError::Version {
        line: line_at(text.as_bytes(), version.span().start),
        found: shortened(found),
    })
}

fn syntax(text: &str, error: &toml::de::Error) -> TuningError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let line = line_at(text.as_bytes(), at);
    TuningError::Syntax {
        line,
        text: shortened(text.lines().nth(line - 1).unwrap_or_default()),
        reason: error.message().trim().replace('\n', ", "),
    }
}

/// The line of a byte, counted from 1.
fn line_at(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|&&byte| byte == b'\n').count()
}

/// The line of a dotted key, or of the part of it that the file has.
fn line_of(text: &str, root: &DeTable<'_>, key: &str) -> usize {
    let mut parts = key.split('.');
    let mut value = parts.next().and_then(|part| root.get(part));
    let mut at = value.map_or(0, |value| value.span().start);
    for part in parts {
        value = value.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => table.get(part),
            DeValue::Array(list) => part.parse().ok().and_then(|i: usize| list.get(i)),
            _ => None,
        });
        at = value.map_or(at, |value| value.span().start);
    }
    line_at(text.as_bytes(), at)
}

/// Enough of a line to recognise it.
fn shortened(line: &str) -> String {
    const MOST: usize = 60;
    let line = line.trim();
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> String {
        Tuning::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn every_shipped_file_is_accepted() {
        for (name, text) in [
            ("default", DEFAULT),
            ("virtual", include_str!("../tuning/virtual.toml")),
            ("flea3", include_str!("../tuning/flea3.toml")),
            ("raw", include_str!("../tuning/raw.toml")),
        ] {
            if let Err(error) = Tuning::parse(text.as_bytes()) {
                panic!("{name}.toml: {error}");
            }
        }
    }

    #[test]
    fn what_the_default_file_says_is_what_a_missing_key_means() {
        let (file, bare) = (
            Tuning::built_in().unwrap(),
            Tuning::parse(b"version = 1").unwrap(),
        );
        assert_eq!(file.agc, bare.agc);
        assert_eq!(file.awb, bare.awb);
        assert_eq!(file.black_level, bare.black_level);
        assert_eq!(file.ccm, bare.ccm);
        assert_eq!(file.tone, bare.tone);
        assert_eq!((file.lsc, file.lux), (bare.lsc, bare.lux));
        assert_eq!((file.noise, file.rkisp1), (bare.noise, bare.rkisp1));
    }

    #[test]
    fn a_file_with_a_version_alone_is_enough() {
        let tuning = Tuning::parse(b"version = 1").unwrap();
        assert_eq!(tuning.agc.target, 0.16);
        assert!(tuning.lsc.is_none());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let text = refusal("version = 1\n\n[agc]\ntarget = 0.2\ntragte = 0.2\n");
        assert!(
            text.contains("line 5") && text.contains("`tragte`"),
            "{text}"
        );
        assert!(text.contains("default.toml"), "{text}");
    }

    #[test]
    fn an_unknown_table_is_refused_with_its_line() {
        let text = refusal("version = 1\n[sharpen]\nx = 1\n");
        assert!(
            text.contains("line 2") && text.contains("sharpen"),
            "{text}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_with_its_line() {
        let text = refusal("version = 1\n[tone]\ngamma = 'high'\n");
        assert!(text.contains("line 3 `gamma = 'high'`"), "{text}");
    }

    #[test]
    fn broken_toml_is_refused_with_its_line() {
        let text = refusal("version = 1\n[agc\ntarget = 1\n");
        assert!(text.contains("line 2"), "{text}");
    }

    #[test]
    fn a_missing_version_is_refused_with_what_to_write() {
        assert!(refusal("[agc]\n").contains("write `version = 1` on the first line"));
    }

    #[test]
    fn another_version_is_refused_even_when_the_file_has_unknown_keys() {
        for (version, said) in [("2", "2"), ("'one'", "'one'"), ("1.0", "1.0")] {
            let text = refusal(&format!("# new\nversion = {version}\nfuture = true\n"));
            assert!(
                text.contains(&format!("line 2: version is {said}, this module reads 1")),
                "{text}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_line() {
        let error = Tuning::parse(b"version = 1\n# caf\xe9\n").unwrap_err();
        assert_eq!(error, TuningError::NotUtf8 { line: 2 });
    }

    #[test]
    fn a_file_too_large_is_refused() {
        let bytes = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(
            Tuning::parse(&bytes),
            Err(TuningError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_line_key_and_range() {
        let text = refusal("version = 1\n[agc]\nspeed = 0.3\ntarget = 7\n");
        assert_eq!(
            text,
            "tuning line 4: agc.target is 7; write a value from 0.001 to 0.95"
        );
        assert!(refusal("version = 1\n[agc]\ntarget = nan\n").contains("is NaN"));
    }

    #[test]
    fn brackets_without_end_are_refused() {
        let text = refusal(&format!("version = 1\nx = {}", "[".repeat(200_000)));
        assert!(text.contains("line 2"), "{text}");
        assert!(text.len() < 500, "{text}");
    }

    proptest! {
        #[test]
        fn no_change_of_a_byte_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = DEFAULT.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Err(error) = Tuning::parse(&bytes) {
                prop_assert!(error.to_string().starts_with("tuning"));
            }
        }
    }

    #[test]
    fn an_element_of_a_list_is_named_with_its_own_line() {
        let text = refusal(
            "version = 1\n[awb]\ncurve = [\n  [2500, 0.8, 0.3],\n  [4000, 0.6, 0.5],\n  [3000, 0.5, 0.6],\n]\n",
        );
        assert!(text.contains("line 6: awb.curve.2"), "{text}");
    }
}
