// Restores float32 values that half/pack.wgsl packed. CPU kernel: src/kernels/half/cpu.rs.
//
// Pieces: shared/elements.

struct Parameters {
    values: u32,
}

@group(0) @binding(0) var<storage, read_write> halves: array<u32>;
@group(0) @binding(1) var<storage, read_write> tensor: array<f32>;
@group(0) @binding(2) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var pair = invocation.x; 2u * pair < parameters.values; pair += stride) {
        let values = unpack2x16float(halves[pair]);
        tensor[2u * pair] = values.x;
        if 2u * pair + 1u < parameters.values {
            tensor[2u * pair + 1u] = values.y;
        }
    }
}
