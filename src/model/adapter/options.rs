//! Adapters as people specify them.

use serde::{Deserialize, Serialize};

use super::settings::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::error::{Error, Result};

/// The kind of an adapter, as recipes, the command line and JavaScript spell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// Full finetuning: train the model's own weights
    #[default]
    None,
    /// Low-rank updates of linear layers
    Lora,
    /// LoRA with the magnitude of each output trained separately
    Dora,
    /// Scales of keys, values and feed-forward activations
    Ia3,
}

impl AdapterKind {
    /// Returns the default settings of an adapter of this kind; `None` for full finetuning.
    pub fn settings(self) -> Option<AdapterSettings> {
        let lora = |decomposed| {
            AdapterSettings::Lora(LoraSettings {
                decomposed,
                ..LoraSettings::default()
            })
        };
        match self {
            Self::None => None,
            Self::Lora => Some(lora(false)),
            Self::Dora => Some(lora(true)),
            Self::Ia3 => Some(AdapterSettings::Ia3(Ia3Settings::default())),
        }
    }
}

/// An adapter as specified by the user. Absent options have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AdapterOptions {
    /// Train an adapter instead of the model's weights, written in the format of Python's PEFT
    /// [default: none]
    #[cfg_attr(feature = "cli", arg(long, value_enum, value_name = "KIND"))]
    pub adapter: Option<AdapterKind>,
    /// Rank of the update (lora, dora) [default: 8]
    #[cfg_attr(feature = "cli", arg(long, value_name = "R"))]
    pub rank: Option<usize>,
    /// Scale of the update, divided by the rank (lora, dora) [default: 16]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ALPHA"))]
    pub lora_alpha: Option<f64>,
    /// Divide alpha by the square root of the rank instead (rsLoRA; lora, dora)
    #[cfg_attr(
        feature = "cli",
        arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")
    )]
    pub rslora: Option<bool>,
    /// Dropout on the input of the update (lora, dora) [default: 0]
    #[cfg_attr(feature = "cli", arg(long, value_name = "P"))]
    pub dropout: Option<f64>,
    /// Layers to adapt, by the last part of their names, such as q_proj,v_proj, or all-linear
    /// [default: all-linear; k_proj,v_proj,down_proj with ia3]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "NAMES", value_delimiter = ',')
    )]
    pub target_modules: Option<Vec<String>>,
}

impl From<Option<&AdapterSettings>> for AdapterOptions {
    /// Returns the options that describe an adapter, or none, each given explicitly.
    fn from(settings: Option<&AdapterSettings>) -> Self {
        let Some(settings) = settings else {
            return Self {
                adapter: Some(AdapterKind::None),
                ..Self::default()
            };
        };
        let names = settings.target_modules();
        let target_modules = (!names.is_empty()).then(|| names.to_vec());
        match settings {
            AdapterSettings::Lora(lora) => Self {
                adapter: Some(match lora.decomposed {
                    true => AdapterKind::Dora,
                    false => AdapterKind::Lora,
                }),
                rank: Some(lora.rank),
                lora_alpha: Some(lora.alpha),
                rslora: Some(lora.rank_stabilized),
                dropout: Some(lora.dropout),
                target_modules,
            },
            AdapterSettings::Ia3(_) => Self {
                adapter: Some(AdapterKind::Ia3),
                target_modules,
                ..Self::default()
            },
        }
    }
}

impl AdapterOptions {
    /// Returns these options, completed by those of `base`.
    #[must_use]
    pub fn or(self, base: &Self) -> Self {
        Self {
            adapter: self.adapter.or(base.adapter),
            rank: self.rank.or(base.rank),
            lora_alpha: self.lora_alpha.or(base.lora_alpha),
            rslora: self.rslora.or(base.rslora),
            dropout: self.dropout.or(base.dropout),
            target_modules: self.target_modules.or_else(|| base.target_modules.clone()),
        }
    }

    /// Returns the adapter that the options describe; `None` for full finetuning.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an option that has no effect on this kind of adapter, and for
    /// values out of range.
    pub fn settings(&self) -> Result<Option<AdapterSettings>> {
        let kind = self.adapter.unwrap_or_default();
        let low_rank = matches!(kind, AdapterKind::Lora | AdapterKind::Dora);
        let of_lora = "none without a LoRA or DoRA adapter";
        let of_any = "none without an adapter";
        for (key, given, applies, expected) in [
            ("rank", self.rank.is_some(), low_rank, of_lora),
            ("lora_alpha", self.lora_alpha.is_some(), low_rank, of_lora),
            ("rslora", self.rslora.is_some(), low_rank, of_lora),
            ("dropout", self.dropout.is_some(), low_rank, of_lora),
            (
                "target_modules",
                self.target_modules.is_some(),
                kind != AdapterKind::None,
                of_any,
            ),
        ] {
            if given && !applies {
                return Err(Error::setting(key, "given", expected));
            }
        }
        let mut settings = kind.settings();
        match &mut settings {
            None => {}
            Some(AdapterSettings::Lora(lora)) => {
                lora.rank = self.rank.unwrap_or(lora.rank);
                lora.alpha = self.lora_alpha.unwrap_or(lora.alpha);
                lora.rank_stabilized = self.rslora.unwrap_or(lora.rank_stabilized);
                lora.dropout = self.dropout.unwrap_or(lora.dropout);
                lora.target_modules = self.target_modules.clone().unwrap_or_default();
            }
            Some(AdapterSettings::Ia3(ia3)) => {
                ia3.target_modules = self.target_modules.clone().unwrap_or_default();
            }
        }
        if let Some(settings) = &settings {
            settings.validate()?;
        }
        Ok(settings)
    }
}
