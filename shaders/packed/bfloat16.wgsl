// Piece: weights in bfloat16, the upper half of a float32; with packed/words. CPU kernel:
// src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    return bitcast<f32>((words[i >> 1u] >> (16u * (i & 1u))) << 16u);
}
