// Piece: weights in q8_0, blocks of 32 values: a float16 scale, 32 signed bytes; with packed/words. CPU
// kernel: src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    let block = (i >> 5u) * 34u;
    return f32(signed_byte_at(block + 2u + (i & 31u))) * float16_at(block);
}
