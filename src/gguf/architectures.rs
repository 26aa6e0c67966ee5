//! The architectures that minift and llama.cpp both know, and their tensors.

mod tensors;

use super::names::{Architecture, Change, FUSED};
use tensors::{
    GEMMA_LAYER, GEMMA_OUTSIDE, GEMMA4_LAYER, GEMMA4_OUTSIDE, LLAMA_LAYER, LLAMA_OUTSIDE,
    QWEN_LAYER, changed, full, same,
};

/// All architectures.
pub(crate) const ARCHITECTURES: [Architecture; 18] = [
    Architecture {
        gguf: "llama",
        hugging_face: &["LlamaForCausalLM", "MistralForCausalLM"],
        model_type: "llama",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: LLAMA_LAYER,
    },
    Architecture {
        gguf: "qwen2",
        hugging_face: &["Qwen2ForCausalLM"],
        model_type: "qwen2",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: QWEN_LAYER,
    },
    Architecture {
        gguf: "qwen3",
        hugging_face: &["Qwen3ForCausalLM"],
        model_type: "qwen3",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: QWEN_LAYER,
    },
    Architecture {
        gguf: "gemma2",
        hugging_face: &["Gemma2ForCausalLM"],
        model_type: "gemma2",
        layer: "model.layers.",
        outside: GEMMA_OUTSIDE,
        in_layer: GEMMA_LAYER,
    },
    Architecture {
        gguf: "gemma3",
        hugging_face: &["Gemma3ForCausalLM"],
        model_type: "gemma3_text",
        layer: "model.layers.",
        outside: GEMMA_OUTSIDE,
        in_layer: GEMMA_LAYER,
    },
    Architecture {
        gguf: "gemma4",
        hugging_face: &["Gemma4ForCausalLM"],
        model_type: "gemma4_text",
        layer: "model.layers.",
        outside: GEMMA4_OUTSIDE,
        in_layer: GEMMA4_LAYER,
    },
    Architecture {
        gguf: "gpt2",
        hugging_face: &["GPT2LMHeadModel"],
        model_type: "gpt2",
        layer: "transformer.h.",
        outside: &[
            same("token_embd", "transformer.wte"),
            same("position_embd", "transformer.wpe"),
            same("output_norm", "transformer.ln_f"),
            same("output", "lm_head"),
        ],
        in_layer: &[
            same("attn_norm", "ln_1"),
            changed(FUSED, "attn.c_attn", Change::Transposed),
            changed("attn_output", "attn.c_proj", Change::Transposed),
            same("ffn_norm", "ln_2"),
            changed("ffn_up", "mlp.c_fc", Change::Transposed),
            changed("ffn_down", "mlp.c_proj", Change::Transposed),
        ],
    },
    Architecture {
        gguf: "phi2",
        hugging_face: &["PhiForCausalLM"],
        model_type: "phi",
        layer: "model.layers.",
        outside: &[
            same("token_embd", "model.embed_tokens"),
            same("output_norm", "model.final_layernorm"),
            same("output", "lm_head"),
        ],
        in_layer: &[
            same("attn_norm", "input_layernorm"),
            same("attn_q", "self_attn.q_proj"),
            same("attn_k", "self_attn.k_proj"),
            same("attn_v", "self_attn.v_proj"),
            same("attn_output", "self_attn.dense"),
            same("ffn_up", "mlp.fc1"),
            same("ffn_down", "mlp.fc2"),
        ],
    },
    Architecture {
        gguf: "openelm",
        hugging_face: &["OpenELMForCausalLM"],
        model_type: "openelm",
        layer: "transformer.layers.",
        outside: &[
            same("token_embd", "transformer.token_embeddings"),
            same("output_norm", "transformer.norm"),
            same("output", "lm_head"),
        ],
        in_layer: &[
            same("attn_norm", "attn_norm"),
            same(FUSED, "attn.qkv_proj"),
            same("attn_q_norm", "attn.q_norm"),
            same("attn_k_norm", "attn.k_norm"),
            same("attn_output", "attn.out_proj"),
            same("ffn_norm", "ffn_norm"),
            changed("ffn_gate", "ffn.proj_1", Change::Upper { lower: "ffn_up" }),
            same("ffn_down", "ffn.proj_2"),
        ],
    },
    Architecture {
        gguf: "smollm3",
        hugging_face: &["SmolLM3ForCausalLM"],
        model_type: "smollm3",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: LLAMA_LAYER,
    },
    Architecture {
        gguf: "granite",
        hugging_face: &["GraniteForCausalLM"],
        model_type: "granite",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: LLAMA_LAYER,
    },
    Architecture {
        gguf: "phi3",
        hugging_face: &["Phi3ForCausalLM"],
        model_type: "phi3",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: &[
            same("attn_norm", "input_layernorm"),
            same(FUSED, "self_attn.qkv_proj"),
            same("attn_output", "self_attn.o_proj"),
            same("ffn_norm", "post_attention_layernorm"),
            same("ffn_up", "mlp.gate_up_proj"),
            same("ffn_down", "mlp.down_proj"),
        ],
    },
    Architecture {
        gguf: "olmo2",
        hugging_face: &["Olmo2ForCausalLM", "Olmo3ForCausalLM"],
        model_type: "olmo2",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: &[
            same("attn_q", "self_attn.q_proj"),
            same("attn_k", "self_attn.k_proj"),
            same("attn_v", "self_attn.v_proj"),
            same("attn_q_norm", "self_attn.q_norm"),
            same("attn_k_norm", "self_attn.k_norm"),
            same("attn_output", "self_attn.o_proj"),
            same("post_attention_norm", "post_attention_layernorm"),
            same("ffn_gate", "mlp.gate_proj"),
            same("ffn_up", "mlp.up_proj"),
            same("ffn_down", "mlp.down_proj"),
            same("post_ffw_norm", "post_feedforward_layernorm"),
        ],
    },
    Architecture {
        gguf: "ernie4_5",
        hugging_face: &["Ernie4_5ForCausalLM"],
        model_type: "ernie4_5",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: QWEN_LAYER,
    },
    Architecture {
        gguf: "hunyuan-dense",
        hugging_face: &["HunYuanDenseV1ForCausalLM"],
        model_type: "hunyuan_v1_dense",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: &[
            same("attn_norm", "input_layernorm"),
            same("attn_q", "self_attn.q_proj"),
            same("attn_k", "self_attn.k_proj"),
            same("attn_v", "self_attn.v_proj"),
            same("attn_q_norm", "self_attn.query_layernorm"),
            same("attn_k_norm", "self_attn.key_layernorm"),
            same("attn_output", "self_attn.o_proj"),
            same("ffn_norm", "post_attention_layernorm"),
            same("ffn_gate", "mlp.gate_proj"),
            same("ffn_up", "mlp.up_proj"),
            same("ffn_down", "mlp.down_proj"),
        ],
    },
    Architecture {
        gguf: "gptneox",
        hugging_face: &["GPTNeoXForCausalLM"],
        model_type: "gpt_neox",
        layer: "gpt_neox.layers.",
        outside: &[
            same("token_embd", "gpt_neox.embed_in"),
            same("output_norm", "gpt_neox.final_layer_norm"),
            same("output", "lm_head"),
        ],
        in_layer: &[
            same("attn_norm", "input_layernorm"),
            changed(FUSED, "attention.query_key_value", Change::HeadParts),
            same("attn_output", "attention.dense"),
            same("ffn_norm", "post_attention_layernorm"),
            same("ffn_up", "mlp.dense_h_to_4h"),
            same("ffn_down", "mlp.dense_4h_to_h"),
        ],
    },
    Architecture {
        gguf: "lfm2",
        hugging_face: &["Lfm2ForCausalLM"],
        model_type: "lfm2",
        layer: "model.layers.",
        outside: &[
            same("token_embd", "model.embed_tokens"),
            // In spite of their names, the norm of the last hidden states.
            same("token_embd_norm", "model.embedding_norm"),
            same("output", "lm_head"),
        ],
        in_layer: &[
            same("attn_norm", "operator_norm"),
            same("attn_q", "self_attn.q_proj"),
            same("attn_k", "self_attn.k_proj"),
            same("attn_v", "self_attn.v_proj"),
            same("attn_q_norm", "self_attn.q_layernorm"),
            same("attn_k_norm", "self_attn.k_layernorm"),
            same("attn_output", "self_attn.out_proj"),
            changed("shortconv.conv", "conv.conv", Change::Squeezed),
            same("shortconv.in_proj", "conv.in_proj"),
            same("shortconv.out_proj", "conv.out_proj"),
            same("ffn_norm", "ffn_norm"),
            same("ffn_gate", "feed_forward.w1"),
            same("ffn_up", "feed_forward.w3"),
            same("ffn_down", "feed_forward.w2"),
        ],
    },
    Architecture {
        gguf: "qwen35",
        hugging_face: &["Qwen3_5ForCausalLM"],
        model_type: "qwen3_5_text",
        layer: "model.layers.",
        outside: GEMMA_OUTSIDE,
        in_layer: &[
            changed("attn_norm", "input_layernorm", Change::PlusOne),
            same("attn_q", "self_attn.q_proj"),
            same("attn_k", "self_attn.k_proj"),
            same("attn_v", "self_attn.v_proj"),
            changed("attn_q_norm", "self_attn.q_norm", Change::PlusOne),
            changed("attn_k_norm", "self_attn.k_norm", Change::PlusOne),
            same("attn_output", "self_attn.o_proj"),
            changed("attn_qkv", "linear_attn.in_proj_qkv", Change::ValueRows),
            changed("attn_gate", "linear_attn.in_proj_z", Change::ValueRows),
            changed("ssm_beta", "linear_attn.in_proj_b", Change::ValueHeads),
            changed("ssm_alpha", "linear_attn.in_proj_a", Change::ValueHeads),
            changed(
                "ssm_conv1d",
                "linear_attn.conv1d",
                Change::SqueezedValueRows,
            ),
            full("ssm_a", "linear_attn.A_log", Change::ValueRates),
            full("ssm_dt.bias", "linear_attn.dt_bias", Change::ValueHeads),
            same("ssm_norm", "linear_attn.norm"),
            changed("ssm_out", "linear_attn.out_proj", Change::ValueColumns),
            changed(
                "post_attention_norm",
                "post_attention_layernorm",
                Change::PlusOne,
            ),
            same("ffn_gate", "mlp.gate_proj"),
            same("ffn_up", "mlp.up_proj"),
            same("ffn_down", "mlp.down_proj"),
        ],
    },
];

impl Architecture {
    /// Returns the architecture of a GGUF file's `general.architecture`.
    pub(crate) fn of_gguf(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|known| known.gguf == name)
    }

    /// Returns the architecture of an entry of `architectures` in `config.json`.
    pub(crate) fn of_hugging_face(name: &str) -> Option<&'static Self> {
        let mut known = ARCHITECTURES.iter();
        known.find(|known| known.hugging_face.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::names::Parameter;

    #[test]
    fn names_go_both_ways() {
        for architecture in &ARCHITECTURES {
            let lists = [
                (architecture.outside, None),
                (architecture.in_layer, Some(12)),
            ];
            for (list, layer) in lists {
                let kinds = list.iter().flat_map(|name| [(name, false), (name, true)]);
                for (name, is_bias) in kinds.filter(|(name, is_bias)| !(name.is_full && *is_bias)) {
                    let parameter = Parameter {
                        name,
                        layer,
                        is_bias,
                    };
                    let full = architecture.hugging_face_name(&parameter);
                    let found = architecture.parameter(&full).unwrap();
                    assert_eq!(found.gguf_name(), parameter.gguf_name(), "{full}");
                    let found = architecture
                        .parameter_of_gguf(&parameter.gguf_name())
                        .unwrap();
                    assert_eq!(architecture.hugging_face_name(&found), full);
                }
            }
        }
        let llama = Architecture::of_gguf("llama").unwrap();
        let query = llama
            .parameter("model.layers.3.self_attn.q_proj.weight")
            .unwrap();
        assert_eq!(query.gguf_name(), "blk.3.attn_q.weight");
        for other in [
            "model.layers.03.self_attn.q_proj.weight",
            "model.layers.3",
            "blk..bias",
            "x",
        ] {
            assert!(llama.parameter(other).is_none(), "{other}");
            assert!(llama.parameter_of_gguf(other).is_none(), "{other}");
        }
    }
}
