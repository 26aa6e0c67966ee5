// The corrected target q itself, one row of teacher logits per workgroup.
// CPU kernel: src/kernels/distillation/cpu/corrected_target.rs.
//
// For tests and for inspecting targets: training never stores q, which distillation/loss.wgsl folds into
// loss and gradient. Rows of masked tokens (label < 0) are the teacher's own distribution. Where the target
// depends on the student, it is that of a student that equals the teacher, as before the first step.
//
// Pieces: shared/online_softmax, distillation/row_of_workgroup, distillation/teacher_row,
// distillation/correction, distillation/rows_by_barriers or rows_by_subgroups (the entry point and
// the reductions over a workgroup).

@group(0) @binding(0) var<storage, read_write> teacher: array<f32>;
@group(0) @binding(1) var<storage, read_write> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> corrected: array<f32>;
@group(0) @binding(3) var<uniform> parameters: Parameters;

fn work_on_row(row: u32, invocation: u32) {
    let inside = row < parameters.rows;
    let columns = select(0u, parameters.vocab_size, inside);
    let label = labels[select(0u, row, inside)];
    let counts = inside && label >= 0;
    let start = select(0u, row * parameters.vocab_size, inside);

    var teacher_row = teacher_row_empty();
    for (var column = invocation; column < columns; column += WORKGROUP_SIZE) {
        let x = teacher[start + column] * parameters.inverse_temperature;
        teacher_row = teacher_row_include(teacher_row, x, column);
    }
    teacher_row = teacher_row_of_workgroup(teacher_row, invocation);

    let x_label = teacher[start + select(0u, u32(label), counts)] * parameters.inverse_temperature;
    let log_p_label = x_label - teacher_row.softmax.maximum - log(teacher_row.softmax.sum);
    var correction = Correction(1.0, 0.0, 1.0);
    if counts {
        let s_label = exp(log_p_label);
        correction = correct(teacher_row, log_p_label, u32(label), s_label, 0.0, parameters);
    }

    for (var column = invocation; column < columns; column += WORKGROUP_SIZE) {
        let x = teacher[start + column] * parameters.inverse_temperature;
        var q = correction.kept * exp(x - teacher_row.softmax.maximum) / teacher_row.softmax.sum;
        if counts && column == u32(label) {
            q = correction.q_label;
        }
        corrected[start + column] = q;
    }
}
