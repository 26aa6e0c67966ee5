//! Reads and writes adapters in the format of Python's PEFT: `adapter_config.json` and
//! `adapter_model.safetensors`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};

use super::Adapter;
use super::config::Config;
use super::contents::{Contents, PREFIX, Replacement};
use super::folder::{CONFIG, WEIGHTS};
use super::layout::{Addition, Layout, Role, is_named};
use super::settings::{AdapterSettings, LoraSettings};
use super::weights::{Embeddings, missing_modules, replaced};
use crate::error::{Error, Result};
use crate::kernels::packed::Weight;
use crate::model::weights::{self, NamedTensor, Naming};
use crate::model::{Decoder, LinearLayer, ParameterSpec, Parameters};

/// What the files of a loaded adapter contain besides its own parameters, to be saved again.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    /// The fields of the configuration.
    fields: Map<String, Value>,
    /// Tensors that replace weights of the base model.
    replacements: Vec<(Replacement, Tensor<2>)>,
}

impl Saved {
    /// Returns whether any tensor replaces one of the base model.
    pub(super) fn replaces(&self) -> bool {
        !self.replacements.is_empty()
    }

    /// Returns the same with the scales of a layout.
    pub(super) fn with_scales_of(&self, layout: &Layout) -> Self {
        let mut saved = self.clone();
        if let AdapterSettings::Lora(lora) = &layout.settings {
            let fields = &mut saved.fields;
            fields.insert("lora_alpha".to_string(), integer_if_whole(lora.alpha));
            fields.insert("alpha_pattern".to_string(), alpha_pattern(layout, lora));
        }
        saved
    }
}

/// The opened files of an adapter.
pub(crate) struct PeftFile<'a> {
    config: Config,
    contents: Contents,
    values: &'a [u8],
    folder: &'a Path,
}

impl<'a> PeftFile<'a> {
    /// Opens the bytes of the two files of an adapter of a base model; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for an unsupported adapter, and [`Error::Parse`] for damaged files.
    pub(crate) fn open(
        config: &[u8],
        values: &'a [u8],
        folder: &'a Path,
        decoder: &Decoder,
    ) -> Result<Self> {
        let config = Config::parse(config, &folder.join(CONFIG))?;
        let path = folder.join(WEIGHTS);
        let file = weights::open(values, &path)?;
        let layers = decoder.linear_layers();
        let head = layers
            .iter()
            .map(|layer| format!("{}.weight", layer.module));
        let specs = decoder.parameters().iter().map(|spec| spec.name.clone());
        let known: HashSet<String> = specs.chain(head).collect();
        let contents = Contents::of(&file, |name| known.contains(name), &config.base, &path)?;
        let opened = Self {
            config,
            contents,
            values,
            folder,
        };
        let has = |module: &String| layers.iter().any(|layer| layer.module == *module);
        if let Some(module) = opened.contents.modules.keys().find(|module| !has(module)) {
            let base = &opened.config.base;
            return Err(opened.fault(format!(
                "it adapts {module}, which this model does not have: it belongs to another base model ({base})"
            )));
        }
        if let Some(module) = missing_modules(&opened.contents, &opened.config).first() {
            let message =
                format!("modules_to_save names {module}, but the file has no such weights");
            return Err(opened.fault(message));
        }
        Ok(opened)
    }

    fn fault(&self, message: String) -> Error {
        Error::Adapter {
            path: self.folder.join(WEIGHTS),
            message,
        }
    }

    /// Returns how the base model's embeddings have to be for the adapter.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for contradicting sizes.
    pub(crate) fn embeddings(&self, decoder: &Decoder) -> Result<Embeddings> {
        let needed = Embeddings::needed(&self.contents, &self.config, decoder);
        needed.map_err(|message| self.fault(message))
    }

    /// Reads the adapter of a decoder with [`Self::embeddings`].
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for one of another base model, and the errors of a weights file.
    pub(crate) fn adapter(
        &self,
        decoder: &Decoder,
        device: &burn::tensor::Device,
    ) -> Result<Adapter> {
        let mut layout = Layout::empty(self.config.settings.clone(), &self.config.base);
        for layer in decoder.linear_layers() {
            match self.contents.modules.get(&layer.module) {
                Some(&rank) => {
                    let addition = self.addition(&layer, rank)?;
                    layout.add_layer(layer, addition);
                }
                None => layout.others.push(layer.module),
            }
        }
        let specs: Vec<ParameterSpec> = layout.specs.iter().map(prefixed).collect();
        let replacements = &self.contents.replacements;
        let others: HashSet<&str> = replacements.iter().map(|other| &*other.spec.name).collect();
        let values = self.read(&specs, &|name| others.contains(name), device)?;
        let shapes = replacements.iter().map(|other| other.spec.clone());
        let shapes: Vec<ParameterSpec> = shapes.collect();
        if let Some(spec) = shapes
            .iter()
            .find(|spec| !(1..=2).contains(&spec.shape.len()))
        {
            let message = format!(
                "tensor {} has shape {:?}: expected one or two dimensions",
                spec.name, spec.shape
            );
            return Err(self.fault(message));
        }
        let replacing = self.read(&shapes, &|_| true, device)?;
        Ok(Adapter {
            layout: Arc::new(layout),
            values,
            saved: Some(Arc::new(Saved {
                fields: self.config.fields.clone(),
                replacements: replacements.iter().cloned().zip(replacing).collect(),
            })),
        })
    }

    /// Returns what the adapter adds to a layer, whose update has that rank in the file.
    fn addition(&self, layer: &LinearLayer, found: usize) -> Result<Addition> {
        let module = &layer.module;
        let (rank, scale) = match &self.config.settings {
            AdapterSettings::Lora(lora) => self.config.rank_and_scale(module, lora)?,
            AdapterSettings::Ia3(_) => (found, 1.0),
        };
        if rank != found {
            return Err(self.fault(format!(
                "the update of {module} has rank {found}: expected {rank} from r and rank_pattern in {CONFIG}; the two files do not belong together"
            )));
        }
        let is_embedding = layer.role == crate::model::LinearRole::Embedding;
        let mut feed_forward = self.config.feed_forward.iter();
        Ok(Addition {
            rank,
            scale,
            bias: self.config.lora_bias && !is_embedding,
            on_inputs: feed_forward.any(|name| is_named(module, name)),
        })
    }

    fn read(
        &self,
        specs: &[ParameterSpec],
        may_ignore: &dyn Fn(&str) -> bool,
        device: &burn::tensor::Device,
    ) -> Result<Parameters> {
        let path = self.folder.join(WEIGHTS);
        let naming = Naming::exact(may_ignore);
        let files = [(path.clone(), self.values)];
        let values = weights::read_parameters(&files, &path, specs, &naming, device);
        values.map_err(|error| match error {
            Error::TensorShape {
                name,
                expected,
                found,
                ..
            } => self.fault(format!(
                "tensor {name} has shape {found:?}: expected {expected:?}; the adapter belongs to another base \
                 model ({})",
                self.config.base
            )),
            error => error,
        })
    }

    /// Returns the parameters of a decoder with those that the adapter replaces, or `None` if it replaces
    /// none. `was_tied`: whether the base model's embedding and head are tied.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for weights that do not fit the model.
    pub(crate) fn replaced(
        &self,
        adapter: &Adapter,
        decoder: &Decoder,
        was_tied: bool,
        parameters: &[Weight],
    ) -> Result<Option<Vec<Weight>>> {
        let Some(saved) = adapter
            .saved
            .as_ref()
            .filter(|saved| !saved.replacements.is_empty())
        else {
            return Ok(None);
        };
        replaced(
            &saved.replacements,
            &self.config,
            decoder,
            was_tied,
            parameters,
        )
        .map(Some)
        .map_err(|message| self.fault(message))
    }
}

impl Adapter {
    /// Loads an adapter from the bytes of its two files onto a device; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for an unsupported adapter, one of another base model, and one that replaces weights
    /// of the base model, which only
    /// [`CausalLm::with_adapter`](crate::model::CausalLm::with_adapter) can; and the errors of a weights file.
    pub fn from_peft(
        config: &[u8],
        values: &[u8],
        folder: &Path,
        decoder: &Decoder,
        device: &burn::tensor::Device,
    ) -> Result<Self> {
        let file = PeftFile::open(config, values, folder, decoder)?;
        if file.embeddings(decoder)? != Embeddings::of(decoder)
            || !file.contents.replacements.is_empty()
        {
            let message =
                "replaces weights of its base model: expected only an adapter's own parameters";
            return Err(file.fault(message.to_string()));
        }
        file.adapter(decoder, device)
    }

    /// Returns names and bytes of the adapter's two files. A loaded adapter keeps the fields of its
    /// configuration, and the weights that replace some of its base model.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the device fails.
    pub async fn to_peft(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let specs: Vec<ParameterSpec> = self.parameters().iter().map(prefixed).collect();
        let mut tensors = NamedTensor::list(&specs, self.values());
        let mut config = self.config();
        if let Some(saved) = &self.saved {
            config = Value::Object(saved.fields.clone());
            let replacements = saved.replacements.iter();
            tensors.extend(replacements.map(|(replaced, values)| NamedTensor {
                name: replaced.spec.name.clone(),
                shape: &replaced.spec.shape,
                values: values.into(),
            }));
        }
        let values = weights::to_bytes(tensors, weights::pytorch_metadata()).await?;
        let config = serde_json::to_vec_pretty(&config).expect("a JSON object serializes");
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
            // Whether the base weights are [in, out]; the adapter's are stored the same either way.
            "fan_in_fan_out": layout.layers.iter().any(|layer| layer.transposed && !layer.is_embedding),
            "inference_mode": true,
            "modules_to_save": null,
            "revision": null,
            "target_modules": layout.names(|_| true),
            "task_type": "CAUSAL_LM",
        });
        let own = match &layout.settings {
            AdapterSettings::Lora(lora) => json!({
                "alpha_pattern": alpha_pattern(layout, lora),
                "bias": "none",
                "init_lora_weights": true,
                "layers_pattern": null,
                "layers_to_transform": null,
                "lora_alpha": integer_if_whole(lora.alpha),
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

/// Returns the α of the layers that have one of their own.
fn alpha_pattern(layout: &Layout, lora: &LoraSettings) -> Value {
    let alphas = layout.other_alphas(lora).into_iter();
    let alphas: BTreeMap<&str, Value> = alphas
        .map(|(module, alpha)| (module, integer_if_whole(alpha)))
        .collect();
    json!(alphas)
}

/// Writes a whole number as an integer, as PEFT does.
fn integer_if_whole(number: f64) -> Value {
    /// Above this, not every integer is exact as `f64`.
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
