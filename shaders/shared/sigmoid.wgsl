// Piece: the logistic function, without overflow for any x.
// Provides: sigmoid.

fn sigmoid(x: f32) -> f32 {
    let small = exp(-abs(x));
    return select(small, 1.0, x >= 0.0) / (1.0 + small);
}
