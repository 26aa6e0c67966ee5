// out = silu(gate) * up, the gated linear unit of Llama (Shazeer, arXiv:2002.05202).
//
// Pieces: shared/elements, shared/sigmoid.

struct Parameters {
    elements: u32,
}

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
    }
}
