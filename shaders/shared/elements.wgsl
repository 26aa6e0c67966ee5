// Piece: iteration over the elements of a tensor. With n invocations in the dispatch, each processes every
// n-th element.
// Provides: WORKGROUP_SIZE, stride_of_dispatch.

const WORKGROUP_SIZE: u32 = 256u;

fn stride_of_dispatch(workgroups: vec3<u32>) -> u32 {
    return workgroups.x * WORKGROUP_SIZE;
}
