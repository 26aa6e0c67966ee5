//! The metadata of an architecture: sizes, norms and rotary embeddings.

use super::rope;
use crate::error::{Error, Result};
use crate::gguf::names::Architecture;
use crate::gguf::write::MetadataList;
use crate::model::CausalLm;
use crate::model::config::{
    AttentionConfig, Block, DecoderConfig, GatedDeltaConfig, KeysAndValues, LayerConfig, Mixer,
    NormKind,
};

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
    // Layers without attention have no key and value heads, by which llama.cpp knows them.
    let heads = decoder
        .attentions()
        .next()
        .map_or(1, |attention| attention.heads);
    per_layer("attention.head_count", &|layer| {
        let attention = layer.mixer.attention();
        attention.map_or(heads, |attention| attention.heads)
    });
    // It knows those of Qwen3.5 by their interval.
    let without_attention = match (name, decoder.attentions().next()) {
        ("qwen35", attention) => attention.map_or(1, |attention| attention.num_kv_heads),
        _ => 0,
    };
    per_layer("attention.head_count_kv", &|layer| {
        let attention = layer.mixer.attention();
        attention.map_or(without_attention, |attention| attention.num_kv_heads)
    });
    // Layers with full attention may have another size than those with windows.
    let mut attentions = decoder.attentions();
    let global = attentions.find(|attention| attention.window == usize::MAX);
    let head_size = global.map_or(decoder.head_size(), |global| global.head_size) as u32;
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
            let scale = decoder
                .attentions()
                .next()
                .map_or(1.0, |attention| attention.scale);
            list.add(key("attention.scale"), scale);
            list.add(key("embedding_scale"), decoder.embedding_scale);
            list.add(key("residual_scale"), decoder.residual_scale);
            // llama.cpp divides by it.
            list.add(key("logit_scale"), 1.0 / decoder.logits_scale);
        }
        "gptneox" => {
            let is_parallel = decoder.block == Block::ParallelNorms;
            list.add(key("use_parallel_residual"), is_parallel);
        }
        "gemma4" => add_gemma4(decoder, key, list),
        "lfm2" => {
            let taps = layers.iter().find_map(|layer| match &layer.mixer {
                Mixer::ShortConv(conv) => Some(conv.taps),
                Mixer::Attention(_) | Mixer::GatedDelta(_) => None,
            });
            // llama.cpp requires it without convolutions too.
            list.add(key("shortconv.l_cache"), taps.unwrap_or(1) as u32);
        }
        "qwen35" => {
            let interval = attention_interval(layers).unwrap_or(1);
            list.add(key("full_attention_interval"), interval as u32);
            let delta = decoder.gated_delta();
            // llama.cpp requires them without gated delta rules too.
            let mut size = |field: &str, of: fn(&GatedDeltaConfig) -> usize| {
                list.add(key(field), delta.map_or(1, of) as u32);
            };
            size("ssm.conv_kernel", |delta| delta.taps);
            size("ssm.state_size", |delta| delta.key_size);
            size("ssm.group_count", |delta| delta.key_heads);
            size("ssm.time_step_rank", |delta| delta.heads);
            size("ssm.inner_size", |delta| delta.widths()[1]);
            // The parts of a position are equal in texts.
            list.add(key("rope.dimension_sections"), vec![11_u32, 11, 10, 0]);
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
    let rotated = || {
        decoder
            .attentions()
            .filter(|attention| attention.rotary.is_some())
    };
    let full = rotated().find(|attention| attention.window == usize::MAX);
    let attention = full.or_else(|| rotated().next());
    let Some(rotary) = attention.and_then(|attention| attention.rotary.as_ref()) else {
        return Ok(None);
    };
    let local = decoder
        .attentions()
        .find(|attention| attention.window != usize::MAX);
    if let Some(AttentionConfig {
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

/// Returns the n of which each nth layer has attention and no other, if there is one.
pub(super) fn attention_interval(layers: &[LayerConfig]) -> Option<usize> {
    let attends = |layer: &LayerConfig| layer.mixer.attention().is_some();
    let interval = layers.iter().position(attends).unwrap_or(layers.len()) + 1;
    let mut numbered = layers.iter().zip(1_usize..);
    let is_regular =
        numbered.all(|(layer, number)| attends(layer) == number.is_multiple_of(interval));
    is_regular.then_some(interval)
}

/// Adds what only Gemma 4 has.
fn add_gemma4(decoder: &DecoderConfig, key: impl Fn(&str) -> String, list: &mut MetadataList) {
    let is_local = |attention: &&AttentionConfig| attention.window != usize::MAX;
    let local = decoder.attentions().find(is_local);
    let head_size = local.map_or(decoder.head_size(), |local| local.head_size) as u32;
    for field in [
        "attention.key_length_swa",
        "attention.value_length_swa",
        "rope.dimension_count_swa",
    ] {
        list.add(key(field), head_size);
    }
    let windows = decoder.attentions().map(|attention| is_local(&attention));
    let windows: Vec<bool> = windows.collect();
    list.add(key("attention.sliding_window_pattern"), windows);
    let shared = decoder
        .attentions()
        .filter(|attention| matches!(attention.keys_and_values, KeysAndValues::OfLayer(_)));
    list.add(key("attention.shared_kv_layers"), shared.count() as u32);
    let size = decoder.per_layer_inputs.map_or(0, |inputs| inputs.size);
    list.add(key("embedding_length_per_layer_input"), size as u32);
}
