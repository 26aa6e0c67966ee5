//! Settings as JSON: omitted keys take their defaults, unknown keys are rejected by name.

use std::ffi::c_char;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::pointers::Out;
use super::status::{MiniftStatus, call};
use super::strings::c_string;
use crate::error::{Error, Result};
use crate::kernels::distillation::OPTIONAL_KEYS;
use crate::model::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::model::{Sampling, TextReader};
use crate::text::{EndToken, LongTexts, Preparation, ReadOptions, TrainOn};
use crate::train::TrainSettings;

/// Returns the default training settings as a JSON object: the format that `minift_run_new` takes
/// and that `run.json` stores under `settings`. Free `*json` with `minift_text_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_default_settings(json: *mut *mut c_char) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let out = unsafe { Out::new(json, "json")? };
        let settings = Value::Object(object(&TrainSettings::default())?);
        out.set(c_string(&format!("{settings:#}")).into_raw());
        Ok(())
    })
}

/// Parses training settings.
pub(super) fn training(json: Option<&str>) -> Result<TrainSettings> {
    let given: Map<String, Value> = parsed(json, "settings")?;
    let mut settings = TrainSettings::default();
    let sets_learning_rate = given.contains_key("learning_rate");
    for (key, value) in given {
        let mut known = object(&settings)?;
        // Written only where they are set, but always known keys.
        if let Some(objective) = known.get_mut("objective").and_then(Value::as_object_mut) {
            for key in OPTIONAL_KEYS {
                objective.entry(key).or_insert(Value::Null);
            }
        }
        if let ("adapter", Some(adapter)) = (key.as_str(), value.as_object()) {
            known["adapter"] = Value::Object(object(&adapter_of(adapter)?)?);
        }
        replace(&mut known, &key, value, "")?;
        // One key at a time, so that an error names the key.
        settings = serde_json::from_value(Value::Object(known))
            .map_err(|error| Error::setting("settings", format!("{key:?}"), error.to_string()))?;
    }
    if let (Some(adapter), false) = (&settings.adapter, sets_learning_rate) {
        settings.learning_rate = adapter.learning_rate();
    }
    settings.validate()?;
    Ok(settings)
}

/// Serializes settings as a JSON object.
fn object(settings: &impl serde::Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(object)) => Ok(object),
        _ => unreachable!("settings always serialize to an object"),
    }
}

/// Default settings of the requested adapter kind.
fn adapter_of(adapter: &Map<String, Value>) -> Result<AdapterSettings> {
    match adapter.get("kind").and_then(Value::as_str) {
        Some("lora") => Ok(AdapterSettings::Lora(LoraSettings::default())),
        Some("ia3") => Ok(AdapterSettings::Ia3(Ia3Settings::default())),
        _ => {
            let kind = adapter.get("kind").unwrap_or(&Value::Null);
            let expected = "\"lora\" (DoRA with \"decomposed\": true) or \"ia3\"";
            Err(Error::setting("settings: adapter.kind", kind, expected))
        }
    }
}

/// Replaces the value of a known key; objects are merged key by key.
fn replace(known: &mut Map<String, Value>, key: &str, value: Value, parent: &str) -> Result<()> {
    let path = format!("{parent}{key}");
    let Some(slot) = known.get_mut(key) else {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let expected = format!("one of {}", names.join(", "));
        return Err(Error::setting(
            "settings",
            format!("the key {path:?}"),
            expected,
        ));
    };
    match (slot, value) {
        (Value::Object(known), Value::Object(given)) => given
            .into_iter()
            .try_for_each(|(key, value)| replace(known, &key, value, &format!("{path}."))),
        (slot, value) => {
            *slot = value;
            Ok(())
        }
    }
}

/// Parses JSON; NULL is the default value.
fn parsed<T: DeserializeOwned + Default>(json: Option<&str>, name: &'static str) -> Result<T> {
    let Some(json) = json else {
        return Ok(T::default());
    };
    serde_json::from_str(json)
        .map_err(|error| Error::setting(name, json, format!("a JSON object; {error}")))
}

/// Options for reading and tokenizing texts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TextOptions {
    column: Option<String>,
    prompt_column: Option<String>,
    completion_column: Option<String>,
    messages_column: Option<String>,
    split: Option<String>,
    max_length: Option<usize>,
    long_texts: Option<LongTextsName>,
    overlap: Option<usize>,
    train_on: Option<String>,
    end_token: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LongTextsName {
    Cut,
    Windows,
}

/// Parses the options for reading files and tokenizing their records.
pub(super) fn reading(
    json: Option<&str>,
    model: &TextReader,
) -> Result<(ReadOptions, Preparation)> {
    let given: TextOptions = parsed(json, "options")?;
    let long_texts = match (given.long_texts, given.overlap) {
        (None, None) => None,
        (Some(LongTextsName::Cut), None) => Some(LongTexts::Cut),
        (Some(LongTextsName::Cut), Some(overlap)) => {
            let expected = "no `overlap` with long_texts \"cut\"";
            return Err(Error::setting("overlap", overlap, expected));
        }
        (None | Some(LongTextsName::Windows), overlap) => Some(LongTexts::Windows {
            overlap: overlap.unwrap_or(0),
        }),
    };
    let train_on = match given.train_on.as_deref() {
        None => TrainOn::default(),
        Some(text) => text
            .parse()
            .map_err(|_| Error::setting("train_on", text, "answers or all"))?,
    };
    let end_token = match given.end_token.as_deref() {
        None => EndToken::default(),
        Some(text) => text
            .parse()
            .map_err(|_| Error::setting("end_token", text, "auto or never"))?,
    };
    let options = ReadOptions {
        column: given.column,
        prompt_column: given.prompt_column,
        completion_column: given.completion_column,
        messages_column: given.messages_column,
        split: given.split,
    };
    let preparation = Preparation {
        max_length: model.sample_length(given.max_length)?,
        long_texts,
        train_on,
        end_token,
    };
    Ok((options, preparation))
}

/// Parses the sampling options of text generation.
pub(super) fn sampling(json: Option<&str>) -> Result<Sampling> {
    parsed(json, "options")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::kernels::distillation::Objective;

    #[test]
    fn omitted_settings_take_their_defaults() {
        assert_eq!(training(None).unwrap(), TrainSettings::default());
        assert_eq!(training(Some("{}")).unwrap(), TrainSettings::default());
        let given = r#"{"epochs": 1, "objective": {"tau": 0.5}, "schedule": "cosine"}"#;
        let expected = TrainSettings {
            epochs: 1.0,
            objective: Objective::minifinetuning(0.5),
            schedule: crate::train::Schedule::Cosine,
            ..TrainSettings::default()
        };
        assert_eq!(training(Some(given)).unwrap(), expected);
        // The serialized settings, as in `run.json`.
        let whole = serde_json::to_string(&expected).unwrap();
        assert_eq!(training(Some(&whole)).unwrap(), expected);
    }

    #[test]
    fn adapters_have_their_own_defaults() {
        let lora = |json: &str| {
            let settings = training(Some(json)).unwrap();
            let Some(AdapterSettings::Lora(lora)) = settings.adapter else {
                panic!("{json}");
            };
            (lora, settings.learning_rate)
        };
        let (default, rate) = lora(r#"{"adapter": {"kind": "lora"}}"#);
        assert_eq!((default, rate), (LoraSettings::default(), 3e-3));
        let (dora, rate) = lora(
            r#"{"learning_rate": 0.01, "adapter": {"kind": "lora", "rank": 4, "decomposed": true}}"#,
        );
        assert_eq!(
            (dora.rank, dora.alpha, dora.decomposed, rate),
            (4, 16.0, true, 0.01)
        );
    }

    #[test]
    fn invalid_settings_are_named() {
        for (json, words) in [
            ("{", ["EOF", "line 1"]),
            ("[]", ["expected a map", "JSON object"]),
            (r#"{"epoch": 1}"#, ["\"epoch\"", "epochs"]),
            (r#"{"objective": {"tou": 1}}"#, ["\"objective.tou\"", "tau"]),
            (r#"{"epochs": "two"}"#, ["\"epochs\"", "invalid type"]),
            (r#"{"epochs": 0}"#, ["invalid epochs: 0", "above 0"]),
            (r#"{"adapter": {"kind": "prefix"}}"#, ["prefix", "lora"]),
            (r#"{"adapter": {"rank": 2}}"#, ["adapter.kind: null", "ia3"]),
            (
                r#"{"adapter": {"kind": "ia3", "rank": 2}}"#,
                ["adapter.rank", "target_modules"],
            ),
        ] {
            let message = training(Some(json)).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{json}: {message}");
            }
        }
        let message = sampling(Some(r#"{"topk": 1}"#)).unwrap_err().to_string();
        assert!(
            message.contains("`topk`") && message.contains("`top_k`"),
            "{message}"
        );
    }
}
