// The gradient of forward.wgsl's sum before SiLU, where u is the gradient of its output and
// s = sigmoid(sum):
//
//   dL/dsum = u s (1 + sum (1 - s))
//
// Pieces: shared/elements, shared/sigmoid, short_conv/reach, short_conv/sum.

@group(0) @binding(4) var<storage, read_write> upstream: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_sum: array<f32>;
@group(0) @binding(6) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        let sum = sum_of_taps(i);
        let s = sigmoid(sum);
        grad_sum[i] = upstream[i] * s * (1.0 + sum * (1.0 - s));
    }
}
