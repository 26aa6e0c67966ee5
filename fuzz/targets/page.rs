//! The bytes that the page hands over: a dropped folder of a model, texts, settings, a stored
//! checkpoint. What JavaScript sees of the library adds conversions of values alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use minift::data::{Preparation, ReadOptions, parse_records};
use minift::model::{CausalLm, FileBytes, ModelFiles};
use minift::train::{MemoryEstimate, Pace, Run, RunData, TrainSettings, Wanted, budget};
use pollster::block_on;
use safetensors::Dtype;

use super::small_model::{CONFIG, TOKENIZER, cpu, model, weights};
use super::{is_told, training};

/// What comes before the name of each file; its bytes begin after the line.
const BEGIN: &[u8] = b"\n>>> ";
/// Longest samples, in tokens.
const LENGTH: usize = 16;

/// Reads bytes as files, each after a line with its name. The model is checked file by file and then
/// loaded, texts are made samples of, and with settings a run is set up and goes on from a checkpoint:
/// each as far as what is before it allows.
pub fn files(data: &[u8]) -> bool {
    let files = split(data);
    let told = |error: &minift::Error| is_told(error, data.len());
    let folder = Path::new("dropped");
    let mut refused = BTreeSet::new();
    for (name, bytes) in &files {
        if let Err(error) = ModelFiles::check(folder, name, bytes) {
            told(&error);
            refused.insert(name.as_str());
        }
    }
    let mut asked = BTreeSet::new();
    let found = ModelFiles::collect(folder.to_path_buf(), |name| {
        asked.insert(name.to_string());
        let bytes = files.get(name);
        Ok(bytes.map(|bytes| FileBytes::InMemory(bytes.to_vec().into())))
    });
    let loaded = found.and_then(|files| CausalLm::from_files(files, cpu()));
    let is_model = loaded.is_ok();
    let read = asked.iter().find(|name| refused.contains(name.as_str()));
    assert!(!is_model || read.is_none(), "{read:?} is refused by itself");
    let model = loaded.unwrap_or_else(|error| {
        told(&error);
        model().clone()
    });
    let mut samples = Vec::new();
    for (name, bytes) in &files {
        let found = parse_records(bytes, Path::new(name), &ReadOptions::default());
        let prepared = found.and_then(|found| {
            let preparation = Preparation::to_length(LENGTH);
            model.reader().samples(&found.records, &preparation, name)
        });
        match prepared {
            Ok(prepared) => {
                for sample in &prepared.samples {
                    assert!((2..=LENGTH).contains(&sample.len()));
                    let vocabulary = model.config().decoder.vocabulary;
                    assert!(sample.tokens().iter().all(|&id| (id as usize) < vocabulary));
                }
                samples.extend(prepared.samples);
            }
            Err(error) => told(&error),
        }
    }
    let settings = match files
        .get("settings.json")
        .map(|bytes| serde_json::from_slice(bytes))
    {
        Some(Ok(settings)) => settings,
        _ => TrainSettings::default(),
    };
    samples.truncate(4);
    let data = Arc::new(RunData {
        train: samples.clone(),
        domain: samples.clone(),
        general: samples,
        ..RunData::default()
    });
    let prepared = set_up(&model, &data, &settings);
    if let Some(bytes) = files.get("checkpoint") {
        match prepared {
            Ok(mut run) => {
                if let Err(error) = run.restore(bytes, Path::new("the stored checkpoint")) {
                    told(&error);
                }
            }
            Err(error) => told(&error),
        }
        training::checkpoint(bytes);
    }
    is_model
}

/// What the page does between the settings and the first step.
fn set_up(model: &CausalLm, data: &Arc<RunData>, settings: &TrainSettings) -> minift::Result<Run> {
    settings.validate()?;
    let steps = settings.steps(data.train.len())?;
    let estimate = MemoryEstimate::new(model, data, settings)?;
    assert!(estimate.parts.iter().map(|part| part.bytes).sum::<u64>() == estimate.total);
    let _ = estimate.excess(model.device());
    let pace = Pace {
        training_seconds_per_token: 1e-3,
        evaluation_seconds_per_token: 1e-4,
    };
    let wanted = Wanted {
        seconds: 60.0,
        trainings: 2,
        epochs: settings.epochs,
        evaluations: 4,
    };
    let budget = budget(&pace, &wanted, &data.train, &data.domain, &data.general);
    assert!(budget.samples <= data.train.len());
    let run = Run::new(model.clone(), data.clone(), settings.clone())?;
    assert_eq!(run.steps(), steps);
    Ok(run)
}

fn split(data: &[u8]) -> BTreeMap<String, &[u8]> {
    let mut files = BTreeMap::new();
    let begins = data
        .windows(BEGIN.len())
        .enumerate()
        .filter(|(_, part)| *part == BEGIN);
    let begins: Vec<usize> = begins.map(|(place, _)| place).collect();
    for (number, &begin) in begins.iter().enumerate() {
        let end = begins.get(number + 1).copied().unwrap_or(data.len());
        let file = &data[begin + BEGIN.len()..end];
        let line = file
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(file.len());
        let name = String::from_utf8_lossy(&file[..line]).into_owned();
        files.insert(name, file.get(line + 1..).unwrap_or_default());
    }
    files
}

/// A whole folder, one with weights in parts, and texts with settings and a checkpoint.
pub fn seeds() -> Vec<Vec<u8>> {
    let join = |files: &[(&str, &[u8])]| {
        let files = files
            .iter()
            .map(|(name, bytes)| [BEGIN, name.as_bytes(), b"\n", bytes].concat());
        files.collect::<Vec<_>>().concat()
    };
    let whole = weights(Dtype::BF16);
    let settings = serde_json::to_vec(&TrainSettings::default()).unwrap();
    let checkpoint = block_on(training::run().checkpoint()).unwrap();
    let (config, tokenizer) = (CONFIG.as_bytes(), TOKENIZER.as_bytes());
    let index = br#"{"weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}"#;
    vec![
        join(&[
            ("config.json", config),
            ("tokenizer.json", tokenizer),
            ("model.safetensors", &whole),
            ("texts.txt", b"once upon a time\n\nthere was a cat"),
        ]),
        join(&[
            ("config.json", config),
            ("tokenizer.json", tokenizer),
            ("model.safetensors.index.json", index),
            ("model-00001-of-00001.safetensors", &whole),
            ("tokenizer_config.json", br#"{"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}"#),
            ("talk.jsonl", br#"{"messages": [{"role": "user", "content": "once"}, {"role": "assistant", "content": "a time"}]}"#),
        ]),
        join(&[
            ("texts.csv", b"text\nonce upon a time\nthe cat\n"),
            ("settings.json", &settings),
            ("checkpoint", &checkpoint),
        ]),
    ]
}
