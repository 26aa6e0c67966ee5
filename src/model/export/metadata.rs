//! The metadata of an architecture: sizes, norms and rotary embeddings.

use super::rope;
use crate::error::{Error, Result};
use crate::gguf::names::Architecture;
use crate::gguf::write::MetadataList;
use crate::model::CausalLm;
use crate::model::config::{Block, DecoderConfig, KeysAndValues, LayerConfig, NormKind};

/// Adds the metadata. Returns the divisors of the rotary frequencies, if a tensor has to hold them.
///
/// # Errors
///
/// [`Error::Config`] for a RoPE scaling that llama.cpp does not have.
pub(super) fn add(
    model: &CausalLm,
    architecture: &Architecture,
    list: &mut MetadataList,
) -> Result<Option<Vec<f32>>> {
    let name = architecture.gguf;
    let key = |field: &str| format!("{name}.{field}");
    let decoder = &model.config().decoder;
    let layers = &decoder.layers;
    list.add(key("block_count"), layers.len() as u32);
    list.add(key("context_length"), decoder.max_length as u32);
    list.add(key("embedding_length"), decoder.hidden_size as u32);
    list.add(key("vocab_size"), decoder.vocab_size as u32);
    let mut per_layer = |field: &str, of: &dyn Fn(&LayerConfig) -> usize| {
        let sizes = layers.iter().map(|layer| of(layer) as u32);
        let sizes: Vec<u32> = sizes.collect();
        match sizes.iter().all(|size| *size == sizes[0]) {
            true if name != "openelm" => list.add(key(field), sizes[0]),
            _ => list.add(key(field), sizes),
        }
    };
    per_layer("feed_forward_length", &|layer| layer.intermediate_size);
    per_layer("attention.head_count", &|layer| layer.heads);
    per_layer("attention.head_count_kv", &|layer| layer.num_kv_heads);
    // Layers with full attention may have another size than those with windows.
    let global = layers.iter().find(|layer| layer.window == usize::MAX);
    let head_size = global.unwrap_or(&layers[0]).head_size as u32;
    for field in ["attention.key_length", "attention.value_length"] {
        list.add(key(field), head_size);
    }
    let epsilon = match decoder.norm.kind {
        NormKind::Layer => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    };
    list.add(key(epsilon), decoder.norm.epsilon);

    match name {
        "granite" => {
            let scale = layers.first().map_or(1.0, |layer| layer.attention_scale);
            list.add(key("attention.scale"), scale);
            list.add(key("embedding_scale"), decoder.embedding_scale);
            list.add(key("residual_scale"), decoder.residual_scale);
            // llama.cpp divides by it.
            list.add(key("logit_scale"), 1.0 / decoder.logits_scale);
        }
        "gemma4" => add_gemma4(decoder, key, list),
        "gptneox" => {
            let is_parallel = decoder.block == Block::ParallelNorms;
            list.add(key("use_parallel_residual"), is_parallel);
        }
        _ => {}
    }
    for (field, cap) in [
        ("attn_logit_softcapping", decoder.attention_soft_cap),
        ("final_logit_softcapping", decoder.logits_soft_cap),
    ] {
        if let Some(cap) = cap {
            list.add(key(field), cap);
        }
    }

    // Layers with full attention may have another embedding than those with windows, and some layers have none.
    let rotated = || layers.iter().filter(|layer| layer.rotary.is_some());
    let full = rotated().find(|layer| layer.window == usize::MAX);
    let layer = full.or_else(|| rotated().next());
    let Some(rotary) = layer.and_then(|layer| layer.rotary.as_ref()) else {
        return Ok(None);
    };
    let local = layers.iter().find(|layer| layer.window != usize::MAX);
    if let Some(LayerConfig {
        window,
        rotary: Some(of_local),
        ..
    }) = local
    {
        // Only minift reads those of Llama and Phi-3.
        if matches!(
            name,
            "gemma2" | "gemma3" | "gemma4" | "olmo2" | "llama" | "phi3"
        ) {
            let window = u32::try_from(*window).unwrap_or(u32::MAX);
            list.add(key("attention.sliding_window"), window);
        }
        if matches!(name, "gemma3" | "gemma4") {
            list.add(key("rope.freq_base_swa"), of_local.theta as f32);
        }
    }
    list.add(key("rope.dimension_count"), rotary.size as u32);
    list.add(key("rope.freq_base"), rotary.theta as f32);
    rope::add(rotary, name, list).map_err(|scaling| Error::Config {
        path: model.reader().files().config_path(),
        message: format!("llama.cpp has no RoPE scaling of type {scaling} for {name}"),
    })
}

/// Adds what only Gemma 4 has.
fn add_gemma4(decoder: &DecoderConfig, key: impl Fn(&str) -> String, list: &mut MetadataList) {
    let layers = decoder.layers.iter();
    let windows: Vec<bool> = layers
        .clone()
        .map(|layer| layer.window != usize::MAX)
        .collect();
    let local = layers.clone().find(|layer| layer.window != usize::MAX);
    let head_size = local.unwrap_or(&decoder.layers[0]).head_size as u32;
    for field in [
        "attention.key_length_swa",
        "attention.value_length_swa",
        "rope.dimension_count_swa",
    ] {
        list.add(key(field), head_size);
    }
    list.add(key("attention.sliding_window_pattern"), windows);
    let is_shared =
        |layer: &&LayerConfig| matches!(layer.keys_and_values, KeysAndValues::OfLayer(_));
    list.add(
        key("attention.shared_kv_layers"),
        layers.filter(is_shared).count() as u32,
    );
    let size = decoder.per_layer_inputs.map_or(0, |inputs| inputs.size);
    list.add(key("embedding_length_per_layer_input"), size as u32);
}
