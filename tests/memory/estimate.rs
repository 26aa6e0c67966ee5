//! The memory estimate compared with measured memory: training steps of random models on the CPU, with a counting
//! allocator.
#![allow(clippy::unwrap_used)]

use crate::counting;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use counting::peak_bytes;
use half::bf16;
use minift::device::Device;
use minift::internals::Decoder;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::model::{CausalLm, ModelConfig};
use minift::text::Sample;
use minift::train::{MemoryEstimate, Run, RunData, TrainSettings};
use pollster::block_on;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// SmolLM2-135M's shape.
fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
        "tie_word_embeddings": true, "torch_dtype": "bfloat16",
    })
}

/// A model with inputs per layer, shared keys and values, heads of two sizes and a soft cap.
fn gemma4() -> Value {
    json!({
        "architectures": ["Gemma4ForCausalLM"], "model_type": "gemma4_text",
        "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64, "global_head_dim": 128,
        "num_kv_shared_layers": 6, "hidden_size_per_layer_input": 128, "vocab_size": 16384,
        "vocab_size_per_layer_input": 16384, "final_logit_softcapping": 30.0,
        "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
    })
}

/// A model that is mostly short convolutions, and small feed-forward blocks.
fn lfm2() -> Value {
    json!({
        "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "hidden_size": 512,
        "block_auto_adjust_ff_dim": false, "intermediate_size": 512, "num_hidden_layers": 16,
        "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 4096,
        "max_position_embeddings": 8192, "norm_eps": 1e-5, "conv_L_cache": 3,
        "full_attn_idxs": [3, 7], "torch_dtype": "bfloat16",
    })
}

/// A model that is mostly gated delta rules, and small feed-forward blocks.
fn qwen3_5() -> Value {
    json!({
        "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "hidden_size": 512,
        "intermediate_size": 512, "num_hidden_layers": 8, "full_attention_interval": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 4096,
        "linear_num_key_heads": 4, "linear_num_value_heads": 8, "linear_key_head_dim": 64,
        "linear_value_head_dim": 64, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
        "tie_word_embeddings": true,
    })
}

/// Writes a model folder with random bfloat16 weights.
fn write_model(folder: &Path, config: &Value) {
    let config = config.to_string();
    fs::write(folder.join("config.json"), &config).unwrap();
    let tokenizer = "assets/minift-tales-360k/tokenizer.json";
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join(tokenizer);
    fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();

    let config = ModelConfig::parse(config.as_bytes(), Path::new("config.json")).unwrap();
    let decoder = Decoder::new(config.decoder);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut values = |count: usize, is_norm: bool| -> Vec<u8> {
        let value = |_| {
            if is_norm {
                1.0
            } else {
                random.random_range(-0.05_f32..0.05)
            }
        };
        let values = (0..count).map(value);
        values
            .flat_map(|value| bf16::from_f32(value).to_le_bytes())
            .collect()
    };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = decoder
        .parameters()
        .iter()
        .map(|spec| {
            let bytes = values(spec.elements(), spec.shape.len() == 1);
            (spec.name.clone(), spec.shape.clone(), bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::BF16, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

#[test]
fn the_estimate_is_within_15_percent_for_a_135m_model() {
    check(&llama(), 134_515_008);
}

#[test]
fn the_estimate_is_within_15_percent_for_gemma_4() {
    check(&gemma4(), 50_504_000);
}

#[test]
fn the_estimate_is_within_15_percent_for_short_convolutions() {
    check(&lfm2(), 30_709_504);
}

#[test]
fn the_estimate_is_within_15_percent_for_gated_delta_rules() {
    check(&qwen3_5(), 16_860_640);
}

/// Compares estimates with measured memory, for a model with that many parameters.
fn check(config: &Value, parameters: usize) {
    let _turn = crate::turn();
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), config);
    let text =
        |seed: u32| -> Sample { (0..128).map(|i| 3 + (i * 7919 + seed * 31) % 900).collect() };
    let data = Arc::new(RunData {
        // At least two steps: before the first, trained and initial values share their buffers.
        train: (0..8).map(text).collect(),
        domain: vec![text(5)],
        general: vec![text(6)],
        ..RunData::default()
    });
    let lora = Some(AdapterSettings::Lora(LoraSettings::default()));
    for (name, adapter, gradient_checkpointing, batch_size) in [
        ("LoRA", lora.clone(), false, 2),
        ("LoRA, larger batch", lora, false, 4),
        ("everything", None, false, 2),
        ("everything, larger batch", None, false, 4),
        ("everything, checkpointed", None, true, 4),
    ] {
        let settings = TrainSettings::default()
            .with_adapter(adapter)
            .with_gradient_checkpointing(gradient_checkpointing)
            .with_batch_size(batch_size)
            .with_epochs(1.0);
        let (estimate, peak) = peak_bytes(|| {
            let model = CausalLm::load(folder.path(), &Device::cpu()).unwrap();
            assert_eq!(model.parameter_count(), parameters);
            let estimate = MemoryEstimate::new(&model, &data, &settings).unwrap();
            let mut run = Run::new(model, data.clone(), settings).unwrap();
            while block_on(run.next()).unwrap().is_some() {}
            assert!(run.losses().iter().all(|loss| loss.is_finite()));
            estimate
        });
        let ratio = estimate.total as f64 / peak as f64;
        println!("{name}: {} of {peak} bytes: {ratio:.3}", estimate.total);
        assert!(
            (0.85..1.15).contains(&ratio),
            "{name}: {ratio:.3} times {peak} bytes: {estimate:?}"
        );
        let sum: u64 = estimate.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(sum, estimate.total);
    }
}
