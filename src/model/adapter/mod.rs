//! Adapters: a small number of parameters trained instead of the model's own, in the format of PEFT.

mod config;
mod contents;
mod folder;
mod layout;
#[cfg(feature = "cli")]
mod low_rank;
mod options;
mod patterns;
mod peft;
mod scaled;
mod settings;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use folder::AdapterFiles;
#[cfg(feature = "cli")]
pub(crate) use folder::BaseModel;
pub use folder::{CONFIG, WEIGHTS};
pub(crate) use layout::selects_embeddings;
#[cfg(feature = "cli")]
pub(crate) use low_rank::LowRankLayer;
pub use options::{AdapterKind, AdapterOptions};
pub(crate) use peft::PeftFile;
pub(crate) use weights::Embeddings;

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::kernels::packed::Weight;
use crate::model::linear::{Dropout, LinearChange, LowRank, merged, merged_bias, row_norms};
use crate::model::{Decoder, ParameterSpec, Parameters};
use layout::{Layout, Role};
use peft::Saved;

pub use settings::{AdapterSettings, Ia3Settings, LoraSettings};

/// An adapter of a decoder: its layout and its parameters. Clones share the parameters.
#[derive(Clone, Debug)]
pub struct Adapter {
    layout: Arc<Layout>,
    values: Parameters,
    /// What its files contain besides its own parameters, if it was loaded.
    saved: Option<Arc<Saved>>,
}

/// The bound of uniform values around 0 whose variance is 1: √3.
const UNIT_VARIANCE: f32 = 1.732_050_8;

impl Adapter {
    /// Creates an adapter that does not change the decoder's outputs: B is 0, factors are 1, magnitudes are
    /// those of the weights. A is uniform in ±1/√in, as in PEFT. Of embeddings A is 0, and B has a variance
    /// of 1.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range or an unknown target module.
    pub(crate) fn new(
        settings: AdapterSettings,
        decoder: &Decoder,
        parameters: &[Weight],
        base: &str,
        seed: u64,
    ) -> Result<Self> {
        let layout = Layout::new(settings, decoder, base)?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let device = parameters[0].device().inner();
        let mut values: Parameters = layout
            .specs
            .iter()
            .map(|spec| Tensor::ones(spec.matrix_shape(), &device))
            .collect();
        let mut uniform = |shape: [usize; 2], bound: f32| {
            let draws: Vec<f32> = (0..shape[0] * shape[1])
                .map(|_| random.random_range(-bound..bound))
                .collect();
            Tensor::from_data(TensorData::new(draws, shape), &device)
        };
        for layer in &layout.layers {
            if let Role::LowRank {
                a, b, magnitude, ..
            } = layer.role
            {
                let (random, zero) = if layer.is_embedding { (b, a) } else { (a, b) };
                let shape = layout.specs[random].matrix_shape();
                let bound = if layer.is_embedding {
                    UNIT_VARIANCE
                } else {
                    1.0 / (shape[1] as f32).sqrt()
                };
                values[random] = uniform(shape, bound);
                values[zero] = values[zero].zeros_like();
                if let Some(magnitude) = magnitude {
                    values[magnitude] = row_norms(layer.weight(parameters).float());
                }
            }
        }
        Ok(Self {
            layout: Arc::new(layout),
            values,
            saved: None,
        })
    }

    /// Returns the number of parameters that an adapter of these settings has.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(crate) fn count(settings: &AdapterSettings, decoder: &Decoder) -> Result<usize> {
        let layout = Layout::new(settings.clone(), decoder, "")?;
        Ok(layout.specs.iter().map(ParameterSpec::elements).sum())
    }

    /// Returns the settings.
    pub fn settings(&self) -> &AdapterSettings {
        &self.layout.settings
    }

    /// Returns the names and shapes of the parameters, as in PEFT.
    pub(crate) fn parameters(&self) -> &[ParameterSpec] {
        &self.layout.specs
    }

    /// Returns the values of the parameters, in the order of [`Self::parameters`].
    pub(crate) fn values(&self) -> &Parameters {
        &self.values
    }

    /// Returns the adapter with other values.
    pub(crate) fn with_values(&self, values: Parameters) -> Self {
        Self {
            values,
            ..self.clone()
        }
    }

    /// Returns the change of each of the decoder's parameters, in their order. Seeds, one per sequence of the batch,
    /// enable dropout, as in training.
    pub(crate) fn changes(
        &self,
        parameters: usize,
        dropout_seeds: Option<&Arc<[u64]>>,
    ) -> Vec<Option<LinearChange>> {
        let value = |index: usize| self.values[index].clone();
        let rate = match self.settings() {
            AdapterSettings::Lora(lora) => lora.dropout,
            AdapterSettings::Ia3(_) => 0.0,
        };
        let mut changes = vec![None; parameters];
        for layer in &self.layout.layers {
            changes[layer.parameter] = Some(match layer.role {
                Role::LowRank {
                    a,
                    b,
                    bias,
                    magnitude,
                    scale,
                } => LinearChange::LowRank(Box::new(LowRank {
                    a: value(a),
                    b: value(b),
                    scale,
                    magnitude: magnitude.map(value),
                    bias: bias.map(value),
                    dropout: dropout_seeds.filter(|_| rate > 0.0).map(|seeds| Dropout {
                        rate,
                        seeds: seeds.clone(),
                        layer: layer.parameter as u64,
                    }),
                })),
                // PEFT stores it as a column.
                Role::ScaleOutput(index) => LinearChange::ScaleOutput(value(index).transpose()),
                Role::ScaleInput(index) => LinearChange::ScaleInput(value(index)),
            });
        }
        changes
    }

    /// Returns whether any of these of the decoder's parameters is adapted.
    pub(crate) fn changes_any(&self, parameters: &[usize]) -> bool {
        let mut layers = self.layout.layers.iter();
        layers.any(|layer| parameters.contains(&layer.parameter))
    }

    /// Returns a layer whose bias of B cannot be merged, since it has no bias of its own.
    pub(crate) fn unmergeable(&self) -> Option<&str> {
        let adds_bias = |role| matches!(role, Role::LowRank { bias: Some(_), .. });
        let mut layers = self.layout.layers.iter();
        let found = layers.find(|layer| layer.bias.is_none() && adds_bias(layer.role));
        found.map(|layer| layer.module.as_str())
    }

    /// Returns the decoder's parameters with the adapter merged in, see [`Self::unmergeable`].
    pub(crate) fn merge(&self, parameters: &[Weight]) -> Vec<Weight> {
        let changes = self.changes(parameters.len(), None);
        let mut values = parameters.to_vec();
        for layer in &self.layout.layers {
            if let Some(change) = &changes[layer.parameter] {
                let weight = merged(&layer.weight(parameters), change);
                values[layer.parameter] = if layer.transposed {
                    weight.transpose().into()
                } else {
                    weight.into()
                };
                if let Some(bias) = layer.bias {
                    values[bias] = merged_bias(&parameters[bias].float(), change).into();
                }
            }
        }
        values
    }
}
