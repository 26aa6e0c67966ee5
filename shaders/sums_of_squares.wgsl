// Sums of the squares of a tensor's elements, one a workgroup, put into a longer list from place `at` on.

// join elements

struct Parameters {
    elements: u32,
    at: u32,
}

@group(0) @binding(0) var<storage, read_write> tensor: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> parameters: Parameters;

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let stride = stride_of_dispatch(workgroups);
    var sum = 0.0;
    for (var i = global.x; i < parameters.elements; i += stride) {
        sum += tensor[i] * tensor[i];
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
        sums[parameters.at + workgroup.x] = partial[0];
    }
}
