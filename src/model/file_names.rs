//! The names of a model's files.

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const WEIGHTS_ENDING: &str = ".safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(super) const GENERATION_CONFIG: &str = "generation_config.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
pub(super) const ADDED_TOKENS: &str = "added_tokens.json";
pub(crate) const VOCAB: &str = "vocab.json";
pub(crate) const MERGES: &str = "merges.txt";
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";
pub(super) const SENTENCE_PIECE: &str = "tokenizer.model";

/// Optional files of a model.
pub(crate) const COMPANIONS: [&str; 9] = [
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
    VOCAB,
    MERGES,
    SENTENCE_PIECE,
    CHAT_TEMPLATE,
    "LICENSE",
];
