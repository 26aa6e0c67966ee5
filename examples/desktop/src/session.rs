//! The state of the run as reported by the worker.

use std::path::PathBuf;

use minift::eval::{Metrics, Perplexities};
use minift::train::{Evaluated, Event, Moment};

use crate::curve::Curve;
use crate::dial::Strengths;
use crate::inputs::Facts;
use crate::setup::{Method, Setup, Source};
use crate::worker::{AnswerId, Report, Voice};

/// Stage of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// Not started.
    #[default]
    Ready,
    /// Loading model and text.
    Preparing,
    /// Training or evaluating.
    Running,
    /// Paused.
    Paused,
    /// Finished.
    Finished,
    /// Cancelled.
    Cancelled,
    /// Failed with an error message.
    Failed(String),
}

impl Stage {
    /// Whether there is a run to cancel.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Preparing | Self::Running | Self::Paused)
    }
}

/// Current activity of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Doing {
    /// Training.
    #[default]
    Training,
    /// Evaluating: completed and total batches.
    Evaluating(Moment, usize, usize),
}

/// A row of the results table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the run.
    pub name: String,
    /// Training method.
    pub method: Method,
    /// Perplexities before training.
    pub before: Perplexities,
    /// Perplexities after training, or the latest ones.
    pub after: Perplexities,
    /// Number of steps at the latest evaluation, if the run is unfinished.
    pub so_far: Option<usize>,
    /// The strengths measured after the run.
    pub strengths: Strengths,
}

impl Row {
    /// S, DG and S/DG.
    pub fn metrics(&self) -> Metrics {
        Metrics::new(self.before, self.after)
    }
}

/// What both models said to a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// The prompt.
    pub prompt: String,
    /// Answer of the original model.
    pub original: String,
    /// Answer of the trained model.
    pub trained: String,
}

/// The conversation with both models.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The turns of a chat; the last one only for models that continue texts.
    pub turns: Vec<Turn>,
    /// The answers in progress.
    pub busy: Option<AnswerId>,
    /// Error message.
    pub error: Option<String>,
}

impl Answers {
    /// Adds a prompt that is being answered.
    pub fn ask(&mut self, id: AnswerId, prompt: String, is_chat: bool) {
        if !is_chat {
            self.turns.clear();
        }
        self.turns.push(Turn {
            prompt,
            ..Turn::default()
        });
        self.busy = Some(id);
        self.error = None;
    }

    /// The latest turn.
    pub fn last(&self) -> Option<&Turn> {
        self.turns.last()
    }

    /// Applies a report about the answers in progress; those of ended ones are ignored.
    fn apply(&mut self, id: AnswerId, change: impl FnOnce(&mut Self)) {
        if self.busy == Some(id) {
            change(self);
        }
    }

    fn append(&mut self, voice: Voice, piece: &str) {
        if let Some(turn) = self.turns.last_mut() {
            match voice {
                Voice::Original => turn.original.push_str(piece),
                Voice::Trained => turn.trained.push_str(piece),
            }
        }
    }

    fn fail(&mut self, message: String) {
        // The models do not remember a prompt whose answer failed.
        self.turns.pop();
        self.error = Some(message);
        self.busy = None;
    }
}

/// The current run, and the results of previous runs.
#[derive(Debug, Default)]
pub struct Session {
    /// Stage of the run.
    pub stage: Stage,
    /// Current activity.
    pub doing: Doing,
    /// Description of the run, once it is prepared.
    pub facts: Option<Facts>,
    /// Steps taken.
    pub step: usize,
    /// Total number of steps.
    pub steps: usize,
    /// Epoch of the last step, starting at 1.
    pub epoch: usize,
    /// Predicted tokens per second.
    pub tokens_per_second: f64,
    /// Estimated seconds until the last step.
    pub seconds_left: f64,
    /// Loss by step.
    pub losses: Curve,
    /// Perplexities by step.
    pub evaluations: Vec<Evaluated>,
    /// Memory in use, in bytes.
    pub memory: Option<u64>,
    /// Peak memory of the run, in bytes.
    pub peak_memory: u64,
    /// What both models said.
    pub answers: Answers,
    /// Where the model was saved, or the error message.
    pub saved: Option<Result<PathBuf, String>>,
    /// Finished runs on the same model and text.
    finished: Vec<Row>,
    /// Name, method, model and text of the run.
    of_run: Option<(String, Method, [Source; 2])>,
}

impl Session {
    /// Resets the state for a new run. Results of previous runs are kept if model and text are the same.
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

    /// Applies a report of the worker.
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
            Report::Measured(point) => {
                if let Some(row) = self.finished.last_mut() {
                    row.strengths.add(point);
                }
            }
            Report::Cancelled => self.stage = Stage::Cancelled,
            Report::Failed(message) => self.stage = Stage::Failed(message),
            Report::Memory(bytes) => {
                self.memory = Some(bytes);
                self.peak_memory = self.peak_memory.max(bytes);
            }
            Report::Piece(id, voice, piece) => {
                self.answers
                    .apply(id, |answers| answers.append(voice, &piece));
            }
            Report::Answered(id) => self.answers.apply(id, |answers| answers.busy = None),
            Report::AnswerFailed(id, message) => {
                self.answers.apply(id, |answers| answers.fail(message));
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
                step,
                perplexities,
                kl_divergence,
                ..
            } => {
                self.doing = Doing::Training;
                self.evaluations.push(Evaluated {
                    step,
                    perplexities,
                    kl_divergence,
                });
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
            // The window does not offer EWC, and ignores events of later versions.
            _ => {}
        }
    }

    /// Training method of the run.
    pub fn method(&self) -> Option<Method> {
        self.of_run.as_ref().map(|(_, method, _)| *method)
    }

    /// Whether both models are available.
    pub fn has_models(&self) -> bool {
        match self.stage {
            Stage::Running | Stage::Paused => self.step > 0,
            Stage::Finished => true,
            _ => false,
        }
    }

    /// The rows of the table below the original model: finished runs, then the current one.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self.finished.clone();
        if matches!(self.stage, Stage::Running | Stage::Paused) {
            rows.extend(self.row());
        }
        rows
    }

    /// Perplexities of the original model.
    pub fn original(&self) -> Option<Perplexities> {
        let of_this = self.evaluations.first().map(|first| first.perplexities);
        of_this.or(self.finished.first().map(|row| row.before))
    }

    /// The row of the current run at its latest evaluation.
    fn row(&self) -> Option<Row> {
        let (name, method, _) = self.of_run.clone()?;
        let [first, .., last] = self.evaluations[..] else {
            return None;
        };
        let (before, after) = (first.perplexities, last.perplexities);
        Some(Row {
            name,
            method,
            before,
            after,
            so_far: (last.step < self.steps).then_some(last.step),
            strengths: Strengths::new(before, after),
        })
    }

    /// A sentence that summarizes the run that just finished.
    pub fn verdict(&self) -> Option<String> {
        let row = self.outcome()?;
        let name = match row.method {
            Method::Mft => "Minifinetuning",
            Method::Ft => "Plain finetuning",
        };
        let metrics = row.metrics();
        if metrics.specialization.is_nan() || metrics.specialization <= 0.0 {
            return Some(format!("{name} did not improve the domain perplexity."));
        }
        let share = 100.0 * metrics.specialization / row.before.domain;
        let gain = format!("{name} lowered the domain perplexity by {share:.0} %");
        Some(match metrics.ratio {
            Some(ratio) => {
                format!("{gain}, gaining {ratio:.1} points per point forgotten.")
            }
            None => format!("{gain} and forgot nothing."),
        })
    }

    /// The results, once the run is finished.
    pub fn outcome(&self) -> Option<&Row> {
        self.finished
            .last()
            .filter(|_| self.stage == Stage::Finished)
    }

    /// The strengths of the finished run.
    pub fn strengths(&self) -> Option<&Strengths> {
        self.outcome().map(|row| &row.strengths)
    }

    /// Chooses a strength of the finished run.
    pub fn choose(&mut self, weight: f64) {
        if let Some(row) = self.finished.last_mut() {
            row.strengths.chosen = weight;
        }
    }

    /// Whether the model has a chat template.
    pub fn can_chat(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.can_chat)
    }
}
