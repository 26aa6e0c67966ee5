// Piece: one row per workgroup.
// Provides: WORKGROUPS_X, row_of_workgroup.

// A dispatch has at most 65,535 workgroups per dimension, so rows are laid out over two.
const WORKGROUPS_X: u32 = 32768u;

fn row_of_workgroup(workgroup: vec3<u32>) -> u32 {
    return workgroup.y * WORKGROUPS_X + workgroup.x;
}
