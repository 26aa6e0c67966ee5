// The gradients of forward.wgsl with respect to weight and bias, where g is that of its sums:
//
//   dL/dweight[taps - 1 - k] = sum over rows of g[t] x[t - k]
//   dL/dbias                 = sum over rows of g[t]
//
// Each invocation sums several rows for one channel, and a tap or the bias. The partial sums are
// [groups of rows, taps + 1, channels], the bias last.
//
// Pieces: shared/elements, short_conv/reach.

// Rows per partial sum.
const ROWS_PER_GROUP: u32 = 64u;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> segment_starts: array<i32>;
@group(0) @binding(2) var<storage, read_write> grad_sum: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;
@group(0) @binding(4) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let channels = parameters.channels;
    let sums_per_group = (parameters.taps + 1u) * channels;
    let rows = parameters.elements / channels;
    let groups = (rows + ROWS_PER_GROUP - 1u) / ROWS_PER_GROUP;
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < groups * sums_per_group; i += stride) {
        let first = i / sums_per_group * ROWS_PER_GROUP;
        let tap = i % sums_per_group / channels;
        let channel = i % channels;
        var sum = 0.0;
        for (var row = first; row < min(first + ROWS_PER_GROUP, rows); row++) {
            let at = row * channels + channel;
            if tap == parameters.taps {
                sum += grad_sum[at];
                continue;
            }
            let back = parameters.taps - 1u - tap;
            if reach(row) >= back {
                sum += grad_sum[at] * x[at - back * channels];
            }
        }
        partial[i] = sum;
    }
}
