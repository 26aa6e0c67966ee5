// Root mean square normalization (Zhang and Sennrich, arXiv:1910.07467):
// out = x / sqrt(mean(x^2) + epsilon) * weight, row by row.
//
// Pieces: shared/lanes_of_row.

struct Parameters {
    rows: u32,
    width: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let row = first_row_of_workgroup(workgroup) + invocation / LANES;
    let lane = invocation % LANES;
    // Rows past the end have no columns. No invocation returns early: barriers need all of them.
    let width = select(0u, parameters.width, row < parameters.rows);
    let start = row * parameters.width;

    var squares = 0.0;
    for (var column = lane; column < width; column += LANES) {
        squares += x[start + column] * x[start + column];
    }
    let mean = sum_of_lanes(squares, invocation) / f32(parameters.width);
    let inverse = 1.0 / sqrt(mean + parameters.epsilon);
    for (var column = lane; column < width; column += LANES) {
        out[start + column] = x[start + column] * inverse * weight[column];
    }
}
