//! Downloads from the Hub, with their progress.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::output::{Output, counted};
use crate::error::Result;
use crate::hub::{self, DownloadProgress, HubDataSet, HubModel, HubSettings};

/// Downloads a model from the Hub and returns its folder in the cache.
pub(super) fn model(named: &HubModel, output: &Output) -> Result<PathBuf> {
    let settings = HubSettings::from_environment()?;
    let found = hub::fetch(named, &settings, |progress| show(progress, output))?;
    output.finish();
    output.text(format!(
        "Cached   {named}, revision {}, in {}",
        found.commit,
        found.folder.display()
    ));
    note_unasked(found.unasked.as_deref(), output);
    Ok(found.folder)
}

/// Downloads a data set from the Hub and returns its files in the cache.
pub(super) fn data(named: &HubDataSet, output: &Output) -> Result<Vec<PathBuf>> {
    let settings = HubSettings::from_environment()?;
    let found = hub::fetch_data(named, &settings, |progress| show(progress, output))?;
    output.finish();
    output.text(format!(
        "Cached   {named}, split {} ({}), revision {}",
        found.split,
        counted(found.files.len(), "file"),
        found.commit,
    ));
    note_unasked(found.unasked.as_deref(), output);
    Ok(found.files)
}

fn show(progress: &DownloadProgress, output: &Output) -> ControlFlow<()> {
    let title = format!(
        "downloading {} (file {} of {})",
        progress.file,
        progress.files_done + 1,
        progress.files
    );
    let mebibytes = |bytes: u64| (bytes >> 20) as usize;
    let (done, total) = (mebibytes(progress.bytes), mebibytes(progress.size));
    output.progress(&title, done, total.max(1), &["MiB".to_string()]);
    ControlFlow::Continue(())
}

fn note_unasked(reason: Option<&str>, output: &Output) {
    if let Some(reason) = reason {
        output.text(format!(
            "Note     cannot check for a newer revision: {reason}"
        ));
    }
}
