// The gated delta rule (Yang et al., arXiv:2412.06464, equation 10, transposed), one column of a head's state per
// 8 invocations. With S the state, q, k and v a token's query, key and value, a its decay and b its beta,
//
//   S = a S,  e = v - S^T k,  S = S + k (b e)^T,  o = S^T q
//
// The output is computed before the state, o = (a S)^T q + b e (k . q), so that a token has one sum over the
// parts. The errors e are stored for the gradients.
//
// Pieces: delta_rule/sweep, delta_rule/tile_of_keys.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<f32>;
@group(0) @binding(3) var<storage, read_write> gates: array<f32>;
// Before the first token, and after the last.
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read_write> errors: array<f32>;
@group(0) @binding(7) var<uniform> parameters: Parameters;

// Offset in the state of an element of the own column, and whether there is one.
fn state_at(place: Place, row: u32) -> u32 {
    let head = place.batch * parameters.heads + place.head;
    return (head * parameters.key_size + row) * parameters.value_size + place.own;
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let place = place_of(workgroup, invocation);
    let inside = place.own < parameters.value_size;
    let key_quads = parameters.key_size / 4u;
    // Parts past the last row hold zeros.
    let held = select(0u, min(HELD_QUADS, key_quads - min(key_quads, place.first)), inside);

    var part: array<vec4<f32>, HELD_QUADS>;
    for (var i = 0u; i < held; i++) {
        let row = (place.first + i) * 4u;
        part[i] = vec4(
            state[state_at(place, row)],
            state[state_at(place, row + 1u)],
            state[state_at(place, row + 2u)],
            state[state_at(place, row + 3u)],
        );
    }
    for (var tile = 0u; tile < parameters.length; tile += TILE) {
        let end = min(tile + TILE, parameters.length);
        load_keys(place, tile, end, invocation);
        for (var position = tile; position < end; position++) {
            let decay_index = decay_at(place, position);
            let decay = exp(gates[decay_index]);
            let beta = gates[decay_index + parameters.heads];
            let row = (position - tile) * QUADS + place.first;
            var by_key = vec4(0.0);
            var by_query = vec4(0.0);
            var overlap = vec4(0.0);
            for (var i = 0u; i < HELD_QUADS; i++) {
                part[i] *= decay;
                by_key = fma(part[i], keys[row + i], by_key);
                by_query = fma(part[i], queries[row + i], by_query);
                overlap = fma(keys[row + i], queries[row + i], overlap);
            }
            let term = vec3(sum_of_quad(by_key), sum_of_quad(by_query), sum_of_quad(overlap));
            let sums = sum_of_parts(term, invocation, position);
            let own = value_at(place, position) + place.own;
            var error = 0.0;
            if inside {
                error = value[own] - sums.x;
            }
            let delta = beta * error;
            for (var i = 0u; i < HELD_QUADS; i++) {
                part[i] = fma(keys[row + i], vec4(delta), part[i]);
            }
            if inside && place.writes {
                out[own] = fma(delta, sums.z, sums.y);
                errors[own] = error;
            }
        }
    }
    for (var i = 0u; i < held; i++) {
        let row = (place.first + i) * 4u;
        for (var j = 0u; j < 4u; j++) {
            state[state_at(place, row + j)] = part[i][j];
        }
    }
}
