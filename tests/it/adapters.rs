//! Adapters compared with Python's PEFT (logits, training losses and files), and properties of every adapter.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{check_logits, data, devices, largest_error, samples_of_step, values, vectors};
use minift::Objective;
use minift::device::Device;
use minift::error::Error;
use minift::model::Batch;
use minift::model::CausalLm;
use minift::model::adapter::{AdapterSettings, CONFIG, Ia3Settings, LoraSettings, WEIGHTS};
use minift::text::Sample;
use minift::train::{Run, RunData, TrainSettings, Trainer};
use pollster::block_on;
use safetensors::SafeTensors;

const KINDS: [&str; 3] = ["lora", "dora", "ia3"];

fn folder(kind: &str) -> PathBuf {
    data("peft").join(kind)
}

fn adapted(kind: &str, device: &Device) -> CausalLm {
    let model = CausalLm::embedded(device).unwrap();
    model.load_adapter(folder(kind)).unwrap()
}

/// Returns the logits of a few tokens.
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
fn logits_and_training_losses_match_peft_on_every_device() {
    let batches = vectors("training.safetensors");
    for device in devices() {
        for kind in KINDS {
            let expected = vectors(&format!("peft/{kind}/expected.safetensors"));
            let model = adapted(kind, &device);
            check_logits(&model, &expected, "logits", 2e-4, &device);

            let settings = TrainSettings::default()
                .with_objective(Objective::minifinetuning(0.25))
                .with_gradient_clip(0.0)
                .with_weight_decay(0.0);
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
                    "{kind} on {}: loss {} of step {step}, relative error {error:e}",
                    device.name(),
                    measured.loss
                );
            }
            // In LoRA's first step an element has a gradient of 1e-8, a ten-millionth of its neighbors'.
            // Adam moves it by the full learning rate in a direction that rounding determines, which
            // changes logits by up to 3e-3.
            let tolerance = if kind == "lora" { 4e-3 } else { 2e-3 };
            let after = "logits_after_training";
            check_logits(&trainer.model(), &expected, after, tolerance, &device);
        }
    }
}

#[test]
fn merging_does_not_change_logits() {
    for device in devices() {
        for kind in KINDS {
            let model = adapted(kind, &device);
            let error = largest_error(&logits(&model.merged()), &to_f64(logits(&model)));
            assert!(error <= 1e-4, "{kind} on {}: {error:e}", device.name());
            // The adapter has an effect.
            let difference =
                largest_error(&logits(&model.without_adapter()), &to_f64(logits(&model)));
            assert!(difference > 0.1, "{kind}: {difference}");
        }
    }
}

fn to_f64(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

#[test]
fn saving_a_loaded_adapter_reproduces_its_files() {
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
    // Values written by PEFT are preserved.
    for (kind, model) in KINDS.iter().zip(&theirs) {
        let theirs = vectors(&format!("peft/{kind}/{WEIGHTS}"));
        let ours = common::Vectors::parse(&written(model)[1].1);
        assert_eq!(ours.tensors, theirs.tensors, "{kind}");
    }
}

#[test]
fn a_new_adapter_does_not_change_logits() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    for settings in kinds_of_settings() {
        let adapted = model.with_new_adapter(settings.clone(), 0).unwrap();
        let error = largest_error(&logits(&adapted), &to_f64(logits(&model)));
        assert!(error <= 1e-5, "{settings:?}: {error:e}");
    }
}

#[test]
fn training_changes_only_the_adapter() {
    let tickets = minift::demo::tickets().unwrap();
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let sample =
            |text: &String| Sample::new(model.tokenizer().encode(text).unwrap()[..40].to_vec());
        let samples: Vec<Sample> = tickets[..2].iter().map(sample).collect();
        for adapter in kinds_of_settings() {
            let settings = TrainSettings::default().with_adapter(Some(adapter.clone()));
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
            let (first, last) = (before.trainable_values(), after.trainable_values());
            let moved = first
                .iter()
                .zip(&last)
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
fn the_number_of_trainable_parameters_matches_peft() {
    for kind in KINDS {
        let file = vectors(&format!("peft/{kind}/{WEIGHTS}"));
        let counted: usize = file.tensors.values().map(|(_, values)| values.len()).sum();
        let model = adapted(kind, &Device::cpu());
        assert_eq!(model.trainable_count(), counted, "{kind}");
        assert_eq!(model.parameter_count(), 361_280);
        let adapter = model.adapter().unwrap().settings().clone();
        let settings = TrainSettings::default().with_adapter(Some(adapter));
        assert_eq!(settings.trainable_count(&model).unwrap(), counted);
    }
}

#[test]
fn dropout_differs_between_steps_and_is_reproducible_by_seed() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let samples: Vec<Sample> = vec![(0..40).collect(), (40..80).collect()];
    let losses = |seed: u64, dropout: f64| {
        let settings = TrainSettings::default()
            .with_adapter(Some(AdapterSettings::Lora(LoraSettings {
                dropout,
                ..LoraSettings::default()
            })))
            .with_seed(seed);
        let mut trainer = Trainer::new(model.clone(), settings).unwrap();
        let mut loss = |rate| {
            let batch = Batch::new(&samples, vec![0, 1]);
            block_on(trainer.step(&[batch], rate)).unwrap().loss
        };
        // B is initially 0, where dropout has no effect; the later steps have a learning rate of 0.
        [1e-2, 0.0, 0.0].map(&mut loss)
    };
    assert_eq!(losses(1, 0.5), losses(1, 0.5));
    let [_, second, third] = losses(1, 0.5);
    assert_ne!(second, third);
    let [_, second, third] = losses(1, 0.0);
    assert_eq!(second, third);
}

#[test]
fn errors_name_the_fault_of_an_adapter() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let config = fs::read_to_string(folder("lora").join(CONFIG)).unwrap();
    let weights = fs::read(folder("lora").join(WEIGHTS)).unwrap();
    let read = |config: &str, weights: &[u8]| {
        let read = model.with_adapter(config.as_bytes(), weights, Path::new("bad"));
        read.unwrap_err().to_string()
    };
    for (from, to, expected) in [
        (
            "\"LORA\"",
            "\"VERA\"",
            "peft_type VERA is unsupported: expected LORA or IA3",
        ),
        (
            "\"r\": 8",
            "\"r\": 0",
            "invalid rank: 0, expected 1 to 65536",
        ),
        (
            "\"init_lora_weights\": true",
            "\"init_lora_weights\": \"pissa_niter_16\"",
            "init_lora_weights = \"pissa_niter_16\" changed the base model's weights",
        ),
        (
            "\"init_lora_weights\": true",
            "\"init_lora_weights\": \"LoftQ\"",
            "merge it with PEFT's merge_and_unload()",
        ),
        (
            "\"init_lora_weights\": true",
            "\"init_lora_weights\": \"novel\"",
            "\"novel\" is unknown: expected true, false, gaussian",
        ),
        (
            "\"kasa_config\": null",
            "\"kasa_config\": {}",
            "kasa_config = {} is unsupported",
        ),
        (
            "\"modules_to_save\": null",
            "\"modules_to_save\": [\"lm_head\"]",
            "modules_to_save names lm_head, but the file has no such weights",
        ),
        (
            "\"rank_pattern\": {}",
            "\"rank_pattern\": {\"layers.3.*up_proj\": 4}",
            "the update of model.layers.3.mlp.up_proj has rank 8: expected 4 from r and rank_pattern",
        ),
        (
            "\"alpha_pattern\": {}",
            "\"alpha_pattern\": {\"(q\": 4}",
            "alpha_pattern: \"(q\" is not a regular expression",
        ),
        (
            "\"alpha_pattern\": {}",
            "\"alpha_pattern\": {\"q\": \"4\"}",
            "alpha_pattern.q is \"4\": expected a number above 0",
        ),
        (
            "\"peft_type\": \"LORA\"",
            "\"fine_tune_type\": \"lora\"",
            "in the format of mlx-lm, not of PEFT: fuse it",
        ),
        (
            "\"use_dora\": false",
            "\"use_dora\": true",
            "missing 42 tensors",
        ),
        ("{", "[", "not a JSON object"),
    ] {
        let changed = config.replacen(from, to, 1);
        assert_ne!(changed, config);
        let message = read(&changed, &weights);
        assert!(message.contains(expected), "{message}");
    }
    let message = read(&config, &weights[..1000]);
    assert!(
        message.contains("not a complete safetensors file"),
        "{message}"
    );
    let message = read(
        &config,
        &fs::read(folder("lora").join("expected.safetensors")).unwrap(),
    );
    assert!(message.contains("no adapter parameters found"), "{message}");
    // A name of the same length keeps the file's offsets.
    let unknown = replaced(&weights, b"layers.5.mlp", b"layers.9.mlp");
    let message = read(&config, &unknown);
    let expected = "it adapts model.layers.9.mlp.down_proj, which this model does not have: it belongs \
                to another base model (minift-tales-360k)";
    assert!(message.contains(expected), "{message}");
    for (from, to, expected) in [
        ("[8,192]", "[192,8]", "the two files do not belong together"),
        ("[192,8]", "[96,16]", "belongs to another base model"),
        (
            "q_proj.lora_A.weight",
            "q_proj.other_A.weigh",
            "and 5 more is neither a parameter",
        ),
    ] {
        let message = read(&config, &replaced(&weights, from.as_bytes(), to.as_bytes()));
        assert!(message.contains(expected), "{message}");
    }
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
fn the_optimizer_keeps_moments_of_the_adapter_only() {
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
        let settings = TrainSettings::default()
            .with_adapter(Some(adapter))
            .with_epochs(1.0);
        let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
        while block_on(run.next()).unwrap().is_some() {}
        let checkpoint = block_on(run.checkpoint()).unwrap();
        let mut names: Vec<String> = SafeTensors::deserialize(&checkpoint)
            .unwrap()
            .names()
            .into_iter()
            .filter(|name| *name != "crc32")
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
