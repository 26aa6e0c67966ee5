//! The integration tests that can share a process and its GPU device, in one binary, since each binary links
//! burn and wgpu. Tests that count memory are in `tests/memory`. Tests that limit the process, lose a device,
//! observe all kernel launches or kill programs have their own binaries.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/gguf.rs"]
mod gguf_file;

mod adapted_models;
mod adapters;
mod architecture;
mod bad_input;
mod baselines;
mod bench;
mod bench_profile;
#[cfg(all(feature = "c", unix))]
mod c_interface;
mod chat;
mod checkpoints;
mod choices;
mod comparison;
mod configuration;
mod data;
mod data_styles;
mod decoder_ops;
mod delta_rule;
mod demonstration;
mod dial;
mod divergence;
mod docs;
mod export;
mod families;
mod generation;
mod gguf;
mod hostile_files;
#[cfg(feature = "hub")]
mod hub;
mod logs;
mod low_rank;
mod matmul;
mod model_check;
mod model_folders;
mod objective_properties;
mod objective_vectors;
mod old_files;
mod packed;
mod quantization;
mod rope;
mod runs;
mod sample_weights;
mod shaders;
mod shared_comparison;
mod shell;
mod short_conv;
mod soft_caps;
mod special_tokens;
mod teacher_cache;
mod threads;
mod train_command;
mod training_vectors;
#[cfg(unix)]
mod tutorial;
