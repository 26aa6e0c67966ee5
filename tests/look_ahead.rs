//! Look-ahead: steps whose gradients are computed while the previous step's results are still being read are
//! equal, bit for bit, to sequential steps, even if the next batch is not the expected one.
#![allow(clippy::unwrap_used)]

mod common;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use burn::cubecl::logging::{LaunchObservation, LaunchObserver, ProfileDuration, TimingRequest};
use common::{devices, gpu, run_data, samples_of_step, short_run, vectors};
use minift::Error;
use minift::device::Device;
use minift::model::Batch;
use minift::model::CausalLm;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::train::{Event, Run, StepOutput, TrainSettings, Trainer};
use pollster::block_on;

const RATE: f64 = 1e-3;

/// The launch observer sees the whole process, so the tests run one at a time.
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

/// The results of a step and the model after it.
fn results(trainer: &Trainer, measured: StepOutput) -> ([u32; 2], Vec<(String, Vec<u8>)>) {
    (
        [measured.loss, measured.gradient_norm].map(f32::to_bits),
        block_on(trainer.model().to_files()).unwrap(),
    )
}

#[test]
fn look_ahead_does_not_change_results() {
    let _turn = turn();
    let adapter = AdapterSettings::Lora(LoraSettings {
        dropout: 0.3,
        ..LoraSettings::default()
    });
    let settings = [
        TrainSettings::default(),
        TrainSettings::default()
            .with_adapter(Some(adapter))
            .with_teacher_cache_bytes(0),
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
                    results(&looking, found) == results(&waiting, expected),
                    "step {step} on {}",
                    device.name()
                );
            }
        }
    }
}

#[test]
fn a_different_next_batch_discards_the_look_ahead() {
    let _turn = turn();
    let settings = TrainSettings::default();
    let [a, b, c] = batches().map(|batch| [batch]);
    let [mut waiting, mut looking] = [(); 2].map(|()| trainer(&gpu(), &settings));
    block_on(waiting.step(&a, RATE)).unwrap();
    let expected = block_on(waiting.step(&c, RATE)).unwrap();
    block_on(looking.step_before(&a, RATE, &b)).unwrap();
    let found = block_on(looking.step_before(&c, RATE, &a)).unwrap();
    assert!(results(&looking, found) == results(&waiting, expected));
}

#[test]
fn a_skipped_step_leaves_no_state_behind() {
    let _turn = turn();
    let settings = TrainSettings::default()
        .with_gradient_clip(0.0)
        .with_adapter(Some(AdapterSettings::Lora(LoraSettings {
            dropout: 0.3,
            ..LoraSettings::default()
        })));
    let [a, b, c] = batches().map(|batch| [batch]);
    let [mut waiting, mut looking] = [(); 2].map(|()| trainer(&gpu(), &settings));
    for (trainer, next) in [(&mut waiting, &[][..]), (&mut looking, &b[..])] {
        block_on(trainer.step_before(&a, 1e30, next)).unwrap();
        let measured = block_on(trainer.step_before(&b, RATE, next)).unwrap();
        assert!(!measured.is_finite(), "{measured:?}");
    }
    let [expected, found] = [&mut waiting, &mut looking].map(|trainer| {
        let measured = block_on(trainer.step(&c, RATE)).unwrap();
        results(trainer, measured)
    });
    assert!(found == expected);
}

#[test]
fn a_step_whose_future_is_dropped_is_not_taken_twice() {
    const ATTEMPTS: usize = 16;
    let _turn = turn();
    let settings = TrainSettings::default();
    let batches = batches::<2>().map(|batch| [batch]);
    let [mut waiting, mut dropping] = [(); 2].map(|()| trainer(&gpu(), &settings));
    // A fast GPU may complete a step before the first poll returns, so dropping it in flight may take several
    // attempts. The results are equal in any case.
    let mut dropped = 0;
    for batch in batches.iter().cycle().take(ATTEMPTS) {
        let mut context = Context::from_waker(Waker::noop());
        let polled = pin!(dropping.step(batch, RATE)).poll(&mut context);
        let found = match polled {
            Poll::Ready(found) => found.unwrap(),
            Poll::Pending => {
                dropped += 1;
                block_on(dropping.step(batch, RATE)).unwrap()
            }
        };
        let expected = block_on(waiting.step(batch, RATE)).unwrap();
        assert!(results(&dropping, found) == results(&waiting, expected));
        if dropped == 2 {
            return;
        }
    }
    panic!("{dropped} of {ATTEMPTS} steps were dropped in flight, expected 2");
}

#[test]
fn a_run_with_a_step_in_flight_has_no_checkpoint() {
    let _turn = turn();
    let finish = |run: &mut Run| {
        while block_on(run.next()).unwrap().is_some() {}
        run.losses().to_vec()
    };
    // Evaluation after each step rules out look-ahead.
    let model = CausalLm::embedded(&gpu()).unwrap();
    let data = Arc::new(run_data(&model, 64, [8, 2, 2]));
    let settings = TrainSettings::default()
        .with_epochs(1.0)
        .with_batch_size(4)
        .with_evaluate_every(1);
    let new = || Run::new(model.clone(), data.clone(), settings.clone()).unwrap();
    let expected = finish(&mut new());
    // Each future is dropped once.
    let mut run = new();
    let (mut dropped, mut evaluated) = (0, 0);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        let _ = pin!(run.next()).poll(&mut context);
        match block_on(run.checkpoint()) {
            Ok(_) => {}
            Err(Error::StepInFlight) => dropped += 1,
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

/// Records the names of launched kernels.
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
fn the_next_step_is_launched_before_the_loss_is_read() {
    let _turn = turn();
    let mut run = short_run(&gpu(), 24);
    // Whether AdamW was the last kernel launched by each step.
    let mut adamw_last = Vec::new();
    while run.steps_done() < run.steps() {
        let launched = Arc::new(Launched::default());
        let observation = LaunchObservation::new(launched.clone());
        let steps = run.steps_done();
        block_on(run.next()).unwrap();
        drop(observation);
        if run.steps_done() > steps {
            adamw_last.push(launched.0.lock().unwrap().last() == Some(&"adamw/step"));
        }
    }
    let last = adamw_last.pop();
    assert_eq!(last, Some(true), "nothing follows the last step");
    assert!(!adamw_last.is_empty() && adamw_last.iter().all(|&last| !last));
}
