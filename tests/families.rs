//! Every family of models against PyTorch: logits, cross-entropy and the norm of every gradient of a
//! randomly initialised model, by `transformers` (OpenELM: by a transcription of the published
//! architecture) in float32; and a step of minifinetuning.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use common::{Vectors, check_logits, data, devices, largest, largest_error, values};
use minift::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use minift::data::{Batch, Sample};
use minift::device::Device;
use minift::model::{CausalLm, FileBytes, KeyValueCache, ModelFiles, Weights};
use minift::objective::Objective;
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;

/// The folders of random models: those of `tests/data/tiny`, and those of the folder that the
/// environment variable `MINIFT_TEST_MODELS` names.
fn models() -> Vec<PathBuf> {
    let more = std::env::var_os("MINIFT_TEST_MODELS").map(PathBuf::from);
    let own = folders(&data("tiny"));
    assert!(own.len() >= 17, "models are missing: {own:?}");
    own.into_iter()
        .chain(more.iter().flat_map(|folder| folders(folder)))
        .collect()
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Those models have no tokenizer; this one knows two words.
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "truncation": null, "padding": null,
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}"#;

fn load(folder: &Path, device: &Device) -> CausalLm {
    let files = ModelFiles::collect(folder.to_path_buf(), |name| {
        let bytes = match name {
            "tokenizer.json" => Some(TOKENIZER.as_bytes().to_vec()),
            _ => std::fs::read(folder.join(name)).ok(),
        };
        Ok(bytes.map(|bytes| FileBytes::InMemory(bytes.into())))
    });
    CausalLm::from_files(files.unwrap(), device).unwrap()
}

/// What another implementation makes of the model.
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

#[test]
fn logits_losses_and_gradients_are_those_of_transformers() {
    for device in devices() {
        for folder in models() {
            let family = folder.display();
            let model = load(&folder, &device);
            let file = expected(&folder);
            check_logits(&model, &file, "logits", 2e-4, &device);

            let settings = TrainSettings {
                objective: Objective::finetuning(),
                ..TrainSettings::default()
            };
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
            for (spec, gradient) in trainer.parameters().to_vec().iter().zip(gradients) {
                let squares = values(gradient).into_iter().map(|g| f64::from(g).powi(2));
                let norm = squares.sum::<f64>().sqrt();
                let expected = norms[&spec.name];
                assert!(
                    (norm - expected).abs() <= 1e-3 * expected,
                    "{family} on {}: gradient of {} has norm {norm}, expected {expected}",
                    device.name(),
                    spec.name
                );
            }
        }
    }
}

#[test]
fn a_step_of_minifinetuning_moves_every_family() {
    for device in devices() {
        for folder in models() {
            let family = folder.display();
            let model = load(&folder, &device);
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

/// Whatever way round a family has its weights: folded in, an adapter does what it does beside them.
#[test]
fn trained_adapters_can_be_merged_into_every_family() {
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
            let settings = TrainSettings {
                adapter: Some(adapter.clone()),
                ..TrainSettings::default()
            };
            let mut trainer = Trainer::new(load(&folder, &device), settings).unwrap();
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
                "{} of {}: merged it is off by {merged:e}, left out by {without:e}",
                adapter.name(),
                folder.display()
            );
        }
    }
}

/// Layers that are computed twice give the gradients of layers that are kept, of the weights and of
/// adapters.
#[test]
fn gradient_checkpointing_changes_no_gradient() {
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
                    let settings = TrainSettings {
                        adapter: adapter.clone(),
                        gradient_checkpointing,
                        ..TrainSettings::default()
                    };
                    let mut trainer = Trainer::new(load(&folder, &device), settings).unwrap();
                    // After a step, that an adapter's second factor is not 0.
                    block_on(trainer.step(&batch, 1e-3)).unwrap();
                    let (loss, gradients) = block_on(trainer.gradients(&batch)).unwrap();
                    (
                        values(loss),
                        gradients.into_iter().map(values).collect::<Vec<_>>(),
                    )
                };
                let (kept, recomputed) = (gradients(false), gradients(true));
                assert!((kept.0[0] - recomputed.0[0]).abs() < 1e-5);
                let to_f64 =
                    |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
                for (kept, recomputed) in kept.1.iter().zip(&recomputed.1) {
                    let kept = to_f64(kept);
                    let error = largest_error(recomputed, &kept);
                    assert!(
                        error <= 1e-4 * largest(&kept) + 1e-6,
                        "{} on {}: off by {error:e}",
                        folder.display(),
                        device.name()
                    );
                }
            }
        }
    }
}

/// Texts that are packed into one sample see nothing of each other, and stand at positions of their own.
#[test]
fn packed_texts_are_predicted_as_if_alone() {
    for device in devices() {
        for folder in models() {
            let model = load(&folder, &device);
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

/// With keys and values kept, tokens come a few at a time; windows and positions still count from the
/// beginning.
#[test]
fn kept_keys_and_values_change_nothing() {
    for device in devices() {
        for folder in models() {
            let family = folder.display();
            let model = load(&folder, &device);
            let file = expected(&folder);
            let [_, length] = file.shape("input_ids").try_into().unwrap();
            let ids = file.i32("input_ids")[..length].to_vec();
            let tokens = |range: std::ops::Range<usize>| {
                let data = TensorData::new(ids[range.clone()].to_vec(), [1, range.len()]);
                Tensor::<2, Int>::from_data(data, &model.tensor_device())
            };
            let weights = Weights {
                parameters: model.parameters(),
                changes: Vec::new(),
            };
            let decoder = model.decoder();
            let whole = values(decoder.hidden_states(&weights, tokens(0..length)));
            let mut cache = KeyValueCache::default();
            let mut parts = Vec::new();
            for (start, end) in [(0, 20), (20, 21), (21, 37), (37, length)] {
                let hidden =
                    decoder.continue_hidden_states(&weights, tokens(start..end), &mut cache);
                parts.extend(values(hidden));
            }
            let whole: Vec<f64> = whole.into_iter().map(f64::from).collect();
            let error = largest_error(&parts, &whole);
            assert!(error < 2e-5, "{family} on {}: {error:e}", device.name());
        }
    }
}
