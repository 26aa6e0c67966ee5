//! Optional settings that files hold as text: `#[serde(with = "as_text")]`.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes a setting as the command line spells it.
pub(super) fn serialize<T: Display, S: Serializer>(
    setting: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match setting {
        Some(setting) => serializer.collect_str(setting),
        None => serializer.serialize_none(),
    }
}

/// Reads a setting as the command line does.
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    let setting = text.map(|text| text.parse().map_err(D::Error::custom));
    setting.transpose()
}
