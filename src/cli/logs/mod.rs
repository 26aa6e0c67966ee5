//! The logs of a training (`--log-dir`): TensorBoard's event files, and CSV tables.

mod event_file;
mod table;

use std::path::{Path, PathBuf};

use event_file::EventFile;
use table::Table;

use crate::error::{Error, Result};
use crate::eval::{Metrics, Perplexities};
use crate::files::write_file;
use crate::train::report::Continuation;
use crate::train::{Event, Run};

const STEPS: &str = "steps.csv";
const STEP_COLUMNS: [&str; 6] = [
    "step",
    "epoch",
    "loss",
    "gradient_norm",
    "learning_rate",
    "tokens_per_second",
];

const EVALUATIONS: &str = "evaluations.csv";
const EVALUATION_COLUMNS: [&str; 7] = [
    "step",
    "domain_perplexity",
    "general_perplexity",
    "specialization",
    "degeneralization",
    "ratio",
    "kl_divergence",
];

/// The logs of a training.
pub(super) struct RunLog {
    events: EventFile,
    steps: Table,
    evaluations: Table,
    /// Perplexities of the untouched model.
    before: Option<Perplexities>,
}

/// The file with the output folder of a run that is not complete.
const UNFINISHED: &str = ".minift-unfinished";

/// Creates the folder of logs of the run with the output folder `out`, if necessary. Logs that are there stay when a
/// run resumes. They are removed with `replace`, and if a run to the same output left them unfinished.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::OutputExists`] for logs of another run.
pub(super) fn prepare(folder: &Path, out: &Path, resumes: bool, replace: bool) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let out = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
    let out = out.to_string_lossy();
    let marker = folder.join(UNFINISHED);
    if !resumes {
        let tables = [STEPS, EVALUATIONS].map(|name| folder.join(name));
        let tables = tables.into_iter().filter(|path| path.exists());
        let events = event_file::find(folder)?;
        let found: Vec<PathBuf> = events.into_iter().chain(tables).collect();
        let is_left = std::fs::read_to_string(&marker).is_ok_and(|left| left == out);
        if !(found.is_empty() || replace || is_left) {
            return Err(Error::OutputExists {
                path: folder.to_path_buf(),
            });
        }
        for path in found {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    write_file(marker, out.as_bytes())
}

/// Marks the logs of a run as complete.
///
/// # Errors
///
/// [`Error::Io`].
pub(super) fn finish(folder: &Path) -> Result<()> {
    let marker = folder.join(UNFINISHED);
    std::fs::remove_file(&marker).map_err(Error::io("remove", &marker))
}

impl RunLog {
    /// Begins the logs of a run, or continues those of a resumed one: what they hold beyond its steps is discarded.
    /// `config` is the settings in TOML.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::InvalidSetting`] for a folder with other tables.
    pub(super) fn open(folder: &Path, run: &Run, config: Option<&str>) -> Result<Self> {
        let done = run.steps_done();
        let resumed = (!run.evaluations().is_empty()).then_some(done + 1);
        let mut log = Self {
            events: EventFile::create(folder, resumed)?,
            steps: Table::resume(folder.join(STEPS), &STEP_COLUMNS, done)?,
            evaluations: Table::resume(folder.join(EVALUATIONS), &EVALUATION_COLUMNS, done)?,
            before: run.evaluations().first().map(|found| found.perplexities),
        };
        if let (None, Some(config)) = (resumed, config) {
            log.events
                .text(0, "config", &format!("```toml\n{config}```"))?;
        }
        Ok(log)
    }

    /// Returns whether the evaluation of a step was logged before the run was resumed.
    pub(super) fn had(&self, step: usize) -> bool {
        self.evaluations.had(step)
    }

    /// Logs an event.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Step {
                step,
                epoch,
                loss,
                gradient_norm,
                learning_rate,
                tokens_per_second,
                ..
            } => {
                let scalars = [
                    ("train/loss", (*loss).into()),
                    ("train/gradient_norm", (*gradient_norm).into()),
                    ("train/learning_rate", *learning_rate),
                    ("train/tokens_per_second", *tokens_per_second),
                ];
                let numbers = [*epoch as f64].into_iter();
                let numbers = numbers.chain(scalars.iter().map(|(_, value)| *value));
                let numbers: Vec<Option<f64>> = numbers.map(Some).collect();
                self.events.scalars(*step, &scalars)?;
                self.steps.row(*step, &numbers)
            }
            Event::Evaluated {
                step,
                perplexities,
                kl_divergence,
                ..
            } => self.evaluation(*step, *perplexities, *kl_divergence),
            _ => Ok(()),
        }
    }

    fn evaluation(
        &mut self,
        step: usize,
        found: Perplexities,
        kl_divergence: Option<f64>,
    ) -> Result<()> {
        let before = *self.before.get_or_insert(found);
        // A checkpoint is written before the evaluation of its step, which a resumed run repeats.
        if self.had(step) {
            return Ok(());
        }
        let metrics = Metrics::new(before, found);
        let numbers = [
            Some(found.domain),
            Some(found.general),
            Some(metrics.specialization),
            Some(metrics.degeneralization),
            metrics.ratio,
            kl_divergence,
        ];
        let tags = [
            "evaluation/domain_perplexity",
            "evaluation/general_perplexity",
            "evaluation/specialization",
            "evaluation/degeneralization",
            "evaluation/ratio",
            "evaluation/kl_divergence",
        ];
        let scalars = tags.into_iter().zip(numbers);
        let scalars: Vec<(&str, f64)> = scalars
            .filter_map(|(tag, number)| number.map(|number| (tag, number)))
            .collect();
        self.events.scalars(step, &scalars)?;
        self.evaluations.row(step, &numbers)
    }

    /// Logs continuations by the model of a step.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn samples(&mut self, step: usize, samples: &[Continuation]) -> Result<()> {
        for (number, Continuation { prompt, text }) in samples.iter().enumerate() {
            let tag = format!("samples/{number}");
            // Indented, Markdown shows it as it is.
            let code = format!("{prompt}\n→ {text}").replace('\n', "\n    ");
            self.events.text(step, &tag, &format!("    {code}"))?;
        }
        Ok(())
    }
}
