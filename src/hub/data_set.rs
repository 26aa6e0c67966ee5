//! Data sets on the Hub: which of their files are downloaded, and how they are named.

use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use super::cache::ModelCache;
use super::client::{Client, Failure};
use super::download;
use super::name::HubModel;
use super::{DownloadProgress, HubSettings};
use crate::error::{Error, Result};
use crate::text::{DataFiles, Split, shard};

/// A data set on the Hub: `owner/name`, and optionally a split, or a subset and a split, of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubDataSet {
    repository: HubModel,
    /// The split, or the subset and the split, as named.
    part: Option<String>,
}

/// The cached files of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSnapshot {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Name of the split.
    pub split: String,
    /// The commit that they are a copy of, in 40 hexadecimal digits.
    pub commit: String,
    /// Why the Hub could not be queried for the latest commit, if so: the copy may be outdated. Show this to
    /// the user.
    pub unasked: Option<String>,
}

impl HubDataSet {
    /// Parses `owner/name`, `owner/name:split` or `owner/name:subset/split`. Returns `None` for anything else,
    /// and for names that end like a data file.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, part) = match text.split_once(':') {
            Some((name, part)) => (name, Some(part)),
            None => (text, None),
        };
        let is_word = |part: &str| {
            let is_character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_character)
        };
        let is_valid = part.is_none_or(|part| part.split('/').all(is_word));
        let is_file = part.is_none() && is_named_like_a_file(name);
        (is_valid && !is_file).then_some(())?;
        Some(Self {
            repository: HubModel::data_set(name)?,
            part: part.map(str::to_string),
        })
    }

    /// Returns the data set that an argument names, unless it is a path that exists.
    pub fn named_by(argument: &Path) -> Option<Self> {
        let named = argument.to_str().and_then(Self::parse)?;
        argument.symlink_metadata().is_err().then_some(named)
    }

    /// Chooses the files of the split.
    fn choose(&self, files: &DataFiles) -> Result<Split> {
        let fault = |message: String| Error::Hub {
            name: self.to_string(),
            message,
        };
        if files.is_empty() {
            let message = "no data files: expected .parquet, .jsonl, .json, .csv, .tsv or .txt";
            return Err(fault(message.to_string()));
        }
        let (subset, split) = match self.part.as_deref() {
            None => (None, None),
            Some(part) if files.has_subset(part) => (Some(part), None),
            Some(part) => match part.rsplit_once('/') {
                Some((subset, split)) => (Some(subset), Some(split)),
                None => (None, Some(part)),
            },
        };
        let name = self.repository.name();
        files.split(subset, split).map_err(|message| {
            fault(format!(
                "{message}, as in {name}:split or {name}:subset/split"
            ))
        })
    }
}

impl fmt::Display for HubDataSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.repository)?;
        match &self.part {
            Some(part) => write!(formatter, ":{part}"),
            None => Ok(()),
        }
    }
}

/// Downloads the missing files of a data set's split into the cache. Interrupted downloads resume, and
/// complete files are not downloaded again; if the Hub does not respond, the cached copy is used, as in
/// [`super::fetch`].
///
/// # Errors
///
/// Those of [`super::fetch`]; [`Error::Hub`] for a data set without data files or such a split, which lists
/// the splits or subsets that it has.
pub fn fetch_data(
    data: &HubDataSet,
    settings: &HubSettings,
    mut progress: impl FnMut(&DownloadProgress) -> ControlFlow<()>,
) -> Result<DataSnapshot> {
    let cache = ModelCache::new(&data.repository, settings);
    let fall_back = |reason: String| match cached(data, &cache) {
        Some(found) => {
            log::warn!("{data}: {reason}; using the cached copy");
            Ok(DataSnapshot {
                unasked: Some(reason),
                ..found
            })
        }
        None => Err(Error::HubUnreachable {
            name: data.to_string(),
            reason,
            cache: settings.cache.clone(),
        }),
    };
    if settings.offline {
        return fall_back("HF_HUB_OFFLINE is set".to_string());
    }
    let client = Client::new(&data.repository, settings)?;
    let listing = match client.listing() {
        Ok(listing) => listing,
        Err(Failure::NoAnswer(reason)) => return fall_back(reason),
        Err(Failure::Final(error)) => return Err(error),
    };
    // Names from the repository become paths in the cache.
    let names = listing.files().filter(|file| is_plain(file));
    let split = data.choose(&DataFiles::of_repository(names))?;
    let commit = &listing.commit;
    for (number, file) in split.files.iter().enumerate() {
        let mut now = DownloadProgress {
            file: file.clone(),
            bytes: 0,
            size: 0,
            files_done: number,
            files: split.files.len(),
        };
        if !cache.holds(commit, file) {
            download::download(&client, &cache, commit, &mut now, &mut progress)?;
        }
    }
    cache.keep_commit(commit)?;
    let folder = cache.folder(commit);
    Ok(DataSnapshot {
        files: split.files.iter().map(|file| folder.join(file)).collect(),
        split: split.name,
        commit: listing.commit,
        unasked: None,
    })
}

/// The cached copy of a split, if it is complete as far as its names tell.
fn cached(data: &HubDataSet, cache: &ModelCache<'_>) -> Option<DataSnapshot> {
    let commit = cache.cached_commit()?;
    let folder = cache.folder(&commit);
    let mut names = Vec::new();
    list(&folder, "", &mut names);
    let files = DataFiles::of_repository(names.iter().map(String::as_str));
    let split = data.choose(&files).ok()?;
    let total = |file: &String| {
        let name = file.rsplit('/').next()?;
        shard(name).map(|(_, total)| total)
    };
    let is_whole = split
        .files
        .iter()
        .filter_map(total)
        .all(|total| total == split.files.len());
    is_whole.then(|| DataSnapshot {
        files: split.files.iter().map(|file| folder.join(file)).collect(),
        split: split.name,
        commit,
        unasked: None,
    })
}

/// Lists the files below a folder of the cache. What cannot be read is not cached.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            list(&path, &format!("{name}/"), names);
        } else if path.exists() {
            names.push(name);
        }
    }
}

/// Whether a file name of a repository is a relative path below the cache's folder on every system.
fn is_plain(file: &str) -> bool {
    const LONGEST: usize = 512;
    let is_character =
        |character: char| !character.is_control() && !"\\:*?\"<>|".contains(character);
    let mut parts = Path::new(file).components();
    file.len() <= LONGEST
        && file.chars().all(is_character)
        && file
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Whether a name ends like a data file, which a missing path is more likely to be.
fn is_named_like_a_file(name: &str) -> bool {
    const ENDINGS: [&str; 10] = [
        ".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".txt", ".md", ".parquet", ".gz", ".zst",
    ];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_sets_are_told_from_paths() {
        for text in [
            "owner/name",
            "a/b.c:train",
            "a/b:subset/test",
            "a/b:train_sft",
        ] {
            assert_eq!(HubDataSet::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "name",
            "a/b/c",
            "./a/b",
            "data/train.jsonl",
            "data/A.CSV",
            "a/b:",
            "a/b:/x",
            "a/b:..",
            "a/b:x/../y",
            "a/*.jsonl",
            "a/b.txt.gz",
            "C:/b",
        ] {
            assert_eq!(HubDataSet::parse(text), None, "{text}");
        }
        assert!(HubDataSet::named_by(Path::new("missing/data")).is_some());
        // The tests run in the crate's folder, which has this one.
        assert_eq!(HubDataSet::named_by(Path::new("src/hub")), None);
    }

    #[test]
    fn file_names_stay_in_the_cache() {
        for file in ["a.jsonl", "data/a b.parquet", "ä.csv"] {
            assert!(is_plain(file), "{file}");
        }
        for file in [
            "../a.jsonl",
            "/a",
            "a//b",
            "a/./b",
            "a\\b",
            "c:a",
            "a\n",
            "",
        ] {
            assert!(!is_plain(file), "{file}");
        }
    }
}
