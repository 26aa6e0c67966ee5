//! Whole runs: resuming from a checkpoint, cancellation and failures.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::path::Path;
use std::sync::Arc;

use common::{devices, values};
use minift::Error;
use minift::Objective;
use minift::demo;
use minift::device::Device;
use minift::model::CausalLm;
use minift::text::{Preparation, Sample};
use minift::train::{
    Cancel, Checkpoints, Ending, Event, Run, RunData, Schedule, TrainSettings, drive,
};
use pollster::block_on;

fn data(model: &CausalLm, train: usize) -> Arc<RunData> {
    let samples = |texts: &[String], length: usize| {
        model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(length), "test")
            .unwrap()
            .samples
    };
    let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
    let mut train_samples = samples(&tickets[..train], 40);
    // Different lengths, so that batches are padded.
    for (number, sample) in train_samples.iter_mut().enumerate() {
        *sample = Sample::new(sample.tokens()[..20 + number % 20].to_vec());
    }
    Arc::new(RunData {
        train: train_samples,
        domain: samples(&tickets[500..510], 40),
        general: samples(&tales[..10], 40),
        replay: samples(&tales[200..209], 40),
        consolidation: samples(&tales[220..224], 40),
    })
}

fn settings() -> TrainSettings {
    TrainSettings::default().with_epochs(2.0).with_batch_size(4)
}

fn finish(run: &mut Run) -> (Vec<u32>, Vec<Vec<u32>>, [u64; 2]) {
    while block_on(run.next()).unwrap().is_some() {}
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let outcome = run.outcome().unwrap();
    (
        run.losses().iter().map(|loss| loss.to_bits()).collect(),
        run.trained_model()
            .parameters()
            .iter()
            .cloned()
            .map(values)
            .map(bits)
            .collect(),
        [
            outcome.after.domain.to_bits(),
            outcome.after.general.to_bits(),
        ],
    )
}

#[test]
fn resuming_is_bit_exact_on_the_cpu() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = data(&model, 22);
    for settings in [
        settings(),
        settings().with_objective(Objective::finetuning()),
        settings()
            .with_gradient_accumulation(4)
            .with_schedule(Schedule::Cosine),
        settings()
            .with_teacher_cache_bytes(0)
            .with_teacher_host_bytes(0)
            .with_schedule(Schedule::Linear),
        settings()
            .with_teacher_cache_bytes(50_000)
            .with_teacher_host_bytes(30_000),
        settings().with_replay_ratio(0.3),
        settings().with_ewc(3.0),
    ] {
        let new = || Run::new(model.clone(), data.clone(), settings.clone()).unwrap();
        let mut whole = new();
        let steps = whole.steps();
        let expected = finish(&mut whole);
        assert_eq!(expected.0.len(), steps);
        for stop in [0, 1, steps / 2 - 1, steps / 2, steps] {
            let mut first = new();
            while first.steps_done() < stop {
                block_on(first.next()).unwrap();
            }
            let checkpoint = block_on(first.checkpoint()).unwrap();
            let mut second = new();
            second.restore(&checkpoint, Path::new("test")).unwrap();
            assert_eq!(second.steps_done(), stop);
            assert!(
                finish(&mut second) == expected,
                "stopped after {stop} of {steps}: {settings:?}"
            );
        }
    }
}

#[test]
fn a_finished_run_continues_to_more_epochs_where_the_learning_rate_does_not_depend_on_its_length() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = data(&model, 22);
    let run = |schedule: Schedule, epochs: f64| {
        let settings = settings().with_schedule(schedule).with_epochs(epochs);
        Run::new(model.clone(), data.clone(), settings).unwrap()
    };
    for schedule in [Schedule::Constant, Schedule::Finch] {
        let expected = finish(&mut run(schedule, 3.0));
        let mut short = run(schedule, 1.0);
        finish(&mut short);
        let checkpoint = block_on(short.checkpoint()).unwrap();
        let mut longer = run(schedule, 3.0);
        longer.restore(&checkpoint, Path::new("test")).unwrap();
        assert!(finish(&mut longer) == expected, "{schedule:?}");
        // Not back to fewer.
        let shorter = run(schedule, 0.5).restore(&checkpoint, Path::new("test"));
        assert!(shorter.is_err(), "{schedule:?}");
    }
    let short = run(Schedule::Linear, 1.0);
    let checkpoint = block_on(short.checkpoint()).unwrap();
    let refused = run(Schedule::Linear, 3.0).restore(&checkpoint, Path::new("test"));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("different settings (epochs"), "{message}");
}

/// Two runs on the same GPU are equal bit for bit, and so is a resumed one.
#[test]
fn resuming_is_bit_exact_on_the_gpu() {
    let [_, device] = devices();
    let model = CausalLm::embedded(&device).unwrap();
    let data = data(&model, 14);
    let new = || Run::new(model.clone(), data.clone(), settings()).unwrap();
    let weights = |run: &Run| -> Vec<f32> {
        let parameters = run.trained_model().parameters();
        parameters.into_iter().flat_map(values).collect()
    };
    let distance = |a: &[f32], b: &[f32]| {
        let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        differences.fold(0.0_f32, f32::max)
    };
    let (mut first, mut second) = (new(), new());
    let expected = finish(&mut first);
    assert!(
        finish(&mut second) == expected,
        "two runs on {} differ",
        device.name()
    );

    for stop in [1, 5] {
        let mut stopped = new();
        while stopped.steps_done() < stop {
            block_on(stopped.next()).unwrap();
        }
        // The remaining steps change the weights visibly.
        assert!(distance(&weights(&stopped), &weights(&first)) > 1e-3);
        let checkpoint = block_on(stopped.checkpoint()).unwrap();
        let mut resumed = new();
        resumed.restore(&checkpoint, Path::new("test")).unwrap();
        let found = finish(&mut resumed);
        assert!(
            found == expected,
            "resumed after step {stop} on {}: weights differ by up to {:e}",
            device.name(),
            distance(&weights(&resumed), &weights(&first))
        );
    }
}

#[test]
fn the_teacher_cache_does_not_change_losses() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let data = data(&model, 10);
        let losses = |teacher_cache_bytes: usize| {
            let settings = settings()
                .with_teacher_cache_bytes(teacher_cache_bytes)
                .with_teacher_host_bytes(0);
            let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
            finish(&mut run);
            run.losses().to_vec()
        };
        let (cached, recomputed) = (losses(1 << 30), losses(0));
        for (cached, recomputed) in cached.iter().zip(&recomputed) {
            // Batches of different lengths sum in a different order.
            assert!(
                (cached - recomputed).abs() < 1e-4 * recomputed,
                "{cached} and {recomputed} on {}",
                device.name()
            );
        }
    }
}

#[test]
fn gradient_accumulation_equals_a_larger_batch() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = data(&model, 16);
    let first_loss_and_norm = |batch_size: usize, gradient_accumulation: usize| {
        let settings = settings()
            .with_batch_size(batch_size)
            .with_gradient_accumulation(gradient_accumulation);
        let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
        loop {
            if let Some(Event::Step {
                loss,
                gradient_norm,
                ..
            }) = block_on(run.next()).unwrap()
            {
                return (loss, gradient_norm);
            }
        }
    };
    let (whole, parts) = (first_loss_and_norm(16, 1), first_loss_and_norm(4, 4));
    assert!(
        (whole.0 - parts.0).abs() < 1e-5 * whole.0,
        "{whole:?} {parts:?}"
    );
    assert!(
        (whole.1 - parts.1).abs() < 1e-4 * whole.1,
        "{whole:?} {parts:?}"
    );
}

#[test]
fn checkpoints_of_other_runs_are_rejected() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let run = |settings: TrainSettings, samples: usize| {
        Run::new(model.clone(), data(&model, samples), settings).unwrap()
    };
    let checkpoint = block_on(run(settings(), 8).checkpoint()).unwrap();
    let message = |mut run: Run, bytes: &[u8]| match run.restore(bytes, Path::new("c")) {
        Err(Error::Checkpoint { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    let other = settings().with_learning_rate(0.5);
    assert!(
        message(run(other, 8), &checkpoint)
            .contains("learning_rate: 0.001 in the checkpoint, 0.5 now")
    );
    assert!(message(run(settings(), 9), &checkpoint).contains("different data"));
    for end in [0, 5, 100, checkpoint.len() - 1] {
        assert!(message(run(settings(), 8), &checkpoint[..end]).contains("damaged checkpoint"));
    }
    let mut model_file = Vec::new();
    for (name, bytes) in block_on(model.to_files()).unwrap() {
        if name == "model.safetensors" {
            model_file = bytes;
        }
    }
    assert!(message(run(settings(), 8), &model_file).contains("not a minift checkpoint"));
}

/// Samples depend on the model: its vocabulary and its maximum length.
#[test]
fn samples_that_do_not_fit_the_model_are_rejected() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let config = &model.config().decoder;
    let (vocabulary, longest) = (config.vocab_size, config.max_length);
    let refused = |change: fn(&mut RunData, Sample), sample: Sample| {
        let mut data = (*data(&model, 4)).clone();
        change(&mut data, sample);
        Run::new(model.clone(), Arc::new(data), settings())
    };
    let foreign = Sample::new(vec![1, vocabulary as u32]);
    let changes: [fn(&mut RunData, Sample); 3] = [
        |data, sample| data.train.push(sample),
        |data, sample| data.domain.push(sample),
        |data, sample| data.general.push(sample),
    ];
    for change in changes {
        let error = refused(change, foreign.clone()).unwrap_err();
        let Error::TokenBeyondVocabulary { id, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(id as usize, vocabulary);
    }
    let long = Sample::new(vec![1; longest + 1]);
    let error = refused(changes[0], long).unwrap_err().to_string();
    assert!(
        error.contains(&format!("at most {longest} tokens")),
        "{error}"
    );
    // For packed samples the length of each text counts.
    let whole = Sample::packed([Sample::new(vec![1; longest]), Sample::new(vec![1; longest])]);
    assert!(refused(changes[0], whole).is_ok());
}

#[test]
fn a_non_finite_loss_stops_with_the_last_good_state() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("c"));
        let settings = settings()
            .with_learning_rate(1e30)
            .with_warmup_steps(0)
            .with_gradient_clip(0.0);
        let new = || Run::new(model.clone(), data(&model, 22), settings.clone()).unwrap();
        let mut run = new();
        let ending = block_on(drive(
            &mut run,
            Some(&checkpoints),
            &Cancel::default(),
            |_| (),
        ));
        let Err(Error::NonFiniteLoss {
            step,
            kept: Some(kept),
            ..
        }) = ending
        else {
            panic!("{ending:?}");
        };
        assert_eq!(
            (run.steps_done(), kept.as_path()),
            (step - 1, checkpoints.path.as_path())
        );
        let mut restored = new();
        checkpoints.restore(&mut restored).unwrap();
        assert_eq!(restored.steps_done(), step - 1);
        for parameter in restored.trained_model().parameters() {
            assert!(
                values(parameter.clone())
                    .iter()
                    .all(|value| value.is_finite())
            );
        }
    }
}

#[test]
fn a_cancelled_run_stops_at_the_next_step_and_can_be_resumed() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().join("c"));
    let new = || Run::new(model.clone(), data(&model, 22), settings()).unwrap();
    let expected = finish(&mut new());

    let cancel = Cancel::default();
    let mut run = new();
    let ending = block_on(drive(&mut run, Some(&checkpoints), &cancel, |event| {
        if matches!(event, Event::Step { step: 3, .. }) {
            cancel.cancel();
        }
    }));
    assert_eq!(ending.unwrap(), Ending::Cancelled);
    assert_eq!(run.steps_done(), 3);
    let mut run = new();
    checkpoints.restore(&mut run).unwrap();
    assert!(finish(&mut run) == expected);
}
