// Gradients of forward.wgsl, where u is the gradient of its output and
// r = 1 / sqrt(mean(x^2) + epsilon):
//
//   dL/dx      = r (u * weight - x r^2 mean(x * u * weight))
//   dL/dweight = sum over rows of u * x * r
//
// Each group of lanes processes several rows and writes one row of partial sums of dL/dweight.
//
// Pieces: shared/lanes_of_row.

// Rows per group of lanes.
const ROWS_PER_GROUP: u32 = 8u;

struct Parameters {
    rows: u32,
    width: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> upstream: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_weight: array<f32>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = first_row_of_workgroup(workgroup) + invocation / LANES;
    let lane = invocation % LANES;
    let partial_start = group * parameters.width;

    // Each column of the partial sums belongs to one lane.
    for (var column = lane; column < parameters.width; column += LANES) {
        grad_weight[partial_start + column] = 0.0;
    }
    for (var i = 0u; i < ROWS_PER_GROUP; i++) {
        let row = group * ROWS_PER_GROUP + i;
        let width = select(0u, parameters.width, row < parameters.rows);
        let start = row * parameters.width;
        var squares = 0.0;
        var products = 0.0;
        for (var column = lane; column < width; column += LANES) {
            let value = x[start + column];
            squares += value * value;
            products += value * upstream[start + column] * weight[column];
        }
        let mean = sum_of_lanes(squares, invocation) / f32(parameters.width);
        let inverse = 1.0 / sqrt(mean + parameters.epsilon);
        let shrink = sum_of_lanes(products, invocation) * inverse * inverse
            / f32(parameters.width);
        for (var column = lane; column < width; column += LANES) {
            let value = x[start + column];
            let u = upstream[start + column];
            grad_x[start + column] = (u * weight[column] - value * shrink) * inverse;
            grad_weight[partial_start + column] += u * value * inverse;
        }
    }
}
