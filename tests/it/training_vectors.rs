//! The model and its training compared with PyTorch: logits, tokens, perplexities, and three trainings of 20
//! steps, with every loss and the gradients of the first step.
#![allow(clippy::unwrap_used)]

use crate::common;

use common::{
    check_logits, data, devices, largest, largest_error, samples_of_step, values, vectors,
};
use minift::Objective;
use minift::device::Device;
use minift::eval::evaluate;
use minift::model::Batch;
use minift::model::CausalLm;
use minift::text::{EndToken, Preparation, ReadOptions, Sample, read_records};
use minift::train::{TrainSettings, Trainer};
use pollster::block_on;

#[test]
fn logits_match_pytorch_on_every_device() {
    let file = vectors("training.safetensors");
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        check_logits(&model, &file, "base_logits_step0", 2e-4, &device);
    }
}

#[test]
fn training_matches_pytorch_on_every_device() {
    let file = vectors("training.safetensors");
    for device in devices() {
        for (name, objective) in [
            ("ft_0.0", Objective::finetuning()),
            ("mft_0.25", Objective::minifinetuning(0.25)),
            ("mft_0.1", Objective::minifinetuning(0.1)),
        ] {
            let model = CausalLm::embedded(&device).unwrap();
            let settings = TrainSettings::default()
                .with_objective(objective)
                .with_gradient_clip(0.0)
                .with_weight_decay(0.01);
            let mut trainer = Trainer::new(model.clone(), settings).unwrap();
            // New sample indices in each step, so the teacher cache is not hit.
            let all: Vec<Sample> = (0..20)
                .flat_map(|step| samples_of_step(&file, step))
                .collect();
            let batch = |step: usize| Batch::new(&all, (step * 8..step * 8 + 8).collect());

            let (_, gradients) = block_on(trainer.gradients(&[batch(0)])).unwrap();
            for (spec, gradient) in model.decoder().parameters().iter().zip(gradients) {
                let expected = file.f64(&format!("{name}.grad.{}", spec.name));
                let error = largest_error(&values(gradient), expected) / largest(expected);
                assert!(
                    error <= 1e-4,
                    "{name} on {}: {} off by {error:e}",
                    device.name(),
                    spec.name
                );
            }

            for (step, &expected) in file.f64(&format!("{name}.loss")).iter().enumerate() {
                let measured = block_on(trainer.step(&[batch(step)], 1e-3)).unwrap();
                let error = (f64::from(measured.loss) - expected).abs() / expected;
                assert!(
                    error <= 1e-3,
                    "{name} on {}: loss {} of step {step} is off by {error:e}",
                    device.name(),
                    measured.loss
                );
            }
            let expected = format!("{name}.final_logits");
            check_logits(&trainer.model(), &file, &expected, 2e-2, &device);
        }
    }
}

#[test]
fn tokens_match_transformers() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let json = std::fs::read(data("tokens.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let samples = file["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 25);
    for sample in samples {
        let expected: Vec<u32> = serde_json::from_value(sample["ids"].clone()).unwrap();
        assert_eq!(
            model
                .tokenizer()
                .encode(sample["text"].as_str().unwrap())
                .unwrap(),
            expected
        );
    }
}

#[test]
fn perplexities_match_pytorch() {
    let json = std::fs::read(data("perplexity.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let texts = |name: &str| {
        let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("assets")
            .join(name);
        read_records(&path, &ReadOptions::default())
            .unwrap()
            .records
    };
    let (tickets, tales) = (texts("tickets.jsonl"), texts("tales.jsonl"));
    let bare = Preparation {
        end_token: EndToken::Never,
        ..Preparation::to_length(256)
    };
    for (name, texts) in [
        ("tickets_rest", &tickets[500..]),
        ("tales_first_200", &tales[..200]),
        ("tales_last_40", &tales[200..]),
    ] {
        let samples = model.reader().samples(texts, &bare, name).unwrap().samples;
        let found = block_on(evaluate(&model, &samples, 8)).unwrap();
        let expected = &file["perplexity"][name];
        assert_eq!(found.tokens as u64, expected["tokens"].as_u64().unwrap());
        let expected = expected["perplexity"].as_f64().unwrap();
        let error = (found.perplexity - expected).abs() / expected;
        assert!(
            error <= 1e-3,
            "{name}: {} is off by {error:e}",
            found.perplexity
        );
    }
}
