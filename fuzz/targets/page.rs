//! Files as the page passes them: a dropped model folder, texts, settings, a stored checkpoint. The
//! JavaScript bindings only add value conversions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use minift::model::{CausalLm, FileBytes, ModelFiles};
use minift::text::{Preparation, ReadOptions, parse_records};
use minift::train::{MemoryEstimate, Pace, Run, RunData, TimeBudget, TrainSettings, budget};
use pollster::block_on;
use safetensors::Dtype;

use super::small_model::{CONFIG, TOKENIZER, cpu, model, weights};
use super::{check_error, training};

/// Precedes the name of each file; its contents start on the next line.
const BEGIN: &[u8] = b"\n>>> ";
/// Maximum sample length in tokens.
const LENGTH: usize = 16;

/// Reads files, each after a line with its name. Checks the model file by file and loads it,
/// tokenizes texts, and, given settings, sets up a run and resumes it from a checkpoint, each as
/// far as the previous steps succeed.
pub fn files(data: &[u8]) -> bool {
    let files = split(data);
    let check = |error: &minift::Error| check_error(error, data.len());
    let folder = Path::new("dropped");
    let mut rejected = BTreeSet::new();
    for (name, bytes) in &files {
        if let Err(error) = ModelFiles::check(folder, name, bytes) {
            check(&error);
            rejected.insert(name.as_str());
        }
    }
    let mut requested = BTreeSet::new();
    let found = ModelFiles::collect(folder.to_path_buf(), |name| {
        requested.insert(name.to_string());
        let bytes = files.get(name);
        Ok(bytes.map(|bytes| FileBytes::InMemory(bytes.to_vec().into())))
    });
    let loaded = found.and_then(|files| CausalLm::from_files(files, cpu()));
    let is_model = loaded.is_ok();
    let read = requested
        .iter()
        .find(|name| rejected.contains(name.as_str()));
    assert!(
        !is_model || read.is_none(),
        "{read:?} is rejected on its own"
    );
    let model = loaded.unwrap_or_else(|error| {
        check(&error);
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
                    let vocabulary = model.config().decoder.vocab_size;
                    assert!(sample.tokens().iter().all(|&id| (id as usize) < vocabulary));
                }
                samples.extend(prepared.samples);
            }
            Err(error) => check(&error),
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
                    check(&error);
                }
            }
            Err(error) => check(&error),
        }
        training::checkpoint(bytes);
    }
    is_model
}

/// Follows the page from the settings to the first step.
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
    let request = TimeBudget {
        seconds: 60.0,
        trainings: 2,
        epochs: settings.epochs,
        evaluations: 4,
    };
    let budget = budget(&pace, &request, &data.train, &data.domain, &data.general);
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
    let begins: Vec<usize> = begins.map(|(position, _)| position).collect();
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

/// A complete folder, one with sharded weights, and texts with settings and a checkpoint.
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
