//! Minifinetuning of small language models on any GPU.
//!
//! Finetuning a language model on a few hundred texts makes it forget what it knew. Minifinetuning
//! (Belcak et al., arXiv:2506.15702) trains the model towards its own unfinetuned predictions,
//! corrected token by token just enough that the right token wins by a margin τ: most of the gain, a
//! fraction of the forgetting, and no pre-training data.
//!
//! One way leads through the crate:
//!
//! ```text
//! text → samples → batches → model → objective → update → evaluation → report, weights
//! data::              model::   objective::  train::   eval::        report::, files::
//! ```
//!
//! A [`train::Run`] is driven by whoever holds it, one [`train::Event`] at a time: not asking for the
//! next event pauses it, dropping it cancels it, and [`train::Run::checkpoint`] gives the bytes to go
//! on from later. Waiting for the device is `async` throughout, since a browser cannot block.
//!
//! # Features
//!
//! - `cli` (default): the `minift` program, with `compare` and `hub`.
//! - `compare`: comparisons of methods, with their tables and plots.
//! - `hub`: models by their names on the Hugging Face Hub.
//! - `web`: the package for browsers.
//! - `c`: the interface for C, declared in `include/minift.h`.
//! - `fusion`: for applications that depend on burn themselves, with its default features or its `fusion`:
//!   Cargo gives both the same burn, whose tensors are then of another type.
//!
//! A library alone is `default-features = false`. What it has to say goes to [`log`], never to stdout or
//! stderr. [`train::Run`] says which threads may do what.
//!
//! # Example
//!
//! Adapt the embedded model to a few tickets, and see what was gained and what it cost:
//!
//! ```
//! use std::sync::Arc;
//!
//! use minift::data::Samples;
//! use minift::device::{Device, DeviceChoice};
//! use minift::model::CausalLm;
//! use minift::train::{Event, Run, RunData, TrainSettings};
//!
//! # fn main() -> minift::Result<()> {
//! # pollster::block_on(async {
//! let device = Device::open(DeviceChoice::Auto).await?;
//! let model = CausalLm::embedded(&device)?; // or CausalLm::load(folder, &device)
//! let samples = |texts: &[String]| {
//!     Samples::tokenize(texts, model.tokenizer(), 64, "example").map(|found| found.samples)
//! };
//! let (tickets, tales) = (minift::demo::tickets()?, minift::demo::tales()?);
//! let data = RunData {
//!     train: samples(&tickets[..16])?,
//!     domain: samples(&tickets[500..508])?,
//!     general: samples(&tales[..8])?,
//!     ..RunData::default()
//! };
//! let settings = TrainSettings { epochs: 1, ..TrainSettings::default() };
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

pub mod adapter;
#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
#[cfg(all(feature = "c", not(target_arch = "wasm32")))]
pub mod c;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "compare")]
pub mod compare;
pub mod counting;
pub mod data;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod error;
pub mod eval;
#[cfg(not(target_arch = "wasm32"))]
pub mod files;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub mod hub;
pub mod matrix_product;
pub mod model;
pub mod objective;
mod reading;
pub mod report;
pub mod shader;
pub mod train;
mod vector;
#[cfg(feature = "web")]
pub mod web;

// Only burn and criterion use it; see Cargo.toml.
use ciborium as _;

pub use error::{Error, Result};
