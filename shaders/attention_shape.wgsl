// Shared: what the attention kernels know of heads. Whoever joins it is made for one size of a head:
// HEAD_QUADS groups of four elements.
//
// Queries are [batch, length, heads, size], keys and values [batch, key_length, key_heads, size]; the
// queries are the last of the keys' positions, and a key head serves heads / key_heads heads in a row.

struct Parameters {
    length: u32,
    key_length: u32,
    heads: u32,
    key_heads: u32,
    // Positions that a query sees, its own and those before it.
    window: u32,
    // Whether samples hold several texts, whose beginnings are given.
    packed: u32,
    scale: f32,
}

// Invocations in a workgroup: each has a query, or a key, of one head of one sample.
const INVOCATIONS: u32 = 32u;
// Rows of the other kind that are at hand at a time.
const TILE: u32 = 256u / HEAD_QUADS;

// Where the head of a query begins, in groups of four.
fn query_at(batch: u32, position: u32, head: u32) -> u32 {
    return ((batch * parameters.length + position) * parameters.heads + head) * HEAD_QUADS;
}

// Where the head of a key or value begins, in groups of four.
fn key_at(batch: u32, position: u32, head: u32) -> u32 {
    return ((batch * parameters.key_length + position) * parameters.key_heads + head) * HEAD_QUADS;
}

// The first key that a query does not see.
fn end_seen(position: u32) -> u32 {
    return parameters.key_length - parameters.length + position + 1u;
}

fn sum_of_quad(quad: vec4<f32>) -> f32 {
    return (quad.x + quad.y) + (quad.z + quad.w);
}
