//! The names of a model family and of its tensors.

use std::fmt;

/// A model family, such as Llama.
#[derive(Clone, Copy)]
pub struct Family {
    /// Display name.
    pub(super) name: &'static str,
    /// Tensor names.
    pub(super) tensors: &'static ParameterNames,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Family {}

/// Tensor names of a family. Names inside a layer follow `layer`, a dot and the layer's number; linear
/// layers and norms are named without `.weight` and `.bias`.
#[derive(Debug)]
pub(super) struct ParameterNames {
    /// Prefix that some files omit.
    pub prefix: &'static str,
    pub embedding: &'static str,
    pub positions: &'static str,
    pub layer: &'static str,
    pub attention_norm: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub query_key_value: &'static str,
    pub query_norm: &'static str,
    pub key_norm: &'static str,
    pub attention_output: &'static str,
    pub short_conv: &'static str,
    pub short_conv_input: &'static str,
    pub short_conv_output: &'static str,
    pub gated_delta: GatedDeltaNames,
    pub attention_output_norm: &'static str,
    pub feed_forward_norm: &'static str,
    pub gate: &'static str,
    pub up: &'static str,
    pub gate_and_up: &'static str,
    pub down: &'static str,
    pub feed_forward_output_norm: &'static str,
    /// Table, projection and norm of the inputs that layers have beside the hidden states.
    pub layer_inputs_table: &'static str,
    pub layer_inputs_projection: &'static str,
    pub layer_inputs_norm: &'static str,
    /// What a layer adds its input by.
    pub layer_input_gate: &'static str,
    pub layer_input_projection: &'static str,
    pub layer_input_norm: &'static str,
    /// Constant factor of a layer's output; its whole name.
    pub layer_scale: &'static str,
    pub norm: &'static str,
    pub head: &'static str,
    /// Name of the head in saved files, if it is another.
    pub saved_head: &'static str,
    /// Field of `config.json` that says whether the head shares the embedding's weights.
    pub tie: &'static str,
    /// Suffixes of tensors in the files that are not parameters.
    pub ignored: &'static [&'static str],
    /// Prefix of tensors that only the prediction of further tokens needs.
    pub further_tokens: &'static str,
}

/// Tensor names of linear attention with the gated delta rule.
#[derive(Debug)]
pub(super) struct GatedDeltaNames {
    pub query_key_value: &'static str,
    pub gate: &'static str,
    pub beta: &'static str,
    pub decay: &'static str,
    pub convolution: &'static str,
    /// Logarithm of the factor of the decays, in full.
    pub log_rate: &'static str,
    /// Bias of the decays, in full.
    pub decay_bias: &'static str,
    pub norm: &'static str,
    pub output: &'static str,
}

impl GatedDeltaNames {
    /// Empty names.
    const NONE: Self = Self {
        query_key_value: "",
        gate: "",
        beta: "",
        decay: "",
        convolution: "",
        log_rate: "",
        decay_bias: "",
        norm: "",
        output: "",
    };
}

impl ParameterNames {
    /// Empty names, for tensors that a family does not have.
    pub(super) const NONE: Self = Self {
        prefix: "",
        embedding: "",
        positions: "",
        layer: "",
        attention_norm: "",
        query: "",
        key: "",
        value: "",
        query_key_value: "",
        query_norm: "",
        key_norm: "",
        attention_output: "",
        short_conv: "",
        short_conv_input: "",
        short_conv_output: "",
        gated_delta: GatedDeltaNames::NONE,
        attention_output_norm: "",
        feed_forward_norm: "",
        gate: "",
        up: "",
        gate_and_up: "",
        down: "",
        feed_forward_output_norm: "",
        layer_inputs_table: "",
        layer_inputs_projection: "",
        layer_inputs_norm: "",
        layer_input_gate: "",
        layer_input_projection: "",
        layer_input_norm: "",
        layer_scale: "",
        norm: "",
        head: "",
        saved_head: "",
        tie: "tie_word_embeddings",
        ignored: &[],
        further_tokens: "",
    };
}

impl ParameterNames {
    /// Returns the name of a parameter in saved files.
    pub(super) fn saved(&self, name: &str) -> String {
        match name.strip_prefix(self.head) {
            Some(kind) if kind.starts_with('.') && !self.saved_head.is_empty() => {
                format!("{}{kind}", self.saved_head)
            }
            _ => name.to_string(),
        }
    }

    /// Returns the number of the layer that a parameter or module belongs to, counted from 0; `None` outside all
    /// layers.
    pub(super) fn layer_of(&self, name: &str) -> Option<usize> {
        let rest = name.strip_prefix(self.layer)?.strip_prefix('.')?;
        rest.split('.').next()?.parse().ok()
    }

    /// Returns the names that files may have for a parameter: that in saved files, its own, that without the
    /// prefix, and those of a text model inside a model of text and images, as transformers 4 and 5 write them.
    pub(super) fn in_files(&self, name: &str) -> Vec<String> {
        let mut names = vec![self.saved(name)];
        if names[0] != name {
            names.push(name.to_string());
        }
        if self.prefix.is_empty() {
            return names;
        }
        let short = name.strip_prefix(self.prefix);
        names.extend(short.map(str::to_string));
        names.push(format!("language_model.{name}"));
        names.extend(short.map(|short| format!("{}language_model.{short}", self.prefix)));
        names
    }
}
