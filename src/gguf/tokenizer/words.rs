//! How byte-level tokenizers split a text into words, by the names that llama.cpp gives to them
//! (`tokenizer.ggml.pre`). The patterns are those of the models' own `tokenizer.json`.

use serde_json::{Value, json};

use crate::error::Result;
use crate::gguf::metadata::Metadata;
use crate::gguf::names::Architecture;
use crate::text::QWEN_WORDS;

/// How a text is split into words.
#[derive(Debug)]
pub(super) struct Words {
    /// Names in GGUF files.
    names: &'static [&'static str],
    /// Patterns, each of which splits what the ones before it left.
    patterns: &'static [&'static str],
    /// Whether GPT-2's pattern comes last.
    like_gpt2: bool,
    /// Whether texts are normalized to NFC first.
    pub composed: bool,
    /// Whether a word that is a token is not merged from parts.
    pub ignores_merges: bool,
    /// Whether a begin token is put before a text by default.
    pub begins: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen's words, in which marks belong to letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

const CHINESE: &str = "[一-龥ࠀ-一가-퟿]+";

/// Words of one kind of tokenizer, with GPT-2's pattern last.
const LIKE_GPT2: Words = Words {
    names: &[],
    patterns: &[],
    like_gpt2: true,
    composed: false,
    ignores_merges: false,
    begins: false,
};

/// Words by patterns alone.
const BY_PATTERNS: Words = Words {
    like_gpt2: false,
    ..LIKE_GPT2
};

/// All kinds of words.
const KINDS: [Words; 15] = [
    Words {
        names: &[
            "gpt-2",
            "phi-2",
            "mpt",
            "trillion",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "granite-docling",
        ],
        ..LIKE_GPT2
    },
    Words {
        names: &["olmo"],
        composed: true,
        ..LIKE_GPT2
    },
    Words {
        names: &[
            "smollm",
            "starcoder",
            "refact",
            "codeshell",
            "exaone",
            "minerva-7b",
        ],
        patterns: &[r"\p{N}"],
        ..LIKE_GPT2
    },
    Words {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "pixtral",
            "midm-2.0",
            "lfm2",
        ],
        patterns: &[LLAMA3],
        ignores_merges: true,
        begins: true,
        ..BY_PATTERNS
    },
    Words {
        names: &["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"],
        patterns: &[LLAMA3],
        ..BY_PATTERNS
    },
    Words {
        names: &["qwen2", "deepseek-r1-qwen", "megrez", "hunyuan", "kormo"],
        patterns: &[QWEN_WORDS],
        composed: true,
        ..BY_PATTERNS
    },
    Words {
        names: &["qwen35"],
        patterns: &[QWEN35],
        composed: true,
        ..BY_PATTERNS
    },
    Words {
        names: &["tekken"],
        patterns: &[TEKKEN],
        ignores_merges: true,
        begins: true,
        ..BY_PATTERNS
    },
    Words {
        names: &["gpt-4o", "llama4", "kanana2"],
        patterns: &[GPT4O],
        ..BY_PATTERNS
    },
    Words {
        names: &["seed-coder"],
        patterns: &[SEED_CODER],
        ..BY_PATTERNS
    },
    Words {
        names: &["deepseek-llm"],
        patterns: &[
            "[\r\n]",
            r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            CHINESE,
            r"\p{N}+",
        ],
        ..BY_PATTERNS
    },
    Words {
        names: &["deepseek-coder"],
        patterns: &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CHINESE, r"\p{N}"],
        ..BY_PATTERNS
    },
    Words {
        names: &["deepseek-v3", "hunyuan-dense"],
        patterns: &[
            r"\p{N}{1,3}",
            "[一-龥\u{3040}-ゟ゠-ヿ]+",
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
        ],
        ..BY_PATTERNS
    },
    Words {
        names: &["falcon"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
        ..BY_PATTERNS
    },
    Words {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        ..BY_PATTERNS
    },
];

/// Key of the name.
const KEY: &str = "tokenizer.ggml.pre";
/// Tokens of Llama 3's vocabulary without the special ones.
const LLAMA3_TOKENS: usize = 128_000;

impl Words {
    /// Returns how a file's tokenizer splits a text; `tokens` is the size of its vocabulary.
    pub(super) fn read(
        metadata: &Metadata,
        architecture: &Architecture,
        tokens: usize,
    ) -> Result<&'static Self> {
        let name = match metadata.text(KEY)? {
            Some(name) => name,
            None => {
                // The first files do not say.
                let name = match architecture.gguf {
                    "gpt2" | "phi2" => "gpt-2",
                    "qwen2" | "qwen3" => "qwen2",
                    "llama" if tokens >= LLAMA3_TOKENS => "llama-bpe",
                    _ => "default",
                };
                let path = metadata.path().display();
                log::warn!("{path}: metadata {KEY} is missing: {name} is assumed");
                name
            }
        };
        static ALL: [Words; 15] = KINDS;
        let found = ALL.iter().find(|words| words.names.contains(&name));
        found.ok_or_else(|| {
            let known: Vec<&str> = KINDS
                .iter()
                .flat_map(|words| words.names)
                .copied()
                .collect();
            metadata.tokenizer_fault(format!(
                "metadata {KEY} is {name:.40?}, an unknown way to split texts: expected one of {}",
                known.join(", ")
            ))
        })
    }

    /// Returns the name in GGUF files of a way to split texts; whether they are normalized to NFC matters only
    /// if several differ in nothing else.
    pub(super) fn named_by(
        patterns: &[&str],
        like_gpt2: bool,
        ignores_merges: bool,
        composed: bool,
    ) -> Option<&'static str> {
        let equal = |words: &&Words| {
            words.patterns == patterns
                && words.like_gpt2 == like_gpt2
                && words.ignores_merges == ignores_merges
        };
        let mut same = KINDS.iter().filter(equal);
        let exact = same.clone().find(|words| words.composed == composed);
        let found = exact.or_else(|| same.next())?;
        found.names.first().copied()
    }

    /// Returns the pre-tokenizer of `tokenizer.json`.
    pub(super) fn pre_tokenizer(&self) -> Value {
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": self.like_gpt2});
        if self.patterns.is_empty() {
            return bytes;
        }
        let mut parts: Vec<Value> = self.patterns.iter().map(split).collect();
        if self.patterns == [r"\p{N}"] {
            parts = vec![json!({"type": "Digits", "individual_digits": true})];
        }
        parts.push(bytes);
        json!({"type": "Sequence", "pretokenizers": parts})
    }
}
