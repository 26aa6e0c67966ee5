//! Granite 3 and 4 (Granite Team, 2024): Llama with factors of the embeddings, attention scores, residual
//! connections and logits. Granite 4 stores gate and up projection as one layer; of its models, those without
//! Mamba layers and experts are supported.

use super::description::Description;
use super::llama;
use crate::error::Result;
use crate::model::config::{Biases, DecoderConfig, FeedForward, FeedForwardKind};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};

pub(super) const DESCRIPTION: Description = Description {
    architecture: "GraniteForCausalLM",
    model_type: "granite",
    parse: describe,
};

pub(super) const HYBRID_DESCRIPTION: Description = Description {
    architecture: "GraniteMoeHybridForCausalLM",
    model_type: "granitemoehybrid",
    parse: describe_hybrid,
};

const FAMILY: Family = Family {
    name: "Granite",
    tensors: &llama::NAMES,
};

const HYBRID_FAMILY: Family = Family {
    name: "Granite 4",
    tensors: &HYBRID_NAMES,
};

const HYBRID_NAMES: ParameterNames = ParameterNames {
    gate: "",
    up: "",
    gate_and_up: "shared_mlp.input_linear",
    down: "shared_mlp.output_linear",
    ..llama::NAMES
};

/// Default of `num_local_experts`.
const DEFAULT_EXPERTS: usize = 8;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let mut config = DecoderConfig {
        family: FAMILY,
        ..llama::describe(fields)?
    };
    let divisor: f32 = fields.or("logits_scaling", 1.0)?;
    if !(divisor.is_finite() && divisor > 0.0) {
        return Err(fields.fault(format!("logits_scaling is {divisor}: expected more than 0")));
    }
    config.logits_scale = 1.0 / divisor;
    config.embedding_scale = fields.or("embedding_multiplier", 1.0)?;
    config.residual_scale = fields.or("residual_multiplier", 1.0)?;
    let scale = fields.or("attention_multiplier", 1.0)?;
    for attention in config.attentions_mut() {
        attention.scale = scale;
    }
    Ok(config)
}

fn describe_hybrid(fields: &Fields<'_>) -> Result<DecoderConfig> {
    check_layer_types(fields)?;
    let experts = fields.or("num_local_experts", DEFAULT_EXPERTS)?;
    if experts > 0 {
        return Err(fields.fault(format!(
            "num_local_experts is {experts}: mixtures of experts are unsupported, expected 0"
        )));
    }
    let mut config = describe(fields)?;
    config.family = HYBRID_FAMILY;
    config.feed_forward = FeedForward {
        kind: FeedForwardKind::FusedGated,
        ..config.feed_forward
    };
    config.biases = Biases {
        feed_forward: false,
        ..config.biases
    };
    let inner = fields.size("shared_intermediate_size")?;
    let positions: Option<String> = fields.optional("position_embedding_type")?;
    for layer in &mut config.layers {
        layer.intermediate_size = inner;
    }
    if positions.as_deref() != Some("rope") {
        for attention in config.attentions_mut() {
            attention.rotary = None;
        }
    }
    Ok(config)
}

/// Refuses Mamba layers.
fn check_layer_types(fields: &Fields<'_>) -> Result<()> {
    let layers = fields.layers("num_hidden_layers")?;
    let mut name = "layer_types";
    let mut types: Option<Vec<String>> = fields.optional(name)?;
    if types.is_none() {
        name = "layers_block_type";
        types = fields.optional(name)?;
    }
    // Without a list, all layers are Mamba layers.
    let Some(types) = types else {
        return Err(fields.fault(
            "layer_types is missing: Mamba layers are unsupported, expected attention in all layers"
                .to_string(),
        ));
    };
    let types = fields.for_layers(name, types, layers)?;
    // transformers 5 writes the second name.
    let is_attention = |kind: &String| matches!(kind.as_str(), "attention" | "full_attention");
    match types.iter().find(|kind| !is_attention(kind)) {
        None => Ok(()),
        Some(other) => Err(fields.fault(format!(
            "{name} has {other}: Mamba layers are unsupported, expected attention in all layers"
        ))),
    }
}
