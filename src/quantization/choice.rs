//! The choice of a storage type.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use strum::IntoEnumIterator;

use super::WeightType;

/// The type that weights are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum WeightChoice {
    /// As they are stored.
    #[default]
    Auto,
    /// Converted to a type.
    Converted(WeightType),
}

impl WeightChoice {
    /// Returns the type that weights are converted to.
    pub fn converted(self) -> Option<WeightType> {
        match self {
            Self::Auto => None,
            Self::Converted(kind) => Some(kind),
        }
    }
}

impl fmt::Display for WeightChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Converted(kind) => kind.fmt(f),
        }
    }
}

impl TryFrom<String> for WeightChoice {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl FromStr for WeightChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let found = name
            .parse()
            .ok()
            .filter(|kind: &WeightType| kind.is_written());
        found.map(Self::Converted).ok_or_else(|| {
            let written = WeightType::iter().filter(|kind| kind.is_written());
            let names: Vec<&str> = written.map(WeightType::name).collect();
            format!("expected auto, {}", names.join(", "))
        })
    }
}
