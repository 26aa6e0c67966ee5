//! What the window knows of the run, from what the worker reported.

use std::path::PathBuf;

use minift::eval::{Metrics, Perplexities};
use minift::train::{Evaluated, Event, Moment};

use crate::curve::Curve;
use crate::inputs::Facts;
use crate::setup::{Method, Setup, Source};
use crate::worker::{Report, Voice};

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// None was started.
    #[default]
    Ready,
    /// Model and text are read.
    Preparing,
    /// Under way.
    Running,
    /// Waits.
    Paused,
    /// Done.
    Finished,
    /// Dropped.
    Cancelled,
    /// Ended by an error, in words.
    Failed(String),
}

impl Stage {
    /// Whether a run is there that can be cancelled.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Preparing | Self::Running | Self::Paused)
    }
}

/// What the run does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Doing {
    /// Steps.
    #[default]
    Training,
    /// Measures perplexities: batches done, and all of them.
    Evaluating(Moment, usize, usize),
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// How it was trained.
    pub method: Method,
    /// Before.
    pub before: Perplexities,
    /// After, or as last measured.
    pub after: Perplexities,
    /// Steps that it was trained, while it still is.
    pub so_far: Option<usize>,
}

impl Row {
    /// S, DG and S/DG.
    pub fn metrics(&self) -> Metrics {
        Metrics::new(self.before, self.after)
    }
}

/// Both models' answers to a prompt.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The prompt that they answer.
    pub prompt: String,
    /// Of the untouched model.
    pub untouched: String,
    /// Of the trained one.
    pub trained: String,
    /// More is coming.
    pub busy: bool,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// The run, its results and those of runs before it.
#[derive(Debug, Default)]
pub struct Session {
    /// Where it is.
    pub stage: Stage,
    /// What it does.
    pub doing: Doing,
    /// What it is made of, when that is known.
    pub facts: Option<Facts>,
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Epoch of the last step, from 1.
    pub epoch: usize,
    /// Predicted tokens a second.
    pub tokens_per_second: f64,
    /// Seconds until the last step.
    pub seconds_left: f64,
    /// Loss by step.
    pub losses: Curve,
    /// Perplexities by step.
    pub evaluations: Vec<Evaluated>,
    /// Bytes that are held.
    pub memory: Option<u64>,
    /// Bytes that were held at most since the run began.
    pub peak_memory: u64,
    /// Of the prompt tried last.
    pub answers: Answers,
    /// Where the model was saved, or why not.
    pub saved: Option<Result<PathBuf, String>>,
    /// Runs that are done, on the same model and text.
    finished: Vec<Row>,
    /// The run's name and method, and what it is compared on.
    of_run: Option<(String, Method, [Source; 2])>,
}

impl Session {
    /// Begins with nothing known of the new run; results of others stay where they can be compared.
    pub fn start(&mut self, setup: &Setup) {
        let inputs = [setup.model.clone(), setup.text.clone()];
        let comparable = self
            .of_run
            .as_ref()
            .is_some_and(|(_, _, of_last)| *of_last == inputs);
        *self = Self {
            stage: Stage::Preparing,
            finished: if comparable {
                std::mem::take(&mut self.finished)
            } else {
                Vec::new()
            },
            of_run: Some((setup.name(), setup.method, inputs)),
            ..Self::default()
        };
    }

    /// Takes in what the worker tells.
    pub fn apply(&mut self, report: Report) {
        match report {
            Report::Prepared(facts, steps) => {
                self.facts = Some(facts);
                self.steps = steps;
                self.stage = Stage::Running;
            }
            Report::Event(event) => self.event(event),
            Report::Paused => self.stage = Stage::Paused,
            Report::Resumed => self.stage = Stage::Running,
            Report::Finished => {
                self.finished.extend(self.row());
                self.stage = Stage::Finished;
            }
            Report::Cancelled => self.stage = Stage::Cancelled,
            Report::Failed(message) => self.stage = Stage::Failed(message),
            Report::Memory(bytes) => {
                self.memory = Some(bytes);
                self.peak_memory = self.peak_memory.max(bytes);
            }
            Report::Piece(Voice::Untouched, piece) => self.answers.untouched.push_str(&piece),
            Report::Piece(Voice::Trained, piece) => self.answers.trained.push_str(&piece),
            Report::Answered => self.answers.busy = false,
            Report::AnswerFailed(message) => {
                self.answers.busy = false;
                self.answers.error = Some(message);
            }
            Report::Saved(folder) => self.saved = Some(Ok(folder)),
            Report::SaveFailed(message) => self.saved = Some(Err(message)),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Evaluating {
                moment,
                done,
                total,
            } => {
                self.doing = Doing::Evaluating(moment, done, total);
            }
            Event::Evaluated {
                step, perplexities, ..
            } => {
                self.doing = Doing::Training;
                self.evaluations.push(Evaluated { step, perplexities });
            }
            Event::Step {
                step,
                epoch,
                loss,
                tokens_per_second,
                seconds_left,
                ..
            } => {
                self.doing = Doing::Training;
                self.step = step;
                self.epoch = epoch;
                self.losses.push(f64::from(loss));
                self.tokens_per_second = tokens_per_second;
                self.seconds_left = seconds_left;
            }
            // The window offers no elastic weight consolidation.
            Event::Consolidating { .. } => {}
        }
    }

    /// How the run trains.
    pub fn method(&self) -> Option<Method> {
        self.of_run.as_ref().map(|(_, method, _)| *method)
    }

    /// Whether there are two models that can be tried.
    pub fn has_models(&self) -> bool {
        match self.stage {
            Stage::Running | Stage::Paused => self.step > 0,
            Stage::Finished => true,
            _ => false,
        }
    }

    /// The lines of the table below the untouched model's: finished runs, then the one under way.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self.finished.clone();
        if matches!(self.stage, Stage::Running | Stage::Paused) {
            rows.extend(self.row());
        }
        rows
    }

    /// Perplexities of the untouched model.
    pub fn untouched(&self) -> Option<Perplexities> {
        let of_this = self.evaluations.first().map(|first| first.perplexities);
        of_this.or(self.finished.first().map(|row| row.before))
    }

    /// The run as it was last measured.
    fn row(&self) -> Option<Row> {
        let (name, method, _) = self.of_run.clone()?;
        let [first, .., last] = self.evaluations[..] else {
            return None;
        };
        Some(Row {
            name,
            method,
            before: first.perplexities,
            after: last.perplexities,
            so_far: (last.step < self.steps).then_some(last.step),
        })
    }

    /// What the run that finished last comes to, in a sentence.
    pub fn verdict(&self) -> Option<String> {
        let row = self
            .finished
            .last()
            .filter(|_| self.stage == Stage::Finished)?;
        let name = match row.method {
            Method::Mft => "Minifinetuning",
            Method::Ft => "Plain finetuning",
        };
        let metrics = row.metrics();
        if metrics.specialization.is_nan() || metrics.specialization <= 0.0 {
            return Some(format!("{name} gained nothing on the domain."));
        }
        let share = 100.0 * metrics.specialization / row.before.domain;
        let gain = format!("{name} lowered the domain's perplexity by {share:.0} %");
        Some(match metrics.ratio {
            Some(ratio) => {
                format!("{gain}, and gained {ratio:.1} points for each point forgotten.")
            }
            None => format!("{gain}, and forgot nothing."),
        })
    }

    /// The results, when the run is done.
    pub fn outcome(&self) -> Option<&Row> {
        self.finished
            .last()
            .filter(|_| self.stage == Stage::Finished)
    }
}
