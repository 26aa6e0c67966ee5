//! A CSV table that grows while a run goes on.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::write_file;

/// A table whose first column is the step. Every row is handed to the operating system before the call returns.
pub(super) struct Table {
    writer: csv::Writer<File>,
    path: PathBuf,
    /// The last step that it had when it was opened.
    last: Option<usize>,
}

impl Table {
    /// Creates a table.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn create(path: PathBuf, columns: &[&str]) -> Result<Self> {
        write_file(&path, format!("{}\n", columns.join(",")).as_bytes())?;
        Self::open(path)
    }

    /// Opens the table of an interrupted run, or creates it. Of its rows, those up to the step `done` stay.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::InvalidSetting`] for a table of other columns.
    pub(super) fn resume(path: PathBuf, columns: &[&str], done: usize) -> Result<Self> {
        if !path.exists() {
            return Self::create(path, columns);
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let mut lines = text.lines();
        let header = columns.join(",");
        if lines.next() != Some(&header) {
            let expected = format!("a folder whose {} has the columns {header}", name(&path));
            return Err(Error::setting("log_dir", path.display(), expected));
        }
        // The last row may have been cut by a kill, but is then of a later step.
        let step = |line: &str| -> Option<usize> {
            let cells: Vec<&str> = line.split(',').collect();
            let step = cells[0].parse().ok()?;
            (cells.len() == columns.len() && step <= done).then_some(step)
        };
        let (mut kept, mut last) = (format!("{header}\n"), None);
        for line in lines {
            if let Some(step) = step(line) {
                kept.push_str(line);
                kept.push('\n');
                last = Some(step);
            }
        }
        write_file(&path, kept.as_bytes())?;
        let table = Self::open(path)?;
        Ok(Self { last, ..table })
    }

    fn open(path: PathBuf) -> Result<Self> {
        let file = File::options().append(true).open(&path);
        let file = file.map_err(Error::io("write", &path))?;
        let writer = csv::Writer::from_writer(file);
        Ok(Self {
            writer,
            path,
            last: None,
        })
    }

    /// Returns whether the table had the step when it was opened.
    pub(super) fn had(&self, step: usize) -> bool {
        self.last.is_some_and(|last| step <= last)
    }

    /// Appends a row; absent numbers are empty.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn row(&mut self, step: usize, numbers: &[Option<f64>]) -> Result<()> {
        let cells = numbers
            .iter()
            .map(|number| number.map_or_else(String::new, |n| n.to_string()));
        let written = self
            .writer
            .write_record(std::iter::once(step.to_string()).chain(cells));
        let written = written.map_err(std::io::Error::from);
        let flushed = written.and_then(|()| self.writer.flush());
        flushed.map_err(Error::io("write", &self.path))
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_table_loses_later_and_cut_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steps.csv");
        let columns = ["step", "loss", "rate"];
        let mut table = Table::create(path.clone(), &columns).unwrap();
        for step in 1..5 {
            table.row(step, &[Some(0.5), None]).unwrap();
        }
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("2,0.");
        std::fs::write(&path, text).unwrap();
        let mut table = Table::resume(path.clone(), &columns, 2).unwrap();
        assert!(table.had(2) && !table.had(3));
        table.row(3, &[Some(0.25), Some(1e-5)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "step,loss,rate\n1,0.5,\n2,0.5,\n3,0.25,0.00001\n");
        let other = Table::resume(path, &["step", "loss"], 9);
        assert!(other.is_err_and(|error| error.report().contains("steps.csv has the columns")));
    }
}
