//! Steps whose gradients a GPU computed while the step before was still being read: the same, bit for
//! bit, as steps that wait for one another, whatever comes next in the end.
#![allow(clippy::unwrap_used)]

mod common;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use burn::cubecl::logging::{LaunchObservation, LaunchObserver, ProfileDuration, TimingRequest};
use common::{devices, gpu, run_data, samples_of_step, short_run, vectors};
use minift::Error;
use minift::adapter::{AdapterSettings, LoraSettings};
use minift::data::Batch;
use minift::device::Device;
use minift::model::CausalLm;
use minift::train::{Event, Measured, Run, TrainSettings, Trainer};
use pollster::block_on;

const RATE: f64 = 1e-3;

/// Launches are observed of the whole process, so that the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn batches<const N: usize>() -> [Batch; N] {
    let file = vectors("training.safetensors");
    std::array::from_fn(|step| Batch::new(&samples_of_step(&file, step), (0..3).collect()))
}

fn trainer(device: &Device, settings: &TrainSettings) -> Trainer {
    let model = CausalLm::embedded(device).unwrap();
    Trainer::new(model, settings.clone()).unwrap()
}

/// What can be seen of a step and of the model after it.
fn seen(trainer: &Trainer, measured: Measured) -> ([u32; 2], Vec<(String, Vec<u8>)>) {
    (
        [measured.loss, measured.gradient_norm].map(f32::to_bits),
        block_on(trainer.model().to_files()).unwrap(),
    )
}

#[test]
fn looking_ahead_changes_nothing() {
    let _turn = turn();
    let adapter = AdapterSettings::Lora(LoraSettings {
        dropout: 0.3,
        ..LoraSettings::default()
    });
    let settings = [
        TrainSettings::default(),
        TrainSettings {
            adapter: Some(adapter),
            teacher_cache_bytes: 0,
            ..TrainSettings::default()
        },
    ];
    let batches = batches::<4>();
    for device in devices() {
        for settings in &settings {
            let [mut waiting, mut looking] = [(); 2].map(|()| trainer(&device, settings));
            for (step, batch) in batches.iter().enumerate() {
                let batch = std::slice::from_ref(batch);
                let next = &batches[step + 1..batches.len().min(step + 2)];
                let expected = block_on(waiting.step(batch, RATE)).unwrap();
                let found = block_on(looking.step_before(batch, RATE, next)).unwrap();
                assert!(
                    seen(&looking, found) == seen(&waiting, expected),
                    "step {step} on {}",
                    device.name()
                );
            }
        }
    }
}

#[test]
fn what_was_foreseen_need_not_come() {
    let _turn = turn();
    let settings = TrainSettings::default();
    let [a, b, c] = batches().map(|batch| [batch]);
    let [mut waiting, mut looking] = [(); 2].map(|()| trainer(&gpu(), &settings));
    block_on(waiting.step(&a, RATE)).unwrap();
    let expected = block_on(waiting.step(&c, RATE)).unwrap();
    block_on(looking.step_before(&a, RATE, &b)).unwrap();
    let found = block_on(looking.step_before(&c, RATE, &a)).unwrap();
    assert!(seen(&looking, found) == seen(&waiting, expected));
}

#[test]
fn a_step_that_moved_nothing_leaves_nothing_behind() {
    let _turn = turn();
    let settings = TrainSettings {
        gradient_clip: 0.0,
        adapter: Some(AdapterSettings::Lora(LoraSettings {
            dropout: 0.3,
            ..LoraSettings::default()
        })),
        ..TrainSettings::default()
    };
    let [a, b, c] = batches().map(|batch| [batch]);
    let [mut waiting, mut looking] = [(); 2].map(|()| trainer(&gpu(), &settings));
    for (trainer, next) in [(&mut waiting, &[][..]), (&mut looking, &b[..])] {
        block_on(trainer.step_before(&a, 1e30, next)).unwrap();
        let measured = block_on(trainer.step_before(&b, RATE, next)).unwrap();
        assert!(!measured.is_finite(), "{measured:?}");
    }
    let [expected, found] = [&mut waiting, &mut looking].map(|trainer| {
        let measured = block_on(trainer.step(&c, RATE)).unwrap();
        seen(trainer, measured)
    });
    assert!(found == expected);
}

#[test]
fn a_step_that_nobody_waited_for_is_not_taken_twice() {
    let _turn = turn();
    let settings = TrainSettings::default();
    let [a, b] = batches().map(|batch| [batch]);
    let [mut waiting, mut dropping] = [(); 2].map(|()| trainer(&gpu(), &settings));
    for batch in [&a, &b] {
        let mut context = Context::from_waker(Waker::noop());
        let dropped = pin!(dropping.step(batch, RATE)).poll(&mut context);
        assert!(dropped.is_pending(), "the GPU cannot be done yet");
        let expected = block_on(waiting.step(batch, RATE)).unwrap();
        let found = block_on(dropping.step(batch, RATE)).unwrap();
        assert!(seen(&dropping, found) == seen(&waiting, expected));
    }
}

#[test]
fn a_run_in_the_middle_of_a_step_has_no_checkpoint() {
    let _turn = turn();
    let finish = |run: &mut Run| {
        while block_on(run.next()).unwrap().is_some() {}
        run.losses().to_vec()
    };
    // Evaluated after each step, so that no step has been begun before.
    let model = CausalLm::embedded(&gpu()).unwrap();
    let data = Arc::new(run_data(&model, 64, [8, 2, 2]));
    let settings = TrainSettings {
        epochs: 1,
        batch_size: 4,
        evaluate_every: 1,
        ..TrainSettings::default()
    };
    let new = || Run::new(model.clone(), data.clone(), settings.clone()).unwrap();
    let expected = finish(&mut new());
    // Each piece of work is dropped once.
    let mut run = new();
    let (mut dropped, mut evaluated) = (0, 0);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        let _ = pin!(run.next()).poll(&mut context);
        match block_on(run.checkpoint()) {
            Ok(_) => {}
            Err(Error::StepUnderWay) => dropped += 1,
            Err(error) => panic!("{error}"),
        }
        match block_on(run.next()).unwrap() {
            Some(Event::Evaluating { .. }) => evaluated += 1,
            Some(Event::Step { .. }) => drop(block_on(run.checkpoint()).unwrap()),
            Some(_) => {}
            None => break,
        }
    }
    assert!(dropped > 0 && evaluated > 0, "{dropped}, {evaluated}");
    assert_eq!(run.losses(), expected);
}

/// Names of the kernels that are launched.
#[derive(Default)]
struct Launched(Mutex<Vec<&'static str>>);

impl LaunchObserver for Launched {
    fn launched(&self, kernel: &'static str) {
        self.0.lock().unwrap().push(kernel);
    }

    fn timing(&self) -> TimingRequest {
        TimingRequest::None
    }

    fn profiled(&self, _: &'static str, _: ProfileDuration) {}
}

#[test]
fn a_gpu_has_the_next_step_to_compute_while_a_loss_is_read() {
    let _turn = turn();
    let mut run = short_run(&gpu(), 24);
    let mut moved_last = Vec::new();
    while run.steps_done() < run.steps() {
        let launched = Arc::new(Launched::default());
        let observation = LaunchObservation::new(launched.clone());
        let steps = run.steps_done();
        block_on(run.next()).unwrap();
        drop(observation);
        if run.steps_done() > steps {
            moved_last.push(launched.0.lock().unwrap().last() == Some(&"adamw"));
        }
    }
    let last = moved_last.pop();
    assert_eq!(last, Some(true), "after the last step comes none");
    assert!(!moved_last.is_empty() && moved_last.iter().all(|&moved| !moved));
}
