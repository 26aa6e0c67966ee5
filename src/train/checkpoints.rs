//! Where the checkpoints of a run are kept, how often they are written, and which of them stay.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::checkpoint::step_of;
use super::run::Run;
use crate::error::{Error, Result};
use crate::files::FileWriter;
use crate::model::FileBytes;

/// Where checkpoints go, how often, and which of them stay.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The file of the last one. Earlier ones that stay are beside it, with their step at the end of the
    /// name: `PATH.200`.
    pub path: PathBuf,
    /// Steps between checkpoints; 0 for none but those at the end of the training and at a stop.
    pub every: usize,
    /// How many stay, the last among them; 0 counts as 1.
    pub keep: usize,
    /// Whether the one whose model found the domain easiest stays as well, as `PATH.best`. It is written
    /// whenever an evaluation of the run finds a lower perplexity than all before it, so that it needs
    /// [`TrainSettings::evaluate_every`](super::TrainSettings::evaluate_every).
    pub best: bool,
}

impl Checkpoints {
    /// The last checkpoint in that file, at the end of the training and at a stop.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every: 0,
            keep: 1,
            best: false,
        }
    }

    /// The file of the best one.
    pub fn best_path(&self) -> PathBuf {
        self.beside("best")
    }

    fn beside(&self, ending: impl std::fmt::Display) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{ending}"));
        self.path.with_file_name(name)
    }

    /// Lets a run go on from the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if the run cannot go on from it.
    pub fn restore(&self, run: &mut Run) -> Result<()> {
        if !self.path.exists() {
            // A process was killed between moving it aside and writing the next.
            if let Some((_, earlier)) = self.earlier()?.last() {
                return read_checkpoint(run, earlier);
            }
        }
        read_checkpoint(run, &self.path)
    }

    /// Lets a run go on from the best checkpoint: its model is then the best one that was evaluated, and
    /// [`Run::outcome_so_far`] says what it is worth.
    ///
    /// # Errors
    ///
    /// As [`Self::restore`].
    pub fn restore_best(&self, run: &mut Run) -> Result<()> {
        read_checkpoint(run, &self.best_path())
    }

    /// Makes sure that the best checkpoint is here before `run` goes on that may have need of it in the end:
    /// it is taken from beside the checkpoint `from` that the run goes on from, if that is another place's.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] if it is nowhere or another one, [`Error::Io`] if it cannot be copied.
    pub fn take_best(&self, from: Option<&Path>, run: &Run) -> Result<()> {
        let Some(step) = run.best_step() else {
            return Ok(());
        };
        let here = self.best_path();
        let beside = from.map(|from| Self::new(without_step(from)).best_path());
        let there = beside.as_deref().unwrap_or(&here);
        let fault = |message: String| Error::Checkpoint {
            path: there.to_path_buf(),
            message,
        };
        if !there.exists() {
            return Err(fault(format!(
                "the best model until now, of step {step}, is not here: go on without --best"
            )));
        }
        let bytes = FileBytes::map(there)?;
        let (found, _) = run.read(&bytes, there)?;
        // One of a step that is still to be evaluated was written before the run was killed, and will be again.
        let evaluated = run.evaluations().last().map_or(0, |last| last.step);
        if found.step != step && found.step <= evaluated {
            return Err(fault(format!(
                "of step {}, where the best model until now is of step {step}: go on without --best",
                found.step
            )));
        }
        let is_here = same_file::is_same_file(there, &here).unwrap_or(false);
        if !is_here {
            let mut file = FileWriter::new(&here)?;
            file.write(&bytes)?;
            file.finish()?;
        }
        Ok(())
    }

    /// Earlier checkpoints that are there, with their steps, in their order.
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
            // Another spelling of a step is not minift's, nor is a file that holds something else.
            let step = step.filter(|step| name == format!("{own}.{step}"));
            let path = step.map(|step: usize| (step, self.beside(step)));
            found.extend(path.filter(|(step, path)| step_of(path).ok() == Some(*step)));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Removes all of them, when their run is complete elsewhere or is begun anew.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one is there and cannot be removed.
    pub fn remove(&self) -> Result<()> {
        // The last one last: without it the others are as good as nothing.
        self.files()?.iter().rev().try_for_each(|path| remove(path))
    }

    /// All of them that are there: the last, the best, the earlier ones.
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

    /// Writes the run's state as the last checkpoint, and removes the earlier ones that need not stay.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::InUse`] if it cannot be written, [`Error::Device`] if the device fails.
    pub async fn save(&self, run: &Run) -> Result<()> {
        let file = written(run, &self.path).await?;
        let step = run.steps_done();
        if self.keep > 1 {
            match step_of(&self.path) {
                Ok(before) if before != step => {
                    let earlier = self.beside(before);
                    fs::rename(&self.path, &earlier).map_err(Error::io("rename", &self.path))?;
                }
                // None is there, or none that anybody could go on from.
                _ => {}
            }
        }
        file.finish()?;
        self.prune(step)
    }

    /// Removes the earlier ones that need not stay beside the one of that step.
    pub(super) fn prune(&self, step: usize) -> Result<()> {
        // Later ones are of a run that went on from further back and has come as far as this again.
        let (earlier, later): (Vec<_>, Vec<_>) =
            self.earlier()?.into_iter().partition(|&(at, _)| at < step);
        let surplus = (earlier.len() + 1).saturating_sub(self.keep.max(1));
        for (_, path) in earlier.iter().take(surplus).chain(&later) {
            remove(path)?;
        }
        Ok(())
    }

    /// Writes the run's state as the best checkpoint, if that is what its last evaluation says.
    pub(super) async fn save_if_best(&self, run: &Run) -> Result<()> {
        if self.best && run.best_step() == Some(run.steps_done()) {
            write_checkpoint(run, &self.best_path()).await?;
        }
        Ok(())
    }
}

/// Writes the run's state to a file, which replaces the one before when it is complete.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::InUse`] if it cannot be written, [`Error::Device`] if the device fails.
pub async fn write_checkpoint(run: &Run, path: &Path) -> Result<()> {
    written(run, path).await?.finish()
}

/// Lets a run go on from a file that holds its state.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if the run cannot go on from it.
pub fn read_checkpoint(run: &mut Run, path: &Path) -> Result<()> {
    run.restore(&FileBytes::map(path)?, path)
}

/// The path of the last checkpoint beside which one stands that may be an earlier or the best one.
fn without_step(path: &Path) -> PathBuf {
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending {
        Some(ending) if ending == "best" || ending.parse::<usize>().is_ok() => {
            path.with_extension("")
        }
        _ => path.to_path_buf(),
    }
}

async fn written(run: &Run, path: &Path) -> Result<FileWriter> {
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
