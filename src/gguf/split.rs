//! Models in several files, which are named `name-00001-of-00003.gguf`.

use std::path::Path;

use super::metadata::Metadata;
use crate::error::{Error, Result};

/// Digits of the numbers in a name.
const DIGITS: usize = 5;
/// How the names of GGUF files end.
pub(crate) const ENDING: &str = ".gguf";

/// Returns the names of all files of a split model in their order, given that of any one, or `None` for the
/// name of a model in one file.
pub(crate) fn names(name: &str) -> Option<Vec<String>> {
    let stem = name.strip_suffix(ENDING)?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (base, number) = rest.rsplit_once('-')?;
    let parse = |text: &str| -> Option<usize> {
        let is_number = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    let (number, count) = (parse(number)?, parse(count)?);
    let name = |number: usize| format!("{base}-{number:05}-of-{count:05}{ENDING}");
    (1..=count)
        .contains(&number)
        .then(|| (1..=count).map(name).collect())
}

/// Checks that a file is the one with a number, counted from 0, of `count` files.
pub(super) fn check(metadata: &Metadata, path: &Path, number: usize, count: usize) -> Result<()> {
    let found = metadata.size("split.count")?.unwrap_or(1).max(1);
    let place = metadata.size("split.no")?.unwrap_or(0);
    if (found, place) == (count, number) {
        return Ok(());
    }
    Err(Error::Weights {
        path: path.to_path_buf(),
        message: format!(
            "part {} of {found} of a model: expected part {} of {count}, and all parts in one folder under \
             their names, such as model-00001-of-00002{ENDING}",
            place.saturating_add(1),
            number + 1
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_completed() {
        let all = names("a-b-00002-of-00003.gguf").unwrap();
        let expected = ["1", "2", "3"].map(|number| format!("a-b-0000{number}-of-00003.gguf"));
        assert_eq!(all, expected);
        for one in [
            "a.gguf",
            "a-00001-of-00002",
            "a-00000-of-00002.gguf",
            "a-00003-of-00002.gguf",
            "a-1-of-2.gguf",
            "a-+0001-of-00002.gguf",
        ] {
            assert_eq!(names(one), None, "{one}");
        }
    }
}
