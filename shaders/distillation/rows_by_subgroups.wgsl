// Piece: the entry point, and reductions over a workgroup by subgroup operations. Only one result per
// subgroup passes through workgroup memory. All invocations must call the reductions.
// Provides: main, online_softmax_of_workgroup, teacher_row_of_workgroup. Requires: WORKGROUP_SIZE,
// work_on_row, shared/online_softmax, distillation/teacher_row, distillation/row_of_workgroup.

struct Subgroup {
    // Index of this invocation in its subgroup, and the subgroup's size.
    invocation: u32,
    size: u32,
    // Index of this subgroup in the workgroup, and the number of subgroups.
    index: u32,
    count: u32,
}

var<private> subgroup: Subgroup;

// A subgroup has at least four invocations.
var<workgroup> softmaxes: array<OnlineSoftmax, WORKGROUP_SIZE / 4u>;
var<workgroup> teacher_rows: array<TeacherRow, WORKGROUP_SIZE / 4u>;

fn online_softmax_of_subgroup(softmax: OnlineSoftmax) -> OnlineSoftmax {
    let maximum = subgroupMax(softmax.maximum);
    return OnlineSoftmax(maximum, subgroupAdd(softmax.sum * exp(softmax.maximum - maximum)));
}

fn teacher_row_of_subgroup(row: TeacherRow) -> TeacherRow {
    let maximum = subgroupMax(row.softmax.maximum);
    let shrink = exp(row.softmax.maximum - maximum);
    let sum = subgroupAdd(row.softmax.sum * shrink);
    let contrast = subgroupAdd(row.contrast * shrink);
    let candidate = select(0xffffffffu, row.argmax, row.softmax.maximum == maximum);
    return TeacherRow(OnlineSoftmax(maximum, sum), subgroupMin(candidate), contrast);
}

fn online_softmax_of_workgroup(softmax: OnlineSoftmax, invocation: u32) -> OnlineSoftmax {
    let of_subgroup = online_softmax_of_subgroup(softmax);
    if subgroup.invocation == 0u {
        softmaxes[subgroup.index] = of_subgroup;
    }
    workgroupBarrier();
    var some = online_softmax_empty();
    for (var i = subgroup.invocation; i < subgroup.count; i += subgroup.size) {
        some = online_softmax_merge(some, softmaxes[i]);
    }
    return online_softmax_of_subgroup(some);
}

fn teacher_row_of_workgroup(row: TeacherRow, invocation: u32) -> TeacherRow {
    let of_subgroup = teacher_row_of_subgroup(row);
    if subgroup.invocation == 0u {
        teacher_rows[subgroup.index] = of_subgroup;
    }
    workgroupBarrier();
    var some = teacher_row_empty();
    for (var i = subgroup.invocation; i < subgroup.count; i += subgroup.size) {
        some = teacher_row_merge(some, teacher_rows[i]);
    }
    return teacher_row_of_subgroup(some);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
    @builtin(subgroup_invocation_id) subgroup_invocation: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_id) subgroup_index: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    subgroup = Subgroup(subgroup_invocation, subgroup_size, subgroup_index, subgroups);
    work_on_row(row_of_workgroup(workgroup), invocation);
}
