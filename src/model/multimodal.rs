//! The text model inside a model of text and images: its configuration, and the tensors beside it.

use serde_json::{Map, Value, json};

/// A model of text and images whose text model is supported.
struct Wrapper {
    /// Name in `architectures`.
    architecture: &'static str,
    /// Name in `model_type`.
    model_type: &'static str,
    /// Its text models, in `model_type` and `architectures`; the first is the default.
    text_models: &'static [(&'static str, &'static str)],
    /// Whether the head shares the embedding's weights by default.
    tied: bool,
}

const WRAPPERS: [Wrapper; 2] = [
    Wrapper {
        architecture: "Mistral3ForConditionalGeneration",
        model_type: "mistral3",
        text_models: &[
            ("mistral", "MistralForCausalLM"),
            ("ministral3", "Ministral3ForCausalLM"),
        ],
        tied: true,
    },
    Wrapper {
        architecture: "Qwen3_5ForConditionalGeneration",
        model_type: "qwen3_5",
        text_models: &[("qwen3_5_text", "Qwen3_5ForCausalLM")],
        tied: false,
    },
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
const OF_IMAGES: [&str; 6] = [
    "visual.",
    "model.visual.",
    "vision_tower.",
    "multi_modal_projector.",
    "model.vision_tower.",
    "model.multi_modal_projector.",
];

/// Returns the `config.json` of the text model inside a model of text and images; `None` for other models.
pub(super) fn text_config(json: &Map<String, Value>) -> Option<Map<String, Value>> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let architecture = json.get("architectures").and_then(|list| list.get(0));
    let mut wrappers = WRAPPERS.iter();
    let wrapper = match architecture.and_then(Value::as_str) {
        Some(name) => wrappers.find(|wrapper| wrapper.architecture == name),
        None => wrappers.find(|wrapper| text("model_type") == Some(wrapper.model_type)),
    }?;
    let mut config = json.get("text_config")?.as_object()?.clone();
    for name in OUTSIDE {
        if let Some(value) = json.get(name).filter(|_| !config.contains_key(name)) {
            config.insert(name.to_string(), value.clone());
        }
    }
    // As in transformers, the field of the whole model counts, and not that of its text model. A head of its
    // own in the weights is used all the same.
    let tied = json.get(TIE).cloned().unwrap_or(Value::Bool(wrapper.tied));
    config.insert(TIE.to_string(), tied);
    let kind = config.get("model_type").and_then(Value::as_str);
    let kind = kind.unwrap_or(wrapper.text_models[0].0).to_string();
    let mut known = wrapper.text_models.iter();
    if let Some((_, architecture)) = known.find(|(known, _)| *known == kind) {
        config.insert("architectures".to_string(), json!([architecture]));
    }
    config.insert("model_type".to_string(), kind.into());
    Some(config)
}

/// Returns whether only images need a tensor.
pub(super) fn is_of_images(tensor: &str) -> bool {
    OF_IMAGES.iter().any(|prefix| tensor.starts_with(prefix))
}
