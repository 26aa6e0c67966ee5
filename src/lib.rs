//! Minifinetuning of small language models on any GPU.
//!
//! Finetuning a language model on a few hundred texts makes it forget what it knew. Minifinetuning
//! (Belcak et al., arXiv:2506.15702) trains the model towards its own predictions from before training,
//! corrected just enough that the right token leads by a margin τ. It keeps most of the gain with a fraction
//! of the forgetting, and requires no pre-training data.
//!
//! The data flows through these modules:
//!
//! ```text
//! file → record → sample → batch → model → loss → gradients → update → evaluation → report, weights
//! text::                   model::         kernels::   train::          eval::      train::, files::
//! ```
//!
//! - [`text`]: reads files and conversations, and tokenizes them into samples with a loss mask.
//! - [`model`]: Hugging Face models, batches, adapters and generation.
//! - [`Objective`] and [`Target`]: the loss, whose kernels are private.
//! - [`train`]: runs, checkpoints, settings and reports. [`train::Trainer`] takes single steps.
//! - [`eval`]: perplexity, specialization S and degeneralization DG.
//! - [`device`]: choice of a GPU adapter or the CPU.
//! - `files`: atomic output files and folders. Not in browsers.
//! - `hub`: models from the Hugging Face Hub. Requires the feature `hub`.
//! - `compare`: comparisons of methods. Requires the feature `compare`.
//! - `bindings`: the interfaces for C and JavaScript. Requires the feature `c` or `web`.
//! - [`doctor`]: verifies that a device computes correct results.
//! - [`demo`]: the embedded texts.
//!
//! A [`train::Run`] is driven one [`train::Event`] at a time: not requesting the next event pauses it,
//! dropping it cancels it, and [`train::Run::checkpoint`] returns bytes to resume from. Waiting for the
//! device is `async` throughout, since a browser cannot block.
//!
//! # Features
//!
//! - `cli` (default): the `minift` program. Enables `compare` and `hub`.
//! - `compare`: comparisons of methods, with tables and plots.
//! - `hub`: downloads models from the Hugging Face Hub.
//! - `parquet` (default): reads Parquet files.
//! - `shader-validation` (default): `doctor::check_shaders`, which validates the shaders for every graphics API.
//! - `c`: the C interface, declared in `include/minift.h`. Enables `parquet`.
//! - `web`: the JavaScript bindings of the browser package.
//! - `fusion`: for applications that enable the feature `fusion` of burn, which changes the type of its
//!   tensors.
//!
//! For the library alone, set `default-features = false`. It logs through [`log`] and never writes to stdout
//! or stderr. The documentation of [`train::Run`] covers threads.
//!
//! # Example
//!
//! Adapt the embedded model to a few tickets, and print what it gained and forgot:
//!
//! ```
//! use std::sync::Arc;
//!
//! use minift::text::Preparation;
//! use minift::device::{Device, DeviceChoice};
//! use minift::model::CausalLm;
//! use minift::train::{Event, Run, RunData, TrainSettings};
//!
//! # fn main() -> minift::Result<()> {
//! # pollster::block_on(async {
//! let device = Device::open(DeviceChoice::Auto).await?;
//! let model = CausalLm::embedded(&device)?; // or CausalLm::load(folder, &device)
//! let samples = |texts: &[String]| {
//!     let preparation = Preparation::to_length(64);
//!     let found = model.reader().samples_of_texts(texts, &preparation, "example");
//!     found.map(|found| found.samples)
//! };
//! let (tickets, tales) = (minift::demo::tickets()?, minift::demo::tales()?);
//! let data = RunData {
//!     train: samples(&tickets[..16])?,
//!     domain: samples(&tickets[500..508])?,
//!     general: samples(&tales[..8])?,
//!     ..RunData::default()
//! };
//! let settings = TrainSettings::default().with_epochs(1.0);
//!
//! let mut run = Run::new(model.clone(), Arc::new(data), settings)?;
//! while let Some(event) = run.next().await? {
//!     if let Event::Step { step, steps, loss, .. } = event {
//!         println!("step {step} of {steps}: loss {loss:.3}");
//!     }
//! }
//! let outcome = run.outcome().expect("a run without a next event is finished");
//! assert!(outcome.after.domain < outcome.before.domain);
//! println!("S {:.1}, DG {:.1}", outcome.metrics.specialization, outcome.metrics.degeneralization);
//! # Ok(())
//! # })
//! # }
//! ```

#![warn(unreachable_pub)]

#[cfg(any(feature = "c", feature = "web"))]
pub mod bindings;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "compare")]
pub mod compare;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod error;
pub mod eval;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
pub(crate) mod gguf;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub mod hub;
pub(crate) mod kernels;
pub mod model;
pub(crate) mod quantization;
pub mod text;
pub mod train;

pub use error::{Error, Result};
pub use kernels::distillation::{
    DEFAULT_ALPHA, DEFAULT_TAU, Method, Objective, Scope, Target, TargetOptions, TargetStrength,
};

/// Items for the project's own tests, benchmarks and fuzz targets. Exempt from semantic versioning.
#[doc(hidden)]
pub mod internals {
    pub use crate::kernels::{
        Impl, attention, delta_rule, distillation, launch, low_rank, matmul, packed, rms_norm,
        rotary, shaders, short_conv, silu_gate, soft_cap,
    };
    pub use crate::model::internals::{Decoder, DecoderCache, Weights};
    pub use crate::quantization::WeightType;
}
