//! Recognizes quantized weights, which cannot be trained as they are.

use serde_json::{Map, Value};

/// What to do about quantized weights.
const INSTEAD: &str = "use the unquantized folder of the model";

/// Returns what is wrong with a `config.json` that describes quantized weights.
pub(super) fn by_config(json: &Map<String, Value>) -> Option<String> {
    // `quantization` is MLX's own field, beside which it writes a copy under the name of transformers.
    let mlx = json.get("quantization").and_then(Value::as_object);
    let other = ["quantization_config", "compression_config"]
        .into_iter()
        .find_map(|name| json.get(name).and_then(Value::as_object));
    let (settings, method) = match (mlx, other) {
        (Some(settings), _) => (settings, "MLX"),
        (None, Some(settings)) => (settings, method(settings)),
        (None, None) => return None,
    };
    let bits = |name: &str| settings.get(name).and_then(Value::as_u64);
    let flag = |name: &str| settings.get(name).and_then(Value::as_bool) == Some(true);
    let bits = match bits("bits").or_else(|| bits("w_bit")) {
        Some(bits) => Some(bits),
        None if flag("load_in_4bit") => Some(4),
        None if flag("load_in_8bit") => Some(8),
        None => None,
    };
    let bits = bits.map_or_else(String::new, |bits| format!(" ({bits} bits)"));
    Some(format!(
        "the weights are quantized by {method}{bits}: {INSTEAD}"
    ))
}

/// Returns the name of the method of a `quantization_config`.
fn method(settings: &Map<String, Value>) -> &str {
    let named = settings.get("quant_method").and_then(Value::as_str);
    match named {
        Some("bitsandbytes") => "bitsandbytes",
        Some("gptq") => "GPTQ",
        Some("awq") => "AWQ",
        Some("fp8" | "fbgemm_fp8" | "finegrained_fp8") => "FP8",
        Some(other) => other,
        None if settings.keys().any(|key| key.starts_with("load_in_")) => "bitsandbytes",
        None if settings.contains_key("group_size") => "MLX",
        None => "an unknown method",
    }
}

/// Endings of the names of tensors that only quantized weights have, for folders whose `config.json` does
/// not say it.
const ENDINGS: [(&str, &str); 12] = [
    (".absmax", "bitsandbytes"),
    (".quant_map", "bitsandbytes"),
    (".SCB", "bitsandbytes"),
    (".g_idx", "GPTQ"),
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale", "FP8 or compressed-tensors"),
    (".weight_scale_inv", "FP8"),
    (".input_scale", "FP8"),
    ("._data", "quanto"),
    (".scales", "MLX, GPTQ or AWQ"),
];

/// Returns what is wrong with weights files whose tensors have these names, if they are quantized.
pub(super) fn by_tensors<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    ENDINGS.iter().find_map(|(ending, method)| {
        let found = names.clone().find(|name| name.ends_with(ending))?;
        Some(format!(
            "the weights are quantized by {method}, since there is a tensor {found}: {INSTEAD}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantized_weights_are_recognized_by_the_configuration() {
        for (config, method) in [
            (
                json!({"quantization_config": {"load_in_4bit": true, "quant_method": "bitsandbytes"}}),
                "bitsandbytes (4 bits)",
            ),
            (
                json!({"quantization_config": {"load_in_8bit": true}}),
                "bitsandbytes (8 bits)",
            ),
            (
                json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}),
                "GPTQ (4 bits)",
            ),
            (
                json!({"quantization_config": {"quant_method": "awq", "bits": 4}}),
                "AWQ (4 bits)",
            ),
            (
                json!({"quantization_config": {"quant_method": "fbgemm_fp8"}}),
                "FP8:",
            ),
            (
                json!({"quantization_config": {"quant_method": "fp8"}}),
                "FP8:",
            ),
            (
                json!({"quantization_config": {"quant_method": "compressed-tensors"}}),
                "compressed-tensors:",
            ),
            (
                json!({"compression_config": {"quant_method": "hqq"}}),
                "hqq:",
            ),
            (
                json!({"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"bits": 4}}),
                "MLX (4 bits)",
            ),
            (
                json!({"quantization_config": {"group_size": 64, "bits": 8}}),
                "MLX (8 bits)",
            ),
        ] {
            let message = by_config(config.as_object().unwrap()).unwrap();
            assert!(message.contains(&format!("by {method}")), "{message}");
            assert!(message.contains("unquantized"), "{message}");
        }
        for config in [
            json!({}),
            json!({"quantization_config": null, "quantization": false}),
        ] {
            assert_eq!(by_config(config.as_object().unwrap()), None);
        }
    }

    #[test]
    fn quantized_weights_are_recognized_by_their_tensors() {
        let found = |name: &str| by_tensors(["model.norm.weight", name].into_iter());
        for (name, method) in [
            ("model.layers.0.mlp.up_proj.weight.absmax", "bitsandbytes"),
            ("model.layers.0.mlp.up_proj.g_idx", "GPTQ"),
            ("model.layers.0.mlp.up_proj.weight_scale_inv", "FP8"),
            ("model.layers.0.mlp.up_proj.scales", "MLX"),
        ] {
            let message = found(name).unwrap();
            assert!(
                message.contains(method) && message.contains(name),
                "{message}"
            );
        }
        assert_eq!(found("model.layers.0.mlp.up_proj.bias"), None);
    }
}
