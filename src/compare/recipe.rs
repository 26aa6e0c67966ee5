//! Recipes of comparisons, in TOML.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use super::options::{self, MethodEntry};
use super::source::Source;
use crate::error::{Error, Result};
use crate::model::WeightChoice;
use crate::text::{EndToken, ReadOptions};
use crate::train::table::{self, Fault};
use crate::train::{Strength, TrainOptions, TrainSettings};

/// The embedded recipe: the embedded model on the embedded texts.
const EMBEDDED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/recipes/embedded.toml"
));

/// A recipe: a model, texts, methods, budgets and seeds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Model folder or GGUF file, or `embedded`.
    #[serde(default)]
    pub model: Source,
    /// Type of the weights in memory: `auto` (as stored, the default), `float32`, `float16`, `bfloat16`, `q8_0`
    /// or `q4_0`.
    #[serde(default)]
    #[cfg_attr(all(test, feature = "cli"), schemars(with = "String"))]
    pub weights: WeightChoice,
    /// General text, which measures forgetting, or `embedded`.
    #[serde(default)]
    pub general: Source,
    /// General text for replay and elastic weight consolidation; `self` for text sampled from the
    /// untouched model.
    #[serde(default = "Source::sampled")]
    pub replay: Source,
    /// Numbers of training samples.
    pub budgets: Vec<usize>,
    /// Seeds, which determine the samples, their order and the initial weights of adapters.
    pub seeds: Vec<u64>,
    /// Max sample length in tokens; by default 256, or the model's context length if that is shorter.
    pub max_length: Option<usize>,
    /// Whether texts are followed by the end-of-sequence token: `auto` (the default) or `never`.
    #[serde(default)]
    pub end_token: EndToken,
    /// Max number of samples in each evaluation set.
    pub evaluation_samples: Option<usize>,
    /// Number of continuations of each held-out text to choose from; absent to not measure it.
    pub choices: Option<usize>,
    /// Strengths from 0, untouched, to 1, trained, at which every training is also measured.
    #[serde(default)]
    pub dial: Vec<f64>,
    /// Budgets and seeds of the sweeps, by default all.
    pub sweep: Option<Sweep>,
    /// Options shared by all methods.
    #[serde(skip)]
    pub training: TrainOptions,
    /// Texts to adapt to.
    pub domain: Vec<Domain>,
    /// The methods.
    #[serde(skip)]
    pub method: Vec<MethodEntry>,
}

/// Budgets and seeds with which methods are also run at their further strengths.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Numbers of training samples.
    pub budgets: Vec<usize>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

/// A domain to adapt to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Name in the report.
    pub name: String,
    /// The text, or `embedded`.
    pub data: Source,
    /// Held-out text of the domain, by default the last samples of `data`.
    pub held_out: Option<PathBuf>,
    /// Number of held-out samples, by default a tenth.
    pub hold_out: Option<usize>,
    /// Column or key of the text, as in [`ReadOptions`].
    pub column: Option<String>,
    /// Column or key of the prompts.
    pub prompt_column: Option<String>,
    /// Column or key of the completions.
    pub completion_column: Option<String>,
    /// Column or key of conversations.
    pub messages_column: Option<String>,
}

impl Domain {
    /// Returns how its texts are read.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            column: self.column.clone(),
            prompt_column: self.prompt_column.clone(),
            completion_column: self.completion_column.clone(),
            messages_column: self.messages_column.clone(),
            ..ReadOptions::default()
        }
    }
}

/// A method with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Name in the report.
    pub name: String,
    /// Its settings.
    pub settings: TrainSettings,
    /// Its strength.
    pub strength: Strength,
    /// Further values of its strength.
    pub sweep: Vec<f64>,
}

impl Recipe {
    /// Returns the embedded recipe.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn embedded() -> Result<Self> {
        Self::parse(EMBEDDED, Path::new("recipes/embedded.toml"))
    }

    /// Reads a recipe; relative paths in it start from its folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and as [`Self::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io("read the recipe", path))?;
        Self::parse(&text, path)
    }

    /// Parses a recipe; `path` is for messages, and its folder is where relative paths start.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] with the line and what is expected there, and for an unknown key with the most
    /// similar known one.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let fault = |fault: Fault| Error::Recipe {
            path: path.to_path_buf(),
            message: fault.in_text(text),
        };
        let mut document = DeTable::parse(text).map_err(|error| fault(error.into()))?;
        let mut take = |key| document.get_mut().remove(key);
        let (training, methods) = (take("training"), take("method"));
        let mut recipe = Self::deserialize(Deserializer::from(document))
            .map_err(|error| fault(Fault::from(error).or_keys(&["training", "method"])))?;
        if let Some(training) = training {
            recipe.training = options::training(training).map_err(fault)?;
        }
        for method in table::tables(methods).map_err(fault)? {
            recipe.method.push(options::method(method).map_err(fault)?);
        }
        recipe.check(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for domain in &mut recipe.domain {
            domain.data.resolve(folder);
            if let Some(file) = &mut domain.held_out {
                *file = folder.join(&*file);
            }
        }
        for source in [&mut recipe.model, &mut recipe.general, &mut recipe.replay] {
            source.resolve(folder);
        }
        Ok(recipe)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let fault = |message: String| {
            Err(Error::Recipe {
                path: path.to_path_buf(),
                message,
            })
        };
        let sweep = self.sweep.as_ref();
        for (name, empty) in [
            ("budgets", self.budgets.is_empty()),
            ("seeds", self.seeds.is_empty()),
            ("domain", self.domain.is_empty()),
            ("method", self.method.is_empty()),
            (
                "sweep.budgets",
                sweep.is_some_and(|sweep| sweep.budgets.is_empty()),
            ),
            (
                "sweep.seeds",
                sweep.is_some_and(|sweep| sweep.seeds.is_empty()),
            ),
        ] {
            if empty {
                return fault(format!("{name} is empty: expected at least one"));
            }
        }
        let budgets = self.budgets.iter();
        let mut budgets = budgets.chain(sweep.iter().flat_map(|sweep| &sweep.budgets));
        if budgets.any(|&budget| budget == 0) {
            return fault("a budget is 0: expected 1 sample or more".to_string());
        }
        if self.evaluation_samples == Some(0) {
            return fault("evaluation_samples is 0: expected 1 or more".to_string());
        }
        if let Some(choices @ (0 | 1)) = self.choices {
            return fault(format!("choices is {choices}: expected 2 or more"));
        }
        if let Some(weight) = self
            .dial
            .iter()
            .find(|weight| !(0.0..=1.0).contains(*weight))
        {
            return fault(format!("dial has {weight}: expected strengths from 0 to 1"));
        }
        for (source, name) in [(&self.model, "model"), (&self.general, "general")] {
            if *source == Source::Model {
                return fault(format!(
                    "{name} = \"self\": expected \"embedded\" or a path"
                ));
            }
        }
        let mut names = HashSet::new();
        for domain in &self.domain {
            if !names.insert(("domain", &domain.name)) {
                return fault(format!("two domains are called {:?}", domain.name));
            }
            if domain.data == Source::Model {
                let name = &domain.name;
                return fault(format!(
                    "domain {name:?} = \"self\": expected \"embedded\" or a file"
                ));
            }
            if domain.held_out.is_some() && domain.hold_out.is_some() {
                let name = &domain.name;
                return fault(format!(
                    "domain {name:?} has held_out and hold_out: expected one"
                ));
            }
        }
        for entry in &self.method {
            if !names.insert(("method", &entry.name)) {
                return fault(format!("two methods are called {:?}", entry.name));
            }
        }
        self.methods(path).map(|_| ())
    }

    /// Returns the methods with their settings; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] for options that have no effect or are out of range.
    pub fn methods(&self, path: &Path) -> Result<Vec<Method>> {
        self.method
            .iter()
            .map(|entry| {
                let in_recipe = |error: Error| Error::Recipe {
                    path: path.to_path_buf(),
                    message: format!("method {:?}: {error}", entry.name),
                };
                let options = entry.options.clone().or(&self.training);
                if options.target.method.is_none() {
                    return Err(in_recipe(Error::setting(
                        "method",
                        "missing",
                        "such as mft",
                    )));
                }
                let settings = options.settings().map_err(in_recipe)?;
                let strength = options.strength();
                for &value in &entry.sweep {
                    let with = strength.with(&settings, value);
                    with.validate().map_err(in_recipe)?;
                }
                Ok(Method {
                    name: entry.name.clone(),
                    settings,
                    strength,
                    sweep: entry.sweep.clone(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::distillation::Objective;

    const MINIMAL: &str = r#"
budgets = [10]
seeds = [0]
[[domain]]
name = "a"
data = "a.txt"
[[method]]
name = "FT"
method = "ft"
"#;

    fn message(text: &str) -> String {
        match Recipe::parse(text, Path::new("folder/r.toml")) {
            Err(Error::Recipe { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn absent_settings_have_defaults_and_paths_are_relative_to_the_recipe() {
        let recipe = Recipe::parse(MINIMAL, Path::new("folder/r.toml")).unwrap();
        assert_eq!(recipe.model, Source::Embedded);
        assert_eq!(recipe.weights, WeightChoice::Auto);
        assert_eq!(recipe.replay, Source::Model);
        assert_eq!(recipe.domain[0].data, Source::Path("folder/a.txt".into()));
        let methods = recipe.methods(Path::new("")).unwrap();
        let expected = TrainSettings::default().with_objective(Objective::finetuning());
        assert_eq!(methods[0].settings, expected);
        assert!(Recipe::embedded().is_ok());
    }

    #[test]
    fn faults_are_reported_with_line_and_suggestion() {
        let changed = |from: &str, to: &str| message(&MINIMAL.replace(from, to));
        for (from, to, fragments) in [
            (
                "seeds",
                "sedes",
                &["line 3", "sedes", "did you mean seeds?"][..],
            ),
            (
                "method = \"ft\"",
                "method = \"mft\"\ntua = 0.5",
                &["line 10", "tua", "did you mean tau?"],
            ),
            (
                "method = \"ft\"",
                "method = \"lora\"",
                &["line 9", "lora", "mft"],
            ),
            ("[10]", "[]", &["budgets is empty"]),
            ("[10]", "[0]", &["1 sample or more"]),
            ("[10]", "[10]\nchoices = 1", &["choices is 1: expected 2"]),
            (
                "[10]",
                "[10]\ndial = [0.5, 1.5]",
                &["dial has 1.5: expected"],
            ),
            ("[10]", "10", &["line 2", "invalid type"]),
            ("[10]", "[10", &["line"]),
            (
                "method = \"ft\"",
                "method = \"ft\"\ntau = 0.5",
                &["\"FT\"", "tau", "minifinetuning"],
            ),
            (
                "method = \"ft\"",
                "method = \"ft\"\nreplay_ratio = 1.0",
                &["replay_ratio: 1"],
            ),
            (
                "method = \"ft\"",
                "method = \"mft\"\nsweep = [2.0]",
                &["tau: 2"],
            ),
            (
                "method = \"ft\"",
                "method = \"ft\"\nrank = 4",
                &["rank", "adapter"],
            ),
        ] {
            let message = changed(from, to);
            for fragment in fragments {
                assert!(message.contains(fragment), "{fragment:?} in {message:?}");
            }
        }
        let twice = format!("{MINIMAL}[[method]]\nname = \"FT\"\nmethod = \"mft\"\n");
        assert!(message(&twice).contains("two methods are called"));
    }
}
