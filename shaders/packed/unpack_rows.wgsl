// Rows of packed weights by their indices: values [rows, columns]. CPU kernel: src/kernels/packed/cpu.rs.
//
// Pieces: shared/elements, packed/words, and one for the type of the weights: packed/float16,
// packed/bfloat16, packed/q8_0, packed/q4_0, packed/q4_1, packed/q4_k or packed/q6_k.

struct Parameters {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<storage, read_write> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    let columns = parameters.columns;
    for (var i = invocation.x; i < parameters.rows * columns; i += stride) {
        values[i] = value_at(u32(indices[i / columns]) * columns + i % columns);
    }
}
