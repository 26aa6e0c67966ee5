// The statistics of an optimizer step, from the sums of squares of its gradients: the gradient norm, the
// factor that clips it, and the step's own factors. CPU kernel: src/kernels/adamw/cpu.rs.
//
// Pieces: shared/finite, adamw/step_stats, adamw/sum_of_workgroup.

const WORKGROUP_SIZE: u32 = 256u;

struct Parameters {
    sums: u32,
    // Max gradient norm; 0 disables clipping.
    clip: f32,
}

// The factors that change from step to step. Not among the parameters, which the runtime caches.
struct AdamWStep {
    inverse_correction_2: f32,
    rate: f32,
    kept: f32,
}

@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> step: AdamWStep;
@group(0) @binding(3) var<storage, read_write> stats: StepStats;
@group(0) @binding(4) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) invocation: u32) {
    var term = 0.0;
    for (var i = invocation; i < parameters.sums; i += WORKGROUP_SIZE) {
        term += sums[i];
    }
    let sum = sum_of_workgroup(term, invocation);
    if invocation == 0u {
        let norm = sqrt(sum);
        var clip_factor = 1.0;
        if parameters.clip > 0.0 && norm > parameters.clip {
            clip_factor = parameters.clip / norm;
        }
        if !is_finite(sum) {
            clip_factor = sum;
        }
        if !is_finite(loss[0]) {
            clip_factor = loss[0];
        }
        stats.clip_factor = clip_factor;
        stats.gradient_norm = norm;
        stats.loss = loss[0];
        stats.inverse_correction_2 = step.inverse_correction_2;
        stats.rate = step.rate;
        stats.kept = step.kept;
    }
}
