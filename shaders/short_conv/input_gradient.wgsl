// The gradient of forward.wgsl with respect to x, where g is that of its sums:
//
//   dL/dx[t] = sum over k of weight[taps - 1 - k] g[t + k]
//
// over the later positions whose sums include x[t].
//
// Pieces: shared/elements, short_conv/reach.

@group(0) @binding(0) var<storage, read_write> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> segment_starts: array<i32>;
@group(0) @binding(2) var<storage, read_write> grad_sum: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<f32>;
@group(0) @binding(4) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        let row = i / parameters.channels;
        let tap = (i % parameters.channels + 1u) * parameters.taps - 1u;
        let after = parameters.length - row % parameters.length;
        var gradient = 0.0;
        for (var ahead = 0u; ahead < min(parameters.taps, after); ahead++) {
            if reach(row + ahead) >= ahead {
                gradient += weight[tap - ahead] * grad_sum[i + ahead * parameters.channels];
            }
        }
        grad_x[i] = gradient;
    }
}
