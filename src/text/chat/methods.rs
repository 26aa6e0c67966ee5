//! Methods of Python's strings, lists and dictionaries.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

/// Evaluates `value.method(…)` for methods that minijinja lacks.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (value.as_str(), method) {
        (Some(text), "strip" | "lstrip" | "rstrip") => strip(text, method, arguments),
        (Some(text), "split" | "rsplit") => split(text, method, arguments),
        (Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(arguments)?;
            Ok(text.strip_prefix(prefix).unwrap_or(text).into())
        }
        (Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(arguments)?;
            Ok(text.strip_suffix(suffix).unwrap_or(text).into())
        }
        (Some(text), "partition" | "rpartition") => partition(text, method, arguments),
        (Some(_), "index" | "rindex") => {
            let find = if method == "index" { "find" } else { "rfind" };
            let position = pycompat::unknown_method_callback(state, value, find, arguments)?;
            if position == Value::from(-1) {
                return Err(invalid("index: substring not found"));
            }
            Ok(position)
        }
        (None, "index") if value.kind() == ValueKind::Seq => {
            let (item,): (&Value,) = from_args(arguments)?;
            let position = value.try_iter()?.position(|other| other == *item);
            let position = position.ok_or_else(|| invalid("index: not in the list"))?;
            Ok(Value::from(position))
        }
        (None, "copy") if matches!(value.kind(), ValueKind::Map | ValueKind::Seq) => {
            let () = from_args(arguments)?;
            Ok(value.clone()) // Values are immutable.
        }
        _ => pycompat::unknown_method_callback(state, value, method, arguments),
    }
}

/// Whitespace according to Python, which adds four separators to the Unicode property.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

fn strip(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (characters,): (Option<&str>,) = from_args(arguments)?;
    let is_stripped = |character: char| match characters {
        Some(characters) => characters.contains(character),
        None => is_space(character),
    };
    Ok(match method {
        "strip" => text.trim_matches(is_stripped),
        "lstrip" => text.trim_start_matches(is_stripped),
        _ => text.trim_end_matches(is_stripped),
    }
    .into())
}

fn split(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (separator, most, options): (Option<Value>, Option<i64>, Kwargs) = from_args(arguments)?;
    let separator = match separator {
        Some(given) => Some(given),
        None => options.get::<Option<Value>>("sep")?,
    };
    let most = match most {
        Some(given) => Some(given),
        None => options.get("maxsplit")?,
    };
    options.assert_all_used()?;
    // A negative number means no limit.
    let parts = most.map_or(usize::MAX, |most| {
        usize::try_from(most).map_or(usize::MAX, |most| most.saturating_add(1))
    });
    let from_the_end = method == "rsplit";
    let separator = separator.filter(|separator| !separator.is_none());
    let found = match separator.as_ref().map(|separator| separator.as_str()) {
        Some(Some("")) => return Err(invalid("split: the separator is empty")),
        Some(None) => return Err(invalid("split: the separator is not a string")),
        Some(Some(separator)) if from_the_end => {
            let mut parts: Vec<&str> = text.rsplitn(parts, separator).collect();
            parts.reverse();
            parts
        }
        Some(Some(separator)) => text.splitn(parts, separator).collect(),
        None if from_the_end => last_words(text, parts),
        None => words(text, parts),
    };
    Ok(found.into_iter().map(Value::from).collect())
}

/// Splits at whitespace from the start, into at most `most` parts.
fn words(text: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = match rest.find(is_space) {
            Some(space) if words.len() + 1 < most => space,
            _ => rest.len(),
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    words
}

/// Splits at whitespace from the end, into at most `most` parts.
fn last_words(text: &str, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let last = rest.trim_end_matches(|character| !is_space(character));
        let start = if words.len() + 1 < most {
            last.len()
        } else {
            0
        };
        words.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    words.reverse();
    words
}

fn partition(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(arguments)?;
    if separator.is_empty() {
        return Err(invalid("partition: the separator is empty"));
    }
    let (found, otherwise) = match method {
        "partition" => (text.split_once(separator), [text, "", ""]),
        _ => (text.rsplit_once(separator), ["", "", text]),
    };
    let parts = found.map_or(otherwise, |(before, after)| [before, separator, after]);
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    #[test]
    fn methods_match_python() {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(super::call);
        for (expression, expected) in [
            (r"'\x1c\n a '.strip()", "a"),
            (r"'xyaxy'.strip('yx')", "a"),
            (r"' a '.lstrip() + '|' + ' a '.rstrip()", "a | a"),
            (r"' a  b c '.split()", "['a', 'b', 'c']"),
            (r"' a  b c '.split(none, 1)", "['a', 'b c ']"),
            (r"' a  b c '.rsplit(maxsplit=1)", "[' a  b', 'c']"),
            (r"'a,b,c'.split(',', -1)", "['a', 'b', 'c']"),
            (r"'a,b,c'.split(sep=',', maxsplit=1)", "['a', 'b,c']"),
            (r"'a,b,c'.rsplit(',', 1)", "['a,b', 'c']"),
            (r"''.split()", "[]"),
            (r"''.split(',')", "['']"),
            (r"'a-b'.removeprefix('a-') + 'a-b'.removesuffix('-b')", "ba"),
            (r"'a=b=c'.partition('=')", "('a', '=', 'b=c')"),
            (r"'a=b=c'.rpartition('=')", "('a=b', '=', 'c')"),
            (r"'abc'.rpartition('=')", "('', '', 'abc')"),
            (r"'éab'.index('b')", "2"),
            (r"['a', 'b'].index('b')", "1"),
            (r"{'a': 1}.copy().get('a')", "1"),
            (r"{'items': 1}.items() | list", "[('items', 1)]"),
        ] {
            let value = environment
                .compile_expression(expression)
                .and_then(|compiled| compiled.eval(()));
            assert_eq!(value.unwrap().to_string(), expected, "{expression}");
        }
        for expression in [
            "'a'.split('')",
            "'a'.split(1)",
            "'a'.index('b')",
            "['a'].index('b')",
            "'a'.partition('')",
            "[].append(1)",
            "'a'.nothing()",
        ] {
            let value = environment
                .compile_expression(expression)
                .and_then(|compiled| compiled.eval(()));
            assert!(value.is_err(), "{expression}");
        }
    }
}
