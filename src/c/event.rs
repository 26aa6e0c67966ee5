//! What a run tells, for C.

use std::ffi::c_void;

use crate::train::{Event, Moment, Outcome};

/// What happened in a run. Later versions may have further kinds: let unknown ones pass.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftEventKind {
    /// Nothing is left to do; given by `minift_run_next` only.
    Finished = 0,
    /// A batch of an evaluation is done: `moment`, and batches in `done` and `total`.
    Evaluating = 1,
    /// An evaluation is done: `moment`, `step`, `domain_perplexity`, `general_perplexity`.
    Evaluated = 2,
    /// A text is taken into the weights' importance (`ewc`): texts in `done` and `total`.
    Consolidating = 3,
    /// A training step is done: steps in `done` and `total`, `step`, and every field after it up to
    /// `seconds_left`.
    Step = 4,
}

/// Where in a training an evaluation is.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftMoment {
    /// The untouched model.
    Before = 0,
    /// The model in the middle of its training.
    During = 1,
    /// The trained model.
    After = 2,
}

/// Something that happened in a run. Fields that the kind does not name are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiniftEvent {
    /// What happened.
    pub kind: MiniftEventKind,
    /// In an evaluation: of which model.
    pub moment: MiniftMoment,
    /// Of the work under way, what is done.
    pub done: u64,
    /// Of the work under way, all.
    pub total: u64,
    /// Steps that the model was trained.
    pub step: u64,
    /// Epoch of the step, from 1.
    pub epoch: u64,
    /// Mean loss over the step's predicted tokens, before the step.
    pub loss: f64,
    /// Norm of the whole gradient, before it is cut to the greatest norm.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Predicted tokens trained on, a second, over the run so far.
    pub tokens_per_second: f64,
    /// Seconds until the last step, as far as the run so far tells.
    pub seconds_left: f64,
    /// Perplexity on the held-out domain set.
    pub domain_perplexity: f64,
    /// Perplexity on the general set.
    pub general_perplexity: f64,
}

impl MiniftEvent {
    /// Nothing is left to do.
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
        }
    }
}

/// Gets an event of a run that is driven, valid during the call only. It is called on the thread that
/// called `minift_run_drive`, and may call every function but those that use the same run, which give
/// `MINIFT_STATUS_BUSY`; freeing the run is allowed. 0 goes on, anything else stops. It must neither
/// throw nor call `longjmp`.
pub type MiniftEventCallback =
    Option<unsafe extern "C" fn(event: *const MiniftEvent, user_data: *mut c_void) -> i32>;

/// What a finished run has to show.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiniftOutcome {
    /// Of the untouched model on the held-out domain set.
    pub domain_perplexity_before: f64,
    /// Of the trained model on the same.
    pub domain_perplexity_after: f64,
    /// Of the untouched model on the general set.
    pub general_perplexity_before: f64,
    /// Of the trained model on the same.
    pub general_perplexity_after: f64,
    /// S, what was gained: domain perplexity before - after.
    pub specialization: f64,
    /// DG, what was forgotten: general perplexity after - before.
    pub degeneralization: f64,
    /// S/DG; NaN where nothing was forgotten.
    pub ratio: f64,
    /// Steps taken.
    pub steps: u64,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
    /// Predicted tokens trained on, a second.
    pub tokens_per_second: f64,
}

impl From<&Outcome> for MiniftOutcome {
    fn from(outcome: &Outcome) -> Self {
        Self {
            domain_perplexity_before: outcome.before.domain,
            domain_perplexity_after: outcome.after.domain,
            general_perplexity_before: outcome.before.general,
            general_perplexity_after: outcome.after.general,
            specialization: outcome.metrics.specialization,
            degeneralization: outcome.metrics.degeneralization,
            ratio: outcome.metrics.ratio.unwrap_or(f64::NAN),
            steps: outcome.steps as u64,
            seconds: outcome.seconds,
            tokens_per_second: outcome.tokens_per_second,
        }
    }
}
