// Shared: four rows a workgroup, 64 invocations ("lanes") each, which take every 64th column.

const WORKGROUP_SIZE: u32 = 256u;
const LANES: u32 = 64u;
const ROWS: u32 = 4u;
// A dispatch has at most 65,535 workgroups a dimension, so they are laid out over two.
const WORKGROUPS_X: u32 = 32768u;

fn first_row_of_workgroup(workgroup: vec3<u32>) -> u32 {
    return (workgroup.y * WORKGROUPS_X + workgroup.x) * ROWS;
}

var<workgroup> lane_sums: array<f32, WORKGROUP_SIZE>;

// The sum over a row's lanes; all invocations must call it.
fn sum_of_lanes(term: f32, invocation: u32) -> f32 {
    let lane = invocation % LANES;
    // What a call before this one returned may still have to be read.
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
