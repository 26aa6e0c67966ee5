//! What every reader of files is held to, whatever the bytes: for libFuzzer (`fuzz/fuzz_targets`) and
//! for the short run in the suite (`tests/fuzz_targets.rs`).
//!
//! Each target says whether it took the bytes for what they should be, and panics where a promise is
//! broken.

mod adapter;
mod comparison;
mod conversation;
mod model;
mod page;
mod records;
mod small_model;
mod tokenizer;
mod training;

/// A reader of bytes.
pub struct Target {
    /// Its name, and that of the folder of its seeds.
    pub name: &'static str,
    /// Reads bytes; whether they were accepted.
    pub run: fn(&[u8]) -> bool,
    /// The most memory that reading may take at once, beside [`EACH`] bytes for each of the input.
    pub memory: usize,
    /// Changed seeds of a short run.
    pub changed: usize,
    /// Seeds that are made rather than kept.
    pub made: fn() -> Vec<Vec<u8>>,
}

/// Bytes of memory for each byte of an input.
pub const EACH: usize = 16;

impl Target {
    const fn new(name: &'static str, run: fn(&[u8]) -> bool) -> Self {
        Self {
            name,
            run,
            memory: 64 << 20,
            changed: 5000,
            made: Vec::new,
        }
    }

    /// With seeds that are made.
    const fn made(self, made: fn() -> Vec<Vec<u8>>) -> Self {
        Self { made, ..self }
    }

    /// With so many MiB of memory.
    const fn memory(self, mib: usize) -> Self {
        let memory = mib << 20;
        Self { memory, ..self }
    }

    /// With fewer changed seeds, where each writes files.
    const fn changed(self, changed: usize) -> Self {
        Self { changed, ..self }
    }
}

/// Every target.
pub const TARGETS: [Target; 12] = [
    Target::new("model_config", model::config),
    Target::new("weights", model::weights).made(model::seeds_of_weights),
    Target::new("weights_index", model::index),
    Target::new("tokenizer", tokenizer::tokenizer),
    Target::new("chat_template", conversation::template).memory(256),
    Target::new("adapter", adapter::folder).made(adapter::seeds),
    // Archives and Parquet files may expand to 256 MiB, however small they are.
    Target::new("records", records::file).memory(768),
    Target::new("checkpoint", training::checkpoint).made(training::seeds_of_checkpoints),
    Target::new("teacher_states", training::teacher_states)
        .made(training::seeds_of_states)
        .changed(1000),
    Target::new("recipe", comparison::recipe),
    Target::new("results", comparison::results)
        .made(comparison::seeds_of_results)
        .changed(300),
    Target::new("page", page::files)
        .made(page::seeds)
        .memory(768),
];

/// Looks at an error: it has words, and does not repeat a whole file.
fn is_told(error: &minift::Error, input: usize) {
    let text = error.to_string();
    assert!(!text.is_empty(), "{error:?} says nothing");
    assert!(
        text.len() < 16_384 + 8 * input,
        "an error of {} bytes",
        text.len()
    );
}
