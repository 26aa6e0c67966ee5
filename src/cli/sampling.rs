//! The arguments for how tokens are sampled.

use clap::Args;

use crate::model::Sampling;

#[derive(Clone, Debug, Args)]
pub(super) struct SamplingArguments {
    /// Sampling temperature; 0 for greedy decoding
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "T",
        help_heading = "Generation"
    )]
    pub temperature: f32,
    /// Sample from the K most likely tokens; 0 for all
    #[arg(
        long,
        default_value_t = 0,
        value_name = "K",
        help_heading = "Generation"
    )]
    pub top_k: usize,
    /// Sample from the smallest set of tokens with a total probability of P
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "P",
        help_heading = "Generation"
    )]
    pub top_p: f32,
    /// Random seed
    #[arg(
        long,
        default_value_t = 0,
        value_name = "SEED",
        help_heading = "Generation"
    )]
    pub seed: u64,
}

impl SamplingArguments {
    /// Returns the sampling that the arguments describe.
    pub(super) fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
        }
    }
}
