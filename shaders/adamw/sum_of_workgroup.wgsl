// Piece: a sum over the invocations of a workgroup.
// Provides: sum_of_workgroup. Requires: WORKGROUP_SIZE.

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

// Returns the sum over the workgroup's invocations. All of them must call it, once.
fn sum_of_workgroup(term: f32, invocation: u32) -> f32 {
    partial[invocation] = term;
    workgroupBarrier();
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        if invocation < half {
            partial[invocation] += partial[invocation + half];
        }
        workgroupBarrier();
    }
    return partial[0];
}
