//! The training of `minift train`, or the search over several.

use super::super::logs::RunLog;
use super::super::output::Output;
use super::super::trained::Trained;
use super::super::training::{Percentage, SearchOver};
use super::super::watch::Watch;
use super::super::{drive, generate, search, strength};
use super::arguments::TrainArguments;
use super::inputs::Inputs;
use super::outputs::Outputs;
use crate::error::Result;
use crate::train::report::Continuation;
use crate::train::{Cancel, Checkpoints, Run, TrainSettings};

/// A training that is about to start.
pub(super) struct Job<'a> {
    pub arguments: &'a TrainArguments,
    pub settings: TrainSettings,
    pub inputs: Inputs,
    pub outputs: &'a Outputs<'a>,
    pub checkpoints: &'a Checkpoints,
    pub prompts: &'a [&'a str],
    pub output: &'a Output,
    pub cancel: &'a Cancel,
}

/// The trained model, and continuations of the untouched one.
type Ended = (Trained, Vec<Continuation>);

impl Job<'_> {
    /// Trains, and chooses the strength. Returns `None` if cancelled.
    ///
    /// # Errors
    ///
    /// Those of the training.
    pub(super) async fn run(self, watch: &mut Watch<'_>) -> Result<Option<Ended>> {
        let bound = self.arguments.max_degeneralization;
        let bound = bound.map(Percentage::fraction);
        match bound {
            Some(bound) if self.arguments.search() == SearchOver::Trainings => {
                self.search(bound).await
            }
            _ => self.train(bound, watch).await,
        }
    }

    /// Trains once, and chooses the strength within a bound on degeneralization if there is one.
    async fn train(self, bound: Option<f64>, watch: &mut Watch<'_>) -> Result<Option<Ended>> {
        let Self {
            arguments,
            settings,
            inputs,
            outputs,
            checkpoints,
            prompts,
            output,
            cancel,
        } = self;
        let mut run = Run::new(
            inputs.model.clone(),
            inputs.sets.0.clone(),
            settings.clone(),
        )?;
        if let Some(from) = &arguments.resume {
            match from {
                Some(path) => Checkpoints::new(path).restore(&mut run)?,
                None => checkpoints.restore(&mut run)?,
            }
            run.check_resumed()?;
            if checkpoints.best && outputs.writes() {
                checkpoints.take_best(from.as_deref(), &run)?;
            }
            let (done, steps) = (run.steps_done(), run.steps());
            output.text(format!("Resuming after step {done} of {steps}"));
        }
        let cache = arguments.teacher_cache.as_deref();
        if let Some(folder) = cache {
            drive::read_teacher_states(&mut run, folder, output)?;
        }
        if let Some(folder) = outputs.log_dir {
            watch.set_log(RunLog::open(folder, &run, outputs.config.as_deref())?);
        }
        output.object(&inputs.started(&settings, run.steps_done()));
        output.text("");
        let untouched = generate::continuations(&inputs.model, prompts).await?;
        if run.evaluations().is_empty() {
            watch.samples(0, &untouched);
        }
        let sets = inputs.sets;
        // The run frees its weights as soon as it can.
        drop(inputs.model);
        let dials = bound.is_some() || settings.dial.is_some();
        let trained = drive::train(&mut run, settings, checkpoints, dials, watch, cancel).await?;
        if let Some(folder) = cache {
            drive::write_teacher_states(&run, folder, output).await;
        }
        drop(run);
        let trained = match trained {
            Some(trained) => strength::choose(trained, bound, &sets, output, cancel).await?,
            None => None,
        };
        Ok(trained.map(|trained| (trained, untouched)))
    }

    /// Searches for the strongest training within a bound on degeneralization.
    async fn search(self, bound: f64) -> Result<Option<Ended>> {
        let Self {
            inputs,
            settings,
            output,
            cancel,
            ..
        } = self;
        output.object(&inputs.started(&settings, 0));
        output.text("");
        let untouched = generate::continuations(&inputs.model, self.prompts).await?;
        let strength = super::options(self.arguments)?.strength();
        let (model, sets) = (&inputs.model, &inputs.sets);
        let found = search::search(strength, bound, model, sets, &settings, output, cancel).await?;
        let trained = match found {
            Some(found) => strength::choose(found, None, sets, output, cancel).await?,
            None => None,
        };
        Ok(trained.map(|trained| (trained, untouched)))
    }
}
