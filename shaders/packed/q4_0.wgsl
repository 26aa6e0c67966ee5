// Piece: weights in q4_0, blocks of 32 values: a float16 scale, 16 bytes with values j and j + 16 in their
// nibbles; with packed/words. CPU kernel: src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    let block = (i >> 5u) * 18u;
    let quants = byte_at(block + 2u + (i & 15u));
    let quant = (quants >> ((i >> 2u) & 4u)) & 15u;
    return (f32(quant) - 8.0) * float16_at(block);
}
