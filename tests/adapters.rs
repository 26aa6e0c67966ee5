//! Adapters against Python's PEFT: logits, trainings loss by loss, files; and what must hold of any
//! adapter.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{check_logits, data, devices, largest_error, samples_of_step, values, vectors};
use minift::adapter::{Adapter, AdapterSettings, CONFIG, Ia3Settings, LoraSettings, WEIGHTS};
use minift::data::{Batch, Sample};
use minift::device::Device;
use minift::error::Error;
use minift::model::CausalLm;
use minift::objective::Objective;
use minift::train::{Run, RunData, TrainSettings, Trainer};
use pollster::block_on;
use safetensors::SafeTensors;

const KINDS: [&str; 3] = ["lora", "dora", "ia3"];

fn folder(kind: &str) -> PathBuf {
    data("peft").join(kind)
}

fn adapted(kind: &str, device: &Device) -> CausalLm {
    let model = CausalLm::embedded(device).unwrap();
    model.load_adapter(&folder(kind)).unwrap()
}

/// Logits of a few tokens.
fn logits(model: &CausalLm) -> Vec<f32> {
    let ids: Vec<i32> = (0..64).map(|i| (i * 37 + 11) % 1024).collect();
    let tokens = TensorData::new(ids, [2, 32]);
    values(model.logits(Tensor::<2, Int>::from_data(tokens, &model.tensor_device())))
}

fn kinds_of_settings() -> [AdapterSettings; 4] {
    let lora = LoraSettings {
        rank: 3,
        rank_stabilized: true,
        target_modules: vec!["q_proj".to_string(), "mlp.up_proj".to_string()],
        ..LoraSettings::default()
    };
    let dora = LoraSettings {
        decomposed: true,
        ..LoraSettings::default()
    };
    let ia3 = Ia3Settings {
        target_modules: vec!["model.layers.1.self_attn.o_proj".to_string()],
    };
    [
        AdapterSettings::Lora(lora),
        AdapterSettings::Lora(dora),
        AdapterSettings::Ia3(Ia3Settings::default()),
        AdapterSettings::Ia3(ia3),
    ]
}

#[test]
fn logits_and_trainings_agree_with_peft_on_every_device() {
    let batches = vectors("training.safetensors");
    for device in devices() {
        for kind in KINDS {
            let expected = vectors(&format!("peft/{kind}/expected.safetensors"));
            let model = adapted(kind, &device);
            check_logits(&model, &expected, "logits", 2e-4, &device);

            let settings = TrainSettings {
                objective: Objective::minifinetuning(0.25),
                gradient_clip: 0.0,
                weight_decay: 0.0,
                ..TrainSettings::default()
            };
            let mut trainer = Trainer::new(model, settings).unwrap();
            let losses = expected.f64("mft_loss");
            assert_eq!(losses.len(), 10);
            let all: Vec<Sample> = (0..losses.len())
                .flat_map(|step| samples_of_step(&batches, step))
                .collect();
            for (step, &expected) in losses.iter().enumerate() {
                let batch = Batch::new(&all, (step * 8..step * 8 + 8).collect());
                let measured = block_on(trainer.step(&[batch], 2e-3)).unwrap();
                let error = (f64::from(measured.loss) - expected).abs() / expected;
                assert!(
                    error <= 2e-3,
                    "{kind} on {}: loss {} of step {step} is off by {error:e}",
                    device.name(),
                    measured.loss
                );
            }
            // LoRA's first step has an element whose gradient is 1e-8, a ten-millionth of its
            // neighbours', and which Adam moves by the whole rate all the same: which way is a
            // matter of rounding, and moves logits by up to 3e-3.
            let tolerance = if device.adapter().is_some() {
                4e-3
            } else {
                2e-3
            };
            let after = "logits_after_training";
            check_logits(&trainer.model(), &expected, after, tolerance, &device);
        }
    }
}

#[test]
fn merging_changes_nothing_that_is_computed() {
    for device in devices() {
        for kind in KINDS {
            let model = adapted(kind, &device);
            let error = largest_error(&logits(&model.merged()), &to_f64(logits(&model)));
            assert!(error <= 1e-4, "{kind} on {}: {error:e}", device.name());
            // The adapter itself does something.
            let apart = largest_error(&logits(&model.without_adapter()), &to_f64(logits(&model)));
            assert!(apart > 0.1, "{kind}: {apart}");
        }
    }
}

fn to_f64(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

#[test]
fn files_are_the_same_when_they_are_written_again() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let written = |model: &CausalLm| block_on(model.to_files()).unwrap();
    let read = |files: &[(String, Vec<u8>)]| {
        let [config, weights] = files else {
            panic!("an adapter has two files");
        };
        model
            .with_adapter(&config.1, &weights.1, Path::new("again"))
            .unwrap()
    };
    let own = kinds_of_settings().map(|settings| model.with_new_adapter(settings, 7).unwrap());
    let theirs = KINDS.map(|kind| adapted(kind, &Device::cpu()));
    for model in own.iter().chain(&theirs) {
        let files = written(model);
        assert_eq!(
            [files[0].0.as_str(), files[1].0.as_str()],
            [CONFIG, WEIGHTS]
        );
        let again = read(&files);
        assert!(written(&again) == files, "{:?}", model.adapter());
        assert_eq!(logits(&again), logits(model));
    }
    // Values that PEFT wrote come back as they were.
    for (kind, model) in KINDS.iter().zip(&theirs) {
        let theirs = vectors(&format!("peft/{kind}/{WEIGHTS}"));
        let ours = common::Vectors::parse(&written(model)[1].1);
        assert_eq!(ours.tensors, theirs.tensors, "{kind}");
    }
}

#[test]
fn a_new_adapter_changes_nothing_until_it_is_trained() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    for settings in kinds_of_settings() {
        let adapted = model.with_new_adapter(settings.clone(), 0).unwrap();
        let error = largest_error(&logits(&adapted), &to_f64(logits(&model)));
        assert!(error <= 1e-5, "{settings:?}: {error:e}");
    }
}

#[test]
fn only_the_adapter_is_trained() {
    let tickets = minift::demo::tickets().unwrap();
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let sample =
            |text: &String| Sample::new(model.tokenizer().encode(text).unwrap()[..40].to_vec());
        let samples: Vec<Sample> = tickets[..2].iter().map(sample).collect();
        for adapter in kinds_of_settings() {
            let settings = TrainSettings {
                adapter: Some(adapter.clone()),
                ..TrainSettings::default()
            };
            let mut trainer = Trainer::new(model.clone(), settings).unwrap();
            let before = trainer.model();
            let batch = || [Batch::new(&samples, vec![0, 1])];
            let (_, gradients) = block_on(trainer.gradients(&batch())).unwrap();
            assert_eq!(gradients.len(), trainer.parameters().len());
            block_on(trainer.step(&batch(), 1e-2)).unwrap();
            block_on(trainer.step(&batch(), 1e-2)).unwrap();
            let after = trainer.model();
            for (a, b) in before.parameters().iter().zip(after.parameters()) {
                assert_eq!(values(a.clone()), values(b.clone()));
            }
            let moved = before
                .trainable_values()
                .iter()
                .zip(after.trainable_values())
                .filter(|(a, b)| values((*a).clone()) != values((*b).clone()));
            assert_eq!(
                moved.count(),
                after.trainable_parameters().len(),
                "{adapter:?}"
            );
        }
    }
}

#[test]
fn trainable_parameters_are_counted_as_peft_counts_them() {
    for kind in KINDS {
        let file = vectors(&format!("peft/{kind}/{WEIGHTS}"));
        let counted: usize = file.tensors.values().map(|(_, values)| values.len()).sum();
        let model = adapted(kind, &Device::cpu());
        assert_eq!(model.trainable_count(), counted, "{kind}");
        assert_eq!(model.parameter_count(), 361_280);
        let settings = model.adapter().unwrap().settings();
        assert_eq!(Adapter::count(settings, model.decoder()).unwrap(), counted);
    }
}

#[test]
fn dropout_draws_anew_in_each_step_and_the_same_for_the_same_seed() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let samples: Vec<Sample> = vec![(0..40).collect(), (40..80).collect()];
    let losses = |seed: u64, dropout: f64| {
        let settings = TrainSettings {
            adapter: Some(AdapterSettings::Lora(LoraSettings {
                dropout,
                ..LoraSettings::default()
            })),
            seed,
            ..TrainSettings::default()
        };
        let mut trainer = Trainer::new(model.clone(), settings).unwrap();
        let mut loss = |rate| {
            let batch = Batch::new(&samples, vec![0, 1]);
            block_on(trainer.step(&[batch], rate)).unwrap().loss
        };
        // B begins at 0, where dropout changes nothing; the third step is taken with a rate of 0.
        [1e-2, 0.0, 0.0].map(&mut loss)
    };
    assert_eq!(losses(1, 0.5), losses(1, 0.5));
    let [_, second, third] = losses(1, 0.5);
    assert_ne!(second, third);
    let [_, second, third] = losses(1, 0.0);
    assert_eq!(second, third);
}

#[test]
fn bad_adapters_are_told_apart() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let config = fs::read_to_string(folder("lora").join(CONFIG)).unwrap();
    let weights = fs::read(folder("lora").join(WEIGHTS)).unwrap();
    let read = |config: &str, weights: &[u8]| {
        let read = model.with_adapter(config.as_bytes(), weights, Path::new("bad"));
        read.unwrap_err().to_string()
    };
    for (from, to, says) in [
        (
            "\"LORA\"",
            "\"VERA\"",
            "peft_type VERA is not supported: LORA and IA3 are",
        ),
        (
            "\"r\": 8",
            "\"r\": 0",
            "rank = 0 is not valid: expected 1 to 65536",
        ),
        (
            "\"bias\": \"none\"",
            "\"bias\": \"all\"",
            "bias = \"all\" is not supported",
        ),
        (
            "\"use_dora\": false",
            "\"use_dora\": true",
            "lacks 42 of the",
        ),
        ("{", "[", "not a JSON object"),
    ] {
        let changed = config.replacen(from, to, 1);
        assert_ne!(changed, config);
        let message = read(&changed, &weights);
        assert!(message.contains(says), "{message}");
    }
    let message = read(&config, &weights[..1000]);
    assert!(
        message.contains("not a whole safetensors file"),
        "{message}"
    );
    let message = read(
        &config,
        &fs::read(folder("lora").join("expected.safetensors")).unwrap(),
    );
    assert!(
        message.contains("holds no values of an adapter"),
        "{message}"
    );
    // A name of the same length keeps the file's offsets.
    let stranger = replaced(&weights, b"layers.5.mlp", b"layers.9.mlp");
    let message = read(&config, &stranger);
    let says = "it adapts model.layers.9.mlp.down_proj, which this model does not have: it belongs \
                to another base (minift-tales-360k)";
    assert!(message.contains(says), "{message}");
    let narrow = replaced(&weights, b"[8,192]", b"[192,8]");
    let message = read(&config, &narrow);
    assert!(message.contains("belongs to another base"), "{message}");
    let unknown = AdapterSettings::Lora(LoraSettings {
        target_modules: vec!["c_attn".to_string()],
        ..LoraSettings::default()
    });
    match model.with_new_adapter(unknown, 0) {
        Err(error @ Error::InvalidSetting { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("c_attn") && message.contains("q_proj"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(from.len())
        .position(|window| window == from)
    {
        bytes[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + to.len();
    }
    bytes
}

#[test]
fn the_optimiser_keeps_moments_of_the_adapter_alone() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let tickets = minift::demo::tickets().unwrap();
    let sample =
        |text: &String| Sample::new(model.tokenizer().encode(text).unwrap()[..24].to_vec());
    let samples: Vec<Sample> = tickets[..4].iter().map(sample).collect();
    let data = Arc::new(RunData {
        train: samples.clone(),
        domain: samples.clone(),
        general: samples,
        ..RunData::default()
    });
    for adapter in kinds_of_settings() {
        let settings = TrainSettings {
            adapter: Some(adapter),
            epochs: 1,
            ..TrainSettings::default()
        };
        let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
        while block_on(run.next()).unwrap().is_some() {}
        let checkpoint = block_on(run.checkpoint()).unwrap();
        let mut names: Vec<String> = SafeTensors::deserialize(&checkpoint)
            .unwrap()
            .names()
            .into_iter()
            .map(str::to_string)
            .collect();
        let trained = run.trained_model();
        let mut expected: Vec<String> = ["parameter", "first_moment", "second_moment"]
            .iter()
            .flat_map(|group| {
                let specs = trained.trainable_parameters().iter();
                specs.map(move |spec| format!("{group}.{}", spec.name))
            })
            .collect();
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
        let values: usize = trained
            .trainable_parameters()
            .iter()
            .map(|spec| spec.elements())
            .sum();
        assert!(values < model.parameter_count() / 4);
    }
}
