//! The architectures that minift and llama.cpp both know: names of their tensors in GGUF files and in Hugging
//! Face folders, and how the values differ between the two.

/// An architecture, by its names in both formats.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// `general.architecture`, and the prefix of its metadata keys.
    pub gguf: &'static str,
    /// Names in `architectures` of `config.json`; the first is the one that is written.
    pub hugging_face: &'static [&'static str],
    /// `model_type` of `config.json`.
    pub model_type: &'static str,
    /// Prefix of the tensors of a layer, before its number, in Hugging Face folders.
    pub layer: &'static str,
    /// Tensors outside the layers, without `.weight` and `.bias`.
    pub outside: &'static [Name],
    /// Tensors of each layer, without prefix, number, `.weight` and `.bias`.
    pub in_layer: &'static [Name],
}

/// A tensor, by its names in both formats.
#[derive(Debug)]
pub(crate) struct Name {
    /// Name in a GGUF file.
    pub gguf: &'static str,
    /// Name in a Hugging Face folder.
    pub hugging_face: &'static str,
    /// How the values differ.
    pub change: Change,
}

/// How the values of a tensor in a GGUF file differ from those in a Hugging Face folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// They are equal.
    None,
    /// Within each attention head, the rows of the two halves alternate: rotary embeddings rotate neighbours
    /// in llama.cpp, and halves in `transformers`.
    HeadRows,
    /// Weights of norms are stored plus 1; biases are equal.
    PlusOne,
    /// Weights are stored as \[out, in\] instead of \[in, out\]; biases are equal.
    Transposed,
    /// The GGUF file has the upper half of the rows as this tensor, and the lower half as the one named here.
    Upper {
        /// Name of the tensor with the lower half.
        lower: &'static str,
    },
}

/// The prefix of the tensors of a layer in GGUF files, before its number.
pub(crate) const BLOCK: &str = "blk.";

/// Queries, keys and values as one tensor, in this order, as early exports of some families have them.
pub(crate) const FUSED: &str = "attn_qkv";

/// Factors of the rotary frequencies, which `config.json` describes instead.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";

const fn same(gguf: &'static str, hugging_face: &'static str) -> Name {
    changed(gguf, hugging_face, Change::None)
}

const fn changed(gguf: &'static str, hugging_face: &'static str, change: Change) -> Name {
    Name {
        gguf,
        hugging_face,
        change,
    }
}

const LLAMA_OUTSIDE: &[Name] = &[
    same("token_embd", "model.embed_tokens"),
    same("output_norm", "model.norm"),
    same("output", "lm_head"),
];

/// The tensors of the families that follow Llama, without the rows that only Llama moves.
const QWEN_LAYER: &[Name] = &[
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

/// All architectures.
pub(crate) const ARCHITECTURES: [Architecture; 7] = [
    Architecture {
        gguf: "llama",
        hugging_face: &["LlamaForCausalLM", "MistralForCausalLM"],
        model_type: "llama",
        layer: "model.layers.",
        outside: LLAMA_OUTSIDE,
        in_layer: &[
            same("attn_norm", "input_layernorm"),
            changed("attn_q", "self_attn.q_proj", Change::HeadRows),
            changed("attn_k", "self_attn.k_proj", Change::HeadRows),
            same("attn_v", "self_attn.v_proj"),
            same("attn_output", "self_attn.o_proj"),
            same("ffn_norm", "post_attention_layernorm"),
            same("ffn_gate", "mlp.gate_proj"),
            same("ffn_up", "mlp.up_proj"),
            same("ffn_down", "mlp.down_proj"),
        ],
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
        gguf: "gemma3",
        hugging_face: &["Gemma3ForCausalLM"],
        model_type: "gemma3_text",
        layer: "model.layers.",
        outside: &[
            same("token_embd", "model.embed_tokens"),
            changed("output_norm", "model.norm", Change::PlusOne),
            same("output", "lm_head"),
        ],
        in_layer: &[
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
        ],
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
];

/// A parameter of an architecture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// Its names.
    pub name: &'static Name,
    /// Its layer, if it is in one.
    pub layer: Option<usize>,
    /// Whether it is a bias instead of a weight.
    pub is_bias: bool,
}

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

    /// Returns the parameter with a name in a Hugging Face folder.
    pub(crate) fn parameter(&self, hugging_face: &str) -> Option<Parameter> {
        self.find(hugging_face, self.layer, |name| name.hugging_face)
    }

    /// Returns the parameter with a name in a GGUF file.
    pub(crate) fn parameter_of_gguf(&self, gguf: &str) -> Option<Parameter> {
        self.find(gguf, BLOCK, |name| name.gguf)
    }

    fn find(
        &self,
        full: &str,
        prefix: &str,
        of: impl Fn(&Name) -> &'static str,
    ) -> Option<Parameter> {
        let (stem, is_bias) = match full.strip_suffix(".weight") {
            Some(stem) => (stem, false),
            None => (full.strip_suffix(".bias")?, true),
        };
        let (list, layer, stem) = match stem.strip_prefix(prefix) {
            Some(rest) => {
                let (number, stem) = rest.split_once('.')?;
                let layer: usize = number.parse().ok()?;
                // Other spellings of the number, such as 01, are other names.
                (layer.to_string() == number).then_some((self.in_layer, Some(layer), stem))?
            }
            None => (self.outside, None, stem),
        };
        Some(Parameter {
            name: list.iter().find(|name| of(name) == stem)?,
            layer,
            is_bias,
        })
    }

    /// Returns the name of a parameter in a Hugging Face folder.
    pub(crate) fn hugging_face_name(&self, parameter: &Parameter) -> String {
        let name = parameter.name.hugging_face;
        parameter.full_name(self.layer, name)
    }
}

impl Parameter {
    /// Returns its name in a GGUF file.
    pub(crate) fn gguf_name(&self) -> String {
        self.full_name(BLOCK, self.name.gguf)
    }

    /// Returns the name of another tensor in a GGUF file, in the same layer and of the same kind.
    pub(crate) fn gguf_sibling(&self, name: &str) -> String {
        self.full_name(BLOCK, name)
    }

    fn full_name(&self, prefix: &str, name: &str) -> String {
        let kind = if self.is_bias { "bias" } else { "weight" };
        match self.layer {
            Some(layer) => format!("{prefix}{layer}.{name}.{kind}"),
            None => format!("{name}.{kind}"),
        }
    }
}

/// Returns where a row of a tensor with [`Change::HeadRows`] in a Hugging Face folder is in the GGUF file, for
/// heads of `head_size` rows.
pub(crate) fn interleaved_row(row: usize, head_size: usize) -> usize {
    let (head, place) = (row / head_size, row % head_size);
    let half = head_size / 2;
    head * head_size + place % half * 2 + place / half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for architecture in &ARCHITECTURES {
            let lists = [
                (architecture.outside, None),
                (architecture.in_layer, Some(12)),
            ];
            for (list, layer) in lists {
                for (name, is_bias) in list.iter().flat_map(|name| [(name, false), (name, true)]) {
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

    #[test]
    fn rows_of_a_head_alternate() {
        let rows: Vec<usize> = (0..8).map(|row| interleaved_row(row, 4)).collect();
        assert_eq!(rows, [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
