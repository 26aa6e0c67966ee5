//! Invalid model configurations.

use serde_json::{Value, json};

use super::{Case, Scratch, no_faults};

/// Checks that the copy of the model is rejected after each change of a JSON file.
pub(super) fn check_changed_json(file: &str, cases: &[Case<'_, fn(&mut Value)>]) {
    no_faults(cases.iter().map(|(name, change, fragments)| {
        let scratch = Scratch::with_model();
        scratch.change_json(file, change);
        (name.to_string(), scratch.model_fault(fragments))
    }));
}

#[test]
fn invalid_configurations_are_rejected() {
    check_changed_json(
        "model/config.json",
        &[
            (
                "a list",
                |config| *config = json!([1]),
                &["config.json", "not a JSON object"],
            ),
            (
                "no hidden_size",
                |config| drop(config.as_object_mut().unwrap().remove("hidden_size")),
                &["config.json", "hidden_size is missing"],
            ),
            (
                "a negative hidden_size",
                |config| config["hidden_size"] = json!(-64),
                &["config.json", "hidden_size is -64"],
            ),
            (
                "a huge layer count",
                |config| config["num_hidden_layers"] = json!(u64::MAX),
                &["config.json", "num_hidden_layers"],
            ),
            (
                "no heads",
                |config| config["num_attention_heads"] = json!(0),
                &["config.json", "num_attention_heads is 0"],
            ),
            (
                "an unsupported architecture",
                |config| config["architectures"] = json!(["MambaForCausalLM"]),
                &["MambaForCausalLM", "LlamaForCausalLM", "Qwen3ForCausalLM"],
            ),
            (
                "an unsupported RoPE scaling",
                |config| config["rope_scaling"] = json!({"type": "mrope", "factor": 4.0}),
                &["config.json", "mrope", "yarn, longrope or llama3"],
            ),
            (
                "a RoPE scaling without a factor",
                |config| config["rope_scaling"] = json!({"type": "linear"}),
                &["config.json", "rope_scaling.factor is missing"],
            ),
            (
                "a RoPE scaling factor of 0",
                |config| config["rope_scaling"] = json!({"type": "linear", "factor": 0.0}),
                &["config.json", "RoPE scaling", "above 0"],
            ),
            (
                "a sliding window of 0",
                |config| {
                    config["architectures"] = json!(["MistralForCausalLM"]);
                    config["sliding_window"] = json!(0);
                },
                &["config.json", "sliding_window is 0"],
            ),
            (
                "an unsupported layer type",
                |config| {
                    config["architectures"] = json!(["Qwen2ForCausalLM"]);
                    config["use_sliding_window"] = json!(true);
                    config["layer_types"] = json!(vec!["linear_attention"; 6]);
                },
                &["config.json", "layer_types has linear_attention"],
            ),
            (
                "too few layer types",
                |config| {
                    config["architectures"] = json!(["MistralForCausalLM"]);
                    config["layer_types"] = json!(["full_attention"]);
                },
                &["config.json", "layer_types has 1 entries", "6 layers"],
            ),
            (
                "an unknown activation",
                |config| config["hidden_act"] = json!("mish"),
                &["config.json", "hidden_act is mish", "silu"],
            ),
            (
                "a soft cap of attention scores that transformers ignores",
                |config| {
                    config["architectures"] = json!(["Gemma3ForCausalLM"]);
                    config["attn_logit_softcapping"] = json!(30.0);
                },
                &["config.json", "attn_logit_softcapping is 30.0"],
            ),
            (
                "a soft cap of 0",
                |config| {
                    config["architectures"] = json!(["Gemma2ForCausalLM"]);
                    config["final_logit_softcapping"] = json!(0.0);
                },
                &["config.json", "soft cap of the logits is 0", "or null"],
            ),
            (
                "a mixture of experts",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["enable_moe_block"] = json!(true);
                },
                &["config.json", "enable_moe_block is true", "dense"],
            ),
            (
                "attention to later tokens",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["use_bidirectional_attention"] = json!("all");
                },
                &[
                    "config.json",
                    "use_bidirectional_attention is \"all\"",
                    "causal",
                ],
            ),
            (
                "another field per layer than sizes of the attention",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["per_layer_config"] = json!({"1": {"intermediate_size": 5}});
                },
                &["config.json", "per_layer_config.1.intermediate_size is 5"],
            ),
            (
                "sizes of a layer that the model does not have",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["per_layer_config"] = json!({"6": {"head_dim": 4}});
                },
                &["config.json", "per_layer_config has 6", "a layer"],
            ),
            (
                "shared keys of no layer",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["num_kv_shared_layers"] = json!(3);
                },
                &["config.json", "num_kv_shared_layers is 3", "layer 5"],
            ),
            (
                "shared keys of another size",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["num_kv_shared_layers"] = json!(2);
                    config["layer_types"] = json!(vec!["full_attention"; 6]);
                    config["per_layer_config"] = json!({"4": {"head_dim": 6}});
                },
                &["config.json", "layer 4", "of size 6", "layer 3"],
            ),
            (
                "too few inputs per layer",
                |config| {
                    config["architectures"] = json!(["Gemma4ForCausalLM"]);
                    config["vocab_size_per_layer_input"] = json!(5);
                },
                &[
                    "config.json",
                    "vocab_size_per_layer_input is 5",
                    "vocab_size",
                ],
            ),
            (
                "a partial rotary factor above 1",
                |config| {
                    config["architectures"] = json!(["PhiForCausalLM"]);
                    config["partial_rotary_factor"] = json!(1.5);
                },
                &["config.json", "partial_rotary_factor is 1.5"],
            ),
            (
                "too many GPT-Neo attention types",
                |config| {
                    *config = json!({
                        "architectures": ["GPTNeoForCausalLM"], "hidden_size": 64, "num_heads": 4,
                        "num_layers": 2, "vocab_size": 1024,
                        "attention_types": [[["global", "local"], 18446744073709551615u64]],
                    });
                },
                &["config.json", "attention_types has 3 entries", "2 layers"],
            ),
            (
                "too few layers with or without a rotary embedding",
                |config| {
                    config["architectures"] = json!(["SmolLM3ForCausalLM"]);
                    config["no_rope_layers"] = json!([1, 0]);
                },
                &["config.json", "no_rope_layers has 2 entries", "6 layers"],
            ),
            (
                "logits divided by 0",
                |config| {
                    config["architectures"] = json!(["GraniteForCausalLM"]);
                    config["logits_scaling"] = json!(0.0);
                },
                &["config.json", "logits_scaling is 0", "more than 0"],
            ),
            (
                "an infinite attention scale",
                |config| {
                    config["architectures"] = json!(["GraniteForCausalLM"]);
                    config["attention_multiplier"] = json!(1e300);
                },
                &["config.json", "attention scale is inf"],
            ),
            (
                "Mamba layers",
                |config| {
                    config["architectures"] = json!(["GraniteMoeHybridForCausalLM"]);
                    config["layer_types"] =
                        json!(["mamba", "mamba", "attention", "mamba", "mamba", "attention"]);
                },
                &[
                    "config.json",
                    "layer_types has mamba",
                    "unsupported",
                    "attention",
                ],
            ),
            (
                "a mixture of experts",
                |config| {
                    config["architectures"] = json!(["GraniteMoeHybridForCausalLM"]);
                    config["layer_types"] = json!(vec!["attention"; 6]);
                    config["num_local_experts"] = json!(32);
                },
                &["config.json", "num_local_experts is 32", "expected 0"],
            ),
            (
                "attention across layers",
                |config| {
                    config["architectures"] = json!(["HunYuanDenseV1ForCausalLM"]);
                    config["use_cla"] = json!(true);
                },
                &["config.json", "use_cla is true"],
            ),
            (
                "a query scaling below 0",
                |config| {
                    config["architectures"] = json!(["Ministral3ForCausalLM"]);
                    config["head_dim"] = json!(8);
                    config["rope_parameters"] = json!({"rope_type": "yarn", "factor": 2.0,
                        "original_max_position_embeddings": 64, "llama_4_scaling_beta": -0.5});
                },
                &["config.json", "rate of the query scaling is -0.5"],
            ),
            (
                "inconsistent OpenELM layers",
                |config| {
                    *config = json!({
                        "architectures": ["OpenELMForCausalLM"], "model_dim": 64, "head_dim": 16,
                        "num_transformer_layers": 2, "vocab_size": 1024,
                        "num_query_heads": [4, 6], "num_kv_heads": [2, 4], "ffn_multipliers": [1.0, 2.0],
                    });
                },
                &[
                    "config.json",
                    "layer 1 has 6 attention heads",
                    "multiple of its 4",
                ],
            ),
        ],
    );
    let garbage = Scratch::with_model();
    garbage.write("model/config.json", "hidden_size = 64");
    let empty = Scratch::with_model();
    empty.write("model/config.json", "");
    no_faults([
        (
            "garbage".to_string(),
            garbage.model_fault(&["config.json", "JSON"]),
        ),
        (
            "empty".to_string(),
            empty.model_fault(&["config.json", "JSON"]),
        ),
    ]);
}
