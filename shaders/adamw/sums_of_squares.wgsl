// Sums of the squares of a tensor's elements, one per workgroup, written to a longer list from index `at`.
// CPU kernel: src/kernels/adamw/cpu.rs.
//
// Pieces: shared/elements, adamw/sum_of_workgroup.

struct Parameters {
    elements: u32,
    at: u32,
}

@group(0) @binding(0) var<storage, read_write> tensor: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(global_invocation_id) global: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let stride = stride_of_dispatch(workgroups);
    var term = 0.0;
    for (var i = global.x; i < parameters.elements; i += stride) {
        term += tensor[i] * tensor[i];
    }
    let sum = sum_of_workgroup(term, invocation);
    if invocation == 0u {
        sums[parameters.at + workgroup.x] = sum;
    }
}
