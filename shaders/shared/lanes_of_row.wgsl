// Piece: four rows per workgroup, each processed by 64 invocations ("lanes") that take every 64th column.
// Provides: WORKGROUP_SIZE, LANES, ROWS, WORKGROUPS_X, first_row_of_workgroup, sum_of_lanes.

const WORKGROUP_SIZE: u32 = 256u;
const LANES: u32 = 64u;
const ROWS: u32 = 4u;
// A dispatch has at most 65,535 workgroups per dimension, so they are laid out over two.
const WORKGROUPS_X: u32 = 32768u;

fn first_row_of_workgroup(workgroup: vec3<u32>) -> u32 {
    return (workgroup.y * WORKGROUPS_X + workgroup.x) * ROWS;
}

var<workgroup> lane_sums: array<f32, WORKGROUP_SIZE>;

// Returns the sum over a row's lanes. All invocations must call it.
fn sum_of_lanes(term: f32, invocation: u32) -> f32 {
    let lane = invocation % LANES;
    // The result of an earlier call may not have been read yet.
    workgroupBarrier();
    lane_sums[invocation] = term;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            lane_sums[invocation] += lane_sums[invocation + half];
        }
        workgroupBarrier();
    }
    return lane_sums[invocation - lane];
}
