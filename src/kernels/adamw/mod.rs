//! AdamW (Loshchilov and Hutter, arXiv:1711.05101): Adam with decoupled weight decay.

mod backend;
mod cpu;
mod wgsl;

use super::launch::shared_struct;

pub(crate) use backend::{AdamWBackend, partial_sums};
pub(crate) use wgsl::kernels;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

shared_struct! {
    /// The factors of a step, which change from step to step.
    pub(crate) struct AdamWStep as "AdamWStep" {
        /// 1 / (1 − β₂ᵗ) for step t.
        inverse_correction_2: f32,
        /// Learning rate / (1 − β₁ᵗ).
        rate: f32,
        /// 1 − learning rate · weight decay.
        kept: f32,
    }
}

impl AdamWStep {
    /// Returns the factors of a step; the first step is 1.
    pub(crate) fn new(step: usize, learning_rate: f64, weight_decay: f64) -> Self {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        Self {
            inverse_correction_2: (1.0 / (1.0 - BETA_2.powi(step))) as f32,
            rate: (learning_rate / (1.0 - BETA_1.powi(step))) as f32,
            kept: (1.0 - learning_rate * weight_decay) as f32,
        }
    }
}

shared_struct! {
    /// The statistics of a step, computed on the device.
    pub(crate) struct StepStats as "StepStats" {
        /// Factor of every gradient. Not finite if the loss or the norm is not: the step then changes nothing.
        pub clip_factor: f32,
        /// Gradient norm before clipping.
        pub gradient_norm: f32,
        /// The loss.
        pub loss: f32,
        inverse_correction_2: f32,
        rate: f32,
        kept: f32,
    }
}

impl StepStats {
    /// Number of 32-bit values.
    pub(crate) const LEN: usize = size_of::<Self>() / size_of::<f32>();

    /// Reads the statistics from the values of a tensor \[[`Self::LEN`]\].
    pub(crate) fn from_values(values: &[f32]) -> Self {
        *bytemuck::from_bytes(bytemuck::cast_slice(values))
    }
}
