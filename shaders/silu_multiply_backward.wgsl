// Gradients of silu_multiply.wgsl, with u the gradient of what it made and s = sigmoid(gate):
//
//   dL/dgate = u up s (1 + gate (1 - s))
//   dL/dup   = u gate s

// join elements
// join sigmoid

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> of_gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> of_up: array<f32>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        let open = sigmoid(gate[i]);
        of_gate[i] = upstream[i] * up[i] * open * (1.0 + gate[i] * (1.0 - open));
        of_up[i] = upstream[i] * gate[i] * open;
    }
}
