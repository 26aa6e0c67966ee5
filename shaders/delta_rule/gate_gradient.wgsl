// The gradients of forward.wgsl with respect to the gates, a chunk of the tokens of a head per workgroup and one of
// them per invocation. In the notation of value_gradient.wgsl,
//
//   dL/db_t      = dL/d(b e)_t . e_t
//   dL/d log a_t = sum over tokens s < t <= r of what s has added to the state and r reads of it:
//                  d(s, r) ((u_r . b_s e_s) (q_r . k_s) - (dL/dv_r . b_s e_s) (k_r . k_s))
//
// with d(s, r) the product of the decays after token s up to token r. Of the tokens before the chunk there is their
// sum, the state S0 before it, and of those after it the gradient G1 of the state after it. Sums of these terms alone,
// without differences of larger ones, keep the digits of small gradients.
//
// Pieces: delta_rule/sweep.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> errors: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> grad_delta: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> states: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> grad_gates: array<f32>;
@group(0) @binding(8) var<uniform> parameters: Parameters;

// Rows of two matrices that are loaded at a time.
const ROWS: u32 = 4u;
// Groups of four elements of the largest head.
const WIDEST: u32 = 64u;
// Invocations that share a sum over the tokens.
const LANES: u32 = CHUNK / ROWS;

var<workgroup> first_rows: array<vec4<f32>, ROWS * WIDEST>;
var<workgroup> second_rows: array<vec4<f32>, ROWS * WIDEST>;
var<workgroup> log_decays: array<f32, CHUNK>;
var<workgroup> sums: array<f32, ROWS * CHUNK>;
// The gradients of the chunk's log decays.
var<workgroup> decays: array<f32, CHUNK>;

// The products of a group of four with those of the loaded rows.
fn by_first_rows(quad: vec4<f32>, at: u32) -> vec4<f32> {
    return vec4(
        dot(first_rows[at], quad),
        dot(first_rows[WIDEST + at], quad),
        dot(first_rows[2u * WIDEST + at], quad),
        dot(first_rows[3u * WIDEST + at], quad),
    );
}

fn by_second_rows(quad: vec4<f32>, at: u32) -> vec4<f32> {
    return vec4(
        dot(second_rows[at], quad),
        dot(second_rows[WIDEST + at], quad),
        dot(second_rows[2u * WIDEST + at], quad),
        dot(second_rows[3u * WIDEST + at], quad),
    );
}

// Loads rows of S0 and of G1.
fn load_states(place: Place, chunk: u32, row: u32, invocation: u32) {
    let chunks = (parameters.length + CHUNK - 1u) / CHUNK;
    let value_quads = parameters.value_size / 4u;
    workgroupBarrier();
    for (var at = invocation; at < ROWS * value_quads; at += CHUNK) {
        let loaded = at / value_quads;
        let quad = at % value_quads;
        let to = loaded * WIDEST + quad;
        first_rows[to] = states[stored_at(place, chunk, row + loaded) + quad];
        second_rows[to] = states[stored_at(place, chunks + chunk, row + loaded) + quad];
    }
    workgroupBarrier();
}

// Loads what tokens add to the state, b e and k; zeros past the last token.
fn load_tokens(place: Place, tile: u32, end: u32, invocation: u32) {
    let value_quads = parameters.value_size / 4u;
    let key_quads = parameters.key_size / 4u;
    workgroupBarrier();
    for (var at = invocation; at < ROWS * value_quads; at += CHUNK) {
        let position = tile + at / value_quads;
        let to = at / value_quads * WIDEST + at % value_quads;
        first_rows[to] = vec4(0.0);
        if position < end {
            let beta = gates[decay_at(place, position) + parameters.heads];
            first_rows[to] = beta * errors[value_at(place, position) / 4u + at % value_quads];
        }
    }
    for (var at = invocation; at < ROWS * key_quads; at += CHUNK) {
        let position = tile + at / key_quads;
        let to = at / key_quads * WIDEST + at % key_quads;
        second_rows[to] = vec4(0.0);
        if position < end {
            second_rows[to] = key[key_at(place, position) / 4u + at % key_quads];
        }
    }
    workgroupBarrier();
}

// Adds the sums over the invocations of four numbers each to the gradients of the decays after the tokens of a tile.
fn add_to_decays(terms: vec4<f32>, tile: u32, invocation: u32) {
    for (var i = 0u; i < ROWS; i++) {
        sums[i * CHUNK + invocation] = terms[i];
    }
    workgroupBarrier();
    let start = invocation / LANES * CHUNK + invocation % LANES;
    var sum = 0.0;
    for (var i = 0u; i < CHUNK; i += LANES) {
        sum += sums[start + i];
    }
    workgroupBarrier();
    sums[start] = sum;
    workgroupBarrier();
    let after = tile + invocation + 1u;
    if invocation < ROWS && after < CHUNK {
        for (var i = 0u; i < LANES; i++) {
            decays[after] += sums[invocation * CHUNK + i];
        }
    }
}

@compute @workgroup_size(CHUNK)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let place = Place(workgroup.z, workgroup.y, 0u, 0u, true);
    let first = workgroup.x * CHUNK;
    let count = min(CHUNK, parameters.length - first);
    let inside = invocation < count;
    let position = min(first + invocation, parameters.length - 1u);
    let decay_index = decay_at(place, position);
    let beta = gates[decay_index + parameters.heads];
    let own_key = key_at(place, position) / 4u;
    let own_value = value_at(place, position) / 4u;
    let key_quads = parameters.key_size / 4u;
    let value_quads = parameters.value_size / 4u;

    log_decays[invocation] = select(0.0, gates[decay_index], inside);
    decays[invocation] = 0.0;
    workgroupBarrier();
    var log_since_start = 0.0;
    for (var at = 0u; at <= invocation; at++) {
        log_since_start += log_decays[at];
    }
    var log_to_end = 0.0;
    for (var at = invocation + 1u; at < count; at++) {
        log_to_end += log_decays[at];
    }

    // What tokens before the chunk have added, and what those after it read.
    var since_start = 0.0;
    var to_end = 0.0;
    var whole = 0.0;
    for (var row = 0u; row < parameters.key_size; row += ROWS) {
        load_states(place, workgroup.x, row, invocation);
        var read = vec4(0.0);
        var corrected = vec4(0.0);
        var added = vec4(0.0);
        for (var i = 0u; i < value_quads; i++) {
            read += by_first_rows(upstream[own_value + i], i);
            corrected += by_first_rows(beta * grad_delta[own_value + i], i);
            added += by_second_rows(beta * errors[own_value + i], i);
        }
        let own = key[own_key + row / ROWS];
        since_start += dot(query[own_key + row / ROWS], read) - dot(own, corrected);
        to_end += dot(own, added);
        for (var at = invocation; at < ROWS * value_quads; at += CHUNK) {
            let from_row = at / value_quads * WIDEST + at % value_quads;
            whole += dot(first_rows[from_row], second_rows[from_row]);
        }
    }

    // What tokens of the chunk have added, and the own token reads.
    var running = 0.0;
    for (var tile = 0u; tile < count; tile += ROWS) {
        load_tokens(place, first + tile, first + count, invocation);
        var read = vec4(0.0);
        var corrected = vec4(0.0);
        for (var i = 0u; i < value_quads; i++) {
            read += by_first_rows(upstream[own_value + i], i);
            corrected += by_first_rows(beta * grad_delta[own_value + i], i);
        }
        var by_query = vec4(0.0);
        var by_key = vec4(0.0);
        for (var i = 0u; i < key_quads; i++) {
            by_query += by_second_rows(query[own_key + i], i);
            by_key += by_second_rows(key[own_key + i], i);
        }
        let products = read * by_query - corrected * by_key;
        var log_decay = 0.0;
        for (var at = tile + ROWS; at <= invocation; at++) {
            log_decay += log_decays[at];
        }
        var terms = vec4(0.0);
        for (var i = ROWS; i > 0u; i--) {
            let token = tile + i - 1u;
            if token < invocation && inside {
                terms[i - 1u] = exp(log_decay) * products[i - 1u];
            }
            if token <= invocation {
                log_decay += log_decays[token];
            }
        }
        // A decay is between all earlier tokens and this one.
        for (var i = 0u; i < ROWS; i++) {
            running += terms[i];
            terms[i] = select(0.0, running, tile + i < invocation && inside);
        }
        add_to_decays(terms, tile, invocation);
    }

    workgroupBarrier();
    sums[invocation] = select(0.0, exp(log_since_start) * since_start, inside);
    sums[CHUNK + invocation] = select(0.0, exp(log_to_end) * to_end, inside);
    sums[2u * CHUNK + invocation] = whole;
    workgroupBarrier();
    if invocation == 0u {
        var log_whole = 0.0;
        var product = 0.0;
        for (var at = 0u; at < CHUNK; at++) {
            log_whole += log_decays[at];
            product += sums[2u * CHUNK + at];
        }
        var before = exp(log_whole) * product;
        for (var at = 0u; at < count; at++) {
            decays[at] += before;
            before += sums[CHUNK + at];
        }
        var after = 0.0;
        for (var left = count; left > 0u; left--) {
            after += sums[left - 1u];
            decays[left - 1u] += after;
        }
    }
    workgroupBarrier();
    if inside {
        var of_beta = vec4(0.0);
        for (var i = own_value; i < own_value + value_quads; i++) {
            of_beta = fma(grad_delta[i], errors[i], of_beta);
        }
        grad_gates[decay_index] = decays[invocation];
        grad_gates[decay_index + parameters.heads] = sum_of_quad(of_beta);
    }
}
