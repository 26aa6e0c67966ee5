// Piece: weights in q6_k, blocks of 256 values: 128 bytes with the low four bits of each, 64 with the high
// two, 16 signed scales of parts, a float16 scale of the block; with packed/words. CPU kernel:
// src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    let block = i / 256u * 210u;
    let part = i % 256u / 32u;
    let half = part / 4u;
    let quarter = part % 4u;
    let low = byte_at(block + half * 64u + quarter % 2u * 32u + i % 32u);
    let high = byte_at(block + 128u + half * 32u + i % 32u);
    let quant = ((low >> (quarter / 2u * 4u)) & 15u) | (((high >> (quarter * 2u)) & 3u) << 4u);
    let scale = float16_at(block + 208u) * f32(signed_byte_at(block + 192u + i % 256u / 16u));
    return scale * (f32(quant) - 32.0);
}
