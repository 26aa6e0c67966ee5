// Piece: the bytes of packed weights, little-endian in 32-bit words. A piece for the type of the weights
// defines value_at on top of these. Powers of two are shifts and masks, since software adapters divide slowly.

@group(0) @binding(1) var<storage, read_write> words: array<u32>;

fn byte_at(i: u32) -> u32 {
    return (words[i >> 2u] >> (8u * (i & 3u))) & 255u;
}

fn signed_byte_at(i: u32) -> i32 {
    return bitcast<i32>(words[i >> 2u] << (24u - 8u * (i & 3u))) >> 24u;
}

// The float16 at an even byte.
fn float16_at(i: u32) -> f32 {
    let halves = unpack2x16float(words[i >> 2u]);
    return select(halves.x, halves.y, (i & 2u) != 0u);
}
