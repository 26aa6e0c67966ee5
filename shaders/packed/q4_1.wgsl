// Piece: weights in q4_1, blocks of 32 values: float16 scale and minimum, 16 bytes with values j and j + 16
// in their nibbles; with packed/words. CPU kernel: src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    let block = (i >> 5u) * 20u;
    let scale_and_minimum = unpack2x16float(words[block >> 2u]);
    let quants = byte_at(block + 4u + (i & 15u));
    let quant = (quants >> ((i >> 2u) & 4u)) & 15u;
    return f32(quant) * scale_and_minimum.x + scale_and_minimum.y;
}
