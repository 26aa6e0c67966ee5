//! `rank_pattern` and `alpha_pattern`: values of modules by patterns of their names.

use fancy_regex::Regex;

/// Values of modules by patterns of their names, in PEFT's rule: the first pattern that matches the whole
/// name, or the end of it after a dot, decides.
#[derive(Debug)]
pub(super) struct Patterns<T>(Vec<(Regex, T)>);

impl<T> Patterns<T> {
    /// Compiles Python's regular expressions.
    ///
    /// # Errors
    ///
    /// The first pattern that is none, with the reason.
    pub(super) fn new(patterns: impl IntoIterator<Item = (String, T)>) -> Result<Self, String> {
        let compiled = patterns.into_iter().map(|(pattern, value)| {
            match Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")) {
                Ok(regex) => Ok((regex, value)),
                Err(error) => Err(format!("{pattern:?} is not a regular expression: {error}")),
            }
        });
        compiled.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the value of a module.
    ///
    /// # Errors
    ///
    /// The pattern that takes too many steps.
    pub(super) fn get(&self, module: &str) -> Result<Option<&T>, String> {
        for (pattern, value) in &self.0 {
            match pattern.is_match(module) {
                Ok(true) => return Ok(Some(value)),
                Ok(false) => {}
                Err(error) => return Err(format!("{:?}: {error}", pattern.as_str())),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_first_pattern_that_matches_whole_components_decides() {
        let patterns = [
            ("q_proj", 1),
            (r"layers\.[01]\..*_proj", 2),
            ("^model.layers.2.mlp.up_proj", 3),
            ("down_proj|up_proj", 4),
        ];
        let patterns = patterns.map(|(pattern, value)| (pattern.to_string(), value));
        let patterns = Patterns::new(patterns).unwrap();
        for (module, expected) in [
            ("model.layers.0.self_attn.q_proj", Some(1)),
            ("q_proj", Some(1)),
            ("model.layers.5.self_attn.xq_proj", None),
            ("model.layers.1.self_attn.k_proj", Some(2)),
            ("model.layers.3.self_attn.k_proj", None),
            ("model.layers.2.mlp.up_proj", Some(3)),
            ("model.layers.3.mlp.up_proj", Some(4)),
            ("model.layers.3.mlp.up_proj.lora", None),
        ] {
            assert_eq!(patterns.get(module).unwrap().copied(), expected, "{module}");
        }
    }

    #[test]
    fn invalid_and_exploding_patterns_are_errors() {
        let message = Patterns::new([("(q".to_string(), 1)]).unwrap_err();
        assert!(
            message.starts_with("\"(q\" is not a regular expression"),
            "{message}"
        );
        let patterns = Patterns::new([(r"(a+)+\1b".to_string(), 1)]).unwrap();
        let message = patterns.get(&"a".repeat(60)).unwrap_err();
        assert!(message.contains("(a+)+"), "{message}");
    }
}
