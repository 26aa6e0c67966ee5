// An AdamW step (Loshchilov and Hutter, arXiv:1711.05101) on one parameter. Overwrites parameter and
// moments. CPU kernel: src/kernels/adamw/cpu.rs.
//
// Pieces: shared/elements, shared/finite, adamw/step_stats.

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
// 1 - beta, rounded once.
const REST_1: f32 = 0.1;
const REST_2: f32 = 0.001;

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(3) var<storage, read_write> second_moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: StepStats;
@group(0) @binding(5) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    let step = stats;
    if !is_finite(step.clip_factor) {
        return;
    }
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        let scaled = gradient[i] * step.clip_factor;
        let first = first_moment[i] * BETA_1 + scaled * REST_1;
        let second = second_moment[i] * BETA_2 + scaled * scaled * REST_2;
        let scale = sqrt(second * step.inverse_correction_2) + EPSILON;
        first_moment[i] = first;
        second_moment[i] = second;
        parameter[i] = parameter[i] * step.kept - first / scale * step.rate;
    }
}
