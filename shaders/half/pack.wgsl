// Rounds the values of a tensor to float16, two per 32 bits. Values out of range are clamped to the largest
// float16. CPU kernel: src/kernels/half/cpu.rs.
//
// Pieces: shared/elements.

const LARGEST: f32 = 65504.0;

struct Parameters {
    values: u32,
}

@group(0) @binding(0) var<storage, read_write> tensor: array<f32>;
@group(0) @binding(1) var<storage, read_write> halves: array<u32>;
@group(0) @binding(2) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var pair = invocation.x; 2u * pair < parameters.values; pair += stride) {
        let second = select(2u * pair, 2u * pair + 1u, 2u * pair + 1u < parameters.values);
        let values = vec2(tensor[2u * pair], tensor[second]);
        halves[pair] = pack2x16float(clamp(values, vec2(-LARGEST), vec2(LARGEST)));
    }
}
