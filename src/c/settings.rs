//! Settings as JSON: what is left out is as usual, what is not known is refused by name.

use std::ffi::c_char;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::pointers::{Place, c_text};
use super::status::{MiniftStatus, call};
use crate::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::data::{LongTexts, Preparation, ReadOptions, TrainOn};
use crate::error::{Error, Result};
use crate::model::{Sampling, TextReader};
use crate::train::TrainSettings;

/// All settings of a training with their usual values, as JSON: what `minift_run_new` takes, and what
/// `run.json` has under `settings`. `*json` is to be freed by `minift_text_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_default_settings(json: *mut *mut c_char) -> MiniftStatus {
    call(|| {
        // SAFETY: a pointer as the header asks.
        let place = unsafe { Place::new(json, "json")? };
        let settings = Value::Object(object(&TrainSettings::default())?);
        place.put(c_text(&format!("{settings:#}")).into_raw());
        Ok(())
    })
}

/// The settings of a training.
pub(super) fn training(json: Option<&str>) -> Result<TrainSettings> {
    let given: Map<String, Value> = parsed(json, "settings")?;
    let mut settings = TrainSettings::default();
    let chooses_rate = given.contains_key("learning_rate");
    for (key, value) in given {
        let mut known = object(&settings)?;
        if let ("adapter", Some(wanted)) = (key.as_str(), value.as_object()) {
            known["adapter"] = Value::Object(object(&adapter_of(wanted)?)?);
        }
        replace(&mut known, &key, value, "")?;
        // One after the other, so that what does not fit is known by its name.
        settings = serde_json::from_value(Value::Object(known))
            .map_err(|error| Error::setting("settings", format!("{key:?}"), error.to_string()))?;
    }
    if let (Some(adapter), false) = (&settings.adapter, chooses_rate) {
        settings.learning_rate = adapter.learning_rate();
    }
    settings.validate()?;
    Ok(settings)
}

/// Settings as an object.
fn object(settings: &impl serde::Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(object)) => Ok(object),
        _ => unreachable!("settings can always be written as an object"),
    }
}

/// The usual settings of the kind of adapter that is asked for.
fn adapter_of(wanted: &Map<String, Value>) -> Result<AdapterSettings> {
    match wanted.get("kind").and_then(Value::as_str) {
        Some("lora") => Ok(AdapterSettings::Lora(LoraSettings::default())),
        Some("ia3") => Ok(AdapterSettings::Ia3(Ia3Settings::default())),
        _ => {
            let kind = wanted.get("kind").unwrap_or(&Value::Null);
            let expected = "\"lora\" (with \"decomposed\": true it is DoRA) or \"ia3\"";
            Err(Error::setting("settings: adapter.kind", kind, expected))
        }
    }
}

/// Puts a value where there is one of that name, and of an object its values one by one.
fn replace(known: &mut Map<String, Value>, key: &str, value: Value, within: &str) -> Result<()> {
    let place = format!("{within}{key}");
    let Some(slot) = known.get_mut(key) else {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let expected = format!("one of {}", names.join(", "));
        return Err(Error::setting(
            "settings",
            format!("the key {place:?}"),
            expected,
        ));
    };
    match (slot, value) {
        (Value::Object(known), Value::Object(given)) => given
            .into_iter()
            .try_for_each(|(key, value)| replace(known, &key, value, &format!("{place}."))),
        (slot, value) => {
            *slot = value;
            Ok(())
        }
    }
}

/// What JSON says, or the usual where there is none.
fn parsed<T: DeserializeOwned + Default>(json: Option<&str>, name: &'static str) -> Result<T> {
    let Some(json) = json else {
        return Ok(T::default());
    };
    serde_json::from_str(json)
        .map_err(|error| Error::setting(name, json, format!("a JSON object; {error}")))
}

/// How texts become samples.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reading {
    column: Option<String>,
    max_length: Option<usize>,
    long_texts: Option<LongTextsName>,
    overlap: Option<usize>,
    train_on: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LongTextsName {
    Cut,
    Windows,
}

/// How files are read and samples are made of them, for a model.
pub(super) fn reading(
    json: Option<&str>,
    model: &TextReader,
) -> Result<(ReadOptions, Preparation)> {
    let given: Reading = parsed(json, "options")?;
    let long_texts = match (given.long_texts, given.overlap) {
        (None, None) => None,
        (Some(LongTextsName::Cut), None) => Some(LongTexts::Cut),
        (Some(LongTextsName::Cut), Some(overlap)) => {
            let expected = "none where long texts are cut";
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
    let options = ReadOptions {
        column: given.column,
    };
    let preparation = Preparation {
        max_length: model.sample_length(given.max_length)?,
        long_texts,
        train_on,
    };
    Ok((options, preparation))
}

/// How the next token is chosen.
pub(super) fn sampling(json: Option<&str>) -> Result<Sampling> {
    parsed(json, "options")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::objective::Objective;

    #[test]
    fn what_is_left_out_is_as_usual() {
        assert_eq!(training(None).unwrap(), TrainSettings::default());
        assert_eq!(training(Some("{}")).unwrap(), TrainSettings::default());
        let given = r#"{"epochs": 1, "objective": {"tau": 0.5}, "schedule": "cosine"}"#;
        let expected = TrainSettings {
            epochs: 1,
            objective: Objective::minifinetuning(0.5),
            schedule: crate::train::Schedule::Cosine,
            ..TrainSettings::default()
        };
        assert_eq!(training(Some(given)).unwrap(), expected);
        // What it writes itself, as in `run.json`.
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
        let (usual, rate) = lora(r#"{"adapter": {"kind": "lora"}}"#);
        assert_eq!((usual, rate), (LoraSettings::default(), 3e-3));
        let (dora, rate) = lora(
            r#"{"learning_rate": 0.01, "adapter": {"kind": "lora", "rank": 4, "decomposed": true}}"#,
        );
        assert_eq!(
            (dora.rank, dora.alpha, dora.decomposed, rate),
            (4, 16.0, true, 0.01)
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (json, words) in [
            ("{", ["EOF", "line 1"]),
            ("[]", ["expected a map", "JSON object"]),
            (r#"{"epoch": 1}"#, ["\"epoch\"", "epochs"]),
            (r#"{"objective": {"tou": 1}}"#, ["\"objective.tou\"", "tau"]),
            (r#"{"epochs": "two"}"#, ["\"epochs\"", "invalid type"]),
            (r#"{"epochs": 0}"#, ["epochs = 0", "1 to"]),
            (r#"{"adapter": {"kind": "prefix"}}"#, ["prefix", "lora"]),
            (
                r#"{"adapter": {"rank": 2}}"#,
                ["adapter.kind = null", "ia3"],
            ),
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
