//! Every model family compared with PyTorch: logits, cross-entropy, and norm and direction of every gradient
//! of a randomly initialized model, computed by `transformers` (OpenELM: by a transcription of the published
//! architecture); and steps of minifinetuning.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use common::{
    Vectors, check_logits, data, devices, folders, largest, largest_error, load_tiny, values,
};
use minift::Objective;
use minift::device::Device;
use minift::internals::{DecoderCache, Weights};
use minift::model::Batch;
use minift::model::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use minift::model::{CausalLm, ModelConfig};
use minift::text::Sample;
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;

/// Returns the folders of random models: those in `tests/data/tiny`, and those in the folder that the
/// environment variable `MINIFT_TEST_MODELS` names.
fn models() -> Vec<PathBuf> {
    let more = std::env::var_os("MINIFT_TEST_MODELS").map(PathBuf::from);
    let own = folders(&data("tiny"));
    assert!(own.len() >= 45, "models are missing: {own:?}");
    own.into_iter()
        .chain(more.iter().flat_map(|folder| folders(folder)))
        .collect()
}

/// Returns the reference values of a model.
fn expected(folder: &Path) -> Vectors {
    Vectors::parse(&std::fs::read(folder.join("expected.safetensors")).unwrap())
}

fn samples(file: &Vectors) -> Vec<Sample> {
    let [_, length] = file.shape("input_ids").try_into().unwrap();
    file.i32("input_ids")
        .chunks(length)
        .map(|ids| ids.iter().map(|&id| id as u32).collect())
        .collect()
}

/// Returns dot products of each model's gradients with random directions, in float64.
fn dot_products() -> BTreeMap<String, BTreeMap<String, f64>> {
    let json = std::fs::read(data("gradient_directions.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    serde_json::from_value(json["models"].take()).unwrap()
}

/// The random direction of a parameter's gradient, as `gradient_directions.json` says.
fn direction(parameter: &str) -> impl Iterator<Item = f64> {
    let fnv1a = parameter
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    (1_u64..).map(move |number| {
        let z = fnv1a.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    })
}

#[test]
fn logits_losses_and_gradients_match_transformers() {
    let dot_products = dot_products();
    let mut compared = 0;
    for device in devices() {
        for folder in models() {
            let family = folder.display();
            let model = load_tiny(&folder, &device);
            let file = expected(&folder);
            check_logits(&model, &file, "logits", 2e-4, &device);

            let settings = TrainSettings::default().with_objective(Objective::finetuning());
            let mut trainer = Trainer::new(model, settings).unwrap();
            let samples = samples(&file);
            let batch = Batch::new(&samples, (0..samples.len()).collect());
            let (loss, gradients) = block_on(trainer.gradients(&[batch])).unwrap();
            let expected: f64 = file.metadata["cross_entropy"].parse().unwrap();
            let loss = f64::from(values(loss)[0]);
            assert!(
                (loss - expected).abs() <= 1e-4 * expected,
                "{family} on {}: cross-entropy {loss}, expected {expected}",
                device.name()
            );
            let norms: BTreeMap<String, f64> =
                serde_json::from_str(&file.metadata["grad_norms"]).unwrap();
            assert_eq!(norms.len(), gradients.len(), "{family}");
            // Models of MINIFT_TEST_MODELS have none.
            let dot_products = dot_products.get(folder.file_name().unwrap().to_str().unwrap());
            let dot_products = dot_products.filter(|_| folder.starts_with(data("tiny")));
            for (spec, gradient) in trainer.parameters().to_vec().iter().zip(gradients) {
                let gradient: Vec<f64> = values(gradient).into_iter().map(f64::from).collect();
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                let expected = norms[&spec.name];
                assert!(
                    (norm - expected).abs() <= 1e-3 * expected,
                    "{family} on {}: gradient of {} has norm {norm}, expected {expected}",
                    device.name(),
                    spec.name
                );
                if let Some(dot_products) = dot_products {
                    let products = gradient.iter().zip(direction(&spec.name));
                    let dot_product: f64 = products.map(|(g, d)| g * d).sum();
                    let error = (dot_product - dot_products[&spec.name]).abs() / norm;
                    assert!(
                        error <= 1e-4,
                        "{family} on {}: gradient of {} is off by {error:e} of its norm in a direction",
                        device.name(),
                        spec.name
                    );
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(
        compared,
        2 * dot_products.values().map(BTreeMap::len).sum::<usize>()
    );
}

#[test]
fn configurations_are_read_with_all_keys_of_published_models() {
    let json = std::fs::read(data("published_configs.json")).unwrap();
    let models: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert_eq!(models.len(), 19);
    for (name, model) in models {
        let config = model["config"].to_string();
        let config = ModelConfig::parse(config.as_bytes(), Path::new("config.json"));
        let config = config.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.decoder.family.to_string(), model["family"], "{name}");
    }
}

#[test]
fn minifinetuning_reduces_the_loss_of_every_family() {
    for device in devices() {
        for folder in models() {
            let family = folder.display();
            let model = load_tiny(&folder, &device);
            let file = expected(&folder);
            let samples = samples(&file);
            let batch = || [Batch::new(&samples, (0..samples.len()).collect())];
            let mut trainer = Trainer::new(model, TrainSettings::default()).unwrap();
            let losses: Vec<f32> = (0..3)
                .map(|_| block_on(trainer.step(&batch(), 3e-4)).unwrap().loss)
                .collect();
            assert!(losses[2] < losses[0], "{family}: {losses:?}");
        }
    }
}

/// Merging handles both memory layouts of the weights.
#[test]
fn trained_adapters_merge_into_every_family() {
    let device = Device::cpu();
    let kinds = [
        AdapterSettings::Lora(LoraSettings::default()),
        AdapterSettings::Lora(LoraSettings {
            decomposed: true,
            ..LoraSettings::default()
        }),
        AdapterSettings::Ia3(Ia3Settings::default()),
    ];
    for folder in models() {
        let file = expected(&folder);
        let samples = samples(&file);
        let batch = [Batch::new(&samples, (0..samples.len()).collect())];
        for adapter in &kinds {
            let settings = TrainSettings::default().with_adapter(Some(adapter.clone()));
            let mut trainer = Trainer::new(load_tiny(&folder, &device), settings).unwrap();
            for _ in 0..2 {
                block_on(trainer.step(&batch, 1e-3)).unwrap();
            }
            let model = trainer.model();
            let logits = |model: &CausalLm| values(model.logits(batch[0].inputs(device.tensors())));
            let adapted: Vec<f64> = logits(&model).into_iter().map(f64::from).collect();
            let merged = largest_error(&logits(&model.merged()), &adapted);
            let without = largest_error(&logits(&model.without_adapter()), &adapted);
            assert!(
                merged < 5e-4 && without > 20.0 * merged,
                "{} of {}: error {merged:e} merged, {without:e} without the adapter",
                adapter.name(),
                folder.display()
            );
        }
    }
}

/// Recomputed activations give the same gradients as stored ones, of weights and of adapters.
#[test]
fn gradient_checkpointing_does_not_change_gradients() {
    for device in devices() {
        for folder in models() {
            let file = expected(&folder);
            let samples = samples(&file);
            let batch = [Batch::new(&samples, (0..samples.len()).collect())];
            let lora = AdapterSettings::Lora(LoraSettings {
                dropout: 0.1,
                ..LoraSettings::default()
            });
            for adapter in [None, Some(lora)] {
                let gradients = |gradient_checkpointing| {
                    let settings = TrainSettings::default()
                        .with_adapter(adapter.clone())
                        .with_gradient_checkpointing(gradient_checkpointing);
                    let mut trainer = Trainer::new(load_tiny(&folder, &device), settings).unwrap();
                    // After a step, an adapter's B is not 0.
                    block_on(trainer.step(&batch, 1e-3)).unwrap();
                    let (loss, gradients) = block_on(trainer.gradients(&batch)).unwrap();
                    (
                        values(loss),
                        gradients.into_iter().map(values).collect::<Vec<_>>(),
                    )
                };
                let (stored, recomputed) = (gradients(false), gradients(true));
                assert!((stored.0[0] - recomputed.0[0]).abs() < 1e-5);
                let to_f64 =
                    |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
                for (stored, recomputed) in stored.1.iter().zip(&recomputed.1) {
                    let stored = to_f64(stored);
                    let error = largest_error(recomputed, &stored);
                    assert!(
                        error <= 1e-4 * largest(&stored) + 1e-6,
                        "{} on {}: error {error:e}",
                        folder.display(),
                        device.name()
                    );
                }
            }
        }
    }
}

/// Packed texts do not attend to each other, and their position ids start at 0.
#[test]
fn packing_does_not_change_predictions() {
    for device in devices() {
        for folder in models() {
            let model = load_tiny(&folder, &device);
            let file = expected(&folder);
            let ids: Vec<u32> = samples(&file)[0].tokens().to_vec();
            let texts = [&ids[..7], &ids[7..31], &ids[31..]].map(|ids| Sample::new(ids.to_vec()));
            let rows = |list: &[Sample]| {
                let batch = Batch::new(list, vec![0]);
                let hidden = model
                    .predictions(batch.inputs(&model.tensor_device()))
                    .hidden;
                let [inputs, width] = hidden.dims();
                (values(hidden), inputs, width)
            };
            let (packed, _, width) = rows(&[Sample::packed(texts.clone())]);
            let mut place = 0;
            for text in &texts {
                let (alone, inputs, _) = rows(std::slice::from_ref(text));
                let alone: Vec<f64> = alone.into_iter().map(f64::from).collect();
                let together = &packed[place * width..(place + inputs) * width];
                let error = largest_error(together, &alone);
                assert!(
                    error < 1e-4,
                    "{} on {}: {error:e}",
                    folder.display(),
                    device.name()
                );
                place += text.len();
            }
        }
    }
}

/// With a KV cache tokens arrive in parts; windows and positions still count from the start of the text.
#[test]
fn a_kv_cache_does_not_change_hidden_states() {
    for device in devices() {
        for folder in models() {
            let family = folder.display();
            let model = load_tiny(&folder, &device);
            let file = expected(&folder);
            let [_, length] = file.shape("input_ids").try_into().unwrap();
            let ids = file.i32("input_ids")[..length].to_vec();
            let tokens = |range: std::ops::Range<usize>| {
                let data = TensorData::new(ids[range.clone()].to_vec(), [1, range.len()]);
                Tensor::<2, Int>::from_data(data, &model.tensor_device())
            };
            let weights = Weights {
                parameters: model.stored(),
                changes: Vec::new(),
            };
            let decoder = model.decoder();
            let mut cache = DecoderCache::default();
            for (start, end) in [(0, 20), (20, 21), (21, 37), (37, length)] {
                // Some rotary embeddings depend on the length so far.
                let whole = decoder.hidden_states(&weights, tokens(0..end));
                let width = whole.dims()[1];
                let whole = whole.narrow(0, start, end - start);
                let part = decoder.continue_hidden_states(&weights, tokens(start..end), &mut cache);
                assert_eq!(part.dims(), [end - start, width], "{family}");
                let whole: Vec<f64> = values(whole).into_iter().map(f64::from).collect();
                let error = largest_error(&values(part), &whole);
                assert!(error < 2e-5, "{family} on {}: {error:e}", device.name());
            }
        }
    }
}
