//! The form of a profile's text.

use crate::Arch;
use crate::profile::{Errno, Landlock, Wake};
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileText {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) extends: Option<String>,
    pub(crate) allow_degraded: Option<Vec<String>>,
    pub(crate) load_budget: Option<u32>,
    pub(crate) soft_budget: Option<u32>,
    pub(crate) wake: Option<Wake>,
    pub(crate) standby: Option<bool>,
    #[serde(default)]
    pub(crate) limits: LimitsText,
    pub(crate) landlock: Option<Landlock>,
    #[serde(default)]
    pub(crate) run: Vec<Spanned<RuleText>>,
    #[serde(default)]
    pub(crate) load: Vec<Spanned<RuleText>>,
    #[serde(default)]
    pub(crate) soft: Vec<Spanned<SoftText>>,
    #[serde(default)]
    pub(crate) notified: Vec<Spanned<SoftText>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsText {
    pub(crate) threads: Option<u32>,
    pub(crate) data: Option<u64>,
    pub(crate) address_space: Option<u64>,
    pub(crate) stack: Option<u64>,
    pub(crate) nofile: Option<u64>,
    pub(crate) fsize: Option<u64>,
    pub(crate) core: Option<u64>,
    pub(crate) memlock: Option<u64>,
    pub(crate) msgqueue: Option<u64>,
    pub(crate) rtprio: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleText {
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) archs: Option<Vec<Arch>>,
    pub(crate) args: Option<Vec<ConditionText>>,
    pub(crate) times: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SoftText {
    pub(crate) name: String,
    pub(crate) errno: Errno,
    pub(crate) why: String,
    pub(crate) archs: Option<Vec<Arch>>,
    pub(crate) args: Option<Vec<ConditionText>>,
}

impl SoftText {
    pub(crate) fn rule(&self) -> RuleText {
        RuleText {
            name: self.name.clone(),
            why: self.why.clone(),
            archs: self.archs.clone(),
            args: self.args.clone(),
            times: None,
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionText {
    pub(crate) arg: u8,
    pub(crate) r#type: WidthText,
    pub(crate) is: Option<Vec<u64>>,
    pub(crate) at_most: Option<u64>,
    pub(crate) ignore: Option<u64>,
    pub(crate) mask: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WidthText {
    Int,
    Long,
}
