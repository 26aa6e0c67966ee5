// Shared: kernels that go over elements, however many there are: an invocation takes every n-th, with n
// the invocations of the whole dispatch.

const WORKGROUP_SIZE: u32 = 256u;

fn stride_of_dispatch(workgroups: vec3<u32>) -> u32 {
    return workgroups.x * WORKGROUP_SIZE;
}
