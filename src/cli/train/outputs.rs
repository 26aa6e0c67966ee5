//! What `minift train` writes: the output folder, the report and the logs.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::output::Output;
use super::super::{front, logs};
use super::arguments::TrainArguments;
use super::effective;
use super::report::ReportFile;
use crate::error::Result;
use crate::files::FolderWriter;
use crate::model::CausalLm;
use crate::train::TrainSettings;
use crate::train::page::{RunPage, StepStats};
use crate::train::report::{Continuation, DeviceReport, MethodReport, Setup, run_json};

/// The outputs of a training. They are begun before it, so that a run that could not write them fails before it
/// starts. Of several ranks, only the first one writes.
pub(super) struct Outputs<'a> {
    /// The output folder.
    pub out: &'a Path,
    folder: Option<FolderWriter>,
    report: Option<ReportFile>,
    /// The folder of the logs.
    pub log_dir: Option<&'a Path>,
    /// The settings for run.json; `None` for paths that are not valid Unicode, which the run itself does not need.
    recorded: Option<Map<String, Value>>,
    /// The settings as a configuration file.
    pub config: Option<String>,
}

/// The results of a training.
pub(super) struct Results<'a> {
    pub setup: &'a Setup,
    /// Continuations of the untouched model.
    pub untouched: &'a [Continuation],
    pub report: &'a MethodReport,
    /// The trained model at its strength.
    pub model: &'a CausalLm,
    /// The steps of this process.
    pub history: &'a [StepStats],
}

impl<'a> Outputs<'a> {
    /// Begins the outputs, and locks the output folder together with its checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::InUse`](crate::Error::InUse) if one cannot be written.
    pub(super) fn open(
        arguments: &'a TrainArguments,
        settings: &TrainSettings,
        writes: bool,
    ) -> Result<Self> {
        let recorded = effective::effective(arguments, settings).ok();
        let out = arguments.out()?;
        super::apart(arguments, out)?;
        let report = arguments.report.as_deref().filter(|_| writes);
        let report = report.map(|place| ReportFile::begin(place, out));
        let report = report.transpose()?;
        let folder = writes.then(|| FolderWriter::new(out, arguments.force));
        Ok(Self {
            out,
            folder: folder.transpose()?,
            report,
            log_dir: arguments.log_dir.as_deref().filter(|_| writes),
            config: recorded
                .as_ref()
                .and_then(|fields| effective::toml(fields).ok()),
            recorded,
        })
    }

    /// Whether this process writes.
    pub(super) fn writes(&self) -> bool {
        self.folder.is_some()
    }

    /// Prepares the folder of the logs.
    ///
    /// # Errors
    ///
    /// Those of [`logs::prepare`].
    pub(super) fn prepare_logs(&self, arguments: &TrainArguments) -> Result<()> {
        match self.log_dir {
            Some(folder) => {
                let resumes = arguments.resume.is_some();
                logs::prepare(folder, self.out, resumes, arguments.force)
            }
            None => Ok(()),
        }
    }

    /// Writes the model, run.json, the front and the report. Returns the path of the report, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io).
    pub(super) async fn write(
        self,
        results: &Results<'_>,
        output: &Output,
    ) -> Result<Option<PathBuf>> {
        let Some(folder) = self.folder else {
            return Ok(None);
        };
        let Results {
            setup,
            untouched,
            report,
            model,
            history,
        } = *results;
        let device = DeviceReport::new(model.device());
        model.write(&folder, "").await?;
        let mut json = run_json(setup, &device, untouched, std::slice::from_ref(report));
        if let (Some(record), Some(recorded)) = (json.as_object_mut(), self.recorded) {
            record.shift_insert(1, effective::RECORD_KEY.to_string(), recorded.into());
        }
        folder.write("run.json", format!("{json:#}\n").as_bytes())?;
        if let Some(front) = &report.front {
            folder.write(front::FILE, front.svg(report.weight).as_bytes())?;
        }
        let place = self
            .report
            .as_ref()
            .map(|report| report.place().to_path_buf());
        if let Some(file) = self.report {
            let page = RunPage {
                setup,
                device: &device,
                untouched,
                report,
                history,
                config: self.config.as_deref(),
            };
            file.finish(&folder, &page.html())?;
        }
        folder.finish()?;
        if let Some(folder) = self.log_dir
            && let Err(error) = logs::finish(folder)
        {
            output.text(format!("Warning  {}", error.report()));
        }
        Ok(place)
    }
}
