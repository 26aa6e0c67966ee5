//! Recognition and parsing of a family's `config.json`, and parsers shared by several families.

use crate::error::Result;
use crate::model::config::DecoderConfig;
use crate::model::fields::Fields;
use crate::model::ops::Activation;

/// How a family's `config.json` is recognized and parsed.
pub(super) struct Description {
    /// Name in `architectures`.
    pub architecture: &'static str,
    /// Name in `model_type`, for files without `architectures`.
    pub model_type: &'static str,
    /// Parses the configuration.
    pub parse: fn(&Fields<'_>) -> Result<DecoderConfig>,
}

/// Reads the activation that a field names.
pub(super) fn activation(fields: &Fields<'_>, name: &str, default: &str) -> Result<Activation> {
    let found: String = fields.or(name, default.to_string())?;
    Activation::named(&found).ok_or_else(|| {
        fields.fault(format!(
            "{name} is {found}: expected silu, gelu, gelu_new, gelu_pytorch_tanh or relu"
        ))
    })
}
