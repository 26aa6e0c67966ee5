//! Downloads models and data sets from the Hugging Face Hub into the cache that other Hub clients share.
//! Nothing is downloaded unless one is requested by its Hub name.
//!
//! ```text
//! name    → files of the repository → required files → downloads   → snapshot folder
//! name.rs   client.rs                 contents.rs      download.rs   cache.rs
//!                                     data_set.rs
//! ```

mod cache;
mod client;
mod contents;
mod data_set;
mod download;
mod name;
mod redirect;
mod refusal;
mod settings;

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::error::{Error, Result};
use cache::ModelCache;
use client::{Client, Failure};
use contents::{INDEX, Listing};

pub use data_set::{DataSnapshot, HubDataSet, fetch_data};
pub use name::HubModel;
pub use settings::{HubSettings, Limits, Token};

/// DownloadProgress of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadProgress {
    /// Name of the file.
    pub file: String,
    /// Bytes of this file downloaded so far.
    pub bytes: u64,
    /// Size of this file in bytes.
    pub size: u64,
    /// Number of complete files.
    pub files_done: usize,
    /// Total number of files known so far: the shards are known once their index is downloaded.
    pub files: usize,
}

/// A cached model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The model folder.
    pub folder: PathBuf,
    /// The commit that it is a copy of, in 40 hexadecimal digits.
    pub commit: String,
    /// Why the Hub could not be queried for the latest commit, if so: the copy may be outdated. Show this to
    /// the user.
    pub unasked: Option<String>,
}

/// Downloads a model's missing files into the cache: its configuration, tokenizer, weights, and optional
/// companion files.
///
/// Interrupted downloads resume, and a complete commit is used without any request. A branch or tag is
/// resolved to a commit first; if the Hub does not respond, the last complete copy is used, and
/// [`Snapshot::unasked`] gives the reason.
///
/// `progress` is called every few kilobytes and while waiting. Returning [`ControlFlow::Break`] stops the
/// download and keeps the bytes received so far.
///
/// # Errors
///
/// [`Error::HubUnreachable`] if the Hub does not respond and there is no cached copy;
/// [`Error::HubNotFound`] and [`Error::HubDenied`] as the Hub responds; [`Error::HubInterrupted`] for an
/// interrupted or stopped download; [`Error::Parse`] or [`Error::Weights`] for an invalid weight index;
/// [`Error::Io`] if the cache is not writable, the disk is full or the certificates cannot be read;
/// [`Error::Hub`] for a model without safetensors, a damaged download or an invalid response.
pub fn fetch(
    model: &HubModel,
    settings: &HubSettings,
    mut progress: impl FnMut(&DownloadProgress) -> ControlFlow<()>,
) -> Result<Snapshot> {
    let cache = ModelCache::new(model, settings);
    let cached = cache.snapshot();
    if let Some(cached) = &cached
        && cached.is_whole
        && model.commit().is_some()
    {
        return Ok(cached.as_snapshot(None));
    }
    // Uses the cached copy if the Hub does not respond.
    let fall_back = |reason: String| match &cached {
        Some(cached) => {
            log::warn!(
                "{model}: {reason}; using the cached copy in {}",
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

/// Downloads the missing files of a commit. Returns the snapshot's folder.
fn download_all(
    client: &Client<'_>,
    cache: &ModelCache<'_>,
    listing: &Listing,
    progress: &mut dyn FnMut(&DownloadProgress) -> ControlFlow<()>,
) -> Result<PathBuf> {
    let commit = &listing.commit;
    let folder = cache.folder(commit);
    let mut files = listing.required(&client.name())?;
    // By index, since the weight index appends its shards once it is downloaded.
    let mut next = 0;
    while let Some(file) = files.get(next).cloned() {
        let mut now = DownloadProgress {
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
