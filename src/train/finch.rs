//! FINCH: a learning rate that falls with the loss (Prashant et al., arXiv:2605.20005), since what a step forgets
//! is bounded by the learning rate times the root of the loss.
//!
//! ```text
//! η_i = κ / √(L̄_i + ε)        L̄_i = 0.9 L̄_{i−1} + 0.1 L_i        L̄_0 = L_0
//! ```
//!
//! with the loss L_i of the step before its update. κ is the learning rate that the settings give. The paper caps
//! η at an absolute 5e-5; here it is at most [`MAX_FACTOR`] κ. Formula and decay are as described in summaries of
//! the paper, not verified against its text.

/// Weight of the earlier losses in the running mean.
const DECAY: f64 = 0.9;
/// Keeps the learning rate finite where the loss vanishes.
const EPSILON: f64 = 1e-8;
/// Largest factor of the learning rate, that of a loss of 0.04 nats.
const MAX_FACTOR: f64 = 5.0;
/// Losses before these have no weight left: 0.9^400 is below 1e-18.
const REMEMBERED: usize = 400;

/// Returns the factor of the learning rate of a step of this `loss` after those of `earlier` losses.
pub(super) fn factor(earlier: &[f32], loss: f32) -> f64 {
    let recent = &earlier[earlier.len().saturating_sub(REMEMBERED)..];
    let mut losses = recent.iter().chain([&loss]).map(|&loss| f64::from(loss));
    let first = losses.next().unwrap_or(0.0);
    let mean = losses.fold(first, |mean, loss| DECAY * mean + (1.0 - DECAY) * loss);
    (1.0 / (mean.max(0.0) + EPSILON).sqrt()).min(MAX_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_running_mean_of_the_loss() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-7, "{found}");
        close(factor(&[], 4.0), 0.5);
        // 0.9 · 4 + 0.1 · 1 = 3.7
        close(factor(&[4.0], 1.0), 3.7_f64.powf(-0.5));
        // 0.9 · 3.7 + 0.1 · 9 = 4.23
        close(factor(&[4.0, 1.0], 9.0), 4.23_f64.powf(-0.5));
        close(factor(&[], 0.0), MAX_FACTOR);
        // A long run forgets its beginning.
        let mut long = vec![1000.0; 100];
        long.extend([0.25; 1000]);
        close(factor(&long, 0.25), 2.0);
    }
}
