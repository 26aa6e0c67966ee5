//! Reads PEFT's `adapter_config.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::folder::{OF_MLX, is_of_mlx};
use super::patterns::Patterns;
use super::settings::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::error::{Error, Result};

/// Unsupported fields that change what an adapter computes, with the values that have no effect.
const UNSUPPORTED: [(&str, &[&str]); 9] = [
    ("layer_replication", &["[]"]),
    ("target_parameters", &["[]"]),
    ("alora_invocation_tokens", &["[]"]),
    ("use_qalora", &["false"]),
    ("use_bdlora", &["false"]),
    ("megatron_config", &[]),
    ("arrow_config", &[]),
    ("kasa_config", &[]),
    ("monteclora_config", &[]),
];

/// Values of `init_lora_weights` that leave the base model's weights as they are.
const HARMLESS_INITIALIZATIONS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// Values of `init_lora_weights`, or what they start with, that change the base model's weights; and
/// whether PEFT can convert such an adapter to one of the unchanged base model.
const CHANGING_INITIALIZATIONS: [(&str, bool); 5] = [
    ("pissa", true),
    ("olora", true),
    ("corda", true),
    ("lora_ga", true),
    ("loftq", false),
];

/// The fields of `adapter_config.json` that determine what the adapter computes.
#[derive(Deserialize)]
struct Fields {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: Option<usize>,
    lora_alpha: Option<f64>,
    lora_dropout: Option<f64>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    lora_bias: bool,
    rank_pattern: Option<Map<String, Value>>,
    alpha_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    target_modules: Names,
    #[serde(default)]
    feedforward_modules: Names,
    #[serde(default)]
    modules_to_save: Names,
    #[serde(default)]
    ensure_weight_tying: bool,
    trainable_token_indices: Option<TokenIndices>,
}

/// A list of module names; PEFT also allows a pattern, which is ignored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Other(IgnoredAny),
}

impl Default for Names {
    fn default() -> Self {
        Self::Other(IgnoredAny)
    }
}

impl Names {
    fn list(self) -> Vec<String> {
        match self {
            Self::List(mut names) => {
                // PEFT writes a set in arbitrary order.
                names.sort();
                names
            }
            Self::Other(_) => Vec::new(),
        }
    }
}

/// The tokens whose embeddings an adapter replaces.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum TokenIndices {
    /// Of the token embedding.
    OfEmbedding(Vec<usize>),
    /// Of each named module.
    OfModules(std::collections::BTreeMap<String, Vec<usize>>),
}

impl TokenIndices {
    /// Returns the tokens of a module.
    pub(super) fn of(&self, module: &str, is_embedding: bool) -> Option<&[usize]> {
        match self {
            Self::OfEmbedding(indices) => is_embedding.then_some(indices),
            Self::OfModules(modules) => {
                let mut named = modules.iter().filter(|(name, _)| module.ends_with(*name));
                named.next().map(|(_, indices)| indices.as_slice())
            }
        }
    }
}

/// A parsed `adapter_config.json`.
#[derive(Debug)]
pub(super) struct Config {
    pub settings: AdapterSettings,
    /// `base_model_name_or_path`; empty if absent.
    pub base: String,
    /// Names of the layers whose inputs IA³ scales.
    pub feed_forward: Vec<String>,
    /// Whether the B of LoRA have biases.
    pub lora_bias: bool,
    /// Names of modules that the adapter's file replaces.
    pub modules_to_save: Vec<String>,
    /// Whether replacing the embedding also replaces a tied head.
    pub ensure_weight_tying: bool,
    pub token_indices: Option<TokenIndices>,
    /// All fields, to be written again.
    pub fields: Map<String, Value>,
    ranks: Patterns<usize>,
    alphas: Patterns<f64>,
    path: PathBuf,
}

impl Config {
    /// Parses the bytes of the file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] for invalid JSON, and [`Error::Adapter`] for an unsupported adapter.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let fields: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(Error::parse(path, "a JSON object"))?;
        Self::of_fields(fields, path).map_err(|message| Error::Adapter {
            path: path.to_path_buf(),
            message,
        })
    }

    fn of_fields(json: Map<String, Value>, path: &Path) -> std::result::Result<Self, String> {
        if is_of_mlx(&json) {
            return Err(OF_MLX.to_string());
        }
        for (name, harmless) in UNSUPPORTED {
            let value = json.get(name).filter(|value| !value.is_null());
            if let Some(value) = value.filter(|value| !harmless.contains(&&*value.to_string())) {
                return Err(format!("{name} = {value} is unsupported"));
            }
        }
        if let Some(value) = json.get("init_lora_weights") {
            check_initialization(value)?;
        }
        let fields: Fields =
            Fields::deserialize(Value::Object(json.clone())).map_err(|error| error.to_string())?;
        let missing = |name: &str| format!("{name} is missing");
        let settings = match fields.peft_type.as_str() {
            "LORA" => AdapterSettings::Lora(LoraSettings {
                rank: fields.r.ok_or_else(|| missing("r"))?,
                alpha: fields.lora_alpha.ok_or_else(|| missing("lora_alpha"))?,
                rank_stabilized: fields.use_rslora,
                dropout: fields.lora_dropout.unwrap_or(0.0),
                decomposed: fields.use_dora,
                target_modules: fields.target_modules.list(),
            }),
            "IA3" => AdapterSettings::Ia3(Ia3Settings {
                target_modules: fields.target_modules.list(),
            }),
            other => {
                return Err(format!(
                    "peft_type {other} is unsupported: expected LORA or IA3"
                ));
            }
        };
        settings.validate().map_err(|error| error.to_string())?;
        let rank = |value: &Value| {
            let rank = value.as_u64().and_then(|rank| usize::try_from(rank).ok());
            rank.filter(|&rank| rank > 0)
        };
        let alpha = |value: &Value| {
            value
                .as_f64()
                .filter(|&alpha| alpha.is_finite() && alpha > 0.0)
        };
        Ok(Self {
            settings,
            base: fields.base_model_name_or_path.unwrap_or_default(),
            feed_forward: fields.feedforward_modules.list(),
            lora_bias: fields.lora_bias,
            modules_to_save: fields.modules_to_save.list(),
            ensure_weight_tying: fields.ensure_weight_tying,
            token_indices: fields.trainable_token_indices,
            fields: json,
            ranks: patterns("rank_pattern", fields.rank_pattern, rank)?,
            alphas: patterns("alpha_pattern", fields.alpha_pattern, alpha)?,
            path: path.to_path_buf(),
        })
    }

    /// Returns the rank and the scale of a LoRA update of a module.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for a pattern that takes too many steps.
    pub(super) fn rank_and_scale(&self, module: &str, lora: &LoraSettings) -> Result<(usize, f64)> {
        let fault = |message| Error::Adapter {
            path: self.path.clone(),
            message,
        };
        let rank = *self.ranks.get(module).map_err(fault)?.unwrap_or(&lora.rank);
        let alpha = *self
            .alphas
            .get(module)
            .map_err(fault)?
            .unwrap_or(&lora.alpha);
        Ok((rank, lora.scale_of(alpha, rank)))
    }
}

/// Reads a field of values by patterns, in its order.
fn patterns<T>(
    name: &str,
    field: Option<Map<String, Value>>,
    read: impl Fn(&Value) -> Option<T>,
) -> std::result::Result<Patterns<T>, String> {
    let values = field.unwrap_or_default().into_iter().map(|(key, value)| {
        let read = read(&value);
        let read =
            read.ok_or_else(|| format!("{name}.{key} is {value}: expected a number above 0"));
        read.map(|value| (key, value))
    });
    let values: Vec<(String, T)> = values.collect::<std::result::Result<_, _>>()?;
    Patterns::new(values).map_err(|message| format!("{name}: {message}"))
}

/// Refuses adapters of a base model whose weights were changed when the adapter was created: loaded onto the
/// unchanged ones they compute something else.
fn check_initialization(value: &Value) -> std::result::Result<(), String> {
    let Some(name) = value.as_str() else {
        return Ok(());
    };
    let lower = name.to_lowercase();
    if HARMLESS_INITIALIZATIONS.contains(&lower.as_str()) {
        return Ok(());
    }
    let changing = CHANGING_INITIALIZATIONS.iter();
    let Some((_, convertible)) = changing.clone().find(|(start, _)| lower.starts_with(start))
    else {
        let known: Vec<&str> = changing.map(|(name, _)| *name).collect();
        return Err(format!(
            "init_lora_weights = {value} is unknown: expected true, false, {}, or one that changes the base \
             model's weights ({})",
            HARMLESS_INITIALIZATIONS.join(", "),
            known.join(", ")
        ));
    };
    let convert = if *convertible {
        "convert it to a plain LoRA adapter with PEFT's save_pretrained(…, \
         path_initial_model_for_weight_conversion=…), or "
    } else {
        ""
    };
    Err(format!(
        "init_lora_weights = {value} changed the base model's weights, and the adapter does not contain the \
         changed ones: {convert}merge it with PEFT's merge_and_unload() into the base model that it was trained \
         with, and use the merged model"
    ))
}
