//! Adapter folders.

use std::path::Path;

use minift::model::CausalLm;
use minift::model::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use pollster::block_on;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use super::check_error;
use super::small_model::model;

/// Reads `adapter_config.json`, a NUL, and `adapter_model.safetensors`, for the small model.
/// Accepted input serializes unchanged and can be merged.
pub fn folder(data: &[u8]) -> bool {
    let nul = data
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(data.len());
    let (config, values) = (&data[..nul], data.get(nul + 1..).unwrap_or_default());
    let read =
        |config: &[u8], values: &[u8]| model().with_adapter(config, values, Path::new("adapter"));
    match read(config, values) {
        Ok(adapted) => {
            let written = files(&adapted);
            let again = read(&written[0], &written[1]).expect("serialized output can be read");
            assert!(files(&again) == written, "round trip");
            assert_eq!(settings(&again), settings(&adapted));
            match adapted.try_merged() {
                Ok(merged) => assert!(merged.adapter().is_none()),
                Err(error) => check_error(&error, data.len()),
            }
            true
        }
        Err(error) => {
            check_error(&error, data.len());
            false
        }
    }
}

/// Settings of an adapter, without the layers it adapts, which its weights determine.
fn settings(model: &CausalLm) -> AdapterSettings {
    let mut settings = model.adapter().unwrap().settings().clone();
    match &mut settings {
        AdapterSettings::Lora(LoraSettings { target_modules, .. })
        | AdapterSettings::Ia3(Ia3Settings { target_modules }) => target_modules.clear(),
    }
    settings
}

fn files(model: &CausalLm) -> [Vec<u8>; 2] {
    let files = block_on(model.adapter().unwrap().to_peft()).unwrap();
    let files: Vec<Vec<u8>> = files.into_iter().map(|(_, bytes)| bytes).collect();
    files.try_into().unwrap()
}

/// Adapters of every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let low_rank = LoraSettings {
        rank: 2,
        ..LoraSettings::default()
    };
    let kinds = [
        AdapterSettings::Lora(LoraSettings {
            target_modules: vec!["q_proj".to_string(), "layers.0.mlp.up_proj".to_string()],
            rank_stabilized: true,
            dropout: 0.5,
            ..low_rank.clone()
        }),
        AdapterSettings::Lora(LoraSettings {
            decomposed: true,
            ..low_rank.clone()
        }),
        AdapterSettings::Lora(LoraSettings {
            target_modules: vec!["lm_head".to_string(), "embed_tokens".to_string()],
            ..low_rank
        }),
        AdapterSettings::Ia3(Ia3Settings::default()),
    ];
    let seed = |settings| {
        let [config, values] = files(&model().with_new_adapter(settings, 0).unwrap());
        [config, vec![0], values].concat()
    };
    let mut seeds: Vec<Vec<u8>> = kinds.map(seed).into();
    // A whole number beyond the range of integers.
    let alpha = br#""lora_alpha": 16"#;
    let position = seeds[1].windows(alpha.len()).position(|part| part == alpha);
    let end = position.unwrap() + alpha.len();
    let larger = [&seeds[1][..end], b"e300", &seeds[1][end..]].concat();
    seeds.push(larger);
    seeds.extend(seeds_with_weights());
    seeds
}

/// Adapters whose files replace weights of the model, and one with biases of its own.
fn seeds_with_weights() -> Vec<Vec<u8>> {
    let settings = AdapterSettings::Lora(LoraSettings {
        rank: 1,
        target_modules: vec!["q_proj".to_string()],
        ..LoraSettings::default()
    });
    let [config, values] = files(&model().with_new_adapter(settings, 0).unwrap());
    let config = String::from_utf8(config).unwrap();
    let seed = |fields: &str, tensors: &[(&str, &[usize])]| {
        let config = config.replace("\"modules_to_save\": null", fields);
        let file = SafeTensors::deserialize(&values).unwrap();
        let zeros = [0; 256];
        let own = file.tensors().into_iter();
        let more = tensors.iter().map(|(name, shape)| {
            let bytes = &zeros[..4 * shape.iter().product::<usize>()];
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
            (format!("base_model.model.{name}"), view)
        });
        let values = serialize(own.chain(more), None).unwrap();
        [config.as_bytes(), &[0], &values].concat()
    };
    let embedding = "model.embed_tokens.weight";
    vec![
        seed(
            r#""modules_to_save": ["embed_tokens", "norm"]"#,
            &[(embedding, &[8, 4]), ("model.norm.weight", &[4])],
        ),
        seed(
            r#""modules_to_save": null, "trainable_token_indices": [9, 2]"#,
            &[
                (embedding, &[10, 4]),
                ("lm_head.weight", &[10, 4]),
                (
                    "model.embed_tokens.token_adapter.trainable_tokens_delta",
                    &[2, 4],
                ),
            ],
        ),
        seed(
            r#""lora_bias": true, "alpha_pattern": {"layers.*q_proj": 3}"#,
            &[("model.layers.0.self_attn.q_proj.lora_B.bias", &[4])],
        ),
    ]
}
