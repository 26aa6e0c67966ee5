//! KL(untouched ‖ trained) per token on the domain.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, run_data, values};
use minift::Objective;
use minift::device::Device;
use minift::eval::Evaluation;
use minift::model::CausalLm;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::text::Sample;
use minift::train::{Evaluated, Event, Run, RunData, TrainSettings};
use pollster::block_on;

/// Returns the model with other weights.
fn changed(model: &CausalLm) -> CausalLm {
    let parameters = model.parameters().into_iter();
    model.with_trainable_values(parameters.map(|values| values * 1.05).collect())
}

fn measured(model: &CausalLm, reference: &CausalLm, samples: &[Sample]) -> f64 {
    let mut evaluation = Evaluation::new(samples, 4).unwrap();
    let advance = |evaluation: &mut Evaluation| {
        let advanced = evaluation.advance_beside(model, Some(reference), samples);
        block_on(advanced).unwrap()
    };
    while advance(&mut evaluation).is_none() {}
    evaluation.kl_divergence().unwrap()
}

/// Computes log-probabilities \[positions\]\[vocab_size\] of a sample's next tokens in float64.
fn log_probabilities(model: &CausalLm, sample: &Sample) -> Vec<Vec<f64>> {
    let tokens = sample.tokens();
    let inputs: Vec<i32> = tokens[..tokens.len() - 1]
        .iter()
        .map(|&id| id as i32)
        .collect();
    let shape = [1, inputs.len()];
    let inputs =
        Tensor::<2, Int>::from_data(TensorData::new(inputs, shape), &model.tensor_device());
    let logits = values(model.logits(inputs));
    let rows = logits.chunks(model.config().decoder.vocab_size);
    let rows = rows.map(|row| {
        let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        row.iter()
            .map(|&logit| f64::from(logit) - total.ln())
            .collect()
    });
    rows.collect()
}

#[test]
fn the_divergence_is_that_of_a_plain_computation_and_0_for_the_same_model() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let mut samples = run_data(&model, 30, [0, 5, 0]).domain;
        // Of different lengths, and one of which only a part is predicted.
        samples.push(Sample::partly(
            samples[0].tokens()[..12].to_vec(),
            (0..12).map(|place| place > 7).collect(),
        ));
        let other = changed(&model);
        let (mut expected, mut tokens) = (0.0, 0);
        for sample in &samples {
            let [reference, found] = [&model, &other].map(|model| log_probabilities(model, sample));
            for (place, (reference, found)) in reference.iter().zip(&found).enumerate() {
                if sample.loss_mask()[place + 1] {
                    let terms = reference.iter().zip(found).map(|(p, q)| p.exp() * (p - q));
                    expected += terms.sum::<f64>();
                    tokens += 1;
                }
            }
        }
        expected /= f64::from(tokens);
        assert!(expected > 0.01, "{expected}");
        let found = measured(&other, &model, &samples);
        let error = (found / expected - 1.0).abs();
        assert!(error < 1e-3, "{found} for {expected} on {}", device.name());

        let same = measured(&model, &model, &samples);
        assert!((0.0..1e-5).contains(&same), "{same} on {}", device.name());
        // It is no distance.
        assert!((measured(&model, &other, &samples) / expected - 1.0).abs() > 1e-2);
    }
}

/// Runs whose untouched weights stay in memory, are freed and read again, or are the base of an adapter.
#[test]
fn a_run_measures_the_divergence_from_the_untouched_model() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(run_data(&model, 40, [16, 6, 4]));
    let settings = TrainSettings::default()
        .with_epochs(3.0)
        .with_batch_size(4)
        .with_evaluate_every(5);
    let lora = AdapterSettings::Lora(LoraSettings::default());
    for settings in [
        settings.clone(),
        settings.clone().with_objective(Objective::finetuning()),
        settings
            .clone()
            .with_teacher_cache_bytes(0)
            .with_teacher_host_bytes(0),
        settings.clone().with_adapter(Some(lora)),
    ] {
        let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
        let mut events = Vec::new();
        while let Some(event) = block_on(run.next()).unwrap() {
            if let Event::Evaluated { kl_divergence, .. } = event {
                events.push(kl_divergence);
            }
        }
        let found = run.outcome().unwrap().kl_divergence.unwrap();
        assert_eq!(found, measured(&run.trained_model(), &model, &data.domain));
        assert!(found > 1e-6, "{found}");
        let of_evaluations = run.evaluations().iter().map(|found| found.kl_divergence);
        assert!(of_evaluations.eq(events.iter().copied()));
        assert_eq!(events[0], None);
        assert!(events[1..].iter().all(Option::is_some), "{events:?}");
        assert_eq!(events.len(), 4);
    }
}

/// Weights that are not those of any file stay in memory.
#[test]
fn a_run_of_changed_weights_measures_the_divergence_from_them() {
    let model = changed(&CausalLm::embedded(&Device::cpu()).unwrap());
    let data: Arc<RunData> = Arc::new(run_data(&model, 30, [8, 4, 2]));
    let settings = TrainSettings::default().with_epochs(2.0).with_batch_size(4);
    let divergence = |settings: TrainSettings| {
        let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
        while block_on(run.next()).unwrap().is_some() {}
        let found = run.outcome().unwrap().kl_divergence;
        (found, run.trained_model())
    };
    let (found, trained) = divergence(settings);
    assert_eq!(found, Some(measured(&trained, &model, &data.domain)));
}

#[test]
fn evaluations_of_earlier_versions_have_no_divergence() {
    let old = r#"{"step":3,"domain":2.0,"general":4.0}"#;
    let evaluated: Evaluated = serde_json::from_str(old).unwrap();
    assert_eq!(evaluated.kl_divergence, None);
    assert_eq!(serde_json::to_string(&evaluated).unwrap(), old);
    let evaluated = Evaluated {
        kl_divergence: Some(0.5),
        ..evaluated
    };
    let json = serde_json::to_string(&evaluated).unwrap();
    assert_eq!(serde_json::from_str::<Evaluated>(&json).unwrap(), evaluated);
}
