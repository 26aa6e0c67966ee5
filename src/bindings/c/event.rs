//! Events of a run.

use std::ffi::c_void;

use crate::train::{Event, Moment};

/// Kinds of events. Later versions may add kinds: ignore unknown ones.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MiniftEventKind {
    /// The run is complete. Returned by `minift_run_next` only.
    Finished = 0,
    /// An evaluation batch is done. Sets `moment`, and `done` and `total` in batches.
    Evaluating = 1,
    /// An evaluation is done. Sets `moment`, `step`, `domain_perplexity` and `general_perplexity`.
    Evaluated = 2,
    /// A text has been added to the importance estimate of EWC (`ewc`). Sets `done` and `total` in
    /// texts.
    Consolidating = 3,
    /// A training step is done. Sets `done` and `total` in steps, and the fields from `step` to
    /// `seconds_left`.
    Step = 4,
    /// A batch of the front over the strengths of the training (`dial`) is done. Sets `weight`, and
    /// `done` and `total` in batches.
    EvaluatingFront = 5,
    /// A point of that front is complete. Sets `weight`, `domain_perplexity` and
    /// `general_perplexity`.
    FrontPoint = 6,
    /// A batch has been measured for the weights of the samples (`sample_weights`). Sets `done` and
    /// `total` in batches.
    Weighing = 7,
}

/// Which model an evaluation measures.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftMoment {
    /// The original model, before training.
    Before = 0,
    /// The model at an intermediate step.
    During = 1,
    /// The trained model.
    After = 2,
}

/// An event of a run. Fields that its kind does not set are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiniftEvent {
    /// Kind of the event.
    pub kind: MiniftEventKind,
    /// For evaluations: which model is measured.
    pub moment: MiniftMoment,
    /// Completed units of the current phase.
    pub done: u64,
    /// Total units of the current phase.
    pub total: u64,
    /// Number of training steps taken.
    pub step: u64,
    /// Epoch of the step, starting at 1.
    pub epoch: u64,
    /// Mean loss over the predicted tokens of the step, before the update.
    pub loss: f64,
    /// Global gradient norm, before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Predicted tokens trained on per second, averaged over the run so far.
    pub tokens_per_second: f64,
    /// Estimated seconds until the last step.
    pub seconds_left: f64,
    /// Perplexity on the held-out domain set.
    pub domain_perplexity: f64,
    /// Perplexity on the general set.
    pub general_perplexity: f64,
    /// Strength of the evaluated model, from 0, untouched, to 1, trained.
    pub weight: f64,
}

impl MiniftEvent {
    /// The event of a completed run.
    pub(super) const FINISHED: Self = Self {
        kind: MiniftEventKind::Finished,
        moment: MiniftMoment::Before,
        done: 0,
        total: 0,
        step: 0,
        epoch: 0,
        loss: 0.0,
        gradient_norm: 0.0,
        learning_rate: 0.0,
        tokens_per_second: 0.0,
        seconds_left: 0.0,
        domain_perplexity: 0.0,
        general_perplexity: 0.0,
        weight: 0.0,
    };
}

impl From<Moment> for MiniftMoment {
    fn from(moment: Moment) -> Self {
        match moment {
            Moment::Before => Self::Before,
            Moment::During => Self::During,
            Moment::After => Self::After,
        }
    }
}

impl From<&Event> for MiniftEvent {
    fn from(event: &Event) -> Self {
        match *event {
            Event::Evaluating {
                moment,
                done,
                total,
            } => Self {
                kind: MiniftEventKind::Evaluating,
                moment: moment.into(),
                done: done as u64,
                total: total as u64,
                ..Self::FINISHED
            },
            Event::Evaluated {
                moment,
                step,
                perplexities,
                ..
            } => Self {
                kind: MiniftEventKind::Evaluated,
                moment: moment.into(),
                step: step as u64,
                domain_perplexity: perplexities.domain,
                general_perplexity: perplexities.general,
                ..Self::FINISHED
            },
            Event::Consolidating { done, total } => Self {
                kind: MiniftEventKind::Consolidating,
                done: done as u64,
                total: total as u64,
                ..Self::FINISHED
            },
            Event::Weighing { done, total } => Self {
                kind: MiniftEventKind::Weighing,
                done: done as u64,
                total: total as u64,
                ..Self::FINISHED
            },
            Event::Step {
                step,
                steps,
                epoch,
                loss,
                gradient_norm,
                learning_rate,
                tokens_per_second,
                seconds_left,
            } => Self {
                kind: MiniftEventKind::Step,
                done: step as u64,
                total: steps as u64,
                step: step as u64,
                epoch: epoch as u64,
                loss: loss.into(),
                gradient_norm: gradient_norm.into(),
                learning_rate,
                tokens_per_second,
                seconds_left,
                ..Self::FINISHED
            },
            Event::EvaluatingFront {
                weight,
                done,
                total,
            } => Self {
                kind: MiniftEventKind::EvaluatingFront,
                done: done as u64,
                total: total as u64,
                weight,
                ..Self::FINISHED
            },
            Event::FrontPoint { point } => Self {
                kind: MiniftEventKind::FrontPoint,
                domain_perplexity: point.perplexities.domain,
                general_perplexity: point.perplexities.general,
                weight: point.weight,
                ..Self::FINISHED
            },
        }
    }
}

/// Receives the events of `minift_run_drive`. `event` is valid during the call only. Return 0 to
/// continue, any other value to stop.
///
/// Called on the thread that called `minift_run_drive`. Functions that use the same run return
/// `MINIFT_STATUS_BUSY`; all others may be called, and the run may be freed. The callback must not
/// throw or call `longjmp`.
pub type MiniftEventCallback =
    Option<unsafe extern "C" fn(event: *const MiniftEvent, user_data: *mut c_void) -> i32>;
