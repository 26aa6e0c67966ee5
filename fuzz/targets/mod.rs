//! The guarantees of the file readers, checked for any bytes: by libFuzzer (`fuzz/fuzz_targets`)
//! and by a short run in the test suite (`tests/memory/fuzz_targets.rs`).
//!
//! Each target returns whether its input was accepted, and panics if a guarantee is violated.

mod adapter;
mod comparison;
mod conversation;
mod doctor;
mod gguf;
mod model;
mod page;
mod questions;
mod records;
mod small_model;
mod tokenizer;
mod training;

/// A fuzz target.
pub struct Target {
    /// Name of the target and of its folder of seeds.
    pub name: &'static str,
    /// Runs the target on an input and returns whether it was accepted.
    pub run: fn(&[u8]) -> bool,
    /// Peak memory allowed, in addition to [`MEMORY_PER_BYTE`] for each byte of the input.
    pub memory: usize,
    /// Number of mutated seeds in a short run.
    pub mutations: usize,
    /// Returns the generated seeds.
    pub generated: fn() -> Vec<Vec<u8>>,
}

/// Memory allowed per byte of an input, in bytes.
pub const MEMORY_PER_BYTE: usize = 16;

impl Target {
    const fn new(name: &'static str, run: fn(&[u8]) -> bool) -> Self {
        Self {
            name,
            run,
            memory: 64 << 20,
            mutations: 5000,
            generated: Vec::new,
        }
    }

    /// Sets the generated seeds.
    const fn generated(self, generated: fn() -> Vec<Vec<u8>>) -> Self {
        Self { generated, ..self }
    }

    /// Sets the memory limit in MiB.
    const fn memory(self, mib: usize) -> Self {
        let memory = mib << 20;
        Self { memory, ..self }
    }

    /// Sets the number of mutated seeds, for targets that write files.
    const fn mutations(self, mutations: usize) -> Self {
        Self { mutations, ..self }
    }
}

/// All targets.
pub const TARGETS: [Target; 16] = [
    Target::new("model_config", model::config),
    Target::new("weights", model::weights).generated(model::weights_seeds),
    Target::new("weights_index", model::index),
    Target::new("gguf", gguf::model).generated(gguf::seeds),
    Target::new("tokenizer", tokenizer::tokenizer),
    Target::new("tokenizer_files", tokenizer::files),
    Target::new("chat_template", conversation::template).memory(256),
    Target::new("adapter", adapter::folder).generated(adapter::seeds),
    // Archives and Parquet files of any size may expand to 256 MiB.
    Target::new("records", records::file).memory(768),
    Target::new("questions", questions::file).memory(768),
    Target::new("checkpoint", training::checkpoint).generated(training::checkpoint_seeds),
    Target::new("teacher_states", training::teacher_states)
        .generated(training::states_seeds)
        .mutations(1000),
    Target::new("expected_logits", doctor::expected_logits)
        .generated(doctor::expected_logits_seeds),
    Target::new("recipe", comparison::recipe),
    Target::new("results", comparison::results)
        .generated(comparison::results_seeds)
        .mutations(300),
    Target::new("page", page::files)
        .generated(page::seeds)
        .memory(768),
];

/// Checks an error: it has a message, and the message does not repeat a whole file.
fn check_error(error: &minift::Error, input: usize) {
    let text = error.report();
    assert!(!text.is_empty(), "{error:?} has no message");
    assert!(
        text.len() < 16_384 + 8 * input,
        "an error message of {} bytes",
        text.len()
    );
}
