//! Models in GGUF.

use std::path::PathBuf;

use burn::tensor::{Int, Tensor, TensorData};
use minift::model::{CausalLm, FileBytes, ModelFiles};
use pollster::block_on;

use super::check_error;
use super::small_model::{FOLDER, cpu};

#[path = "../../tests/common/gguf.rs"]
mod file;

use file::{GgufFile, Value};

const TEXTS: [&str; 3] = ["", "ab  a <s>c", "hélló 你好 \u{301}\u{feff} 🙂\r\n\t"];

/// Reads a GGUF file. An accepted model has logits and token ids within its vocabulary, and is the same after it
/// was saved as a Hugging Face folder.
pub fn model(data: &[u8]) -> bool {
    let bytes = FileBytes::InMemory(data.to_vec().into());
    let path = PathBuf::from(FOLDER).join("model.gguf");
    let files = ModelFiles::from_gguf(path, vec![("model.gguf".to_string(), bytes)]);
    let model = match files.and_then(|files| CausalLm::from_files(files, cpu())) {
        Ok(model) => model,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    let vocab_size = model.config().decoder.vocab_size;
    let ids = |model: &CausalLm, text: &str| match model.tokenizer().encode(text) {
        Ok(ids) => {
            assert!(ids.iter().all(|&id| (id as usize) < vocab_size), "{ids:?}");
            ids
        }
        Err(error) => {
            check_error(&error, data.len());
            Vec::new()
        }
    };
    let logits = |model: &CausalLm| {
        let tokens = TensorData::new(vec![0, 1, 1], [1, 3]);
        let logits = model.logits(Tensor::<2, Int>::from_data(tokens, cpu().tensors()));
        assert_eq!(logits.dims(), [1, 3, vocab_size]);
        let values = logits.into_data().try_to_vec::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    let files = block_on(model.to_files()).unwrap();
    let saved = ModelFiles::collect(PathBuf::from(FOLDER), |name| {
        let found = files.iter().find(|(file, _)| file == name);
        Ok(found.map(|(_, bytes)| FileBytes::InMemory(bytes.clone().into())))
    });
    let saved = CausalLm::from_files(saved.unwrap(), cpu()).expect("a saved model can be loaded");
    assert_eq!(logits(&saved), logits(&model));
    for text in TEXTS {
        assert_eq!(ids(&saved, text), ids(&model, text));
    }
    assert_eq!(saved.reader().end_tokens(), model.reader().end_tokens());
    true
}

/// Small models with tokenizers of both kinds, RoPE scaling, and a damaged one.
pub fn seeds() -> Vec<Vec<u8>> {
    let text = |text: &str| Value::Text(text.to_string());
    let small = GgufFile::small();
    let mut scaled = small.clone();
    scaled.version = 2;
    scaled
        .set("llama.rope.scaling.type", text("yarn"))
        .set("llama.rope.scaling.factor", Value::F32(4.0))
        .set("llama.rope.scaling.original_context_length", Value::U32(8))
        .set("llama.rope.freq_base", Value::F32(500.0))
        .set("tokenizer.ggml.pre", text("llama-bpe"))
        .set("general.alignment", Value::U32(32));
    let mut factors = GgufFile::sentence_piece();
    factors.tensor("rope_freqs.weight", &[1], &[8.0]);
    let mut windows = small.clone();
    windows.set("llama.attention.sliding_window", Value::U32(2));
    let damaged = small.bytes()[..600].to_vec();
    vec![
        small.bytes(),
        GgufFile::sentence_piece().bytes(),
        scaled.bytes(),
        factors.bytes(),
        windows.bytes(),
        damaged,
    ]
}
