// Causal depthwise convolution of x [batch, length, channels] by weight [channels, taps]:
//
//   out[t] = bias + sum over k of weight[taps - 1 - k] x[t - k]
//
// over the taps within the sample's segment, and then SiLU if there is one.
//
// Pieces: shared/elements, shared/sigmoid, short_conv/reach, short_conv/sum.

@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        var value = sum_of_taps(i);
        if parameters.silu != 0u {
            value *= sigmoid(value);
        }
        out[i] = value;
    }
}
