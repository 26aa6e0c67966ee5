// Piece: weights in q4_k, blocks of 256 values: float16 scale and minimum of the block, 12 bytes with scale
// and minimum of eight parts, 128 bytes with the values of two parts in their nibbles; with packed/words. CPU
// kernel: src/quantization/unpack.rs.

// Six bits each.
fn scale_and_minimum_of_part(scales: u32, part: u32) -> vec2<f32> {
    if part < 4u {
        let both = vec2(byte_at(scales + part), byte_at(scales + part + 4u));
        return vec2<f32>(both & vec2(63u));
    }
    let low = byte_at(scales + part + 4u);
    let high = vec2(byte_at(scales + part - 4u), byte_at(scales + part)) >> vec2(6u);
    return vec2<f32>(vec2(low & 15u, low >> 4u) | (high << vec2(4u)));
}

fn value_at(i: u32) -> f32 {
    let block = (i >> 8u) * 144u;
    let part = (i >> 5u) & 7u;
    let of_block = unpack2x16float(words[block >> 2u]);
    let of_part = of_block * scale_and_minimum_of_part(block + 4u, part);
    let quants = byte_at(block + 16u + (part >> 1u) * 32u + (i & 31u));
    let quant = (quants >> ((part & 1u) * 4u)) & 15u;
    return of_part.x * f32(quant) - of_part.y;
}
