//! Generation with keys and values kept, against the same without.
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Int, Tensor, TensorData};
use common::{devices, values};
use minift::model::{CausalLm, Sampling};
use pollster::block_on;

const PROMPT: &str = "Once upon a time, there was a little";

/// The most likely next token, from logits of the whole text.
fn next_token(model: &CausalLm, tokens: &[u32]) -> u32 {
    let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
    let data = TensorData::new(ids, [1, tokens.len()]);
    let logits = model.logits(Tensor::<2, Int>::from_data(data, &model.tensor_device()));
    let last = values(logits.narrow(1, tokens.len() - 1, 1));
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]));
    best.unwrap() as u32
}

#[test]
fn kept_keys_and_values_change_nothing() {
    for device in devices() {
        let model = CausalLm::embedded(&device).unwrap();
        let mut tokens = model.tokenizer().encode(PROMPT).unwrap();
        let prompt_length = tokens.len();
        for _ in 0..12 {
            tokens.push(next_token(&model, &tokens));
        }
        let expected = model.tokenizer().decode(&tokens[prompt_length..]).unwrap();
        let mut pieces = String::new();
        let found = block_on(model.generate(PROMPT, 12, &Sampling::default(), |piece| {
            pieces.push_str(piece);
        }));
        assert_eq!(found.unwrap(), expected, "on {}", device.name());
        assert_eq!(pieces, expected);
    }
}

#[test]
fn a_seed_fixes_what_is_sampled() {
    let model = CausalLm::embedded(&devices()[0]).unwrap();
    let text = |seed: u64| {
        let sampling = Sampling {
            temperature: 1.0,
            top_k: 50,
            top_p: 0.95,
            seed,
        };
        block_on(model.generate(PROMPT, 30, &sampling, |_| ())).unwrap()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn generation_ends_at_the_models_greatest_length() {
    let model = CausalLm::embedded(&devices()[0]).unwrap();
    let text = block_on(model.generate(PROMPT, 100_000, &Sampling::default(), |_| ())).unwrap();
    let longest = model.config().decoder.max_length;
    assert!(model.tokenizer().encode(&text).unwrap().len() <= longest);
}
