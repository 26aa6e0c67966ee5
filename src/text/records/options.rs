//! Which keys or columns of data files are read.

use super::names;
use crate::error::{Error, Result};

/// Options for reading data files.
///
/// At most one of `column`, `prompt_column` (with `completion_column`) and `messages_column` may be set. By
/// default, the keys of the first record or the columns of the table determine how a file is read. Ignored
/// for plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Column (CSV, TSV, Parquet) or key (JSON) that contains the text; the keys that are known by name by
    /// default.
    pub column: Option<String>,
    /// Column or key of the prompts; `prompt` by default if `completion_column` is set.
    pub prompt_column: Option<String>,
    /// Column or key of the completions; `completion` by default if `prompt_column` is set.
    pub completion_column: Option<String>,
    /// Column or key of conversations: lists of messages, or such lists as JSON strings.
    pub messages_column: Option<String>,
    /// Split of a folder with files such as `train.jsonl` and `valid.jsonl`; `train` by default.
    pub split: Option<String>,
}

impl ReadOptions {
    /// Checks that the options name one kind of record.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`].
    pub(super) fn check(&self) -> Result<()> {
        let pair = self
            .prompt_column
            .as_ref()
            .or(self.completion_column.as_ref());
        let invalid = |name: &'static str, value: &str, other: &str| {
            let expected = format!("no value together with {other}: a file is read in one way");
            Err(Error::setting(name, names::quote(value), expected))
        };
        match (&self.column, pair, &self.messages_column) {
            (Some(column), Some(_), _) => {
                invalid("column", column, "prompt_column or completion_column")
            }
            (Some(column), None, Some(_)) => invalid("column", column, "messages_column"),
            (None, Some(_), Some(messages)) => {
                let other = "prompt_column or completion_column";
                invalid("messages_column", messages, other)
            }
            _ => Ok(()),
        }
    }

    /// The requested columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        let all = [
            &self.column,
            &self.prompt_column,
            &self.completion_column,
            &self.messages_column,
        ];
        all.into_iter().filter_map(Option::as_deref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_one_kind_of_record() {
        let name = || Some("x".to_string());
        let options = |set: [bool; 4]| {
            let [column, prompt_column, completion_column, messages_column] =
                set.map(|is_set| if is_set { name() } else { None });
            ReadOptions {
                column,
                prompt_column,
                completion_column,
                messages_column,
                split: None,
            }
        };
        for number in 0..16 {
            let set = [1, 2, 4, 8].map(|bit| number & bit > 0);
            let kinds = [set[0], set[1] || set[2], set[3]];
            let is_valid = kinds.iter().filter(|&&kind| kind).count() < 2;
            assert_eq!(options(set).check().is_ok(), is_valid, "{set:?}");
        }
    }
}
