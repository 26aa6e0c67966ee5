//! Adapters as Python's PEFT has them: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::{Adapter, AdapterSettings, Ia3Settings, Layout, LoraSettings, Role, is_named};
use crate::error::{Error, Result};
use crate::model::weights::{self, NamedTensor, Naming};
use crate::model::{Decoder, ParameterSpec};

/// Names of the files of an adapter's folder.
pub const CONFIG: &str = "adapter_config.json";
/// See [`CONFIG`].
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of a causal language model's modules.
const PREFIX: &str = "base_model.model.";

/// The fields of `adapter_config.json` that say how its values are used.
#[derive(Deserialize)]
struct Config {
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
    target_modules: Names,
    #[serde(default)]
    feedforward_modules: Names,
}

/// A list of module names, or a pattern or nothing in its place.
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
                // PEFT writes a set, whose order is another each time.
                names.sort();
                names
            }
            Self::Other(_) => Vec::new(),
        }
    }
}

/// Fields that change what an adapter computes, with the values that change nothing.
const UNSUPPORTED: [(&str, &[&str]); 11] = [
    ("bias", &["\"none\""]),
    ("modules_to_save", &["[]"]),
    ("alpha_pattern", &["{}"]),
    ("layer_replication", &["[]"]),
    ("lora_bias", &["false"]),
    ("trainable_token_indices", &["[]"]),
    ("target_parameters", &["[]"]),
    ("alora_invocation_tokens", &["[]"]),
    ("use_qalora", &["false"]),
    ("use_bdlora", &["false"]),
    ("megatron_config", &[]),
];

impl Adapter {
    /// An adapter from the bytes of its two files, for a decoder on a device; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for another kind of adapter or one of another base, and the errors of a
    /// weights file.
    pub fn from_peft(
        config: &[u8],
        values: &[u8],
        folder: &Path,
        decoder: &Decoder,
        device: &burn::tensor::Device,
    ) -> Result<Self> {
        let fault = |file: &str, message: String| Error::Adapter {
            path: folder.join(file),
            message,
        };
        let fields: Map<String, Value> = serde_json::from_slice(config)
            .map_err(|error| fault(CONFIG, format!("not a JSON object: {error}")))?;
        for (name, harmless) in UNSUPPORTED {
            let value = fields.get(name).filter(|value| !value.is_null());
            if let Some(value) = value.filter(|value| !harmless.contains(&&*value.to_string())) {
                return Err(fault(CONFIG, format!("{name} = {value} is not supported")));
            }
        }
        let config: Config = serde_json::from_value(Value::Object(fields))
            .map_err(|error| fault(CONFIG, error.to_string()))?;
        let base = config.base_model_name_or_path.clone().unwrap_or_default();
        let missing = |name: &str| fault(CONFIG, format!("{name} is missing"));
        let mut feed_forward = Vec::new();
        let settings = match config.peft_type.as_str() {
            "LORA" => AdapterSettings::Lora(LoraSettings {
                rank: config.r.ok_or_else(|| missing("r"))?,
                alpha: config.lora_alpha.ok_or_else(|| missing("lora_alpha"))?,
                rank_stabilized: config.use_rslora,
                dropout: config.lora_dropout.unwrap_or(0.0),
                decomposed: config.use_dora,
                target_modules: config.target_modules.list(),
            }),
            "IA3" => {
                feed_forward = config.feedforward_modules.list();
                AdapterSettings::Ia3(Ia3Settings {
                    target_modules: config.target_modules.list(),
                })
            }
            other => {
                let message = format!("peft_type {other} is not supported: LORA and IA3 are");
                return Err(fault(CONFIG, message));
            }
        };
        settings
            .validate()
            .map_err(|error| fault(CONFIG, error.to_string()))?;

        let file = SafeTensors::deserialize(values)
            .map_err(|error| fault(WEIGHTS, format!("not a whole safetensors file: {error}")))?;
        // Which layers are adapted, and by which rank, is what the file holds.
        let mut ranks: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, tensor) in file.iter() {
            let module = name.strip_prefix(PREFIX).and_then(|name| {
                let first = [".lora_A.weight", ".ia3_l"];
                first.iter().find_map(|ending| name.strip_suffix(ending))
            });
            if let Some(module) = module {
                ranks.insert(module, tensor.shape().first().copied().unwrap_or(0));
            }
        }
        let layers = decoder.linear_layers();
        let known: HashSet<&str> = layers.iter().map(|layer| layer.module.as_str()).collect();
        if ranks.is_empty() || !ranks.keys().all(|module| known.contains(module)) {
            let stranger = ranks.keys().find(|module| !known.contains(*module));
            let message = match stranger {
                Some(module) => format!(
                    "it adapts {module}, which this model does not have: it belongs to another \
                     base ({base})"
                ),
                None => "it holds no values of an adapter".to_string(),
            };
            return Err(fault(WEIGHTS, message));
        }
        let mut layout = Layout::empty(settings, &base);
        for layer in layers {
            match ranks.get(layer.module.as_str()) {
                Some(&rank) => {
                    let named = |name: &String| is_named(&layer.module, name);
                    let on_inputs = feed_forward.iter().any(named);
                    layout.add_layer(layer, rank, on_inputs);
                }
                None => layout.others.push(layer.module),
            }
        }
        let specs: Vec<ParameterSpec> = layout.specs.iter().map(prefixed).collect();
        let path = folder.join(WEIGHTS);
        let values = weights::read_parameters(
            &[(path.clone(), values)],
            &path,
            &specs,
            &Naming::EXACT,
            device,
        );
        let values = values.map_err(|error| match error {
            Error::TensorShape {
                name,
                expected,
                found,
                ..
            } => fault(
                WEIGHTS,
                format!(
                    "tensor {name} has shape {found:?}, but for this model it is {expected:?}: the \
                     adapter belongs to another base ({base})"
                ),
            ),
            error => error,
        })?;
        Ok(Self {
            layout: Arc::new(layout),
            values,
        })
    }

    /// Names and bytes of its two files, which PEFT loads.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the device fails.
    pub async fn to_peft(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let specs: Vec<ParameterSpec> = self.parameters().iter().map(prefixed).collect();
        let tensors = NamedTensor::list(&specs, self.values());
        let values = weights::to_bytes(tensors, weights::pytorch_metadata()).await?;
        let config =
            serde_json::to_vec_pretty(&self.config()).expect("a JSON object can always be written");
        Ok(vec![
            (CONFIG.to_string(), config),
            (WEIGHTS.to_string(), values),
        ])
    }

    fn config(&self) -> Value {
        let layout = &self.layout;
        let common = json!({
            "auto_mapping": null,
            "base_model_name_or_path": layout.base,
            // Whether the model's own weights are [in, out]; the adapter's are the same either way.
            "fan_in_fan_out": layout.layers.iter().any(|layer| layer.transposed),
            "inference_mode": true,
            "modules_to_save": null,
            "revision": null,
            "target_modules": layout.names(|_| true),
            "task_type": "CAUSAL_LM",
        });
        let own = match &layout.settings {
            AdapterSettings::Lora(lora) => json!({
                "alpha_pattern": {},
                "bias": "none",
                "init_lora_weights": true,
                "layers_pattern": null,
                "layers_to_transform": null,
                "lora_alpha": whole_where_it_is(lora.alpha),
                "lora_dropout": lora.dropout,
                "peft_type": "LORA",
                "r": lora.rank,
                "rank_pattern": layout.other_ranks(lora.rank),
                "use_dora": lora.decomposed,
                "use_rslora": lora.rank_stabilized,
            }),
            AdapterSettings::Ia3(_) => json!({
                "feedforward_modules": layout.names(|role| matches!(role, Role::ScaleInput(_))),
                "init_ia3_weights": true,
                "peft_type": "IA3",
            }),
        };
        let fields = [common, own].into_iter().filter_map(|part| match part {
            Value::Object(fields) => Some(fields),
            _ => None,
        });
        let sorted: BTreeMap<String, Value> = fields.flatten().collect();
        json!(sorted)
    }
}

/// PEFT counts in whole numbers where it can.
fn whole_where_it_is(number: f64) -> Value {
    /// Above it a whole number may be another one as an integer.
    const LARGEST: f64 = (1_u64 << 53) as f64;
    if number.fract() == 0.0 && number.abs() <= LARGEST {
        json!(number as i64)
    } else {
        json!(number)
    }
}

fn prefixed(spec: &ParameterSpec) -> ParameterSpec {
    ParameterSpec {
        name: format!("{PREFIX}{}", spec.name),
        shape: spec.shape.clone(),
    }
}
