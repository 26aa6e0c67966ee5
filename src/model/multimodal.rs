//! The text model inside a model of text and images: its configuration, and the tensors beside it.

use serde_json::{Map, Value, json};

/// Models of text and images whose text model is supported, in `architectures` and `model_type`.
const ARCHITECTURE: &str = "Mistral3ForConditionalGeneration";
const MODEL_TYPE: &str = "mistral3";

/// Their text models, in `model_type` and `architectures`; the first is the default.
const TEXT_MODELS: [(&str, &str); 2] = [
    ("mistral", "MistralForCausalLM"),
    ("ministral3", "Ministral3ForCausalLM"),
];

/// Fields of the text model that may stand outside `text_config`.
const OUTSIDE: [&str; 6] = [
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "torch_dtype",
    "dtype",
    "transformers_version",
];

/// The field that says whether the head shares the embedding's weights.
const TIE: &str = "tie_word_embeddings";

/// Prefixes of the names of tensors that only images need.
const OF_IMAGES: [&str; 4] = [
    "vision_tower.",
    "multi_modal_projector.",
    "model.vision_tower.",
    "model.multi_modal_projector.",
];

/// Returns the `config.json` of the text model inside a model of text and images; `None` for other models.
pub(super) fn text_config(json: &Map<String, Value>) -> Option<Map<String, Value>> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let architecture = json.get("architectures").and_then(|list| list.get(0));
    let is_known = match architecture.and_then(Value::as_str) {
        Some(architecture) => architecture == ARCHITECTURE,
        None => text("model_type") == Some(MODEL_TYPE),
    };
    if !is_known {
        return None;
    }
    let mut config = json.get("text_config")?.as_object()?.clone();
    for name in OUTSIDE {
        if let Some(value) = json.get(name).filter(|_| !config.contains_key(name)) {
            config.insert(name.to_string(), value.clone());
        }
    }
    // As in transformers, the field of the whole model counts, and not that of its text model. A head of its
    // own in the weights is used all the same.
    let tied = json.get(TIE).cloned().unwrap_or(Value::Bool(true));
    config.insert(TIE.to_string(), tied);
    let kind = config.get("model_type").and_then(Value::as_str);
    let kind = kind.unwrap_or(TEXT_MODELS[0].0).to_string();
    if let Some((_, architecture)) = TEXT_MODELS.iter().find(|(known, _)| *known == kind) {
        config.insert("architectures".to_string(), json!([architecture]));
    }
    config.insert("model_type".to_string(), kind.into());
    Some(config)
}

/// Returns whether only images need a tensor.
pub(super) fn is_of_images(tensor: &str) -> bool {
    OF_IMAGES.iter().any(|prefix| tensor.starts_with(prefix))
}
