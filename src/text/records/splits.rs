//! The splits of a data set: which of its files are for training, validation and tests, by their names.

use std::collections::BTreeMap;

use super::names;

/// The split that is read by default.
const TRAIN: &str = "train";
/// Names of splits, in the order in which one is chosen by default, each with the words of file names.
const SPLITS: [(&str, &[&str]); 3] = [
    (TRAIN, &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];
/// File extensions of data, in the order of preference where a split has several.
const EXTENSIONS: [&str; 7] = ["parquet", "jsonl", "ndjson", "json", "csv", "tsv", "txt"];
/// Files that describe a data set.
const DESCRIPTIONS: [&str; 5] = [
    "dataset_infos.json",
    "dataset_info.json",
    "dataset_dict.json",
    "state.json",
    "config.json",
];

/// The data files of a repository or folder, by subset and split. The names are relative, with `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DataFiles {
    subsets: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// The files of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// Name of the split.
    pub(crate) name: String,
    /// Its files, sorted.
    pub(crate) files: Vec<String>,
}

/// A file name, taken apart.
struct Name<'a> {
    subset: String,
    split: Option<String>,
    extension: &'a str,
}

impl DataFiles {
    /// Finds the data files among the names of a repository, as the Hub does: by `train-00000-of-00002`, by
    /// words such as `train` in a name, and by folders such as `train`. Without any, all files are for
    /// training. Other folders are subsets.
    #[cfg(feature = "hub")]
    pub(crate) fn of_repository<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<_> = files
            .into_iter()
            .filter_map(|file| Some((file, Name::of(file, true)?)))
            .collect();
        let has_splits = known.iter().any(|(_, name)| name.split.is_some());
        let mut found = Self::default();
        for (file, name) in known {
            let split = match name.split {
                None if !has_splits => Some(TRAIN.to_string()),
                split => split,
            };
            found.add(file, name.subset, split);
        }
        found.prefer_one_format();
        found
    }

    /// Finds the files of a local folder that are named exactly like a split, such as `train.jsonl`, or
    /// `data/test-00000-of-00001.parquet`, but not plain texts.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of_folder<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        let mut has_splits = false;
        for file in files {
            if let Some(name) = Name::of(file, false).filter(|name| name.extension != "txt") {
                // A folder of texts may have a folder of tests.
                has_splits |= match &name.split {
                    Some(split) => !file.contains('/') || split == TRAIN,
                    None => false,
                };
                found.add(file, name.subset, name.split);
            }
        }
        if !has_splits {
            return Self::default();
        }
        found.prefer_one_format();
        found
    }

    fn add(&mut self, file: &str, subset: String, split: Option<String>) {
        if let Some(split) = split {
            let subset = self.subsets.entry(subset).or_default();
            subset.entry(split).or_default().push(file.to_string());
        }
    }

    /// Keeps the files of one format where a split has the same in several.
    fn prefer_one_format(&mut self) {
        for files in self.subsets.values_mut().flat_map(BTreeMap::values_mut) {
            let rank = |file: &String| {
                let extension = extension(file);
                EXTENSIONS
                    .iter()
                    .position(|&known| Some(known) == extension)
            };
            let best = files.iter().filter_map(rank).min();
            files.retain(|file| rank(file) == best);
            files.sort();
        }
    }

    /// Whether no file was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.subsets.is_empty()
    }

    /// All splits of a subset, by default the only one or `default`, in their order: training, validation,
    /// test, others. Fails with a description that lists the subsets.
    pub(crate) fn splits(&self, subset: Option<&str>) -> Result<Vec<Split>, String> {
        let splits = match (subset, self.subsets.len()) {
            (Some(subset), _) => self.subsets.get(subset),
            (None, 1) => self.subsets.values().next(),
            (None, _) => self.subsets.get("").or_else(|| self.subsets.get("default")),
        };
        let Some(splits) = splits else {
            let names = names::list(self.subsets.keys().map(String::as_str));
            return Err(match subset {
                Some(subset) => format!("no subset {}: it has {names}", names::quote(subset)),
                None => format!("it has several subsets ({names}): name one of them"),
            });
        };
        let mut splits: Vec<Split> = splits
            .iter()
            .map(|(name, files)| Split {
                name: name.clone(),
                files: files.clone(),
            })
            .collect();
        let order = |split: &Split| {
            let known = SPLITS.iter().position(|(name, _)| *name == split.name);
            known.unwrap_or(SPLITS.len())
        };
        splits.sort_by_key(order);
        Ok(splits)
    }

    /// The split of a name, `train` by default. Fails with a description that lists what there is.
    pub(crate) fn split(&self, subset: Option<&str>, split: Option<&str>) -> Result<Split, String> {
        let splits = self.splits(subset)?;
        let name = canonical(split.unwrap_or(TRAIN));
        let found = splits.iter().find(|split| split.name == name).cloned();
        found.ok_or_else(|| {
            let all = names::list(splits.iter().map(|split| split.name.as_str()));
            format!("no split {}: it has {all}", names::quote(&name))
        })
    }

    /// Whether it has a subset of this name.
    #[cfg(feature = "hub")]
    pub(crate) fn has_subset(&self, name: &str) -> bool {
        self.subsets.contains_key(name)
    }
}

impl<'a> Name<'a> {
    /// Takes the name of a data file apart. `any_word` says that a word of a longer name is enough.
    fn of(file: &'a str, any_word: bool) -> Option<Self> {
        let mut folders: Vec<&str> = file.split('/').collect();
        let name = folders.pop()?;
        let extension = extension(file)?;
        let is_hidden = |part: &&str| part.starts_with('.') || part.starts_with("__");
        if DESCRIPTIONS.contains(&name) || is_hidden(&name) || folders.iter().any(is_hidden) {
            return None;
        }
        let stem = &name[..name.find('.').unwrap_or(name.len())];
        let of_folder = |folder: &&str| known(folder);
        let split = match shard(stem) {
            Some((split, _)) => Some(canonical(split)),
            None => known(stem)
                .or_else(|| {
                    let mut words = stem.split(|c: char| !c.is_ascii_alphanumeric());
                    words.find_map(known).filter(|_| any_word)
                })
                .or_else(|| folders.iter().rev().find_map(of_folder))
                .map(str::to_string),
        };
        folders.retain(|folder| *folder != "data" && known(folder).is_none());
        Some(Self {
            subset: folders.join("/"),
            split,
            extension,
        })
    }
}

/// The extension of a data file, without that of its compression.
fn extension(file: &str) -> Option<&str> {
    let file = file
        .strip_suffix(".gz")
        .or(file.strip_suffix(".zst"))
        .unwrap_or(file);
    let (_, extension) = file.rsplit_once('.')?;
    EXTENSIONS.contains(&extension).then_some(extension)
}

/// The split that a word names, if any.
fn known(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let split = SPLITS
        .iter()
        .find(|(_, words)| words.contains(&word.as_str()));
    split.map(|(name, _)| *name)
}

/// The usual name of a split.
fn canonical(split: &str) -> String {
    known(split).unwrap_or(split).to_string()
}

/// Takes a name such as `train-00000-of-00002` apart: the split, and the number of its files.
pub(crate) fn shard(stem: &str) -> Option<(&str, usize)> {
    let (start, rest) = stem.split_once("-of-")?;
    let (split, number) = start.rsplit_once('-')?;
    let total: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_number = number.len() == 5 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && total.len() == 5 && !split.is_empty()).then_some((split, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &DataFiles, split: Option<&str>) -> Vec<String> {
        files.split(None, split).unwrap().files
    }

    #[test]
    #[cfg(feature = "hub")]
    fn splits_of_repositories_are_found_by_name() {
        let all = [
            "README.md",
            "data/train-00001-of-00002.parquet",
            "data/train-00000-of-00002.parquet",
            "data/test_sft-00000-of-00001-0123456789abcdef.parquet",
            "dataset_infos.json",
            ".gitattributes",
        ];
        let found = DataFiles::of_repository(all);
        assert_eq!(files(&found, None), [all[2], all[1]]);
        assert_eq!(files(&found, Some("test_sft")), [all[3]]);
        let fault = found.split(None, Some("dev")).unwrap_err();
        assert_eq!(
            fault,
            "no split \"validation\": it has \"train\" and \"test_sft\""
        );

        let found = DataFiles::of_repository(["my_train.jsonl", "my-dev.jsonl", "other.jsonl"]);
        assert_eq!(files(&found, None), ["my_train.jsonl"]);
        assert_eq!(files(&found, Some("valid")), ["my-dev.jsonl"]);
        let found = DataFiles::of_repository(["train/a.json", "train/b.json", "test/a.json"]);
        assert_eq!(files(&found, None), ["train/a.json", "train/b.json"]);
        let found = DataFiles::of_repository(["a.jsonl", "b.jsonl", "LICENSE"]);
        assert_eq!(files(&found, None), ["a.jsonl", "b.jsonl"]);
        let found = DataFiles::of_repository(["train.csv", "train.parquet", "train.jsonl.gz"]);
        assert_eq!(files(&found, None), ["train.parquet"]);
        assert!(DataFiles::of_repository(["README.md", "a.arrow"]).is_empty());
    }

    #[test]
    #[cfg(feature = "hub")]
    fn subsets_are_folders() {
        let found = DataFiles::of_repository([
            "main/train-00000-of-00001.parquet",
            "socratic/train-00000-of-00001.parquet",
            "socratic/test-00000-of-00001.parquet",
        ]);
        let fault = found.split(None, None).unwrap_err();
        assert!(
            fault.contains("several subsets (\"main\" and \"socratic\")"),
            "{fault}"
        );
        let split = found.split(Some("socratic"), Some("test")).unwrap();
        assert_eq!(split.files, ["socratic/test-00000-of-00001.parquet"]);
        let fault = found.split(Some("x"), None).unwrap_err();
        assert!(fault.contains("no subset \"x\""), "{fault}");
        let found = DataFiles::of_repository(["train.jsonl", "more/train.jsonl"]);
        assert_eq!(files(&found, None), ["train.jsonl"]);
        let found = DataFiles::of_repository(["default/train.jsonl", "more/train.jsonl"]);
        assert_eq!(files(&found, None), ["default/train.jsonl"]);
    }

    #[test]
    fn folders_have_splits_if_files_are_named_exactly_so() {
        let found = DataFiles::of_folder([
            "train.jsonl",
            "valid.jsonl",
            "my_test.jsonl",
            "notes.md",
            "test.txt",
        ]);
        let splits = found.splits(None).unwrap();
        let names: Vec<&str> = splits.iter().map(|split| split.name.as_str()).collect();
        assert_eq!(names, ["train", "validation"]);
        for files in [
            ["a.txt", "training-notes.json", "b.jsonl"],
            ["a.md", "test/a.json", "b/c.md"],
        ] {
            assert!(DataFiles::of_folder(files).is_empty());
        }
    }

    #[test]
    fn shards_have_a_number_and_a_total() {
        assert_eq!(shard("train-00000-of-00012"), Some(("train", 12)));
        assert_eq!(shard("a-b-00003-of-00012-abcdef"), Some(("a-b", 12)));
        for stem in [
            "train",
            "train-0-of-1",
            "-00000-of-00001",
            "train-00000-of-0000x",
        ] {
            assert_eq!(shard(stem), None, "{stem}");
        }
    }
}
