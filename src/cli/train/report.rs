//! The file of the HTML report (`--report`).

use std::path::{Path, PathBuf};

use super::super::setup;
use crate::error::{Error, Result};
use crate::files::{FileWriter, FolderWriter};

/// The name of the report in a folder.
const NAME: &str = "report.html";

/// The file of a report, begun before the training.
pub(super) struct ReportFile {
    place: PathBuf,
    to: Destination,
}

enum Destination {
    /// The output folder, by the name of the file there.
    Output(PathBuf),
    /// Elsewhere.
    File(FileWriter),
}

impl ReportFile {
    /// Begins the report of a run with the output folder `out`: in the file `place` if its name ends in `.html`, else
    /// in this folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::InUse`] if the file cannot be written.
    pub(super) fn begin(place: &Path, out: &Path) -> Result<Self> {
        let ending = place.extension();
        let place = match ending.is_some_and(|ending| ending.eq_ignore_ascii_case("html")) {
            true => place.to_path_buf(),
            false => place.join(NAME),
        };
        let real = setup::real(&place);
        let to = match real.strip_prefix(setup::real(out)) {
            Ok(name) => Destination::Output(name.to_path_buf()),
            Err(_) => {
                let folder = real.parent().unwrap_or(Path::new(""));
                std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
                Destination::File(FileWriter::new(&place)?)
            }
        };
        Ok(Self { place, to })
    }

    /// Returns the path of the file.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Writes the report.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn finish(self, output: &FolderWriter, html: &str) -> Result<()> {
        match self.to {
            Destination::Output(name) => output.write(&name.to_string_lossy(), html.as_bytes()),
            Destination::File(mut file) => {
                file.write(html.as_bytes())?;
                file.finish()
            }
        }
    }
}
