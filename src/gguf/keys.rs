//! Which metadata of an architecture is read, and which has to have a value that changes nothing.

use super::metadata::{Metadata, shown};
use super::value::Value;
use crate::error::Result;

/// Keys of an architecture, without its prefix, that are read for the configuration.
const READ: [&str; 15] = [
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
];

/// Keys that are read for some architectures only.
const READ_OF: [(&str, &[&str]); 7] = [
    (
        "granite",
        &[
            "attention.scale",
            "embedding_scale",
            "residual_scale",
            "logit_scale",
        ],
    ),
    // llama.cpp has its own pattern, that of all models.
    ("olmo2", &["attention.sliding_window_pattern"]),
    ("gptneox", &["use_parallel_residual"]),
    (
        "gemma4",
        &[
            "attention.key_length_swa",
            "attention.value_length_swa",
            "attention.shared_kv_layers",
            "attention.sliding_window_pattern",
            "embedding_length_per_layer_input",
            "final_logit_softcapping",
            "rope.dimension_count_swa",
        ],
    ),
    (
        "gemma2",
        &["attn_logit_softcapping", "final_logit_softcapping"],
    ),
    ("lfm2", &["shortconv.l_cache"]),
    (
        "qwen35",
        &[
            "full_attention_interval",
            "ssm.conv_kernel",
            "ssm.group_count",
            "ssm.inner_size",
            "ssm.state_size",
            "ssm.time_step_rank",
            // The parts of a position are equal in texts.
            "rope.dimension_sections",
        ],
    ),
];

/// Keys that do not change what a model computes.
const NEUTRAL: [&str; 3] = ["vocab_size", "tensor_data_layout", "rope.scaling.finetuned"];

/// Keys of the RoPE scaling, which [`super::rope`] reads.
const SCALING: [&str; 9] = [
    "type",
    "factor",
    "original_context_length",
    "attn_factor",
    "yarn_attn_factor",
    "yarn_ext_factor",
    "yarn_log_multiplier",
    "yarn_beta_fast",
    "yarn_beta_slow",
];

/// Keys for computations that no supported family has, as far as they are used: those with the value that
/// turns them off are accepted.
const OFF: [&str; 14] = [
    "expert_count",
    "expert_used_count",
    "expert_shared_count",
    "leading_dense_block_count",
    "nextn_predict_layers",
    "pooling_type",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
    "attention.scale",
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
];

/// Checks that no metadata of an architecture changes the computation in a way that is not read.
pub(super) fn check(metadata: &Metadata, architecture: &str) -> Result<()> {
    let prefix = format!("{architecture}.");
    for key in metadata.keys() {
        let (Some(name), Some(value)) = (key.strip_prefix(&prefix), metadata.get(key)) else {
            continue;
        };
        let is_read = |(of, names): &(&str, &[&str])| *of == architecture && names.contains(&name);
        let is_known =
            READ.contains(&name) || NEUTRAL.contains(&name) || READ_OF.iter().any(is_read);
        let scaling = name.strip_prefix("rope.scaling.");
        let is_scaling = scaling.is_some_and(|name| SCALING.contains(&name));
        if is_known || is_scaling || is_off(name, value) {
            continue;
        }
        let found = shown(value);
        return Err(metadata.fault(format!(
            "metadata {key} is {found}: unsupported, since it may change what the model computes"
        )));
    }
    Ok(())
}

/// Returns whether a value means that nothing is computed.
fn is_off(name: &str, value: &Value) -> bool {
    match name {
        "attention.causal" => *value == Value::Bool(true),
        "use_parallel_residual" => *value == Value::Bool(false),
        _ => OFF.contains(&name) && (value.unsigned() == Some(0) || value.float() == Some(0.0)),
    }
}
