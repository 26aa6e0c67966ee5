// Piece: the second factor of a product in float32.

@group(0) @binding(1) var<storage, read_write> b: array<f32>;

fn value_at(i: u32) -> f32 {
    return b[i];
}
