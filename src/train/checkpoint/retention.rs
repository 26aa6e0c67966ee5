//! Retention: where the checkpoints of a run are kept, how often they are written, and which are deleted.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::format::step_of;
use crate::error::{Error, Result};
use crate::files::FileWriter;
use crate::model::FileBytes;
use crate::train::run::Run;

/// Where and how often to write checkpoints, and how many to keep.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// File of the latest checkpoint. Earlier ones are kept next to it, with their step appended to the
    /// name: `PATH.200`.
    pub path: PathBuf,
    /// Steps between checkpoints; 0 to write one only at the end of training and when cancelled.
    pub every: usize,
    /// Number of checkpoints to keep, including the latest; 0 counts as 1.
    pub keep: usize,
    /// Whether to keep the checkpoint with the lowest domain perplexity as well, as `PATH.best`. It is
    /// written whenever an evaluation is the best so far, so it requires
    /// [`TrainSettings::evaluate_every`](crate::train::TrainSettings::evaluate_every).
    pub best: bool,
}

impl Checkpoints {
    /// Returns the default: one checkpoint in `path`, written at the end of training and when cancelled.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every: 0,
            keep: 1,
            best: false,
        }
    }

    /// Returns the path of the best checkpoint.
    pub fn best_path(&self) -> PathBuf {
        self.beside("best")
    }

    fn beside(&self, suffix: impl std::fmt::Display) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{suffix}"));
        self.path.with_file_name(name)
    }

    /// Resumes a run from the latest checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if it is damaged or belongs to another run.
    pub fn restore(&self, run: &mut Run) -> Result<()> {
        if !self.path.exists() {
            // The process was killed after renaming it and before writing the next one.
            if let Some((_, earlier)) = self.earlier()?.last() {
                return read_checkpoint(run, earlier);
            }
        }
        read_checkpoint(run, &self.path)
    }

    /// Resumes a run from the best checkpoint: its model is the best one evaluated, with the metrics of
    /// [`Run::outcome_so_far`].
    ///
    /// # Errors
    ///
    /// As [`Self::restore`].
    pub fn restore_best(&self, run: &mut Run) -> Result<()> {
        read_checkpoint(run, self.best_path())
    }

    /// Ensures that the best checkpoint of a resumed run exists at [`Self::best_path`]. If `from`, the
    /// checkpoint that was resumed, is elsewhere, copies the best checkpoint from there.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if it is missing or of another step, [`Error::Io`] if it cannot be copied.
    pub fn take_best(&self, from: Option<&Path>, run: &Run) -> Result<()> {
        let Some(step) = run.best_step() else {
            return Ok(());
        };
        let here = self.best_path();
        let beside = from.map(|from| Self::new(without_step(from)).best_path());
        let source = beside.as_deref().unwrap_or(&here);
        let fault = |message: String| Error::Checkpoint {
            path: source.to_path_buf(),
            message,
        };
        if !source.exists() {
            return Err(fault(format!(
                "the best checkpoint so far (step {step}) is missing: resume without `best`"
            )));
        }
        let bytes = FileBytes::map(source)?;
        let (found, _) = run.read_checkpoint(&bytes, source)?;
        // A step after the last evaluation is fine: the run was killed after writing it and repeats it.
        let evaluated = run.evaluations().last().map_or(0, |last| last.step);
        if found.step != step && found.step <= evaluated {
            return Err(fault(format!(
                "best checkpoint of step {}, expected step {step}: resume without `best`",
                found.step
            )));
        }
        let in_place = same_file::is_same_file(source, &here).unwrap_or(false);
        if !in_place {
            let mut file = FileWriter::new(&here)?;
            file.write(&bytes)?;
            file.finish()?;
        }
        Ok(())
    }

    /// Lists the earlier checkpoints with their steps, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be read.
    pub fn earlier(&self) -> Result<Vec<(usize, PathBuf)>> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let name = entry.map_err(Error::io("read", folder))?.file_name();
            let name = name.to_string_lossy();
            let own = self.path.file_name().unwrap_or_default().to_string_lossy();
            let step = name
                .strip_prefix(&*own)
                .and_then(|rest| rest.strip_prefix('.'))
                .and_then(|step| step.parse().ok());
            // Skip names such as `PATH.007`, and files that are not checkpoints of that step.
            let step = step.filter(|step| name == format!("{own}.{step}"));
            let path = step.map(|step: usize| (step, self.beside(step)));
            found.extend(path.filter(|(step, path)| step_of(path).ok() == Some(*step)));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Removes all checkpoints, once the run is complete or starts over.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one cannot be removed.
    pub fn remove(&self) -> Result<()> {
        // The latest one last, so that an interrupted removal leaves something to resume from.
        self.files()?.iter().rev().try_for_each(|path| remove(path))
    }

    /// Lists the existing checkpoints: the latest, the best, then the earlier ones.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let named = [self.path.clone(), self.best_path()].into_iter();
        let mut files: Vec<PathBuf> = named.filter(|path| path.exists()).collect();
        files.extend(self.earlier()?.into_iter().map(|(_, path)| path));
        Ok(files)
    }

    /// Writes the run's state as the latest checkpoint and removes those beyond `keep`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::InUse`] if it cannot be written, [`Error::Device`] if the device fails.
    pub async fn save(&self, run: &Run) -> Result<()> {
        let file = begin_file(run, &self.path).await?;
        let step = run.steps_done();
        if self.keep > 1 {
            match step_of(&self.path) {
                Ok(previous) if previous != step => {
                    let earlier = self.beside(previous);
                    fs::rename(&self.path, &earlier).map_err(Error::io("rename", &self.path))?;
                }
                // Missing or damaged: nothing worth keeping.
                _ => {}
            }
        }
        file.finish()?;
        self.prune(step)
    }

    /// Removes the checkpoints that are beyond `keep`, given the step of the latest one.
    pub(in crate::train) fn prune(&self, step: usize) -> Result<()> {
        // Later steps are left from before the run resumed from an earlier checkpoint.
        let (earlier, later): (Vec<_>, Vec<_>) =
            self.earlier()?.into_iter().partition(|&(at, _)| at < step);
        let surplus = (earlier.len() + 1).saturating_sub(self.keep.max(1));
        for (_, path) in earlier.iter().take(surplus).chain(&later) {
            remove(path)?;
        }
        Ok(())
    }

    /// Writes the run's state as the best checkpoint if its last evaluation is the best so far.
    pub(in crate::train) async fn save_if_best(&self, run: &Run) -> Result<()> {
        if self.best && run.best_step() == Some(run.steps_done()) {
            write_checkpoint(run, &self.best_path()).await?;
        }
        Ok(())
    }
}

/// Writes the run's state to a file, atomically replacing an existing one.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::InUse`] if it cannot be written, [`Error::Device`] if the device fails.
pub async fn write_checkpoint(run: &Run, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    begin_file(run, path).await?.finish()
}

/// Resumes a run from a checkpoint file.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if it is damaged or belongs to another run.
pub fn read_checkpoint(run: &mut Run, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    run.restore(&FileBytes::map(path)?, path)
}

/// Returns the path of the latest checkpoint, given that of any checkpoint of the run.
fn without_step(path: &Path) -> PathBuf {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    match suffix {
        Some(suffix) if suffix == "best" || suffix.parse::<usize>().is_ok() => {
            path.with_extension("")
        }
        _ => path.to_path_buf(),
    }
}

async fn begin_file(run: &Run, path: &Path) -> Result<FileWriter> {
    let mut file = FileWriter::new(path)?;
    run.write_checkpoint(&mut |part| file.write(part)).await?;
    Ok(file)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
