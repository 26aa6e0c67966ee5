//! The folder of a model or data set in the Hub cache, in the layout that all Hub clients share:
//!
//! ```text
//! models--owner--name/refs/main                        the commit of a branch or tag
//! models--owner--name/snapshots/<commit>/config.json   a link to the blob
//! models--owner--name/blobs/<etag>                     a file's bytes; <etag>.incomplete while downloading
//! models--owner--name/.no_exist/<commit>/LICENSE       empty: the commit has no such file
//! datasets--owner--name/…                              likewise
//! .locks/models--owner--name/<etag>.lock               held by the process downloading the blob
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Snapshot;
use super::contents;
use super::name::{HubModel, Kind, is_commit};
use super::settings::HubSettings;
use crate::error::{Error, Result};
use crate::files::exclusive;
use crate::model::file_names::COMPANIONS;

/// A model's folder in the cache.
pub(super) struct ModelCache<'a> {
    model: &'a HubModel,
    place: PathBuf,
    locks: PathBuf,
}

/// A cached commit with all the files that a model requires.
pub(super) struct Cached {
    pub(super) commit: String,
    pub(super) folder: PathBuf,
    /// Whether it also has every companion file of the commit.
    pub(super) is_whole: bool,
}

impl Cached {
    pub(super) fn as_snapshot(&self, unasked: Option<String>) -> Snapshot {
        Snapshot {
            folder: self.folder.clone(),
            commit: self.commit.clone(),
            unasked,
        }
    }
}

impl<'a> ModelCache<'a> {
    pub(super) fn new(model: &'a HubModel, settings: &HubSettings) -> Self {
        let kind = match model.kind() {
            Kind::Model => "models",
            Kind::DataSet => "datasets",
        };
        let folder = format!("{kind}--{}", model.name().replace('/', "--"));
        Self {
            model,
            place: settings.cache.join(&folder),
            locks: settings.cache.join(".locks").join(&folder),
        }
    }

    /// The cached copy of the model's revision, if it is complete.
    pub(super) fn snapshot(&self) -> Option<Cached> {
        let commit = self.cached_commit()?;
        let folder = self.folder(&commit);
        if !contents::is_complete(&folder) {
            return None;
        }
        let is_known =
            |file: &str| self.holds(&commit, file) || self.absence(&commit, file).exists();
        Some(Cached {
            is_whole: COMPANIONS.into_iter().all(is_known),
            commit,
            folder,
        })
    }

    /// The commit of the revision, as far as the cache knows.
    pub(super) fn cached_commit(&self) -> Option<String> {
        match self.model.commit() {
            Some(commit) => Some(commit.to_string()),
            None => self.known_commit(),
        }
    }

    /// The snapshot folder of a commit.
    pub(super) fn folder(&self, commit: &str) -> PathBuf {
        self.place.join("snapshots").join(commit)
    }

    /// Whether a file of a commit is cached.
    pub(super) fn holds(&self, commit: &str, file: &str) -> bool {
        self.folder(commit).join(file).exists()
    }

    /// The path of the blob with this entity tag.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.place.join("blobs").join(etag)
    }

    /// The path of the blob while it is being downloaded.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.place.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Links a blob into a commit's folder.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let path = self.folder(commit).join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        // A dangling link to a deleted blob.
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(Error::io("replace", &path))?;
        }
        // Relative, so that the cache can be moved.
        let above = 2 + file.matches('/').count();
        let target: PathBuf = std::iter::repeat_n("..", above).collect();
        let target = target.join("blobs").join(etag);
        link(&target, &self.blob(etag), &path).map_err(Error::io("write", &path))
    }

    /// Records that a commit has no such file. This only saves a later request, so a read-only cache is
    /// not an error.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) {
        let marker = self.absence(commit, file);
        if marker.exists() {
            return;
        }
        let written = marker.parent().map_or(Ok(()), fs::create_dir_all);
        if let Err(error) = written.and_then(|()| File::create(&marker).map(drop)) {
            log::debug!("{}: {error}", marker.display());
        }
    }

    /// Records the commit of the model's branch or tag.
    pub(super) fn keep_commit(&self, commit: &str) -> Result<()> {
        if self.model.commit().is_some() || self.known_commit().as_deref() == Some(commit) {
            return Ok(());
        }
        let reference = self.reference();
        if let Some(folder) = reference.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        fs::write(&reference, commit).map_err(Error::io("write", &reference))
    }

    /// Tries to lock a blob for downloading. Returns `None` while another process is downloading it.
    pub(super) fn try_lock(&self, etag: &str) -> Result<Option<File>> {
        fs::create_dir_all(&self.locks).map_err(Error::io("create", &self.locks))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        // Where locks are unsupported and two processes write at once, the checksum detects the damage.
        let is_locked = exclusive::try_lock(&file).map_err(Error::io("lock", &path))?;
        Ok(is_locked.then_some(file))
    }

    /// The commit that the model's branch or tag last pointed to.
    fn known_commit(&self) -> Option<String> {
        let commit = fs::read_to_string(self.reference()).ok()?;
        is_commit(commit.trim()).then(|| commit.trim().to_string())
    }

    /// The file with the commit of the model's branch or tag.
    fn reference(&self) -> PathBuf {
        self.place.join("refs").join(self.model.revision())
    }

    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.place.join(".no_exist").join(commit).join(file)
    }
}

#[cfg(unix)]
fn link(target: &Path, _: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// On Windows, only some users may create symbolic links.
#[cfg(windows)]
fn link(target: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
        .or_else(|_| fs::hard_link(blob, path))
        .or_else(|_| fs::copy(blob, path).map(drop))
}

#[cfg(not(any(unix, windows)))]
fn link(_: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    fs::copy(blob, path).map(drop)
}
