//! The methods that a job trains by.

use serde::{Deserialize, Serialize};
use tsify::Tsify;

use crate::kernels::distillation::Method;

/// A method that a job trains by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum JobMethod {
    /// Minifinetuning.
    Mft,
    /// Plain finetuning.
    Ft,
    /// A constant mixture of teacher and label.
    Constant,
    /// Selective targets.
    Selective,
    /// Selective token masking.
    Stm,
    /// Dynamic finetuning.
    Dft,
    /// Anchored supervised finetuning.
    Asft,
    /// Entropy-adaptive finetuning.
    Eaft,
    /// Token-adaptive loss reweighting.
    Talr,
    /// Plain finetuning with samples weighed by FLOW.
    Flow,
    /// Plain finetuning with the learning rate of FINCH.
    Finch,
    /// Plain finetuning with replayed general text.
    Replay,
    /// Plain finetuning with elastic weight consolidation.
    Ewc,
}

impl JobMethod {
    /// Every method.
    pub(super) const ALL: [Self; 13] = [
        Self::Mft,
        Self::Ft,
        Self::Constant,
        Self::Selective,
        Self::Stm,
        Self::Dft,
        Self::Asft,
        Self::Eaft,
        Self::Talr,
        Self::Flow,
        Self::Finch,
        Self::Replay,
        Self::Ewc,
    ];

    /// Returns the method of the target.
    pub(super) fn target(self) -> Method {
        match self {
            Self::Mft => Method::Mft,
            Self::Ft | Self::Flow | Self::Finch | Self::Replay | Self::Ewc => Method::Ft,
            Self::Constant => Method::Constant,
            Self::Selective => Method::Selective,
            Self::Stm => Method::Stm,
            Self::Dft => Method::Dft,
            Self::Asft => Method::Asft,
            Self::Eaft => Method::Eaft,
            Self::Talr => Method::Talr,
        }
    }

    /// Returns its name and title.
    pub(super) fn info(self) -> MethodInfo {
        let (name, title) = match self {
            Self::Flow => ("finetuning with FLOW", "FT + FLOW"),
            Self::Finch => ("finetuning with FINCH", "FT + FINCH"),
            Self::Replay => ("finetuning with replay", "FT + replay"),
            Self::Ewc => ("finetuning with EWC", "FT + EWC"),
            _ => (self.target().name(), self.target().title()),
        };
        MethodInfo {
            method: self,
            name: name.to_string(),
            title: title.to_string(),
            needs_general_text: matches!(self, Self::Replay | Self::Ewc),
        }
    }
}

/// A method with its name, such as `minifinetuning`, and its title, such as `MFT`.
#[derive(Clone, Debug, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct MethodInfo {
    method: JobMethod,
    name: String,
    title: String,
    /// Whether it trains on general text, too: a file, or text that the untouched model generates.
    needs_general_text: bool,
}
