//! Lists of keys and files for messages.

/// Names that are said in full; the rest is counted.
const SHOWN: usize = 8;
/// Characters of a name that are said.
const LONGEST: usize = 60;

/// `"id", "date" and 3 more`, or `nothing`.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<_> = names.by_ref().take(SHOWN).map(quote).collect();
    let more = match names.count() {
        0 => None,
        count => Some(format!("{count} more")),
    };
    match (shown.as_slice(), more) {
        ([], _) => "nothing".to_string(),
        (shown, Some(more)) => format!("{} and {more}", shown.join(", ")),
        ([name], None) => name.clone(),
        ([names @ .., last], None) => format!("{} and {last}", names.join(", ")),
    }
}

/// A name in quotes, cut where it is too long to be one.
pub(super) fn quote(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

/// `column` or `columns`.
pub(super) fn plural(noun: &str, count: usize) -> String {
    match count {
        1 => noun.to_string(),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_sentences_and_end() {
        assert_eq!(list([]), "nothing");
        assert_eq!(list(["a"]), "\"a\"");
        assert_eq!(list(["a", "b", "c"]), "\"a\", \"b\" and \"c\"");
        let long = list(["x"; 30]);
        assert!(long.ends_with("\"x\" and 22 more"), "{long}");
        assert!(quote(&"é".repeat(1000)).chars().count() < 70);
    }
}
