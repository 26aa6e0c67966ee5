// What a training step needs to know of its gradient, from sums of squares: out = [factor, norm, loss] and
// what the optimiser's step is made of after that, with norm the gradient's and factor what brings it down
// to `clip`. Where loss or norm is not finite, neither is the factor, and adamw.wgsl moves nothing.

const WORKGROUP_SIZE: u32 = 256u;

struct Parameters {
    sums: u32,
    // The longest gradient, 0 for any.
    clip: f32,
}

@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
// 1 / (1 - beta_2^t) for step t, learning rate / (1 - beta_1^t), 1 - learning rate * weight decay. Not
// among the parameters, since it is another one in every step.
@group(0) @binding(2) var<storage, read_write> of_step: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> parameters: Parameters;

// join finite

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) invocation: u32) {
    var sum = 0.0;
    for (var i = invocation; i < parameters.sums; i += WORKGROUP_SIZE) {
        sum += sums[i];
    }
    partial[invocation] = sum;
    workgroupBarrier();
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        if invocation < half {
            partial[invocation] += partial[invocation + half];
        }
        workgroupBarrier();
    }
    if invocation == 0u {
        let norm = sqrt(partial[0]);
        var factor = 1.0;
        if parameters.clip > 0.0 && norm > parameters.clip {
            factor = parameters.clip / norm;
        }
        if !is_finite(partial[0]) {
            factor = partial[0];
        }
        if !is_finite(loss[0]) {
            factor = loss[0];
        }
        out[0] = factor;
        out[1] = norm;
        out[2] = loss[0];
        out[3] = of_step[0];
        out[4] = of_step[1];
        out[5] = of_step[2];
    }
}
