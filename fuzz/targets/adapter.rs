//! Folders of adapters.

use std::path::Path;

use minift::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use minift::model::CausalLm;
use pollster::block_on;

use super::is_told;
use super::small_model::model;

/// Reads bytes as `adapter_config.json`, a NUL, and `adapter_model.safetensors`, for the small model.
/// What is accepted is written as it is read.
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
            let again = read(&written[0], &written[1]).expect("what is written can be read");
            assert!(files(&again) == written, "written and read again");
            assert_eq!(settings(&again), settings(&adapted));
            assert!(adapted.merged().adapter().is_none());
            true
        }
        Err(error) => {
            is_told(&error, data.len());
            false
        }
    }
}

/// What it computes by; which layers it adapts is what its file of values holds.
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
            ..low_rank
        }),
        AdapterSettings::Ia3(Ia3Settings::default()),
    ];
    let seed = |settings| {
        let [config, values] = files(&model().with_new_adapter(settings, 0).unwrap());
        [config, vec![0], values].concat()
    };
    let mut seeds: Vec<Vec<u8>> = kinds.map(seed).into();
    // A whole number that no integer is.
    let alpha = br#""lora_alpha": 16"#;
    let place = seeds[1].windows(alpha.len()).position(|part| part == alpha);
    let end = place.unwrap() + alpha.len();
    let larger = [&seeds[1][..end], b"e300", &seeds[1][end..]].concat();
    seeds.push(larger);
    seeds
}
