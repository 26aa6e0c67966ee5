//! What `minift train` does with the events of a run: progress, logs, and the history for the report.

use super::generate;
use super::logs::RunLog;
use super::output::Output;
use crate::error::Result;
use crate::model::CausalLm;
use crate::train::page::StepStats;
use crate::train::report::Continuation;
use crate::train::{Event, Moment, Run};

/// Follows a run.
pub(super) struct Watch<'a> {
    /// The output of the command.
    pub output: &'a Output,
    log: Option<RunLog>,
    prompts: &'a [&'a str],
    /// The steps of this process.
    pub history: Vec<StepStats>,
}

impl<'a> Watch<'a> {
    /// Follows a run without a log.
    pub(super) fn new(output: &'a Output, prompts: &'a [&'a str]) -> Self {
        Self {
            output,
            log: None,
            prompts,
            history: Vec::new(),
        }
    }

    /// Writes a log from now on, in which the prompts are continued at every evaluation.
    pub(super) fn set_log(&mut self, log: RunLog) {
        self.log = Some(log);
    }

    /// Shows, logs and keeps an event.
    pub(super) fn event(&mut self, title: &str, event: &Event) {
        self.output.event(title, event);
        self.log(|log| log.event(event));
        if let Event::Step {
            step,
            gradient_norm,
            learning_rate,
            ..
        } = event
        {
            self.history.push(StepStats {
                step: *step,
                gradient_norm: *gradient_norm,
                learning_rate: *learning_rate,
            });
        }
    }

    /// Logs continuations by the model of a run after an evaluation during its training.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub(super) async fn after(&mut self, event: &Event, run: &Run) -> Result<()> {
        let Event::Evaluated {
            moment: Moment::During,
            step,
            ..
        } = event
        else {
            return Ok(());
        };
        let is_logged = self.log.as_ref().is_none_or(|log| log.had(*step));
        if is_logged || self.prompts.is_empty() {
            return Ok(());
        }
        let model: CausalLm = run.trained_model();
        let samples = generate::continuations(&model, self.prompts).await?;
        self.samples(*step, &samples);
        Ok(())
    }

    /// Logs continuations by the model of a step.
    pub(super) fn samples(&mut self, step: usize, samples: &[Continuation]) {
        self.log(|log| log.samples(step, samples));
    }

    /// Writes to the log. After a failure there is none: the trained model matters more.
    fn log(&mut self, write: impl FnOnce(&mut RunLog) -> Result<()>) {
        if let Some(log) = &mut self.log
            && let Err(error) = write(log)
        {
            self.log = None;
            self.output.text(format!(
                "Warning  {}; the rest of the run is not logged",
                error.report()
            ));
        }
    }
}
