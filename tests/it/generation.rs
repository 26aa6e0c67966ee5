//! Generation with and without a KV cache, and saving and loading of models.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, values};
use minift::device::Device;
use minift::error::Error;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::model::{CausalLm, FileBytes, ModelFiles, Sampling};
use pollster::block_on;

const PROMPT: &str = "Once upon a time, there was a little";

/// Returns the most likely next token, from the logits of the whole text.
fn next_token(model: &CausalLm, tokens: &[u32]) -> u32 {
    let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
    let data = TensorData::new(ids, [1, tokens.len()]);
    let logits = model.logits(Tensor::<2, Int>::from_data(data, &model.tensor_device()));
    let last = values(logits.narrow(1, tokens.len() - 1, 1));
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]));
    best.unwrap() as u32
}

#[test]
fn a_kv_cache_does_not_change_tokens() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let mut tokens = model.tokenizer().encode(PROMPT).unwrap();
        let prompt_length = tokens.len();
        for _ in 0..12 {
            tokens.push(next_token(&model, &tokens));
        }
        let expected = model.tokenizer().decode(&tokens[prompt_length..]).unwrap();
        let mut pieces = String::new();
        let found = block_on(model.generate(PROMPT, 12, &Sampling::default(), |piece| {
            pieces.push_str(piece);
        }));
        let found = found.unwrap();
        assert_eq!(found, expected, "on {}", device.name());
        assert_eq!(pieces, expected);
        assert!(found.len() > 12, "{found:?}");
    }
}

#[test]
fn a_seed_makes_sampling_reproducible() {
    let model = CausalLm::embedded(&devices()[0]).unwrap();
    let text = |seed: u64| {
        let sampling = Sampling {
            temperature: 1.0,
            top_k: 50,
            top_p: 0.95,
            seed,
        };
        block_on(model.generate(PROMPT, 30, &sampling, |_| ())).unwrap()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

/// Returns the embedded model without an end-of-text token.
fn endless() -> CausalLm {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minift-tales-360k");
    let files = ModelFiles::collect(folder.clone(), |name| {
        let Ok(mut bytes) = std::fs::read(folder.join(name)) else {
            return Ok(None);
        };
        if name == "generation_config.json" || name == "tokenizer_config.json" {
            return Ok(None);
        }
        if name == "config.json" {
            let mut config: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            config.as_object_mut().unwrap().remove("eos_token_id");
            bytes = config.to_string().into_bytes();
        }
        Ok(Some(FileBytes::InMemory(bytes.into())))
    });
    CausalLm::from_files(files.unwrap(), &Device::cpu()).unwrap()
}

#[test]
fn generation_stops_at_the_models_maximum_length() {
    let model = endless();
    let room = model.config().decoder.max_length - model.tokenizer().encode(PROMPT).unwrap().len();
    let text =
        |most: usize| block_on(model.generate(PROMPT, most, &Sampling::default(), |_| ())).unwrap();
    let [whole, full, shorter] = [100_000, room, room - 1].map(text);
    assert_eq!(whole, full);
    assert!(
        full.len() > shorter.len() && full.starts_with(&shorter),
        "{full:?} and {shorter:?}"
    );
}

#[test]
fn a_saved_model_loads_and_generates_the_same() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("saved");
    let text = |model: &CausalLm| {
        block_on(model.generate(PROMPT, 12, &Sampling::default(), |_| ())).unwrap()
    };
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        block_on(model.save(&folder)).unwrap();
        let loaded = CausalLm::load(&folder, &device).unwrap();
        assert_eq!(text(&loaded), text(&model), "on {}", device.name());
        let error = block_on(model.save(&folder)).unwrap_err();
        assert!(matches!(error, Error::OutputExists { .. }), "{error}");
        let entries = std::fs::read_dir(parent.path()).unwrap();
        assert_eq!(entries.count(), 1, "nothing else is left");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn saving_a_model_with_an_adapter_saves_the_adapter() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("adapter");
    let model = CausalLm::embedded(&devices()[0]).unwrap();
    let settings = AdapterSettings::Lora(LoraSettings::default());
    let adapted = model.with_new_adapter(settings, 0).unwrap();
    block_on(adapted.save(&folder)).unwrap();
    assert!(!folder.join("model.safetensors").exists());
    let loaded = model.load_adapter(&folder).unwrap();
    assert_eq!(loaded.trainable_count(), adapted.trainable_count());
}
