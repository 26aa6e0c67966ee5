// x = cap tanh(x / cap), in place.
//
// Pieces: shared/elements, shared/soft_cap.

struct Parameters {
    elements: u32,
    cap: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        x[i] = soft_capped(x[i], parameters.cap);
    }
}
