//! Recipes: what is compared on what, in TOML.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::error::{Error, Result};
use crate::objective::{DEFAULT_TAU, Objective, Scope};
use crate::train::{Schedule, Strength, TrainSettings};

/// The recipe that is part of the program: the embedded model on the embedded texts.
const EMBEDDED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/recipes/embedded.toml"
));

/// Where a model or a text comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Source {
    /// It is part of the program.
    Embedded,
    /// The untouched model writes it.
    Model,
    /// A file or folder.
    Path(PathBuf),
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        match text.as_str() {
            "embedded" => Self::Embedded,
            "self" => Self::Model,
            _ => Self::Path(PathBuf::from(text)),
        }
    }
}

/// What is compared on what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Model folder, or `embedded`.
    #[serde(default = "embedded")]
    pub model: Source,
    /// Text that measures what is forgotten, or `embedded`.
    #[serde(default = "embedded")]
    pub general: Source,
    /// General text for replay and elastic weight consolidation; `self` for text that the untouched
    /// model writes.
    #[serde(default = "by_the_model")]
    pub replay: Source,
    /// Samples to train on.
    pub budgets: Vec<usize>,
    /// Each draws samples, their order and an adapter's first values anew.
    pub seeds: Vec<u64>,
    /// Samples are cut to so many tokens; 256, or the model's greatest length, where it is not given.
    pub max_length: Option<usize>,
    /// At most so many samples of each text measure a model.
    pub evaluation_samples: Option<usize>,
    /// Where methods are tried with other strengths: everywhere, if it is not given.
    pub sweep: Option<Sweep>,
    /// What all trainings share.
    #[serde(default)]
    pub training: Training,
    /// Texts to adapt to.
    pub domain: Vec<Domain>,
    /// The methods.
    pub method: Vec<MethodEntry>,
}

/// Where methods are tried with other strengths.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Samples to train on.
    pub budgets: Vec<usize>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

/// Settings that all trainings share, as [`TrainSettings`] has them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    epochs: Option<usize>,
    batch_size: Option<usize>,
    gradient_accumulation: Option<usize>,
    warmup_steps: Option<usize>,
    schedule: Option<Schedule>,
    weight_decay: Option<f64>,
    gradient_clip: Option<f64>,
}

/// A text to adapt to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// What the report calls it.
    pub name: String,
    /// The text, or `embedded`.
    pub data: Source,
    /// Text of the same domain that is held out; where it is not given, the last samples of `data`
    /// are.
    pub held_out: Option<PathBuf>,
    /// How many those are; a tenth where it is not given.
    pub hold_out: Option<usize>,
}

/// The kind of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodKind {
    /// Plain finetuning.
    Ft,
    /// Minifinetuning.
    Mft,
    /// A constant mixture.
    Constant,
}

/// The kind of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// LoRA.
    Lora,
    /// DoRA.
    Dora,
    /// IA³.
    Ia3,
}

/// A method and the strengths it is tried with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodEntry {
    /// What the report calls it.
    pub name: String,
    method: MethodKind,
    tau: Option<f32>,
    scope: Option<Scope>,
    alpha: Option<f32>,
    temperature: Option<f32>,
    adapter: Option<AdapterKind>,
    rank: Option<usize>,
    lora_alpha: Option<f64>,
    rslora: Option<bool>,
    dropout: Option<f64>,
    target_modules: Option<Vec<String>>,
    lr: Option<f64>,
    ewc: Option<f64>,
    replay_ratio: Option<f64>,
    /// Other values of its strength: of `tau`, `alpha`, `ewc`, `replay_ratio` or `lr`, whichever it
    /// has first.
    #[serde(default)]
    pub sweep: Vec<f64>,
}

/// A method as it is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// What the report calls it.
    pub name: String,
    /// Its settings.
    pub settings: TrainSettings,
    /// What its strength is.
    pub strength: Strength,
    /// Other values of that.
    pub sweep: Vec<f64>,
}

fn embedded() -> Source {
    Source::Embedded
}

fn by_the_model() -> Source {
    Source::Model
}

impl Recipe {
    /// The recipe that is part of the program.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn embedded() -> Result<Self> {
        Self::parse(EMBEDDED, Path::new("recipes/embedded.toml"))
    }

    /// Reads a recipe; its paths count from the folder that it is in.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read the recipe", path))?;
        Self::parse(&text, path)
    }

    /// A recipe out of its text.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] with the line and what is expected there; for an unknown key with the nearest
    /// of the known ones.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut recipe: Self = toml::from_str(text).map_err(|error| fault(path, text, &error))?;
        recipe.check(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for domain in &mut recipe.domain {
            domain.data.count_from(folder);
            if let Some(file) = &mut domain.held_out {
                *file = folder.join(&*file);
            }
        }
        for source in [&mut recipe.model, &mut recipe.general, &mut recipe.replay] {
            source.count_from(folder);
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

    /// The methods as they are trained; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] for settings that do not fit together or are out of range.
    pub fn methods(&self, path: &Path) -> Result<Vec<Method>> {
        self.method
            .iter()
            .map(|entry| {
                let in_recipe = |error: Error| Error::Recipe {
                    path: path.to_path_buf(),
                    message: format!("method {:?}: {error}", entry.name),
                };
                let settings = entry.settings(&self.training).map_err(in_recipe)?;
                let strength = entry.strength();
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

impl Source {
    fn count_from(&mut self, folder: &Path) {
        if let Self::Path(path) = self {
            *path = folder.join(&*path);
        }
    }
}

impl MethodEntry {
    /// By the keys that are given, whatever their values are.
    fn strength(&self) -> Strength {
        match self.method {
            MethodKind::Mft => Strength::Tau,
            MethodKind::Constant => Strength::Alpha,
            MethodKind::Ft if self.ewc.is_some() => Strength::Ewc,
            MethodKind::Ft if self.replay_ratio.is_some() => Strength::ReplayRatio,
            MethodKind::Ft => Strength::LearningRate,
        }
    }

    fn settings(&self, training: &Training) -> Result<TrainSettings> {
        self.check_keys()?;
        let objective = match self.method {
            MethodKind::Ft => Objective::finetuning(),
            MethodKind::Mft => Objective {
                scope: self.scope.unwrap_or_default(),
                ..Objective::minifinetuning(self.tau.unwrap_or(DEFAULT_TAU))
            },
            MethodKind::Constant => match self.alpha {
                Some(alpha) => Objective::constant_mixture(alpha),
                None => return Err(Error::setting("alpha", "missing", "a number from 0 to 1")),
            },
        };
        let adapter = self.adapter();
        let usual = TrainSettings::default();
        let learning_rate = self.lr.unwrap_or_else(|| {
            let of_adapter = adapter.as_ref().map(AdapterSettings::learning_rate);
            of_adapter.unwrap_or(usual.learning_rate)
        });
        let settings = TrainSettings {
            objective: Objective {
                temperature: self.temperature.unwrap_or(objective.temperature),
                ..objective
            },
            adapter,
            learning_rate,
            replay_ratio: self.replay_ratio.unwrap_or(0.0),
            ewc: self.ewc.unwrap_or(0.0),
            epochs: training.epochs.unwrap_or(usual.epochs),
            batch_size: training.batch_size.unwrap_or(usual.batch_size),
            gradient_accumulation: training
                .gradient_accumulation
                .unwrap_or(usual.gradient_accumulation),
            warmup_steps: training.warmup_steps.unwrap_or(usual.warmup_steps),
            schedule: training.schedule.unwrap_or(usual.schedule),
            weight_decay: training.weight_decay.unwrap_or(usual.weight_decay),
            gradient_clip: training.gradient_clip.unwrap_or(usual.gradient_clip),
            ..usual
        };
        settings.validate()?;
        Ok(settings)
    }

    /// Keys that do nothing with this method are mistakes.
    fn check_keys(&self) -> Result<()> {
        let low_rank = matches!(self.adapter, Some(AdapterKind::Lora | AdapterKind::Dora));
        let kind = |wanted| self.method == wanted;
        let given = [
            ("tau", self.tau.is_some(), kind(MethodKind::Mft), "mft"),
            ("scope", self.scope.is_some(), kind(MethodKind::Mft), "mft"),
            (
                "alpha",
                self.alpha.is_some(),
                kind(MethodKind::Constant),
                "constant (LoRA's is lora_alpha)",
            ),
            ("rank", self.rank.is_some(), low_rank, ""),
            ("lora_alpha", self.lora_alpha.is_some(), low_rank, ""),
            ("rslora", self.rslora.is_some(), low_rank, ""),
            ("dropout", self.dropout.is_some(), low_rank, ""),
            (
                "target_modules",
                self.target_modules.is_some(),
                self.adapter.is_some(),
                "",
            ),
        ];
        match given
            .into_iter()
            .find(|&(_, given, fits, _)| given && !fits)
        {
            None => Ok(()),
            Some((name, _, _, "")) => {
                let expected = "none without such an adapter";
                Err(Error::setting(name, "given", expected))
            }
            Some((name, _, _, method)) => {
                let expected = format!("none but with method {method}");
                Err(Error::setting(name, "given", expected))
            }
        }
    }

    fn adapter(&self) -> Option<AdapterSettings> {
        let target_modules = self.target_modules.clone().unwrap_or_default();
        let usual = LoraSettings::default();
        Some(match self.adapter? {
            AdapterKind::Ia3 => AdapterSettings::Ia3(Ia3Settings { target_modules }),
            kind => AdapterSettings::Lora(LoraSettings {
                rank: self.rank.unwrap_or(usual.rank),
                alpha: self.lora_alpha.unwrap_or(usual.alpha),
                rank_stabilized: self.rslora.unwrap_or(usual.rank_stabilized),
                dropout: self.dropout.unwrap_or(usual.dropout),
                decomposed: kind == AdapterKind::Dora,
                target_modules,
            }),
        })
    }
}

/// What the parser did not understand, with line and advice.
fn fault(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or(text);
        before.matches('\n').count() + 1
    });
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    let message = error.message().trim();
    let advice =
        nearest_key(message).map_or_else(String::new, |key| format!("; did you mean {key}?"));
    Error::Recipe {
        path: path.to_path_buf(),
        message: format!("{place}{message}{advice}"),
    }
}

/// The known key nearest to the unknown one in serde's message "unknown field `a`, expected one of
/// `b`, `c`"; the message is the only place that has both.
fn nearest_key(message: &str) -> Option<&str> {
    let mut quoted = message
        .starts_with("unknown field")
        .then(|| message.split('`').skip(1).step_by(2))?;
    let unknown = quoted.next()?;
    let distance = |key: &&str| strsim::damerau_levenshtein(unknown, key);
    quoted
        .min_by_key(distance)
        .filter(|key| distance(key) <= key.len().max(unknown.len()) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_not_given_is_usual_and_paths_count_from_the_recipe() {
        let recipe = Recipe::parse(MINIMAL, Path::new("folder/r.toml")).unwrap();
        assert_eq!(recipe.model, Source::Embedded);
        assert_eq!(recipe.replay, Source::Model);
        assert_eq!(recipe.domain[0].data, Source::Path("folder/a.txt".into()));
        let methods = recipe.methods(Path::new("")).unwrap();
        let expected = TrainSettings {
            objective: Objective::finetuning(),
            ..TrainSettings::default()
        };
        assert_eq!(methods[0].settings, expected);
        assert!(Recipe::embedded().is_ok());
    }

    #[test]
    fn a_strength_is_what_is_given_whatever_its_value() {
        for (method, strength) in [
            ("\"mft\"\ntau = 1.0", Strength::Tau),
            ("\"constant\"\nalpha = 1.0", Strength::Alpha),
            ("\"ft\"\newc = 0.0", Strength::Ewc),
            ("\"ft\"\nreplay_ratio = 0.0", Strength::ReplayRatio),
            ("\"ft\"\nlr = 1e-4", Strength::LearningRate),
        ] {
            let recipe = MINIMAL.replace("\"ft\"", method);
            let recipe = Recipe::parse(&recipe, Path::new("")).unwrap();
            assert_eq!(recipe.methods(Path::new("")).unwrap()[0].strength, strength);
        }
    }

    #[test]
    fn mistakes_are_told_with_line_and_advice() {
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
            ("[10]", "10", &["line 2", "invalid type"]),
            ("[10]", "[10", &["line"]),
            (
                "method = \"ft\"",
                "method = \"ft\"\ntau = 0.5",
                &["\"FT\"", "tau", "mft"],
            ),
            (
                "method = \"ft\"",
                "method = \"ft\"\nreplay_ratio = 1.0",
                &["replay-ratio = 1"],
            ),
            (
                "method = \"ft\"",
                "method = \"mft\"\nsweep = [2.0]",
                &["tau = 2"],
            ),
            (
                "method = \"ft\"",
                "method = \"ft\"\nrank = 4",
                &["rank", "adapter"],
            ),
            ("method = \"ft\"", "method = \"constant\"", &["alpha"]),
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
