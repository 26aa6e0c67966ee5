//! The text model inside a model of text and other media: its configuration, and the tensors beside it.

use serde_json::{Map, Value, json};

/// A model of text and other media whose text model is supported.
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

const WRAPPERS: [Wrapper; 3] = [
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
    Wrapper {
        architecture: "Gemma4ForConditionalGeneration",
        model_type: "gemma4",
        text_models: &[("gemma4_text", "Gemma4ForCausalLM")],
        tied: true,
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

/// What the names of tensors begin with that only images, videos or sounds need, after an optional `model.`.
const OF_MEDIA: [&str; 6] = [
    "visual.",
    "vision_tower.",
    "multi_modal_projector.",
    "audio_tower.",
    "embed_vision.",
    "embed_audio.",
];

/// Returns the `config.json` of the text model inside a model of text and other media; `None` for other
/// models.
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

/// Returns whether a tensor is for other media than text.
pub(super) fn is_of_media(tensor: &str) -> bool {
    let name = tensor.strip_prefix("model.").unwrap_or(tensor);
    OF_MEDIA.iter().any(|prefix| name.starts_with(prefix))
}
