// The gradients of forward.wgsl with respect to the gates, one head per workgroup, last token first. In the
// notation of value_gradient.wgsl,
//
//   dL/db      = dL/d(b e) . e
//   dL/d log a = u . o - dL/dv . v + dL/d log a of the next token
//
// The latter is the product of the state before the token with its gradient, of which neither is stored.
//
// Pieces: delta_rule/sweep.

@group(0) @binding(0) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> gates: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> errors: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> grad_delta: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> grad_gates: array<f32>;
@group(0) @binding(7) var<uniform> parameters: Parameters;

var<workgroup> changes: array<f32, INVOCATIONS>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let place = Place(workgroup.z, workgroup.y, 0u, 0u, true);
    let value_quads = parameters.value_size / 4u;
    var next = 0.0;
    var end = parameters.length;
    while end > 0u {
        let tile = end - min(end, INVOCATIONS);
        let position = tile + invocation;
        if position < end {
            let start = value_at(place, position) / 4u;
            let beta_index = decay_at(place, position) + parameters.heads;
            let beta = gates[beta_index];
            var of_beta = vec4(0.0);
            var change = vec4(0.0);
            for (var i = start; i < start + value_quads; i++) {
                of_beta = fma(grad_delta[i], errors[i], of_beta);
                change = fma(upstream[i], out[i], change) - beta * grad_delta[i] * value[i];
            }
            grad_gates[beta_index] = sum_of_quad(of_beta);
            changes[invocation] = sum_of_quad(change);
        }
        workgroupBarrier();
        if invocation == 0u {
            for (var after = end; after > tile; after--) {
                let index = decay_at(place, after - 1u);
                // Nothing flows past a decay of 0.
                next = select(0.0, next + changes[after - 1u - tile], exp(gates[index]) > 0.0);
                grad_gates[index] = next;
            }
        }
        workgroupBarrier();
        end = tile;
    }
}
