// Piece: attention scores with a soft cap. Requires shared/soft_cap.
// Provides: score_of, slope_of.

// The score of a scaled product of query and key.
fn score_of(product: f32) -> f32 {
    return soft_capped(product, parameters.soft_cap);
}

// The derivative of score_of where its value is `score`.
fn slope_of(score: f32) -> f32 {
    return soft_cap_slope(score, parameters.soft_cap);
}
