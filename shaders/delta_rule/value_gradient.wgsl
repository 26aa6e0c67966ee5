// The gradient of forward.wgsl with respect to the values, one column of a head's state per 8 invocations, last
// token first. With G the gradient of the loss with respect to the state after a token, u that of its output,
// and q, k, a and b as in forward.wgsl,
//
//   G = G + q u^T,  dL/d(b e) = G^T k,  dL/dv = b dL/d(b e),  G = a (G - k dL/dv^T)
//
// where the last is the gradient with respect to the state before the token.
//
// Pieces: delta_rule/sweep, delta_rule/tile_of_keys.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> upstream: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_value: array<f32>;
@group(0) @binding(6) var<uniform> parameters: Parameters;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let place = place_of(workgroup, invocation);
    let inside = place.own < parameters.value_size;

    var part: array<vec4<f32>, HELD_QUADS>;
    var end = parameters.length;
    while end > 0u {
        let tile = end - min(end, TILE);
        load_keys(place, tile, end, invocation);
        for (var after = end; after > tile; after--) {
            let position = after - 1u;
            let decay_index = decay_at(place, position);
            let decay = exp(gates[decay_index]);
            let beta = gates[decay_index + parameters.heads];
            let row = (position - tile) * QUADS + place.first;
            var by_key = vec4(0.0);
            var overlap = vec4(0.0);
            for (var i = 0u; i < HELD_QUADS; i++) {
                by_key = fma(part[i], keys[row + i], by_key);
                overlap = fma(keys[row + i], queries[row + i], overlap);
            }
            let term = vec3(sum_of_quad(by_key), sum_of_quad(overlap), 0.0);
            let sums = sum_of_parts(term, invocation, position);
            let own = value_at(place, position) + place.own;
            var u = 0.0;
            if inside {
                u = upstream[own];
            }
            let of_delta = fma(u, sums.y, sums.x);
            let of_value = beta * of_delta;
            for (var i = 0u; i < HELD_QUADS; i++) {
                part[i] = decay * (part[i] + queries[row + i] * u - keys[row + i] * of_value);
            }
            if inside && place.writes {
                grad_delta[own] = of_delta;
                grad_value[own] = of_value;
            }
        }
        end = tile;
    }
}
