//! The models that a dial gives.

use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use minift::device::Device;
use minift::model::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use minift::model::{CausalLm, Dial, DialProfile, ModelFiles, WeightType};
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;
use serde_json::{Value, json};

use crate::common::{
    Vectors, data, devices, folders, gpu, largest_error, load_tiny, run_data, values,
};

fn lora() -> AdapterSettings {
    AdapterSettings::Lora(LoraSettings::default())
}

fn dora() -> AdapterSettings {
    AdapterSettings::Lora(LoraSettings {
        decomposed: true,
        ..LoraSettings::default()
    })
}

fn ia3() -> AdapterSettings {
    AdapterSettings::Ia3(Ia3Settings::default())
}

/// Trains a few steps with an adapter, or all weights.
fn trained(model: &CausalLm, adapter: Option<AdapterSettings>) -> CausalLm {
    let data = run_data(model, 24, [8, 1, 1]);
    let settings = TrainSettings::default().with_adapter(adapter);
    let mut trainer = Trainer::new(model.clone(), settings).unwrap();
    for step in 0..3 {
        let samples = (step..step + 4).collect();
        let batch = minift::model::Batch::new(&data.train, samples);
        block_on(trainer.step(&[batch], 1e-2)).unwrap();
    }
    trainer.model()
}

/// Returns the logits of a few tokens.
fn logits(model: &CausalLm) -> Vec<f32> {
    let vocab_size = model.config().decoder.vocab_size as i32;
    let ids: Vec<i32> = (0..32).map(|i| (i * 37 + 11) % vocab_size).collect();
    let tokens = TensorData::new(ids, [2, 16]);
    values(model.logits(Tensor::<2, Int>::from_data(tokens, &model.tensor_device())))
}

fn weights(model: &CausalLm) -> Vec<Vec<f32>> {
    model.parameters().into_iter().map(values).collect()
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let bits = |values: &Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
    values.iter().map(bits).collect()
}

/// Returns θ₀ + w (θ − θ₀) in float64.
fn interpolated(from: &[Vec<f32>], to: &[Vec<f32>], weight: f64) -> Vec<Vec<f64>> {
    let tensors = from.iter().zip(to);
    tensors
        .map(|(from, to)| {
            let pairs = from.iter().zip(to);
            let pairs = pairs.map(|(&a, &b)| (f64::from(a), f64::from(b)));
            pairs.map(|(a, b)| a + weight * (b - a)).collect()
        })
        .collect()
}

fn error(found: &[Vec<f32>], expected: &[Vec<f64>]) -> f64 {
    let pairs = found.iter().zip(expected);
    pairs
        .map(|(found, expected)| largest_error(found, expected))
        .fold(0.0, f64::max)
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Returns the largest absolute error over the largest value.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let expected = to_f64(expected);
    largest_error(found, &expected) / crate::common::largest(&expected)
}

#[test]
fn the_ends_are_the_models_bit_for_bit() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        for adapter in [None, Some(lora()), Some(dora()), Some(ia3())] {
            let trained = trained(&model, adapter.clone());
            let dial = Dial::of_training(&model, trained.clone()).unwrap();
            for (weight, expected) in [(0.0, &model), (1.0, &trained)] {
                let found = dial.at(weight).unwrap();
                let what = format!("{adapter:?} at {weight} on {}", device.name());
                assert_eq!(bits(&weights(&found)), bits(&weights(expected)), "{what}");
                let [found, expected] = [&found, expected].map(|model| vec![logits(model)]);
                assert_eq!(bits(&found), bits(&expected), "{what}");
            }
            let changes = |weight| logits(&dial.at(weight).unwrap()) != logits(&model);
            assert!(changes(0.5) && changes(1.0), "{adapter:?}");
        }
    }
}

/// LoRA is scaled, and everything else interpolated after merging: both are θ₀ + w (θ − θ₀) of the merged weights.
#[test]
fn between_the_ends_weights_are_interpolated() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        for adapter in [None, Some(lora()), Some(dora())] {
            let trained = trained(&model, adapter.clone());
            let (from, to) = (weights(&model), weights(&trained.merged()));
            let dial = Dial::of_training(&model, trained).unwrap();
            for weight in [0.25, 0.7] {
                let found = dial.at(weight).unwrap();
                let what = format!("{adapter:?} at {weight} on {}", device.name());
                let is_scaled = adapter == Some(lora());
                assert_eq!(found.adapter().is_some(), is_scaled, "{what}");
                let merged = found.merged();
                let error = error(&weights(&merged), &interpolated(&from, &to, weight));
                assert!(error <= 1e-5, "{what}: {error:e}");
                let error = relative_error(&logits(&found), &logits(&merged));
                assert!(error <= 1e-5, "{what}: {error:e}");
            }
        }
    }
}

#[test]
fn factors_of_ia3_lie_between_one_and_the_trained_ones() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let trained = trained(&model, Some(ia3()));
        let dial = Dial::of_adapter(trained.clone()).unwrap();
        let factors = |model: &CausalLm| -> Vec<Vec<f32>> {
            model.trainable_values().into_iter().map(values).collect()
        };
        let all = factors(&trained);
        let ones: Vec<Vec<f32>> = all.iter().map(|values| vec![1.0; values.len()]).collect();
        let found = dial.at(0.3).unwrap();
        let error = error(&factors(&found), &interpolated(&ones, &all, 0.3));
        assert!(error <= 1e-6, "{error:e}");
        assert_eq!(factors(&dial.at(0.0).unwrap()), ones);
        let error = relative_error(&logits(&found), &logits(&found.merged()));
        assert!(error <= 1e-5, "{error:e}");
    }
}

/// Returns the files of a model's adapter, read again for the same base model.
fn saved_and_loaded(model: &CausalLm) -> (Value, CausalLm) {
    let files = block_on(model.to_files()).unwrap();
    let file = |name: &str| &files.iter().find(|(found, _)| found == name).unwrap().1;
    let config = file("adapter_config.json");
    let weights = file("adapter_model.safetensors");
    let again = model
        .without_adapter()
        .with_adapter(config, weights, Path::new("again"));
    (serde_json::from_slice(config).unwrap(), again.unwrap())
}

#[test]
fn a_scaled_adapter_is_saved_with_its_alpha() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let dial = Dial::of_adapter(trained(&model, Some(lora()))).unwrap();
    let at = |weight, profile| {
        let dial = dial.clone().with_profile(profile);
        let found = dial.at(weight).unwrap();
        let (config, again) = saved_and_loaded(&found);
        assert_eq!(logits(&again), logits(&found), "{weight} {profile:?}");
        (
            config["lora_alpha"].clone(),
            config["alpha_pattern"].clone(),
        )
    };
    assert_eq!(at(0.75, DialProfile::Uniform), (json!(12), json!({})));
    assert_eq!(
        at(0.3, DialProfile::Uniform),
        (json!(16.0 * 0.3), json!({}))
    );
    // B is 0 instead of α.
    assert_eq!(at(0.0, DialProfile::Uniform), (json!(16), json!({})));
    let (alpha, pattern) = at(0.25, DialProfile::ByDepth);
    assert_eq!(alpha, 16);
    let pattern = pattern.as_object().unwrap();
    // Six layers of seven modules, of which the last has all of the strength.
    assert_eq!(pattern.len(), 5 * 7);
    for layer in 0..5 {
        let strength = 0.25 + 0.75 * layer as f64 / 5.0;
        let found = &pattern[&format!("model.layers.{layer}.mlp.up_proj")];
        assert!(
            (found.as_f64().unwrap() - 16.0 * strength).abs() < 1e-12,
            "{found}"
        );
    }
    let (_, pattern) = at(0.0, DialProfile::ByDepth);
    assert!(pattern.get("model.layers.0.mlp.up_proj").is_none());
}

/// An adapter as PEFT wrote it, with alphas of their own for some layers, keeps its other fields.
#[test]
fn alphas_of_a_loaded_adapter_are_scaled() {
    let folder = data("peft/lora");
    let base = CausalLm::embedded(&Device::cpu()).unwrap();
    let config = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
    let patterns = r#""alpha_pattern": {"layers\\.0\\..*_proj": 3, "up_proj": 64}"#;
    let changed = config.replacen("\"alpha_pattern\": {}", patterns, 1);
    assert_ne!(changed, config);
    let values = std::fs::read(folder.join("adapter_model.safetensors")).unwrap();
    let adapted = base
        .with_adapter(changed.as_bytes(), &values, &folder)
        .unwrap();
    let (from, to) = (weights(&base), weights(&adapted.merged()));
    let dial = Dial::of_adapter(adapted).unwrap();
    for profile in [DialProfile::Uniform, DialProfile::ByDepth] {
        let found = dial.clone().with_profile(profile).at(0.5).unwrap();
        let (config, again) = saved_and_loaded(&found);
        assert_eq!(config["peft_version"], {
            let json: Value = serde_json::from_str(&changed).unwrap();
            json["peft_version"].clone()
        });
        let pattern = &config["alpha_pattern"];
        let alpha = |module: &str| pattern[format!("model.layers.{module}")].as_f64();
        assert_eq!(alpha("0.mlp.up_proj"), Some(1.5), "{pattern}");
        let error = relative_error(&logits(&again), &logits(&found));
        assert!(error <= 1e-6, "{profile:?}: {error:e}");
        if profile == DialProfile::Uniform {
            assert_eq!(alpha("1.mlp.up_proj"), Some(32.0), "{pattern}");
            assert_eq!(alpha("1.mlp.down_proj"), None, "{pattern}");
            let error = error_of(&found, &interpolated(&from, &to, 0.5));
            assert!(error <= 1e-5, "{error:e}");
        }
    }
}

fn error_of(model: &CausalLm, expected: &[Vec<f64>]) -> f64 {
    error(&weights(&model.merged()), expected)
}

/// Every part that an adapter of PEFT can have: what cannot be scaled is merged, and what cannot be merged or has
/// no counterpart in the base model is refused.
#[test]
fn adapters_with_replaced_weights_are_merged_and_interpolated() {
    let mut refused = Vec::new();
    for folder in folders(&data("peft_tiny")) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let expected = Vectors::parse(&std::fs::read(folder.join("expected.safetensors")).unwrap());
        let base = load_tiny(
            &data("tiny").join(&expected.metadata["base"]),
            &Device::cpu(),
        );
        let adapted = base.load_adapter(&folder).unwrap();
        let dial = match Dial::of_adapter(adapted.clone()) {
            Ok(dial) => dial,
            Err(error) => {
                refused.push((name, error.to_string()));
                continue;
            }
        };
        assert_eq!(logits(&dial.at(0.0).unwrap()), logits(&base), "{name}");
        assert_eq!(logits(&dial.at(1.0).unwrap()), logits(&adapted), "{name}");
        let half = dial.at(0.5).unwrap();
        let Ok(merged) = half.try_merged() else {
            // Scaled, with a bias of B that has no place in the weights.
            assert!(name.contains("lora_bias"), "{name}");
            continue;
        };
        let to = adapted.try_merged().unwrap();
        // Of an untied model, the head of the base model is its embedding.
        let names = |model: &CausalLm| -> Vec<String> {
            let specs = model.decoder().parameters().iter();
            specs.map(|spec| spec.name.clone()).collect()
        };
        let (own, all) = (names(&base), names(&to));
        let of_base = weights(&base);
        let place = |name: &String| own.iter().position(|own| own == name).unwrap_or(0);
        let from: Vec<Vec<f32>> = all
            .iter()
            .map(|name| of_base[place(name)].clone())
            .collect();
        let error = error(&weights(&merged), &interpolated(&from, &weights(&to), 0.5));
        assert!(error <= 1e-5, "{name}: {error:e}");
    }
    let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["resized", "resized_tokens"], "{refused:?}");
    for (_, message) in &refused {
        assert!(message.contains("a vocabulary of"), "{message}");
    }
}

/// A quantized base keeps its blocks, and only the adapter is scaled.
#[test]
fn quantized_weights_stay_as_they_are() {
    for device in devices() {
        let q8_0: WeightType = "q8_0".parse().unwrap();
        let model = CausalLm::from_files_as(ModelFiles::embedded(), Some(q8_0), &device).unwrap();
        let kinds = |model: &CausalLm| -> Vec<WeightType> {
            model.stored().iter().map(|weight| weight.kind()).collect()
        };
        assert!(kinds(&model).contains(&q8_0));
        let adapted = trained(&model, Some(lora()));
        let half = Dial::of_training(&model, adapted.clone())
            .unwrap()
            .at(0.5)
            .unwrap();
        assert_eq!(kinds(&half), kinds(&model));
        let (from, to) = (weights(&model), weights(&adapted.merged()));
        let error = error_of(&half, &interpolated(&from, &to, 0.5));
        assert!(error <= 1e-5, "{error:e}");
        // Fully trained weights are float32; the untouched end is still quantized.
        let dial = Dial::of_training(&model, trained(&model, None)).unwrap();
        assert_eq!(kinds(&dial.at(0.0).unwrap()), kinds(&model));
        let half = dial.at(0.5).unwrap();
        let to = weights(dial.trained());
        let error = error_of(&half, &interpolated(&from, &to, 0.5));
        assert!(error <= 1e-5, "{error:e}");
    }
}

#[test]
fn strength_grows_with_depth() {
    let model = CausalLm::embedded(&gpu()).unwrap();
    let trained = trained(&model, None);
    let (from, to) = (weights(&model), weights(&trained));
    let dial = Dial::new(model.clone(), trained.clone()).unwrap();
    let dial = dial.with_profile(DialProfile::ByDepth);
    let found = weights(&dial.at(0.2).unwrap());
    let specs = model.decoder().parameters();
    let layers = model.config().decoder.layers.len();
    for (index, spec) in specs.iter().enumerate() {
        let layer = spec.name.strip_prefix("model.layers.");
        let layer: Option<usize> =
            layer.map(|rest| rest.split('.').next().unwrap().parse().unwrap());
        // Embedding and last norm are outside the layers.
        let strength = layer.map_or(0.2, |layer| 0.2 + 0.8 * layer as f64 / (layers - 1) as f64);
        let [from, to] = [&from, &to].map(|all| std::slice::from_ref(&all[index]));
        let expected = interpolated(from, to, strength);
        let error = error(&found[index..=index], &expected);
        assert!(error <= 1e-6, "{}: {error:e}", spec.name);
    }
    assert_eq!(weights(&dial.at(1.0).unwrap()), to);
    // At 0 the last layer is the trained one.
    let lowest = weights(&dial.at(0.0).unwrap());
    let is_last = |name: &str| name.starts_with(&format!("model.layers.{}.", layers - 1));
    for (index, spec) in specs.iter().enumerate() {
        if is_last(&spec.name) {
            assert_eq!(lowest[index], to[index]);
        } else if !spec.name.starts_with("model.layers.") {
            assert_eq!(lowest[index], from[index]);
        }
    }
}

/// The layers of every family are found by their names.
#[test]
fn every_family_has_a_dial_by_depth() {
    for folder in folders(&data("tiny")) {
        let model = load_tiny(&folder, &Device::cpu());
        let moved = model.parameters().into_iter().map(|values| values + 1.0);
        let trained = model.with_trainable_values(moved.collect());
        let dial = Dial::new(model.clone(), trained).unwrap();
        let dial = dial.with_profile(DialProfile::ByDepth);
        let found = weights(&dial.at(0.5).unwrap());
        let layers = model.config().decoder.layers.len();
        let mut strengths: Vec<i32> = found
            .iter()
            .zip(weights(&model))
            .map(|(found, from)| ((found[0] - from[0]) * 1000.0).round() as i32)
            .collect();
        strengths.sort();
        strengths.dedup();
        let mut expected: Vec<i32> = (0..layers)
            .map(|layer| DialProfile::ByDepth.strength(0.5, Some(layer), layers))
            .map(|strength| (strength * 1000.0).round() as i32)
            .collect();
        expected.push(500);
        expected.sort();
        expected.dedup();
        assert_eq!(strengths, expected, "{}", folder.display());
    }
}

#[test]
fn a_model_trained_from_another_one_is_refused() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let other = |name: &str| load_tiny(&data("tiny").join(name), &Device::cpu());
    let message = |other| Dial::new(model.clone(), other).unwrap_err().to_string();
    let family = message(other("gpt2"));
    assert!(family.contains("a GPT-2 model, expected Llama"), "{family}");
    let size = message(other("smollm2"));
    assert!(
        size.contains("a vocabulary of") && size.contains("expected 1024"),
        "{size}"
    );
    let dial = Dial::new(model.clone(), model.clone()).unwrap();
    for weight in [-0.1, 1.1, f64::NAN] {
        let error = dial.at(weight).unwrap_err().to_string();
        assert!(error.contains("expected 0 to 1"), "{error}");
    }
    let error = Dial::of_adapter(model).unwrap_err().to_string();
    assert!(error.contains("invalid adapter: none"), "{error}");
}

/// A training of an adapter that the model had before: 0 is the adapter as it was.
#[test]
fn a_dial_of_a_further_training_starts_at_the_first_adapter() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let first = trained(&model, Some(lora()));
    let second = trained(&first, None);
    let dial = Dial::of_training(&first, second.clone()).unwrap();
    assert_eq!(logits(&dial.at(0.0).unwrap()), logits(&first));
    assert_eq!(logits(&dial.at(1.0).unwrap()), logits(&second));
    let (from, to) = (weights(&first.merged()), weights(&second.merged()));
    let error = error_of(&dial.at(0.5).unwrap(), &interpolated(&from, &to, 0.5));
    assert!(error <= 1e-5, "{error:e}");
}
