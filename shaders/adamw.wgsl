// A step of AdamW (Loshchilov and Hutter, arXiv:1711.05101) on the elements of a parameter: moments and
// parameter are overwritten.

// join elements
// join finite

struct Parameters {
    elements: u32,
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    // 1 - beta_1, 1 - beta_2, from double precision
    rest_1: f32,
    rest_2: f32,
    // 1 / (1 - beta_2^step)
    inverse_correction_2: f32,
    // learning rate / (1 - beta_1^step)
    rate: f32,
    // 1 - learning rate * weight decay
    kept: f32,
}

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(3) var<storage, read_write> second_moment: array<f32>;
// What the gradient is multiplied by first; where it is not finite, nothing moves.
@group(0) @binding(4) var<storage, read_write> gradient_factor: array<f32>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    let factor = gradient_factor[0];
    if !is_finite(factor) {
        return;
    }
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        let scaled = gradient[i] * factor;
        let first = first_moment[i] * parameters.beta_1 + scaled * parameters.rest_1;
        let second = second_moment[i] * parameters.beta_2 + scaled * scaled * parameters.rest_2;
        let scale = sqrt(second * parameters.inverse_correction_2) + parameters.epsilon;
        first_moment[i] = first;
        second_moment[i] = second;
        parameter[i] = parameter[i] * parameters.kept - first / scale * parameters.rate;
    }
}
