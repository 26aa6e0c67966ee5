// The rest of the gradient of forward.wgsl with respect to the keys, which flows through the states, one row of a
// head's state per 8 invocations, last token first. In the notation of value_gradient.wgsl, where G is the
// gradient with respect to the state after the token, its output included,
//
//   dL/dk = ... + G (b e)
//
// It is added to what query_gradient.wgsl has written. The gradients of the states after the chunks are stored.
//
// Pieces: delta_rule/sweep, delta_rule/tile_of_values.

@group(0) @binding(0) var<storage, read_write> query: array<f32>;
@group(0) @binding(1) var<storage, read_write> key: array<f32>;
@group(0) @binding(2) var<storage, read_write> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> errors: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> grad_value: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> states: array<vec4<f32>>;
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
    let chunks = (parameters.length + CHUNK - 1u) / CHUNK;
    // Parts past the last column hold zeros.
    let held = select(0u, min(HELD_QUADS, value_quads - min(value_quads, place.first)), inside);

    var part: array<vec4<f32>, HELD_QUADS>;
    var end = parameters.length;
    while end > 0u {
        let tile = end - min(end, TILE);
        load_values(place, tile, end, invocation);
        for (var after = end; after > tile; after--) {
            let position = after - 1u;
            if after % CHUNK == 0u || after == parameters.length {
                let stored = stored_at(place, chunks + position / CHUNK, place.own) + place.first;
                for (var i = 0u; i < held; i++) {
                    states[stored + i] = part[i];
                }
            }
            let decay = exp(gates[decay_at(place, position)]);
            let row = (position - tile) * QUADS + place.first;
            var own_query = 0.0;
            var own_key = 0.0;
            if inside {
                let own = key_at(place, position) + place.own;
                own_query = query[own];
                own_key = key[own];
            }
            var by_delta = vec4(0.0);
            for (var i = 0u; i < HELD_QUADS; i++) {
                part[i] = fma(above[row + i], vec4(own_query), part[i]);
                by_delta = fma(part[i], deltas[row + i], by_delta);
                part[i] = decay * (part[i] - of_values[row + i] * own_key);
            }
            let term = vec3(sum_of_quad(by_delta), 0.0, 0.0);
            let sums = sum_of_parts(term, invocation, position);
            if inside && place.writes {
                grad_key[grad_key_at(place, position) + place.own] += sums.x;
            }
        }
        end = tile;
    }
}
