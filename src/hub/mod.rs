//! Models by their names on the Hugging Face Hub, fetched into the cache that the Hub's own programs
//! use, and only when one is asked for by its name.
//!
//! ```text
//! name → what the repository holds → files that are wanted → downloads → snapshot folder
//! name.rs  client.rs                   contents.rs             download.rs  cache.rs
//! ```

mod cache;
mod client;
mod contents;
mod download;
mod name;
mod refusal;
mod settings;

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::error::{Error, Result};
use cache::ModelCache;
use client::{Client, Failure};
use contents::{INDEX, Listing};

pub use name::HubModel;
pub use settings::{HubSettings, Limits, Token};

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the file.
    pub file: String,
    /// Bytes of this file that are there.
    pub bytes: u64,
    /// Bytes of this file in all.
    pub size: u64,
    /// Files that are complete.
    pub files_done: usize,
    /// Files in all, as far as is known: the parts of the weights are known once their index is.
    pub files: usize,
}

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The model folder.
    pub folder: PathBuf,
    /// The commit that it is a copy of, as 40 hexadecimal digits.
    pub commit: String,
    /// Why the Hub was not asked whether the revision has moved on, where it could not be: the copy
    /// may then be an older one. To be shown.
    pub unasked: Option<String>,
}

/// Fetches a model into the cache, as far as it is not there yet: its configuration, its tokenizer,
/// its weights, and those of the small files beside them that it has.
///
/// What is there is kept: a download that broke off goes on where it ended, and a commit that is
/// complete is used without a single request. A branch or tag is looked up first; if the Hub gives
/// no answer, the last complete copy serves, and [`Snapshot::unasked`] says so.
///
/// `progress` is called after every few kilobytes and while waiting; with [`ControlFlow::Break`] it
/// ends the download, and what came is kept.
///
/// # Errors
///
/// [`Error::HubUnreachable`] without an answer and without a copy, [`Error::HubNotFound`] and
/// [`Error::HubDenied`] as the Hub answers, [`Error::HubInterrupted`] for a download that broke off
/// or was ended, [`Error::Weights`] for an index of weights that cannot be followed, [`Error::Io`]
/// if the cache cannot be written, a full disk included, or the certificates not be read, and [`Error::Hub`] for a model without
/// safetensors, a damaged download or an answer that makes no sense.
pub fn fetch(
    model: &HubModel,
    settings: &HubSettings,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Snapshot> {
    let cache = ModelCache::new(model, settings);
    let cached = cache.snapshot();
    if let Some(cached) = &cached
        && cached.is_whole
        && model.commit().is_some()
    {
        return Ok(cached.as_snapshot(None));
    }
    // The cached copy, where the Hub gives no answer.
    let fall_back = |reason: String| match &cached {
        Some(cached) => {
            log::warn!(
                "{model}: {reason}; using the copy in {}",
                cached.folder.display()
            );
            Ok(cached.as_snapshot(Some(reason)))
        }
        None => Err(Error::HubUnreachable {
            name: model.to_string(),
            reason,
            cache: settings.cache.clone(),
        }),
    };
    if settings.offline {
        return fall_back("HF_HUB_OFFLINE is set".to_string());
    }
    let client = Client::new(model, settings)?;
    let listing = match client.listing() {
        Ok(listing) => listing,
        Err(Failure::NoAnswer(reason)) => return fall_back(reason),
        Err(Failure::Final(error)) => return Err(error),
    };
    let folder = download_all(&client, &cache, &listing, &mut progress)?;
    cache.keep_commit(&listing.commit)?;
    Ok(Snapshot {
        folder,
        commit: listing.commit,
        unasked: None,
    })
}

/// Fetches every wanted file of a commit; the snapshot's folder.
fn download_all(
    client: &Client<'_>,
    cache: &ModelCache<'_>,
    listing: &Listing,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<PathBuf> {
    let commit = &listing.commit;
    let folder = cache.folder(commit);
    let mut files = listing.wanted(&client.name())?;
    // By number, since the index of weights adds to the files when it has come.
    let mut next = 0;
    while let Some(file) = files.get(next).cloned() {
        let mut now = Progress {
            file,
            bytes: 0,
            size: 0,
            files_done: next,
            files: files.len(),
        };
        if !cache.holds(commit, &now.file) {
            download::download(client, cache, commit, &mut now, progress)?;
        }
        if now.file == INDEX {
            let parts = contents::parts(&folder)?;
            listing.check_parts(&parts, &folder)?;
            files.extend(parts);
        }
        next += 1;
    }
    for file in listing.absent() {
        cache.mark_absent(commit, file);
    }
    Ok(folder)
}
