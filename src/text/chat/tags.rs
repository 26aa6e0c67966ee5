//! Rewrites tags that minijinja lacks or handles differently from Jinja.
//!
//! A tag is replaced by several tags. The first keeps the start of the original and the last its end, so
//! that whitespace control applies to the same whitespace. Line numbers are unchanged.

use super::generation::MARKS;
use super::limits;

/// Filter applied to values assigned to variables.
pub(super) const KEPT: &str = "minift_kept";
/// Filter applied to values assigned to namespace attributes.
pub(super) const KEPT_IN_NAMESPACE: &str = "minift_kept_in_namespace";

/// A template that minijinja interprets like Jinja.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// The template.
    pub text: String,
    /// Whether it has generation blocks.
    pub has_generation: bool,
}

/// Code that is too long or too deeply nested to parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// Counted from 1.
    pub line: usize,
}

/// Rewrites a template's tags.
pub(super) fn rewrite(template: &str) -> Result<Rewritten, TooLarge> {
    let mut text = String::with_capacity(template.len());
    let mut has_generation = false;
    let mut alternatives = 0;
    let mut kept = 0;
    let mut position = 0;
    while let Some(found) = template[position..].find('{') {
        let start = position + found;
        let rest = &template[start..];
        let code = match rest.as_bytes().get(1) {
            Some(b'#') => {
                position = start + rest.find("#}").map_or(rest.len(), |end| end + 2);
                continue;
            }
            Some(b'{') => Code::until("}}", &rest[2..]),
            Some(b'%') => Code::until("%}", &rest[2..]),
            _ => {
                position = start + 1;
                continue;
            }
        };
        position = start + 2 + code.length;
        let tag_text = &template[start..position];
        let found = tag(tag_text);
        alternatives += usize::from(found.is_some_and(|(_, inside)| inside.starts_with("elif")));
        if code.tokens > limits::TOKENS
            || code.depth > limits::BRACKETS
            || alternatives > limits::ALTERNATIVES
        {
            let line = 1 + template[..start].matches('\n').count();
            return Err(TooLarge { line });
        }
        let Some((before, inside)) = found else {
            continue;
        };
        let (replaced, replacement) = match inside {
            "generation" => {
                has_generation = true;
                let block = format!("with minift_generation = true %}}{{{{ {MARKS}[0] }}}}");
                (inside, format!("{block}{{% if true"))
            }
            "endgeneration" => {
                let mark = format!("endif %}}{{{{ {MARKS}[1] }}}}");
                (inside, format!("{mark}{{% endwith"))
            }
            "raw" => {
                let no_control = !["-%}", "+%}"].iter().any(|end| tag_text.ends_with(end));
                let newline = template[position..].starts_with('\n');
                position += raw(&template[position..]);
                // The newline belongs to the raw text, but minijinja drops it.
                if !(no_control && newline) {
                    continue;
                }
                (inside, "if true %}{% endif %}{{ '\\n' }}{% raw".to_string())
            }
            _ => match assignment(inside) {
                Some(replacement) => (inside, replacement),
                None => continue,
            },
        };
        text.push_str(&template[kept..start + before]);
        text.push_str(&replacement);
        kept = start + before + replaced.len();
    }
    text.push_str(&template[kept..]);
    Ok(Rewritten {
        text,
        has_generation,
    })
}

/// The offset and the inside of a tag `{% … %}`.
fn tag(text: &str) -> Option<(usize, &str)> {
    let inside = text.strip_prefix("{%")?.strip_suffix("%}")?;
    let inside = inside
        .strip_prefix(['-', '+'])
        .unwrap_or(inside)
        .trim_start();
    let before = text.len() - 2 - inside.len();
    let inside = inside.strip_suffix(['-', '+']).unwrap_or(inside);
    Some((before, inside.trim_end()))
}

/// Rewrites `set names = value` to check the value first. A namespace is read before it is assigned to,
/// since minijinja's macros only capture variables that they read.
fn assignment(inside: &str) -> Option<String> {
    let rest = inside.strip_prefix("set")?;
    let rest = rest.strip_prefix(char::is_whitespace)?;
    let (targets, value) = match rest.split_once('=') {
        // In a block with a filter, `=` may be in the filter's arguments.
        Some((targets, _)) if targets.contains('|') => return None,
        Some((targets, value)) => (targets, Some(value)),
        None => (rest, None),
    };
    let namespace = targets.split_once('.').map(|(name, _)| name.trim());
    let is_name = |name: &str| {
        let of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        !name.is_empty() && name.chars().all(of_name)
    };
    let value = match (value, namespace) {
        (None, None) => return None,
        (None, Some(_)) => String::new(),
        (Some(value), None) => format!("=({value})|{KEPT}"),
        (Some(value), Some(_)) => format!("=({value})|{KEPT_IN_NAMESPACE}"),
    };
    Some(match namespace.filter(|name| is_name(name)) {
        Some(name) => format!("if {name} %}}{{% endif %}}{{% set {targets}{value}"),
        None => format!("set {targets}{value}"),
    })
}

/// Code between the delimiters of a tag.
struct Code {
    /// Length in bytes, including the closing delimiter.
    length: usize,
    /// Number of tokens.
    tokens: usize,
    /// Maximum nesting depth of brackets.
    depth: usize,
}

impl Code {
    /// Scans up to `end`, ignoring it within strings and brackets.
    fn until(end: &str, text: &str) -> Self {
        let mut code = Self {
            length: text.len(),
            tokens: 0,
            depth: 0,
        };
        let mut depth = 0_usize;
        let mut quote = None;
        let mut escaped = false;
        let mut in_word = false;
        for (index, character) in text.char_indices() {
            match quote {
                Some(_) if escaped => escaped = false,
                Some(_) if character == '\\' => escaped = true,
                Some(open) if character == open => quote = None,
                Some(_) => {}
                None if depth == 0 && text[index..].starts_with(end) => {
                    code.length = index + end.len();
                    break;
                }
                None => {
                    let continues = in_word;
                    in_word = character.is_alphanumeric() || character == '_';
                    let is_part = character.is_whitespace() || (in_word && continues);
                    code.tokens += usize::from(!is_part);
                    match character {
                        '"' | '\'' => quote = Some(character),
                        '(' | '[' | '{' => depth += 1,
                        ')' | ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    code.depth = code.depth.max(depth);
                }
            }
        }
        code
    }
}

/// Length of the text after `{% raw %}`, including the closing tag.
fn raw(text: &str) -> usize {
    let mut position = 0;
    while let Some(found) = text[position..].find("{%") {
        let start = position + found;
        let Some(length) = text[start..].find("%}") else {
            break;
        };
        if let Some((_, "endraw")) = tag(&text[start..start + length + 2]) {
            return start + length + 2;
        }
        position = start + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str =
        "with minift_generation = true %}{{ minift_generation_marks[0] }}{% if true";
    const END: &str = "endif %}{{ minift_generation_marks[1] }}{% endwith";

    #[test]
    fn generation_tags_become_with_blocks() {
        for (template, expected) in [
            (
                "a{% generation %}b{% endgeneration %}c",
                format!("a{{% {START} %}}b{{% {END} %}}c"),
            ),
            (
                "{%- generation -%}\n{%endgeneration+%}",
                format!("{{%- {START} -%}}\n{{%{END}+%}}"),
            ),
            (
                "{{ '{% generation %}' ~ {'a': {}} }}{%\tgeneration\n%}",
                format!("{{{{ '{{% generation %}}' ~ {{'a': {{}}}} }}}}{{%\t{START}\n%}}"),
            ),
        ] {
            let rewritten = rewrite(template).unwrap();
            assert_eq!(rewritten.text, expected);
            assert!(rewritten.has_generation);
        }
    }

    #[test]
    fn assignments_check_the_value() {
        for (template, expected) in [
            ("{% set a = 1, 2 %}", "{% set a =( 1, 2)|minift_kept %}"),
            (
                "é{%- set ns.a = {'%}': '='} -%}",
                "é{%- if ns %}{% endif %}{% set ns.a =( {'%}': '='})|minift_kept_in_namespace -%}",
            ),
            ("{%set  ns . a%}", "{%if ns %}{% endif %}{% set  ns . a%}"),
        ] {
            let rewritten = rewrite(template).unwrap();
            assert_eq!(rewritten.text, expected);
            assert!(!rewritten.has_generation);
        }
    }

    #[test]
    fn code_size_is_limited() {
        for code in [
            format!("{{{{ a{} }}}}", ".b".repeat(limits::TOKENS)),
            format!("{{% if {}1 %}}", "- ".repeat(limits::TOKENS)),
            "{{ ".to_string() + &"[".repeat(limits::BRACKETS + 1),
            "{% elif x %}".repeat(limits::ALTERNATIVES + 1),
        ] {
            assert_eq!(rewrite(&format!("a\n\n{code}")), Err(TooLarge { line: 3 }));
        }
        let long = format!("{{{{ '{}' + {} }}}}", "[.".repeat(9999), "a".repeat(9999));
        assert_eq!(rewrite(&long).unwrap().text, long);
    }

    #[test]
    fn raw_text_keeps_its_first_newline() {
        let rewritten = rewrite(" {% raw %}\n{% generation %}{% endraw %}").unwrap();
        assert_eq!(
            rewritten.text,
            " {% if true %}{% endif %}{{ '\\n' }}{% raw %}\n{% generation %}{% endraw %}"
        );
    }

    #[test]
    fn other_text_is_unchanged() {
        for template in [
            "generation",
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{% raw -%}\n{% set a.b = 1 %}{% endraw %}",
            "{{ \"{% generation %}\\\"{% generation %}\" }}",
            "{% if add_generation_prompt %}{% endif %}",
            "{% call x('{% generation %}') %}",
            "{% setting.x = 1 %}{% set %}{% set x %}",
            "{% set x | replace('a', 'b=c') %}",
            "{% generations %}{% generation x %}",
            "{# {% generation %}",
            "{% generation",
            "{{ 'é{%",
            "{%}",
            "{%",
        ] {
            let rewritten = rewrite(template).unwrap();
            assert_eq!(rewritten.text, template);
            assert!(!rewritten.has_generation);
        }
    }
}
