//! A run: evaluate, train, evaluate again.

mod batches;
mod checkpoint;
mod evaluation;
mod front;

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::Arc;

use web_time::Instant;

use super::checkpoint::Progress;
use super::data::RunData;
use super::event::Event;
use super::finch;
use super::flow::{Flow, SampleWeights};
use super::outcome::Evaluated;
use super::schedule::Schedule;
use super::settings::TrainSettings;
use super::teacher::TeacherCache;
use super::trainer::Trainer;
#[cfg(not(target_arch = "wasm32"))]
use crate::device::Device;
use crate::error::{Error, Result};
use crate::eval::{FrontSearch, PairEvaluation, Perplexities};
use crate::model::{Batch, CausalLm};
use crate::text::{Sample, predicted_tokens};

/// A run in progress, driven one event at a time by [`Self::next`] or [`Self::events`]: not asking for the
/// next event pauses it, dropping it cancels it.
///
/// # Threads
///
/// - A run may move between threads (it is [`Send`]). [`Device`](crate::device::Device), [`CausalLm`],
///   samples and `Cancel` may also be shared between threads ([`Sync`]).
/// - Several runs may be in progress in one process, also on one device and with one model. On the CPU they
///   share its cores (rayon's global thread pool); each gives bit for bit what it gives alone.
/// - The futures of [`Self::next`], [`Self::write_checkpoint`] and [`Self::write_teacher_states`] work on
///   the thread that polls them: drive a run on a thread other than that of a user interface. They need no
///   runtime; any executor will do, such as pollster.
/// - [`Self::new`], [`Self::restore`] and [`Self::read_teacher_states`] compute, or read files, before they
///   return. Accessors such as [`Self::outcome`] return at once.
/// - Listeners, such as that of `train::drive`, are called on the thread that drives the run.
/// - To stop a run from another thread, give `train::drive` a `Cancel` and keep a clone.
#[derive(Debug)]
pub struct Run {
    model: CausalLm,
    data: Arc<RunData>,
    /// The training set, followed by the samples to replay.
    samples: Vec<Sample>,
    trainer: Trainer,
    steps: usize,
    steps_per_epoch: usize,
    /// Predicted tokens of the whole run.
    tokens: usize,
    progress: Progress,
    /// The batches of the latest epoch.
    epoch: Option<(usize, Vec<Vec<usize>>)>,
    /// Predicted tokens and seconds of training in this process, for the present throughput.
    throughput: (usize, f64),
    /// The evaluation in progress.
    evaluation: Option<PairEvaluation>,
    /// The measurement of the samples' weights in progress.
    weighing: Option<Flow>,
    /// Whether the values of `model` were freed.
    is_released: bool,
    /// The front of the trained model, in progress or complete.
    front: Option<FrontSearch>,
    /// Whether the front is left to the caller.
    defers_front: bool,
}

impl Run {
    /// Creates a run that trains `model` on `data`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range, and for a sample with less than 2 tokens or
    /// longer than the model's context; [`Error::NoSamples`] for an empty set;
    /// [`Error::TokenBeyondVocabulary`] for samples of another model's tokens.
    pub fn new(model: CausalLm, data: Arc<RunData>, settings: TrainSettings) -> Result<Self> {
        let trainer = Trainer::new(model.clone(), settings)?;
        let settings = trainer.settings();
        data.check(&model, settings)?;
        let mut samples = data.train.clone();
        let mut tokens = predicted_tokens(&samples);
        if settings.replay_ratio > 0.0 {
            let replayed = settings.replayed(data.train.len())?;
            tokens += replayed.saturating_mul(predicted_tokens(&data.replay)) / data.replay.len();
            samples.extend_from_slice(&data.replay);
        }
        let steps = settings.steps(data.train.len())?;
        let steps_per_epoch = settings.steps_per_epoch(data.train.len())?;
        let tokens = (tokens as f64 * steps as f64 / steps_per_epoch as f64) as usize;
        if let Some(reached) = settings.unfinished_warmup(steps) {
            log::warn!(
                "warmup_steps = {} exceeds the run's {steps} steps: the learning rate only reaches \
                 {reached:.2e} of {:e}",
                settings.warmup_steps,
                settings.learning_rate
            );
        }
        Ok(Self {
            model,
            data,
            samples,
            trainer,
            steps,
            steps_per_epoch,
            tokens,
            progress: Progress::default(),
            epoch: None,
            throughput: (0, 0.0),
            evaluation: None,
            weighing: None,
            is_released: false,
            front: None,
            defers_front: false,
        })
    }

    /// Provides the untouched model's perplexities, so that they are not measured again.
    pub fn set_before(&mut self, before: Perplexities) {
        if self.progress.evaluations.is_empty() {
            self.progress.evaluations.push(Evaluated {
                step: 0,
                perplexities: before,
                kl_divergence: None,
            });
        }
    }

    /// Returns the number of steps of the whole run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Returns the number of steps done.
    pub fn steps_done(&self) -> usize {
        self.progress.step
    }

    /// Returns the loss of every step done.
    pub fn losses(&self) -> &[f32] {
        &self.progress.losses
    }

    /// Returns every evaluation so far, the untouched model's first.
    pub fn evaluations(&self) -> &[Evaluated] {
        &self.progress.evaluations
    }

    /// Returns the step with the lowest domain perplexity of all evaluations during and after training,
    /// the first in a tie; `None` before the first of them.
    pub fn best_step(&self) -> Option<usize> {
        let trained = self.evaluations().iter().filter(|found| found.step > 0);
        let best = trained.min_by(|a, b| a.perplexities.domain.total_cmp(&b.perplexities.domain));
        best.map(|found| found.step)
    }

    /// Returns the device that it runs on.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn device(&self) -> &Device {
        self.model.device()
    }

    /// Returns its settings.
    pub fn settings(&self) -> &TrainSettings {
        self.trainer.settings()
    }

    /// Returns the current model.
    pub fn trained_model(&self) -> CausalLm {
        self.trainer.model()
    }

    /// Returns the use of the teacher's cache since the run was created or restored, or `None` without a
    /// teacher.
    pub fn teacher_cache(&self) -> Option<TeacherCache> {
        self.trainer.teacher_cache()
    }

    /// Loads teacher hidden states that a run with the same model and samples left in a folder. Returns
    /// whether there were any.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be read, [`Error::TeacherStates`] if they cannot be used. The run
    /// works without them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_teacher_states(&mut self, folder: impl AsRef<Path>) -> Result<bool> {
        match self.trainer.teacher_mut() {
            Some(teacher) => teacher.read(folder.as_ref(), &self.samples),
            None => Ok(false),
        }
    }

    /// Saves the cached teacher hidden states to a folder, for later runs with the same model and
    /// samples.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be written, [`Error::Device`] if the device fails.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn write_teacher_states(&self, folder: impl AsRef<Path>) -> Result<()> {
        match self.trainer.teacher() {
            Some(teacher) => teacher.write(folder.as_ref(), &self.samples).await,
            None => Ok(()),
        }
    }

    /// Does the next piece of work and returns its event; `None` when the run is finished. Dropping the
    /// future before it is ready waits for the GPU's work in flight; the next call continues it.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`] if loss or gradient are not finite; the run then has the state before
    /// that step. [`Error::Device`] if the device fails.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        if self.evaluation_is_due() {
            return self.evaluate().await.map(Some);
        }
        if self.progress.step < self.steps {
            if let Some(event) = self.weigh().await? {
                return Ok(Some(event));
            }
            if let Some(event) = self.consolidate().await? {
                return Ok(Some(event));
            }
            return self.train_step().await.map(Some);
        }
        self.measure_front().await
    }

    /// Returns the remaining events as an iterator that blocks until the next one.
    ///
    /// ```no_run
    /// # fn show(mut run: minift::train::Run) -> minift::Result<()> {
    /// for event in run.events() {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn events(&mut self) -> impl Iterator<Item = Result<Event>> + '_ {
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let event = burn::cubecl::future::block_on(self.next()).transpose();
            failed = matches!(event, Some(Err(_)));
            event
        })
    }

    /// Measures the untouched model's losses of the next samples, if their weights depend on them and are not known.
    async fn weigh(&mut self) -> Result<Option<Event>> {
        let settings = self.trainer.settings();
        if settings.sample_weights == SampleWeights::Equal
            || self.trainer.sample_weights().is_some()
        {
            return Ok(None);
        }
        let weighing = match &mut self.weighing {
            Some(weighing) => weighing,
            none => none.insert(Flow::new(&self.samples, settings.batch_size)),
        };
        let weights = weighing.advance(&self.model, &self.samples).await?;
        let (done, total) = weighing.progress();
        self.model.device().check()?;
        if let Some(weights) = weights {
            self.weighing = None;
            self.trainer.set_sample_weights(weights);
        }
        Ok(Some(Event::Weighing { done, total }))
    }

    /// Accumulates the next text into the importance of weights, if one is left; with several ranks, one per rank.
    async fn consolidate(&mut self) -> Result<Option<Event>> {
        let texts = &self.data.consolidation;
        let Some(done) = self
            .trainer
            .consolidated()
            .filter(|&done| done < texts.len())
        else {
            return Ok(None);
        };
        let end = texts.len().min(done + self.model.device().ranks().count());
        for text in done..end {
            let text = Batch::new(texts, vec![text]);
            self.trainer.consolidate(&text).await?;
        }
        self.model.device().check()?;
        Ok(Some(Event::Consolidating {
            done: end,
            total: texts.len(),
        }))
    }

    async fn train_step(&mut self) -> Result<Event> {
        let began = Instant::now();
        let at = self.progress.step;
        let batches = self.batches_of_step(at)?;
        let next = match at + 1 < self.steps && !self.evaluates_at(at + 1) {
            true => self.batches_of_step(at + 1)?,
            false => Vec::new(),
        };
        let mut learning_rate = self.trainer.settings().learning_rate_at(at, self.steps);
        if self.trainer.settings().schedule == Schedule::Finch {
            let loss = self.trainer.loss_before(&batches).await?;
            learning_rate *= finch::factor(&self.progress.losses, loss);
        }
        let step = self.trainer.step_before(&batches, learning_rate, &next);
        let output = step.await?;
        self.model.device().check()?;
        for value in [output.loss, output.gradient_norm] {
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss {
                    step: at + 1,
                    loss: value,
                    kept: None,
                });
            }
        }

        let tokens: usize = batches.iter().map(|batch| batch.predicted_tokens).sum();
        let seconds = began.elapsed().as_secs_f64();
        self.progress.step += 1;
        // A restored count may be any number.
        self.progress.tokens = self.progress.tokens.saturating_add(tokens);
        self.progress.seconds += seconds;
        self.progress.losses.push(output.loss);
        self.throughput.0 += tokens;
        self.throughput.1 += seconds;
        // The first epoch has cached the hidden states of every sample that fits.
        if self.progress.step.is_multiple_of(self.steps_per_epoch)
            && self.trainer.release_teacher(self.samples.len())
        {
            self.release_untouched();
        }
        let tokens_per_second = rate(self.throughput.0, self.throughput.1);
        let tokens_left = self.tokens.saturating_sub(self.progress.tokens);
        Ok(Event::Step {
            step: self.progress.step,
            steps: self.steps,
            epoch: at / self.steps_per_epoch + 1,
            loss: output.loss,
            gradient_norm: output.gradient_norm,
            learning_rate,
            tokens_per_second,
            seconds_left: tokens_left as f64 / tokens_per_second,
        })
    }
}

fn rate(tokens: usize, seconds: f64) -> f64 {
    if seconds > 0.0 {
        tokens as f64 / seconds
    } else {
        0.0
    }
}
