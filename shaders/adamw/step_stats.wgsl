// Piece: the statistics of an optimizer step. Provides: StepStats.

struct StepStats {
    // Factor of every gradient. Not finite if the loss or the norm is not: the step then changes nothing.
    clip_factor: f32,
    // Gradient norm before clipping.
    gradient_norm: f32,
    loss: f32,
    // 1 / (1 - beta_2^t) for step t.
    inverse_correction_2: f32,
    // learning rate / (1 - beta_1^t)
    rate: f32,
    // 1 - learning rate * weight decay
    kept: f32,
}
