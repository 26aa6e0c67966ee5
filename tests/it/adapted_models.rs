//! Adapters that PEFT wrote for models of several families, with every part that such a file can have:
//! embeddings and heads, replaced modules, biases, tokens, patterns, resized vocabularies.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use common::{Vectors, check_logits, data, devices, folders, largest_error, load_tiny, values};
use minift::Objective;
use minift::device::Device;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::model::{Batch, CausalLm, FileBytes, ModelFiles, SaveType};
use minift::text::Sample;
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;

/// Returns the folders of adapters: those in `tests/data/peft_tiny`, and those in the folder that the
/// environment variable `MINIFT_TEST_ADAPTERS` names.
fn adapters() -> Vec<PathBuf> {
    let more = std::env::var_os("MINIFT_TEST_ADAPTERS").map(PathBuf::from);
    let own = folders(&data("peft_tiny"));
    own.into_iter()
        .chain(more.iter().flat_map(|folder| folders(folder)))
        .collect()
}

fn expected(folder: &Path) -> Vectors {
    Vectors::parse(&std::fs::read(folder.join("expected.safetensors")).unwrap())
}

fn base(file: &Vectors, device: &Device) -> CausalLm {
    load_tiny(&data("tiny").join(&file.metadata["base"]), device)
}

/// Loads a model from the files that another one saves, without rounding its weights.
fn saved_and_loaded(model: &CausalLm, device: &Device) -> CausalLm {
    let exact = model.with_save_type(Some(SaveType::Float32));
    let files = block_on(exact.to_files()).unwrap();
    let files = ModelFiles::collect("again".into(), |name| {
        let found = files.iter().find(|(file, _)| file == name);
        Ok(found.map(|(_, bytes)| FileBytes::InMemory(bytes.clone().into())))
    });
    CausalLm::from_files(files.unwrap(), device).unwrap()
}

#[test]
fn logits_match_peft_loaded_merged_and_saved_again() {
    for device in devices() {
        for folder in adapters() {
            let file = expected(&folder);
            let model = base(&file, &device);
            let name = folder.display();
            println!("{name} on {}", device.name());
            let adapted = model.load_adapter(&folder);
            let adapted = adapted.unwrap_or_else(|error| panic!("{name}: {}", error.report()));
            check_logits(&adapted, &file, "logits", 2e-4, &device);
            match adapted.try_merged() {
                Ok(merged) => {
                    check_logits(&merged, &file, "logits", 2e-4, &device);
                    let again = saved_and_loaded(&merged, &device);
                    check_logits(&again, &file, "logits", 2e-4, &device);
                }
                Err(error) => assert!(error.to_string().contains("lora_bias"), "{name}: {error}"),
            }
            let files = block_on(adapted.to_files()).unwrap();
            let again = model
                .with_adapter(&files[0].1, &files[1].1, &folder)
                .unwrap();
            check_logits(&again, &file, "logits", 2e-4, &device);
            assert!(block_on(again.to_files()).unwrap() == files, "{name}");
            let theirs = std::fs::read(folder.join("adapter_model.safetensors")).unwrap();
            let (ours, theirs) = (Vectors::parse(&files[1].1), Vectors::parse(&theirs));
            assert_eq!(ours.tensors, theirs.tensors, "{name}");
            // Without its adapter the model is as it was.
            let untouched = adapted.without_adapter();
            assert_eq!(untouched.parameter_count(), model.parameter_count());
            assert_eq!(adapted.parameter_count(), model.parameter_count());
            for (a, b) in untouched.parameters().iter().zip(model.parameters()) {
                assert_eq!(values(a.clone()), values(b.clone()), "{name}");
            }
        }
    }
}

/// Returns the samples of the reference values.
fn samples(file: &Vectors) -> Vec<Sample> {
    let [_, length] = file.shape("input_ids").try_into().unwrap();
    let rows = file.i32("input_ids");
    let rows = rows.chunks(length);
    rows.map(|ids| ids.iter().map(|&id| id as u32).collect())
        .collect()
}

#[test]
fn gradients_match_pytorch_with_and_without_checkpointing() {
    for device in devices() {
        for folder in folders(&data("peft_tiny")) {
            let file = expected(&folder);
            let model = base(&file, &device).load_adapter(&folder).unwrap();
            let samples = samples(&file);
            let names: Vec<String> = model
                .trainable_parameters()
                .iter()
                .map(|spec| format!("gradient.base_model.model.{}", spec.name))
                .collect();
            let known = file
                .tensors
                .keys()
                .filter(|name| name.starts_with("gradient."));
            assert_eq!(known.count(), names.len(), "{}", folder.display());
            for checkpointing in [false, true] {
                let settings = TrainSettings::default()
                    .with_objective(Objective::finetuning())
                    .with_gradient_checkpointing(checkpointing);
                let mut trainer = Trainer::new(model.clone(), settings).unwrap();
                let batch = Batch::new(&samples, (0..samples.len()).collect());
                let (loss, gradients) = block_on(trainer.gradients(&[batch])).unwrap();
                let expected: f64 = file.metadata["cross_entropy"].parse().unwrap();
                let loss = f64::from(values(loss)[0]);
                assert!(
                    (loss - expected).abs() < 1e-4,
                    "{loss} instead of {expected}"
                );
                for (name, gradient) in names.iter().zip(gradients) {
                    let error = largest_error(&values(gradient), file.f64(name));
                    let tolerance = if device.adapter().is_some() {
                        2e-4
                    } else {
                        2e-5
                    };
                    assert!(
                        error <= tolerance,
                        "{name} of {} on {}: {error:e}",
                        folder.display(),
                        device.name()
                    );
                }
            }
        }
    }
}

/// A new adapter of the embedding or the head leaves the model as it is, and is trained and saved.
#[test]
fn new_adapters_of_embedding_and_head_are_trained_and_saved() {
    let device = Device::cpu();
    for family in ["smollm2", "llama3", "phi"] {
        let model = load_tiny(&data("tiny").join(family), &device);
        let ids: Vec<i32> = (0..32).map(|id| id * 13 % 512).collect();
        let logits = |model: &CausalLm| {
            let ids = TensorData::new(ids.clone(), [2, 16]);
            values(model.logits(Tensor::<2, Int>::from_data(ids, device.tensors())))
        };
        let before: Vec<f64> = logits(&model).into_iter().map(f64::from).collect();
        let samples: Vec<Sample> = vec![(0..16).collect(), (40..56).collect()];
        for (modules, decomposed) in [
            ("embed_tokens", true),
            ("lm_head", false),
            ("lm_head", true),
        ] {
            let adapter = AdapterSettings::Lora(LoraSettings {
                rank: 2,
                decomposed,
                target_modules: vec![modules.to_string()],
                ..LoraSettings::default()
            });
            let settings = TrainSettings::default().with_adapter(Some(adapter));
            assert!(
                settings.trainable_count(&model).unwrap() > 1000,
                "{modules}"
            );
            let mut trainer = Trainer::new(model.clone(), settings).unwrap();
            let error = largest_error(&logits(&trainer.model()), &before);
            assert!(error < 1e-5, "{family} {modules}: {error:e}");
            for _ in 0..2 {
                block_on(trainer.step(&[Batch::new(&samples, vec![0, 1])], 1e-2)).unwrap();
            }
            let trained = trainer.model();
            let after: Vec<f64> = logits(&trained).into_iter().map(f64::from).collect();
            let moved = largest_error(&logits(&model), &after);
            assert!(moved > 1e-3, "{family} {modules}: {moved:e}");
            let files = block_on(trained.to_files()).unwrap();
            let again = model.with_adapter(&files[0].1, &files[1].1, Path::new("again"));
            assert!(largest_error(&logits(&again.unwrap()), &after) == 0.0);
            let merged = saved_and_loaded(&trained.try_merged().unwrap(), &device);
            assert!(
                largest_error(&logits(&merged), &after) < 1e-4,
                "{family} {modules}"
            );
            assert!(largest_error(&logits(&trained.without_adapter()), &before) == 0.0);
        }
    }
}

#[test]
fn adapters_that_resize_the_vocabulary_are_not_trained_towards_their_base_model() {
    let device = Device::cpu();
    let folder = data("peft_tiny/resized");
    let model = base(&expected(&folder), &device)
        .load_adapter(&folder)
        .unwrap();
    let Err(error) = Trainer::new(model.clone(), TrainSettings::default()) else {
        panic!("the teacher has another vocabulary");
    };
    assert!(
        error.to_string().contains("resizes the vocabulary"),
        "{error}"
    );
    let settings = TrainSettings::default().with_objective(Objective::finetuning());
    assert!(Trainer::new(model, settings).is_ok());
}

#[test]
fn all_linear_adapts_every_linear_layer_but_the_head() {
    let model = load_tiny(&data("tiny/phi"), &Device::cpu());
    let count = |modules: &[&str]| {
        let adapter = AdapterSettings::Lora(LoraSettings {
            target_modules: modules.iter().map(ToString::to_string).collect(),
            ..LoraSettings::default()
        });
        let adapted = model.with_new_adapter(adapter, 0);
        adapted.map(|model| model.trainable_parameters().to_vec())
    };
    assert_eq!(count(&["all-linear"]).unwrap(), count(&[]).unwrap());
    assert_eq!(count(&["all-linear"]).unwrap().len(), 2 * 6 * 2);
    let message = count(&["all-linear", "dense"]).unwrap_err().to_string();
    assert!(
        message.contains("all-linear alone, or one or more of"),
        "{message}"
    );
}
