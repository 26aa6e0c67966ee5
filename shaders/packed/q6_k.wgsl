// Piece: weights in q6_k, blocks of 256 values: 128 bytes with the low four bits of each, 64 with the high
// two, 16 signed scales of parts, a float16 scale of the block; with packed/words. CPU kernel:
// src/quantization/unpack.rs.

fn value_at(i: u32) -> f32 {
    let block = (i >> 8u) * 210u;
    let part = (i >> 5u) & 7u;
    let half = part >> 2u;
    let quarter = part & 3u;
    let low = byte_at(block + half * 64u + (quarter & 1u) * 32u + (i & 31u));
    let high = byte_at(block + 128u + half * 32u + (i & 31u));
    let quant = ((low >> ((quarter >> 1u) * 4u)) & 15u) | (((high >> (quarter * 2u)) & 3u) << 4u);
    let scale = float16_at(block + 208u) * f32(signed_byte_at(block + 192u + ((i >> 4u) & 15u)));
    return scale * (f32(quant) - 32.0);
}
