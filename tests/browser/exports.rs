//! Exports for the browser tests, in addition to the package: training compared with PyTorch step by step,
//! and the memory of training steps.

#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/vectors.rs"]
mod vectors;

use counting::{bytes_now, start_counting};

use minift::Objective;
use minift::bindings::web::Device;
use minift::demo;
use minift::eval::evaluate;
use minift::model::Batch;
use minift::model::{CausalLm, FileBytes, ModelFiles};
use minift::text::Sample;
use minift::train::{TrainSettings, Trainer};
use vectors::Vectors;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// Returns the largest relative error of the losses over the first steps of a training in the bytes of
/// `tests/data/training.safetensors`.
#[wasm_bindgen(js_name = trainingError)]
pub async fn training_error(
    device: &Device,
    bytes: &[u8],
    training: String,
    tau: f32,
    steps: usize,
) -> Result<f64, JsError> {
    let file = Vectors::parse(bytes);
    let model = CausalLm::embedded(device.inner())?;
    let settings = TrainSettings::default()
        .with_objective(Objective::minifinetuning(tau))
        .with_gradient_clip(0.0)
        .with_weight_decay(0.01);
    let mut trainer = Trainer::new(model, settings)?;
    let [_, batch, length] = file
        .shape("input_ids")
        .try_into()
        .expect("three dimensions");
    let samples: Vec<Sample> = file
        .i32("input_ids")
        .chunks(length)
        .map(|ids| ids.iter().map(|&id| id as u32).collect())
        .collect();
    let mut largest = 0.0_f64;
    let expected = file.f64(&format!("{training}.loss"));
    for (step, &expected) in expected.iter().enumerate().take(steps) {
        let batch = Batch::new(&samples, (step * batch..(step + 1) * batch).collect());
        let measured = trainer.step(&[batch], 1e-3).await?;
        let error = (f64::from(measured.loss) - expected).abs() / expected;
        // NaN counts as the largest error.
        largest = if error <= largest { largest } else { error };
    }
    Ok(largest)
}

/// Evaluates and trains a random model of a family on its reference token ids. Returns the relative error of
/// its cross-entropy, and the losses of three steps of minifinetuning.
#[wasm_bindgen(js_name = familySteps)]
pub async fn family_steps(
    device: &Device,
    config: &[u8],
    weights: &[u8],
    expected: &[u8],
) -> Result<Vec<f64>, JsError> {
    const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "truncation": null, "padding": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}"#;
    let files = ModelFiles::collect("family".into(), |name| {
        let bytes = match name {
            "config.json" => config.to_vec(),
            "model.safetensors" => weights.to_vec(),
            "tokenizer.json" => TOKENIZER.as_bytes().to_vec(),
            _ => return Ok(None),
        };
        Ok(Some(FileBytes::InMemory(bytes.into())))
    })?;
    let model = CausalLm::from_files(files, device.inner())?;
    let file = Vectors::parse(expected);
    let [_, length] = file.shape("input_ids").try_into().expect("two dimensions");
    let samples: Vec<Sample> = file
        .i32("input_ids")
        .chunks(length)
        .map(|ids| ids.iter().map(|&id| id as u32).collect())
        .collect();
    let expected: f64 = file.metadata["cross_entropy"].parse()?;
    let found = evaluate(&model, &samples, samples.len())
        .await?
        .perplexity
        .ln();
    let mut results = vec![(found - expected).abs() / expected];
    let mut trainer = Trainer::new(model, TrainSettings::default())?;
    for _ in 0..3 {
        let batch = Batch::new(&samples, (0..samples.len()).collect());
        results.push(f64::from(trainer.step(&[batch], 3e-4).await?.loss));
    }
    Ok(results)
}

/// Memory in use after a round of steps.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Bytes in use of the module's heap.
    pub heap: usize,
    /// Number of buffers in use of the device's pool.
    pub buffers: usize,
    /// Bytes of these buffers.
    #[wasm_bindgen(js_name = bufferBytes)]
    pub buffer_bytes: usize,
    /// Bytes of the pool, in use or reserved.
    #[wasm_bindgen(js_name = poolBytes)]
    pub pool_bytes: usize,
}

/// Returns the memory in use after each round of four small steps of different lengths.
#[wasm_bindgen(js_name = takenByRounds)]
pub async fn taken_by_rounds(device: &Device, rounds: usize) -> Result<Vec<Taken>, JsError> {
    start_counting();
    let model = CausalLm::embedded(device.inner())?;
    let tokens = model.tokenizer().encode(&demo::tickets()?.concat())?;
    let samples: Vec<Sample> = (0..8)
        .map(|i| tokens[i * 40..i * 40 + 4 + i].to_vec().into())
        .collect();
    let mut trainer = Trainer::new(model, TrainSettings::default())?;
    let mut taken = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        for batch in 0..4 {
            let batch = Batch::new(&samples, vec![2 * batch, 2 * batch + 1]);
            trainer.step(&[batch], 1e-4).await?;
        }
        let pool = device.inner().tensors().memory_pool_usage();
        let pool = pool.ok_or_else(|| JsError::new("the device has no pool"))?;
        taken.push(Taken {
            heap: bytes_now(),
            buffers: pool.number_allocs as usize,
            buffer_bytes: pool.bytes_in_use as usize,
            pool_bytes: pool.bytes_reserved as usize,
        });
    }
    Ok(taken)
}
