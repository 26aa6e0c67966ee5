// Piece: sizes and offsets of the attention kernels. They are specialized for a head size, of HEAD_QUADS
// groups of four elements.
//
// Queries are [batch, length, heads, size], keys and values [batch, key_length, num_kv_heads, size]. The
// queries are at the last `length` of the keys' positions, and a key head serves heads / num_kv_heads
// consecutive query heads.

struct Parameters {
    length: u32,
    key_length: u32,
    heads: u32,
    num_kv_heads: u32,
    // Size of the attention window, including the query's own position.
    window: u32,
    // Whether samples are packed, with segment starts.
    packed: u32,
    scale: f32,
    // Soft cap of the scores; unused without one.
    soft_cap: f32,
}

// Queries or keys per workgroup, each of one head.
const OWN: u32 = 32u;
// Invocations per query or key, and the groups of four elements of its head that each of them holds: at most 32, for
// which there are enough registers.
const PARTS: u32 = (HEAD_QUADS + 31u) / 32u;
const PART_QUADS: u32 = HEAD_QUADS / PARTS;
const INVOCATIONS: u32 = OWN * PARTS;
// Keys or queries per tile.
const TILE: u32 = 256u / HEAD_QUADS;

// The loaded tile: keys and values, or queries and the gradients of their outputs.
var<workgroup> firsts: array<vec4<f32>, TILE * HEAD_QUADS>;
var<workgroup> seconds: array<vec4<f32>, TILE * HEAD_QUADS>;

// Offset of a query's head, in groups of four.
fn query_at(batch: u32, position: u32, head: u32) -> u32 {
    return ((batch * parameters.length + position) * parameters.heads + head) * HEAD_QUADS;
}

// Offset of a key's or value's head, in groups of four.
fn key_at(batch: u32, position: u32, head: u32) -> u32 {
    return ((batch * parameters.key_length + position) * parameters.num_kv_heads + head) * HEAD_QUADS;
}

// Number of the query or key of an invocation, and of the first group of four of its part of the head.
fn own_of(invocation: u32) -> u32 {
    return invocation % OWN;
}

fn part_of(invocation: u32) -> u32 {
    return invocation / OWN * PART_QUADS;
}

// One past the last key that a query attends to.
fn end_seen(position: u32) -> u32 {
    return parameters.key_length - parameters.length + position + 1u;
}

fn sum_of_quad(quad: vec4<f32>) -> f32 {
    return (quad.x + quad.y) + (quad.z + quad.w);
}
