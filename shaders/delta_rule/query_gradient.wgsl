// The gradient of forward.wgsl with respect to the queries, and the part of that of the keys that flows through
// the errors, one row of a head's state per 8 invocations. In the notation of value_gradient.wgsl, where a S is
// the decayed state and S the state after the token,
//
//   dL/dq = S u,  dL/dk = - a S dL/dv + ...
//
// Rows are independent of each other since the errors are known. The state before the first chunk is given, and those
// before the others are stored.
//
// Pieces: delta_rule/sweep, delta_rule/tile_of_values.

@group(0) @binding(0) var<storage, read_write> key: array<f32>;
@group(0) @binding(1) var<storage, read_write> gates: array<f32>;
@group(0) @binding(2) var<storage, read_write> states: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> errors: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> grad_value: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> grad_query: array<f32>;
@group(0) @binding(7) var<storage, read_write> grad_key: array<f32>;
@group(0) @binding(8) var<uniform> parameters: Parameters;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let place = place_of(workgroup, invocation);
    let inside = place.own < parameters.key_size;
    let value_quads = parameters.value_size / 4u;
    // Parts past the last column hold zeros.
    let held = select(0u, min(HELD_QUADS, value_quads - min(value_quads, place.first)), inside);

    var part: array<vec4<f32>, HELD_QUADS>;
    let given = stored_at(place, 0u, place.own) + place.first;
    for (var i = 0u; i < held; i++) {
        part[i] = states[given + i];
    }
    for (var tile = 0u; tile < parameters.length; tile += TILE) {
        let end = min(tile + TILE, parameters.length);
        load_values(place, tile, end, invocation);
        for (var position = tile; position < end; position++) {
            if position % CHUNK == 0u {
                let stored = stored_at(place, position / CHUNK, place.own) + place.first;
                for (var i = 0u; i < held; i++) {
                    states[stored + i] = part[i];
                }
            }
            let decay = exp(gates[decay_at(place, position)]);
            let row = (position - tile) * QUADS + place.first;
            var by_value = vec4(0.0);
            var by_above = vec4(0.0);
            var overlap = vec4(0.0);
            for (var i = 0u; i < HELD_QUADS; i++) {
                part[i] *= decay;
                by_value = fma(part[i], of_values[row + i], by_value);
                by_above = fma(part[i], above[row + i], by_above);
                overlap = fma(deltas[row + i], above[row + i], overlap);
            }
            let term = vec3(sum_of_quad(by_value), sum_of_quad(by_above), sum_of_quad(overlap));
            let sums = sum_of_parts(term, invocation, position);
            var own_key = 0.0;
            if inside {
                own_key = key[key_at(place, position) + place.own];
            }
            for (var i = 0u; i < HELD_QUADS; i++) {
                part[i] = fma(deltas[row + i], vec4(own_key), part[i]);
            }
            if inside && place.writes {
                let own = grad_key_at(place, position) + place.own;
                grad_query[own] = fma(own_key, sums.z, sums.y);
                grad_key[own] = -sums.x;
            }
        }
    }
}
