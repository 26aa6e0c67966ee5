// Shared: one workgroup works on one row; its invocations take every WORKGROUP_SIZE-th column. Whoever
// joins this is made for a WORKGROUP_SIZE.

// A dispatch has at most 65,535 workgroups a dimension, so rows are laid out over two.
const WORKGROUPS_X: u32 = 32768u;

fn row_of_workgroup(workgroup: vec3<u32>) -> u32 {
    return workgroup.y * WORKGROUPS_X + workgroup.x;
}
