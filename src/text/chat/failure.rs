//! Describes the errors of minijinja.

/// The line of an error as a prefix of its message.
pub(super) fn place(error: &minijinja::Error) -> String {
    let line = error.line();
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

/// The message of an error and its sources.
pub(super) fn cause(error: &minijinja::Error) -> String {
    let mut text = error.kind().to_string();
    if let Some(detail) = error.detail() {
        text = format!("{text}: {detail}");
    }
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The first source of type `T` of an error.
pub(super) fn find_source<T: std::error::Error + 'static>(error: &minijinja::Error) -> Option<&T> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
