//! A run: evaluate, train, evaluate again. Whoever holds it drives it, one event at a time: not
//! asking for the next event pauses it, dropping it cancels it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::checkpoint::{Checkpoint, Progress};
use super::event::{Event, Moment};
use super::settings::TrainSettings;
use super::teacher::TeacherCache;
use super::trainer::{State, Trainer};
use crate::data::{Batch, Sample, epoch_batches, positions};
use crate::error::{Error, Result};
use crate::eval::{Evaluation, Metrics, Perplexities};
use crate::model::CausalLm;
use crate::model::weights::Put;

/// The samples of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunData {
    /// Trained on.
    pub train: Vec<Sample>,
    /// Held out of the same domain.
    pub domain: Vec<Sample>,
    /// What the model should not forget.
    pub general: Vec<Sample>,
    /// General text that is trained on again, where the settings ask for replay.
    pub replay: Vec<Sample>,
    /// General text that says how much each weight matters, where the settings ask for elastic
    /// weight consolidation.
    pub consolidation: Vec<Sample>,
}

/// What a model was worth at a step of its training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
pub struct Evaluated {
    /// Steps that it was trained.
    pub step: usize,
    /// Its perplexities.
    #[serde(flatten)]
    pub perplexities: Perplexities,
}

/// What a finished run has to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Of the untouched model.
    pub before: Perplexities,
    /// Of the trained model.
    pub after: Perplexities,
    /// S, DG and S/DG.
    pub metrics: Metrics,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
    /// Predicted tokens trained on, a second.
    pub tokens_per_second: f64,
}

impl Outcome {
    /// The evaluations that it compares.
    pub fn evaluations(&self) -> [Evaluated; 2] {
        [(0, self.before), (self.steps, self.after)]
            .map(|(step, perplexities)| Evaluated { step, perplexities })
    }
}

/// A run under way.
///
/// # Threads
///
/// - A run may go from thread to thread (it is [`Send`]). [`Device`](crate::device::Device), [`CausalLm`],
///   samples and `Cancel` may also be shared by several at once ([`Sync`]).
/// - Different runs may go on at once in one process, also on one device and of one model, and one after
///   another. On the CPU they share its cores (rayon's pool of threads for the process); each gives bit
///   for bit what it gives alone.
/// - The futures of [`Self::next`], [`Self::write_checkpoint`] and [`Self::write_teacher_states`] do the
///   work when they are polled, on the thread that polls them: on a thread that shows things, such as a
///   window's, drive a run on another one. They need no runtime; any executor will do, such as pollster.
/// - [`Self::new`], [`Self::restore`] and [`Self::read_teacher_states`] compute, or read files, before they
///   return. What only tells what is known, such as [`Self::outcome`], returns at once.
/// - Listeners, such as that of `train::drive`, are called on the thread that drives the run.
/// - To stop a run from elsewhere, give `train::drive` a `Cancel` and keep a clone, or stop asking for the
///   next event. Dropping it frees what it holds.
#[derive(Debug)]
pub struct Run {
    model: CausalLm,
    data: Arc<RunData>,
    /// What is trained on: the training set, and what is replayed after it.
    samples: Vec<Sample>,
    trainer: Trainer,
    steps: usize,
    /// Predicted tokens of the whole run.
    tokens: usize,
    progress: Progress,
    /// The batches of the epoch that was asked for last.
    epoch: Option<(usize, Vec<Vec<usize>>)>,
    /// Predicted tokens and seconds of training in this process, for the speed of now.
    speed: (usize, f64),
    /// The evaluation under way, with the domain set's perplexity once that is known.
    evaluation: Option<(Evaluation, Option<f64>)>,
}

impl Run {
    /// A run of those settings that trains `model` on `data`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range, or a sample that is longer than the model's
    /// greatest length; [`Error::NoSamples`] for a list without samples;
    /// [`Error::TokenBeyondVocabulary`] for samples of another model's tokens.
    pub fn new(model: CausalLm, data: Arc<RunData>, settings: TrainSettings) -> Result<Self> {
        let trainer = Trainer::new(model.clone(), settings)?;
        let settings = trainer.settings();
        let (replays, consolidates) = (settings.replay_ratio > 0.0, settings.ewc > 0.0);
        for (list, origin, needed) in [
            (&data.train, "the training set", true),
            (&data.domain, "the held-out domain set", true),
            (&data.general, "the general set", true),
            (&data.replay, "the text to replay", replays),
            (
                &data.consolidation,
                "the text for elastic weight consolidation",
                consolidates,
            ),
        ] {
            if needed && list.is_empty() {
                return Err(Error::NoSamples {
                    origin: origin.to_string(),
                    skipped: 0,
                });
            }
            check_fit(&model, list)?;
        }
        let mut samples = data.train.clone();
        let mut tokens = positions(&samples);
        if replays {
            let replayed = settings.replayed(data.train.len())?;
            tokens += replayed.saturating_mul(positions(&data.replay)) / data.replay.len();
            samples.extend_from_slice(&data.replay);
        }
        let steps = settings.steps(data.train.len())?;
        let tokens = tokens.saturating_mul(settings.epochs);
        Ok(Self {
            model,
            data,
            samples,
            trainer,
            steps,
            tokens,
            progress: Progress::default(),
            epoch: None,
            speed: (0, 0.0),
            evaluation: None,
        })
    }

    /// Takes the untouched model's perplexities as known, so that they are not computed again.
    pub fn set_before(&mut self, before: Perplexities) {
        if self.progress.evaluations.is_empty() {
            self.progress.evaluations.push(Evaluated {
                step: 0,
                perplexities: before,
            });
        }
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.progress.step
    }

    /// Loss of every step done.
    pub fn losses(&self) -> &[f32] {
        &self.progress.losses
    }

    /// Every evaluation so far, the untouched model's first.
    pub fn evaluations(&self) -> &[Evaluated] {
        &self.progress.evaluations
    }

    /// The step at which the evaluations found the domain easiest, the first of them where several did;
    /// `None` before it was evaluated after a step.
    pub fn best_step(&self) -> Option<usize> {
        let trained = self.evaluations().iter().filter(|found| found.step > 0);
        let best = trained.min_by(|a, b| a.perplexities.domain.total_cmp(&b.perplexities.domain));
        best.map(|found| found.step)
    }

    /// Its settings.
    pub fn settings(&self) -> &TrainSettings {
        self.trainer.settings()
    }

    /// The model as it is now.
    pub fn trained_model(&self) -> CausalLm {
        self.trainer.model()
    }

    /// What came of keeping the teacher's states since the run began or was restored, or `None` where
    /// there is no teacher.
    pub fn teacher_cache(&self) -> Option<TeacherCache> {
        self.trainer.teacher_cache()
    }

    /// Begins with the teacher's hidden states that a run of the same model on the same samples left in
    /// a folder, if one did; whether that is so.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be read, [`Error::TeacherStates`] if they cannot be used. The run
    /// can go on without.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_teacher_states(&mut self, folder: &std::path::Path) -> Result<bool> {
        match &mut self.trainer.teacher {
            Some(teacher) => teacher.read(folder, &self.samples),
            None => Ok(false),
        }
    }

    /// Leaves the teacher's hidden states, as far as they are known and kept, in a folder for later
    /// runs of the same model on the same samples.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if they cannot be written, [`Error::Device`] if the device fails.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn write_teacher_states(&self, folder: &std::path::Path) -> Result<()> {
        match &self.trainer.teacher {
            Some(teacher) => teacher.write(folder, &self.samples).await,
            None => Ok(()),
        }
    }

    /// Does the next piece of work and says what came of it; `None` when all is done. A future that is
    /// dropped before it is ready waits for what a GPU was given to do; the next call goes on from there.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`] if the loss is no longer a number, with the state of the step before
    /// kept in the run; [`Error::Device`] if the device fails.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        if self.evaluation_is_due() {
            return self.evaluate().await.map(Some);
        }
        if self.progress.step < self.steps {
            if let Some(event) = self.consolidate().await? {
                return Ok(Some(event));
            }
            return self.train_step().await.map(Some);
        }
        Ok(None)
    }

    /// The results, when all is done.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome_so_far()
            .filter(|outcome| outcome.steps == self.steps)
    }

    /// The results if the run ended here; `None` where the model was not just evaluated.
    pub fn outcome_so_far(&self) -> Option<Outcome> {
        let evaluations = &self.progress.evaluations;
        let (before, after) = (evaluations.first()?, evaluations.last()?);
        (before.step == 0 && after.step == self.progress.step).then(|| Outcome {
            before: before.perplexities,
            after: after.perplexities,
            metrics: Metrics::new(before.perplexities, after.perplexities),
            steps: self.progress.step,
            seconds: self.progress.seconds,
            tokens_per_second: rate(self.progress.tokens, self.progress.seconds),
        })
    }

    fn evaluation_is_due(&self) -> bool {
        let step = self.progress.step;
        let found = self.progress.evaluations.last().map(|last| last.step);
        self.is_to_be_evaluated(step) && found != Some(step)
    }

    /// Evaluated are the untouched model, the trained one, and what the settings ask for between.
    fn is_to_be_evaluated(&self, step: usize) -> bool {
        let every = self.trainer.settings().evaluate_every;
        step == 0 || step == self.steps || (every > 0 && step.is_multiple_of(every))
    }

    /// Takes the next text into the weights' importance, where that is still to be done.
    async fn consolidate(&mut self) -> Result<Option<Event>> {
        let texts = &self.data.consolidation;
        let Some(done) = self
            .trainer
            .consolidated()
            .filter(|&done| done < texts.len())
        else {
            return Ok(None);
        };
        let text = Batch::new(texts, vec![done]);
        self.trainer.consolidate(&text).await?;
        self.model.device().check()?;
        Ok(Some(Event::Consolidating {
            done: done + 1,
            total: texts.len(),
        }))
    }

    async fn train_step(&mut self) -> Result<Event> {
        let began = Instant::now();
        let at = self.progress.step;
        let batches = self.batches_of(at)?;
        let next = match at + 1 < self.steps && !self.is_to_be_evaluated(at + 1) {
            true => self.batches_of(at + 1)?,
            false => Vec::new(),
        };
        let learning_rate = self.trainer.settings().learning_rate_at(at, self.steps);
        let step = self.trainer.step_before(&batches, learning_rate, &next);
        let measured = step.await?;
        self.model.device().check()?;
        for value in [measured.loss, measured.gradient_norm] {
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss {
                    step: at + 1,
                    loss: value,
                    kept: None,
                });
            }
        }

        let tokens: usize = batches.iter().map(|batch| batch.positions).sum();
        let seconds = began.elapsed().as_secs_f64();
        self.progress.step += 1;
        // A count out of a file may be any.
        self.progress.tokens = self.progress.tokens.saturating_add(tokens);
        self.progress.seconds += seconds;
        self.progress.losses.push(measured.loss);
        self.speed.0 += tokens;
        self.speed.1 += seconds;
        let speed = rate(self.speed.0, self.speed.1);
        Ok(Event::Step {
            step: self.progress.step,
            steps: self.steps,
            epoch: at / self.steps_an_epoch() + 1,
            loss: measured.loss,
            gradient_norm: measured.gradient_norm,
            learning_rate,
            tokens_per_second: speed,
            seconds_left: self.tokens.saturating_sub(self.progress.tokens) as f64 / speed,
        })
    }

    fn steps_an_epoch(&self) -> usize {
        self.steps / self.trainer.settings().epochs
    }

    /// The batches of the step after so many. They depend on seed and step alone.
    fn batches_of(&mut self, step: usize) -> Result<Vec<Batch>> {
        let settings = self.trainer.settings();
        let steps_an_epoch = self.steps_an_epoch();
        let (epoch, step) = (step / steps_an_epoch, step % steps_an_epoch);
        if self.epoch.as_ref().map(|(epoch, _)| *epoch) != Some(epoch) {
            let train = self.data.train.len();
            let batches = epoch_batches(
                &self.samples,
                train,
                settings.replayed(train)?,
                settings.batch_size,
                settings.seed,
                epoch,
            );
            self.epoch = Some((epoch, batches));
        }
        let batches = self.epoch.iter().flat_map(|(_, batches)| batches);
        let batches = batches
            .skip(step * settings.gradient_accumulation)
            .take(settings.gradient_accumulation)
            .map(|samples| Batch::new(&self.samples, samples.clone()));
        Ok(batches.collect())
    }

    /// A batch of the evaluation on the domain set, then on the general set.
    async fn evaluate(&mut self) -> Result<Event> {
        let batch_size = self.trainer.settings().batch_size;
        let begin = |samples: &[Sample]| Evaluation::new(samples, batch_size);
        let step = self.progress.step;
        let (moment, model) = match step {
            0 => (Moment::Before, self.model.clone()),
            _ if step == self.steps => (Moment::After, self.trained_model()),
            _ => (Moment::During, self.trained_model()),
        };
        // Kept where it is, so that a future that is dropped leaves it as it was.
        let (evaluation, domain) = self
            .evaluation
            .get_or_insert_with(|| (begin(&self.data.domain), None));
        let domain = *domain;
        let samples = if domain.is_none() {
            &self.data.domain
        } else {
            &self.data.general
        };
        let result = evaluation.advance(&model, samples).await?;
        self.model.device().check()?;

        let (done, total) = evaluation.progress();
        let batches = |samples: &[Sample]| samples.len().div_ceil(batch_size);
        let event = match domain {
            None => Event::Evaluating {
                moment,
                done,
                total: total + batches(&self.data.general),
            },
            Some(_) => Event::Evaluating {
                moment,
                done: batches(&self.data.domain) + done,
                total: batches(&self.data.domain) + total,
            },
        };
        match (result, domain) {
            (None, _) => {}
            (Some(found), None) => {
                self.evaluation = Some((begin(&self.data.general), Some(found.perplexity)));
            }
            (Some(found), Some(domain)) => {
                self.evaluation = None;
                let perplexities = Perplexities {
                    domain,
                    general: found.perplexity,
                };
                let evaluated = Evaluated { step, perplexities };
                self.progress.evaluations.push(evaluated);
                return Ok(Event::Evaluated {
                    moment,
                    step,
                    perplexities,
                });
            }
        }
        Ok(event)
    }

    /// Everything needed to go on later from here, as the bytes of a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::Device`], also where the device failed before: what it computed is then not to be trusted;
    /// [`Error::StepUnderWay`] where the future of [`Self::next`] was dropped in the middle of a step.
    pub async fn checkpoint(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_checkpoint(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// The same piece by piece, so that it never is in memory as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Device`], also where the device failed before, [`Error::StepUnderWay`] and the errors of
    /// `put`.
    pub async fn write_checkpoint(&self, put: Put<'_>) -> Result<()> {
        if !self.trainer.is_between_steps() {
            return Err(Error::StepUnderWay);
        }
        self.model.device().check()?;
        Checkpoint {
            settings: self.trainer.settings(),
            fingerprint: self.fingerprint(),
            progress: &self.progress,
        }
        .write(self.trainer.parameters(), &self.trainer.state, put)
        .await?;
        self.model.device().check()
    }

    /// Goes on from a checkpoint of the same settings, model and data as if nothing had happened.
    /// `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] for a damaged checkpoint, or one of another run.
    pub fn restore(&mut self, bytes: &[u8], path: &std::path::Path) -> Result<()> {
        let (progress, state) = self.read(bytes, path)?;
        self.progress = progress;
        self.trainer.set_state(state);
        self.epoch = None;
        self.evaluation = None;
        Ok(())
    }

    /// What a checkpoint of this run holds.
    ///
    /// # Errors
    ///
    /// As [`Self::restore`].
    pub(super) fn read(&self, bytes: &[u8], path: &std::path::Path) -> Result<(Progress, State)> {
        let (progress, state) = Checkpoint::read(
            bytes,
            path,
            self.trainer.settings(),
            &self.fingerprint(),
            self.trainer.parameters(),
            &self.model.tensor_device(),
        )?;
        let fits = progress.step <= self.steps
            && progress.losses.len() == progress.step
            && progress.seconds >= 0.0
            && progress.evaluations.is_sorted_by(|a, b| a.step < b.step)
            && progress
                .evaluations
                .last()
                .is_none_or(|last| last.step <= progress.step);
        if !fits {
            return Err(Error::Checkpoint {
                path: path.to_path_buf(),
                message: "its figures do not fit together: begin the run anew".to_string(),
            });
        }
        Ok((progress, state))
    }

    /// What model and data are, in a few digits.
    fn fingerprint(&self) -> String {
        super::checkpoint::fingerprint(&self.model, &self.data)
    }
}

/// Whether samples are such as the model can take: of its tokens, and no text longer than it may be.
fn check_fit(model: &CausalLm, samples: &[Sample]) -> Result<()> {
    let config = &model.config().decoder;
    for sample in samples {
        let beyond = |&&id: &&u32| id as usize >= config.vocabulary;
        if let Some(&id) = sample.tokens().iter().find(beyond) {
            return Err(Error::TokenBeyondVocabulary {
                id,
                vocabulary: config.vocabulary,
            });
        }
        let ends = sample.beginnings().iter().skip(1).copied();
        let ends = ends.chain([sample.len()]);
        let longest = sample.beginnings().iter().zip(ends);
        let longest = longest.map(|(begin, end)| end - begin).max().unwrap_or(0);
        if longest > config.max_length {
            return Err(Error::setting(
                "max-length",
                longest,
                format!(
                    "samples of at most {} tokens for this model",
                    config.max_length
                ),
            ));
        }
    }
    Ok(())
}

fn rate(tokens: usize, seconds: f64) -> f64 {
    if seconds > 0.0 {
        tokens as f64 / seconds
    } else {
        0.0
    }
}
