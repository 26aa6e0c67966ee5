//! The tensors that architectures share, and those of the larger ones.

use crate::gguf::names::{Change, Name};

pub(super) const fn same(gguf: &'static str, hugging_face: &'static str) -> Name {
    changed(gguf, hugging_face, Change::None)
}

pub(super) const fn changed(
    gguf: &'static str,
    hugging_face: &'static str,
    change: Change,
) -> Name {
    Name {
        gguf,
        hugging_face,
        change,
        is_full: false,
    }
}

/// A tensor whose names have neither `.weight` nor `.bias` added.
pub(super) const fn full(gguf: &'static str, hugging_face: &'static str, change: Change) -> Name {
    Name {
        is_full: true,
        ..changed(gguf, hugging_face, change)
    }
}

pub(super) const LLAMA_OUTSIDE: &[Name] = &[
    same("token_embd", "model.embed_tokens"),
    same("output_norm", "model.norm"),
    same("output", "lm_head"),
];

/// The tensors of the families that rotate neighbours in llama.cpp, and halves in `transformers`.
pub(super) const LLAMA_LAYER: &[Name] = &[
    same("attn_norm", "input_layernorm"),
    changed("attn_q", "self_attn.q_proj", Change::HeadRows),
    changed("attn_k", "self_attn.k_proj", Change::HeadRows),
    same("attn_v", "self_attn.v_proj"),
    same("attn_output", "self_attn.o_proj"),
    same("ffn_norm", "post_attention_layernorm"),
    same("ffn_gate", "mlp.gate_proj"),
    same("ffn_up", "mlp.up_proj"),
    same("ffn_down", "mlp.down_proj"),
];

/// The tensors of the families that rotate the same elements in both.
pub(super) const QWEN_LAYER: &[Name] = &[
    same("attn_norm", "input_layernorm"),
    same("attn_q", "self_attn.q_proj"),
    same("attn_k", "self_attn.k_proj"),
    same("attn_v", "self_attn.v_proj"),
    same("attn_q_norm", "self_attn.q_norm"),
    same("attn_k_norm", "self_attn.k_norm"),
    same("attn_output", "self_attn.o_proj"),
    same("ffn_norm", "post_attention_layernorm"),
    same("ffn_gate", "mlp.gate_proj"),
    same("ffn_up", "mlp.up_proj"),
    same("ffn_down", "mlp.down_proj"),
];

/// The tensors outside layers of models whose norms multiply by 1 + weight: Gemma 2 and 3, Qwen3.5.
pub(super) const GEMMA_OUTSIDE: &[Name] = &[
    same("token_embd", "model.embed_tokens"),
    changed("output_norm", "model.norm", Change::PlusOne),
    same("output", "lm_head"),
];

/// The tensors of Gemma 2 and 3; only the latter has norms of queries and keys.
pub(super) const GEMMA_LAYER: &[Name] = &[
    changed("attn_norm", "input_layernorm", Change::PlusOne),
    same("attn_q", "self_attn.q_proj"),
    same("attn_k", "self_attn.k_proj"),
    same("attn_v", "self_attn.v_proj"),
    changed("attn_q_norm", "self_attn.q_norm", Change::PlusOne),
    changed("attn_k_norm", "self_attn.k_norm", Change::PlusOne),
    same("attn_output", "self_attn.o_proj"),
    changed(
        "post_attention_norm",
        "post_attention_layernorm",
        Change::PlusOne,
    ),
    changed("ffn_norm", "pre_feedforward_layernorm", Change::PlusOne),
    same("ffn_gate", "mlp.gate_proj"),
    same("ffn_up", "mlp.up_proj"),
    same("ffn_down", "mlp.down_proj"),
    changed(
        "post_ffw_norm",
        "post_feedforward_layernorm",
        Change::PlusOne,
    ),
];

pub(super) const GEMMA4_OUTSIDE: &[Name] = &[
    same("token_embd", "model.embed_tokens"),
    same("per_layer_token_embd", "model.embed_tokens_per_layer"),
    same("per_layer_model_proj", "model.per_layer_model_projection"),
    same("per_layer_proj_norm", "model.per_layer_projection_norm"),
    same("output_norm", "model.norm"),
    same("output", "lm_head"),
];

pub(super) const GEMMA4_LAYER: &[Name] = &[
    same("attn_norm", "input_layernorm"),
    same("attn_q", "self_attn.q_proj"),
    same("attn_k", "self_attn.k_proj"),
    same("attn_v", "self_attn.v_proj"),
    same("attn_q_norm", "self_attn.q_norm"),
    same("attn_k_norm", "self_attn.k_norm"),
    same("attn_output", "self_attn.o_proj"),
    same("post_attention_norm", "post_attention_layernorm"),
    same("ffn_norm", "pre_feedforward_layernorm"),
    same("ffn_gate", "mlp.gate_proj"),
    same("ffn_up", "mlp.up_proj"),
    same("ffn_down", "mlp.down_proj"),
    same("post_ffw_norm", "post_feedforward_layernorm"),
    same("inp_gate", "per_layer_input_gate"),
    same("proj", "per_layer_projection"),
    same("post_norm", "post_per_layer_input_norm"),
    full("layer_output_scale.weight", "layer_scalar", Change::None),
];
