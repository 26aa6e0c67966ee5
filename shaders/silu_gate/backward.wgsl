// Gradients of forward.wgsl, where u is the gradient of its output and s = sigmoid(gate):
//
//   dL/dgate = u up s (1 + gate (1 - s))
//   dL/dup   = u gate s
//
// Pieces: shared/elements, shared/sigmoid.

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_up: array<f32>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        let s = sigmoid(gate[i]);
        grad_gate[i] = upstream[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
        grad_up[i] = upstream[i] * gate[i] * s;
    }
}
