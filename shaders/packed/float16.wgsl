// Piece: weights in float16; with packed/words. CPU kernel: src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    return float16_at(2u * i);
}
