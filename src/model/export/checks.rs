//! Checks that llama.cpp computes what a model does.

use super::Notes;
use super::metadata::attention_interval;
use crate::error::{Error, Result};
use crate::gguf::names::Architecture;
use crate::model::CausalLm;
use crate::model::config::{
    DecoderConfig, FeedForwardKind, KeysAndValues, LayerConfig, Mixer, QkNorm,
};
use crate::model::ops::Activation;

/// Gemma 2 has global attention in each second layer, Gemma 3 in each sixth.
const GEMMA_PATTERNS: [usize; 2] = [2, 6];
/// OLMo 3 has global attention in each fourth layer, and SmolLM3 no rotary embedding.
const OTHER_PATTERN: usize = 4;
/// Layers of Gemma 2 27B and Gemma 3 27B, whose attention llama.cpp scales by another size than that of its heads.
const GEMMA_27B_LAYERS: [usize; 2] = [46, 62];

/// Checks that llama.cpp computes what the model does, and notes where it differs for long texts.
///
/// # Errors
///
/// [`Error::Config`] for a computation that llama.cpp does not have.
pub(super) fn check(
    model: &CausalLm,
    architecture: &Architecture,
    notes: &mut Notes,
) -> Result<()> {
    let decoder = &model.config().decoder;
    fault(decoder, architecture.gguf).map_err(|what| Error::Config {
        path: model.reader().files().config_path(),
        message: format!(
            "llama.cpp cannot compute {what} in models of its architecture {}",
            architecture.gguf
        ),
    })?;
    let windows = decoder.attentions().map(|attention| attention.window);
    let window = windows.min().unwrap_or(usize::MAX);
    if !matches!(architecture.gguf, "gemma2" | "gemma3" | "gemma4" | "olmo2")
        && window < decoder.max_length
    {
        notes.push(format!(
            "llama.cpp has no sliding window for {}: in texts of more than {window} tokens it attends to all",
            architecture.gguf
        ));
    }
    Ok(())
}

/// Fails with what llama.cpp does not compute.
fn fault(decoder: &DecoderConfig, name: &str) -> std::result::Result<(), String> {
    let (kind, activation) = match name {
        "gpt2" | "phi2" => (FeedForwardKind::Plain, Activation::GeluTanh),
        "gemma2" | "gemma3" | "gemma4" => (FeedForwardKind::Gated, Activation::GeluTanh),
        "openelm" | "phi3" => (FeedForwardKind::FusedGated, Activation::Silu),
        // llama.cpp approximates it.
        "gptneox" => (FeedForwardKind::Plain, Activation::Gelu),
        _ => (FeedForwardKind::Gated, Activation::Silu),
    };
    let feed_forward = decoder.feed_forward;
    if (feed_forward.kind, feed_forward.activation) != (kind, activation) {
        return Err(format!("the feed-forward block {feed_forward:?}"));
    }
    let norm = match name {
        "qwen3" | "gemma3" | "gemma4" | "openelm" | "lfm2" | "qwen35" => Some(QkNorm::Heads),
        "hunyuan-dense" => Some(QkNorm::RotatedHeads),
        "olmo2" => Some(QkNorm::Whole),
        _ => None,
    };
    if decoder.qk_norm != norm {
        let with = if norm.is_some() { "without" } else { "with" };
        return Err(format!("attention {with} normalized queries and keys"));
    }
    let biases = decoder.biases;
    let allows_biases = matches!(name, "llama" | "gpt2" | "phi2" | "granite" | "gptneox");
    if (biases.attention_output || biases.feed_forward) && !allows_biases {
        return Err("biases of linear layers".to_string());
    }
    let is_biased = |layer: &LayerConfig| match &layer.mixer {
        Mixer::ShortConv(conv) => conv.biases,
        Mixer::Attention(_) | Mixer::GatedDelta(_) => false,
    };
    if decoder.layers.iter().any(is_biased) {
        return Err("biases of short convolutions".to_string());
    }
    if name == "qwen35" && attention_interval(&decoder.layers).is_none() {
        return Err("layers with attention at irregular intervals".to_string());
    }
    if let Some(delta) = decoder.gated_delta()
        && delta.key_size != delta.value_size
    {
        return Err(format!(
            "gated delta rules with keys of size {} and values of size {}",
            delta.key_size, delta.value_size
        ));
    }
    if name == "gptneox" && !biases.attention {
        return Err("attention without biases".to_string());
    }
    let caps = [decoder.attention_soft_cap, decoder.logits_soft_cap];
    let allows_caps = match name {
        "gemma2" => caps.iter().all(Option::is_some),
        "gemma4" => caps[0].is_none(),
        _ => caps == [None; 2],
    };
    if !allows_caps {
        return Err(format!("soft caps of {caps:?} for scores and logits"));
    }
    if matches!(name, "openelm" | "gemma2") && !decoder.tie_word_embeddings {
        return Err("a head with weights of its own".to_string());
    }
    let widths = decoder
        .attentions()
        .map(|attention| attention.heads * attention.head_size);
    if matches!(name, "gpt2" | "phi2") && widths.clone().any(|width| width != decoder.hidden_size) {
        return Err("attention heads that are not as wide as the hidden states".to_string());
    }
    let gemma = ["gemma2", "gemma3"].iter().position(|gemma| *gemma == name);
    let is_27b = gemma.is_some_and(|gemma| decoder.layers.len() == GEMMA_27B_LAYERS[gemma]);
    let embedding_scale = match name.starts_with("gemma") {
        true => (decoder.hidden_size as f32).sqrt(),
        false => 1.0,
    };
    if name != "granite" && !is_close(decoder.embedding_scale, embedding_scale) {
        return Err(format!(
            "embeddings times {} instead of {embedding_scale}",
            decoder.embedding_scale
        ));
    }
    let has_windows = decoder
        .attentions()
        .any(|attention| attention.window != usize::MAX);
    if name == "gemma4" && !has_windows {
        return Err("only global layers".to_string());
    }
    let projects = |layer: &LayerConfig| {
        let attention = layer.mixer.attention();
        attention.is_some_and(|attention| attention.keys_and_values.has_keys())
    };
    let last = decoder.layers.iter().rposition(projects);
    for (number, layer) in decoder.layers.iter().enumerate() {
        let Some(attention) = layer.mixer.attention() else {
            continue;
        };
        let scaled_size = match is_27b {
            true => decoder.hidden_size as f32 / attention.heads as f32,
            false => attention.head_size as f32,
        };
        let expected = match name {
            "gemma4" => 1.0,
            _ => 1.0 / scaled_size.sqrt(),
        };
        if name != "granite" && !is_close(attention.scale, expected) {
            return Err(format!(
                "attention scaled by {} instead of {expected}",
                attention.scale
            ));
        }
        let is_global = attention.window == usize::MAX;
        let pattern = gemma.map_or(OTHER_PATTERN, |gemma| GEMMA_PATTERNS[gemma]);
        let is_last = (number + 1).is_multiple_of(pattern);
        // Gemma 2 always has windows.
        let has_windows = has_windows || name == "gemma2";
        let has_pattern = matches!(name, "gemma2" | "gemma3" | "olmo2");
        if has_pattern && is_global != (!has_windows || is_last) {
            return Err(format!(
                "layer {number} with other attention than global in one layer of {pattern} and local in the others"
            ));
        }
        if name == "smollm3" && attention.rotary.is_none() != is_last {
            return Err(format!(
                "layer {number} with other rotary embeddings than in all but each fourth layer"
            ));
        }
        if let KeysAndValues::OfLayer(of) = attention.keys_and_values {
            // llama.cpp takes those of the last layer with its own, or of the one before if it is local.
            let expected = last.and_then(|last| last.checked_sub(usize::from(!is_global)));
            if expected != Some(of) {
                return Err(format!(
                    "layer {number} with the keys and values of layer {of}"
                ));
            }
        }
        let rotated = attention.rotary.as_ref().map(|rotary| rotary.size);
        let is_whole = rotated.is_none_or(|size| size == attention.head_size);
        if !matches!(name, "gpt2" | "phi2" | "phi3" | "gptneox" | "qwen35") && !is_whole {
            return Err("rotary embeddings of a part of each head".to_string());
        }
    }
    Ok(())
}

fn is_close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}
