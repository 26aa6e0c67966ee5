// Piece: a pass over the tokens of a head, first to last or last to first, by workgroups that have a matrix of
// the state's shape in registers: 32 of its columns (or rows) each, every one of them in parts of HELD_QUADS
// groups of four elements, held by 8 invocations.
//
// Queries and keys are [batch, length, key_heads, key_size], values [batch, length, heads, value_size], gates
// [batch, length, 2, heads] (log decay and beta), states [batch, heads, key_size, value_size]. A key head serves
// heads / key_heads consecutive heads; its gradients are per head: [batch, length, heads, key_size]. The number
// of groups of four elements that the parts of a column or row have room for is QUADS.
//
// The gradients store states [batch, 2 chunks, heads, key_size, value_size]: the states before each chunk of tokens,
// then the gradients of the states after each.
//
// Provides: Parameters, INVOCATIONS, OWN, QUADS, TILE, CHUNK, Place, place_of, key_at, grad_key_at, value_at,
// decay_at, stored_at, sum_of_quad, sum_of_parts.

struct Parameters {
    length: u32,
    heads: u32,
    key_heads: u32,
    key_size: u32,
    value_size: u32,
}

const INVOCATIONS: u32 = 256u;
// Columns or rows per workgroup.
const OWN: u32 = 32u;
const PARTS: u32 = INVOCATIONS / OWN;
const QUADS: u32 = PARTS * HELD_QUADS;
// Tokens that are loaded at a time.
const TILE: u32 = 128u / QUADS;
// Tokens per chunk.
const CHUNK: u32 = 128u;

// What an invocation computes.
struct Place {
    batch: u32,
    head: u32,
    // Number of its column or row.
    own: u32,
    // Number of the first group of four of its part.
    first: u32,
    // Whether it is the first part, which writes results.
    writes: bool,
}

fn place_of(workgroup: vec3<u32>, invocation: u32) -> Place {
    let part = invocation / OWN;
    let own = workgroup.x * OWN + invocation % OWN;
    return Place(workgroup.z, workgroup.y, own, part * HELD_QUADS, part == 0u);
}

// Offset of a query's or key's head.
fn key_at(place: Place, position: u32) -> u32 {
    let head = place.head / (parameters.heads / parameters.key_heads);
    let token = place.batch * parameters.length + position;
    return (token * parameters.key_heads + head) * parameters.key_size;
}

// Offset of a head in the gradients of queries and keys.
fn grad_key_at(place: Place, position: u32) -> u32 {
    let token = place.batch * parameters.length + position;
    return (token * parameters.heads + place.head) * parameters.key_size;
}

// Offset of a value's head.
fn value_at(place: Place, position: u32) -> u32 {
    let token = place.batch * parameters.length + position;
    return (token * parameters.heads + place.head) * parameters.value_size;
}

// Offset of a head's decay; its beta is `heads` later.
fn decay_at(place: Place, position: u32) -> u32 {
    return (place.batch * parameters.length + position) * 2u * parameters.heads + place.head;
}

// Offset of a row of a stored state, in groups of four.
fn stored_at(place: Place, number: u32, row: u32) -> u32 {
    let chunks = (parameters.length + CHUNK - 1u) / CHUNK;
    let head = (place.batch * 2u * chunks + number) * parameters.heads + place.head;
    return (head * parameters.key_size + row) * (parameters.value_size / 4u);
}

fn sum_of_quad(quad: vec4<f32>) -> f32 {
    return (quad.x + quad.y) + (quad.z + quad.w);
}

// The terms of two tokens: those of one are read while those of the next are written.
var<workgroup> terms: array<vec3<f32>, 2u * INVOCATIONS>;

// Returns the sums of three terms over the parts of a column or row. All invocations must call it, with the
// position of one token after the other.
fn sum_of_parts(term: vec3<f32>, invocation: u32, position: u32) -> vec3<f32> {
    let start = (position % 2u) * INVOCATIONS;
    terms[start + invocation] = term;
    workgroupBarrier();
    var sum = vec3(0.0);
    for (var part = 0u; part < PARTS; part++) {
        sum += terms[start + part * OWN + invocation % OWN];
    }
    return sum;
}
