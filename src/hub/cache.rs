//! The place of a model in the cache, as all of the Hub's programs lay it out:
//!
//! ```text
//! models--owner--name/refs/main                        the commit of a branch or tag
//! models--owner--name/snapshots/<commit>/config.json   a link to the blob
//! models--owner--name/blobs/<etag>                     a file's bytes; <etag>.incomplete on the way
//! models--owner--name/.no_exist/<commit>/LICENSE       empty: the commit has no such file
//! .locks/models--owner--name/<etag>.lock               held by who downloads the blob
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::Snapshot;
use super::contents;
use super::name::{HubModel, is_commit};
use super::settings::HubSettings;
use crate::error::{Error, Result};
use crate::files::exclusive;
use crate::model::files::{COMPANIONS, CONFIG};

/// A model's place in the cache.
pub(super) struct ModelCache<'a> {
    model: &'a HubModel,
    repository: CacheRepo,
    place: PathBuf,
    locks: PathBuf,
}

/// A commit of which the cache holds all that a model needs.
pub(super) struct Cached {
    pub(super) commit: String,
    pub(super) folder: PathBuf,
    /// Whether it also holds every companion that the commit has.
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
        let (name, revision) = (model.name().to_string(), model.revision().to_string());
        let repository = Repo::with_revision(name, RepoType::Model, revision);
        let folder = repository.folder_name();
        Self {
            model,
            place: settings.cache.join(&folder),
            locks: settings.cache.join(".locks").join(&folder),
            repository: Cache::new(settings.cache.clone()).repo(repository),
        }
    }

    /// The copy of the model's revision, if there is a complete one.
    pub(super) fn snapshot(&self) -> Option<Cached> {
        let commit = match self.model.commit() {
            Some(commit) => commit.to_string(),
            None => self.known_commit()?,
        };
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

    /// The folder of a commit.
    pub(super) fn folder(&self, commit: &str) -> PathBuf {
        self.repository.pointer_path(commit)
    }

    /// Whether a file of a commit is there.
    pub(super) fn holds(&self, commit: &str, file: &str) -> bool {
        self.folder(commit).join(file).exists()
    }

    /// Where the bytes of an entity tag are.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.place.join("blobs").join(etag)
    }

    /// Where they are until they are complete.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.place.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Makes a blob a file of a commit.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let folder = self.folder(commit);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let path = folder.join(file);
        // A link to a blob that was deleted.
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(Error::io("replace", &path))?;
        }
        // Relative, so that a cache can be moved.
        let target = Path::new("..").join("..").join("blobs").join(etag);
        link(&target, &self.blob(etag), &path).map_err(Error::io("write", &path))
    }

    /// Remembers that a commit has no such file. Only a hint that spares a request later on, so that
    /// a cache that may only be read serves too.
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

    /// Remembers the commit of the model's branch or tag.
    pub(super) fn keep_commit(&self, commit: &str) -> Result<()> {
        if self.model.commit().is_some() || self.known_commit().as_deref() == Some(commit) {
            return Ok(());
        }
        self.repository.create_ref(commit).map_err(Error::io(
            "write",
            self.place.join("refs").join(self.model.revision()),
        ))
    }

    /// Tries to become the one who downloads a blob; nothing if another program is.
    pub(super) fn try_lock(&self, etag: &str) -> Result<Option<File>> {
        fs::create_dir_all(&self.locks).map_err(Error::io("create", &self.locks))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        // Whoever else writes to a folder without locks, a damaged file is found.
        let is_ours = exclusive::try_lock(&file).map_err(Error::io("lock", &path))?;
        Ok(is_ours.then_some(file))
    }

    /// The commit that the model's branch or tag was last seen at.
    fn known_commit(&self) -> Option<String> {
        let config = self.repository.get(CONFIG)?;
        let commit = config.parent()?.file_name()?.to_str()?;
        is_commit(commit).then(|| commit.to_string())
    }

    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.place.join(".no_exist").join(commit).join(file)
    }
}

#[cfg(unix)]
fn link(target: &Path, _: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Windows lets only some users make symbolic links.
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
