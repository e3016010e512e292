//! Values of settings, each judged where it is read, so that an error has its line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::{CpuList, Fallback};

/// The path of a file or directory. In a settings file it is absolute: a daemon has no place of its own
/// that a relative one could start from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct FilePath(pub PathBuf);

impl TryFrom<String> for FilePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Path::new(&text).is_absolute() {
            true => Ok(Self(text.into())),
            false => Err(format!(
                "{text:?} is no absolute path, one that begins with /"
            )),
        }
    }
}

/// The name of a profile that is built in, or the path of a file with one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ProfileName(pub PathBuf);

impl TryFrom<String> for ProfileName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let file = text.contains('/') || text.ends_with(".toml");
        match file && !text.starts_with('/') {
            false => Ok(Self(text.into())),
            true => Err(format!("{text:?} is neither a name nor an absolute path")),
        }
    }
}

/// A series of libcamera: numbers and dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct SeriesName(pub String);

impl TryFrom<String> for SeriesName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match crate::libcamera::is_series(&text) {
            true => Ok(Self(text)),
            false => Err(format!("{text:?} is no series of libcamera, such as 0.7")),
        }
    }
}

impl FromStr for SeriesName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

/// What to log, in the words of `tracing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Filter(String);

impl Filter {
    /// The filter itself.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(&self) -> Result<EnvFilter, String> {
        EnvFilter::try_new(&self.0).map_err(|error| format!("{:?} is no filter: {error}", self.0))
    }
}

impl TryFrom<String> for Filter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let filter = Self(text);
        filter.parse()?;
        Ok(filter)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

/// A number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Within<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> Within<LEAST, MOST> {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const LEAST: u32, const MOST: u32> TryFrom<i64> for Within<LEAST, MOST> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let within = u32::try_from(number).ok();
        let within = within.filter(|number| (LEAST..=MOST).contains(number));
        within
            .map(Self)
            .ok_or_else(|| format!("{number} is not from {LEAST} to {MOST}"))
    }
}

impl<const LEAST: u32, const MOST: u32> FromStr for Within<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: i64 = text
            .parse()
            .map_err(|_| format!("{text:?} is not a number from {LEAST} to {MOST}"))?;
        number.try_into()
    }
}

impl<const LEAST: u32, const MOST: u32> fmt::Display for Within<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Values that are written as a string, in files as on the command line.
macro_rules! as_string {
    ($($value:ty),*) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $value {
            fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
                into.collect_str(self)
            }
        }
    )*};
}

as_string!(CpuList, Fallback);
