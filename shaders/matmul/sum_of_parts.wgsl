// out [elements] = the sum over the first dimension of parts [parts, elements], in order.
//
// Pieces: shared/elements.

struct Parameters {
    elements: u32,
    parts: u32,
}

@group(0) @binding(0) var<storage, read_write> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    for (var i = invocation.x; i < parameters.elements; i += stride) {
        var sum = 0.0;
        for (var part = 0u; part < parameters.parts; part++) {
            sum += parts[part * parameters.elements + i];
        }
        out[i] = sum;
    }
}
