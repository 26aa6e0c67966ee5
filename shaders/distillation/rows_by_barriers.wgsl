// Piece: the entry point, and reductions over a workgroup through its memory. All invocations must
// call the reductions.
// Provides: main, online_softmax_of_workgroup, teacher_row_of_workgroup. Requires: WORKGROUP_SIZE,
// work_on_row, shared/online_softmax, distillation/teacher_row, distillation/row_of_workgroup.

var<workgroup> softmaxes: array<OnlineSoftmax, WORKGROUP_SIZE>;
var<workgroup> teacher_rows: array<TeacherRow, WORKGROUP_SIZE>;

fn online_softmax_of_workgroup(softmax: OnlineSoftmax, invocation: u32) -> OnlineSoftmax {
    softmaxes[invocation] = softmax;
    workgroupBarrier();
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        if invocation < half {
            softmaxes[invocation] =
                online_softmax_merge(softmaxes[invocation], softmaxes[invocation + half]);
        }
        workgroupBarrier();
    }
    return softmaxes[0];
}

fn teacher_row_of_workgroup(row: TeacherRow, invocation: u32) -> TeacherRow {
    teacher_rows[invocation] = row;
    workgroupBarrier();
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        if invocation < half {
            teacher_rows[invocation] =
                teacher_row_merge(teacher_rows[invocation], teacher_rows[invocation + half]);
        }
        workgroupBarrier();
    }
    return teacher_rows[0];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    work_on_row(row_of_workgroup(workgroup), invocation);
}
