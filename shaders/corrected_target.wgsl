// The corrected target q itself, one row of teacher logits a workgroup.
//
// Training never needs q as such (distillation_loss.wgsl folds it into loss and gradient); people
// who look at targets and tests that compare them do. Rows of masked positions (label < 0) are the
// teacher's own distribution.

// join row_of_workgroup
// join online_softmax
// join teacher_row
// join rows
// join correction

@group(0) @binding(0) var<storage, read_write> teacher: array<f32>;
@group(0) @binding(1) var<storage, read_write> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> corrected: array<f32>;
@group(0) @binding(3) var<uniform> parameters: Parameters;

fn work_on_row(row: u32, invocation: u32) {
    let inside = row < parameters.tokens;
    let columns = select(0u, parameters.vocabulary, inside);
    let label = labels[select(0u, row, inside)];
    let counts = inside && label >= 0;
    let start = select(0u, row * parameters.vocabulary, inside);

    var teacher_row = teacher_row_empty();
    for (var column = invocation; column < columns; column += WORKGROUP_SIZE) {
        let x = teacher[start + column] * parameters.inverse_temperature;
        teacher_row = teacher_row_include(teacher_row, x, column, 0.0);
    }
    teacher_row = teacher_row_of_workgroup(teacher_row, invocation);

    let x_label = teacher[start + select(0u, u32(label), counts)] * parameters.inverse_temperature;
    let p_max = 1.0 / teacher_row.softmax.sum;
    let label_is_argmax = counts && teacher_row.argmax == u32(label);
    let p_label = select(exp(x_label - teacher_row.softmax.maximum) * p_max, p_max, label_is_argmax);
    var kept = 1.0;
    if counts {
        kept = one_minus_alpha(p_label, p_max, label_is_argmax, parameters);
    }

    for (var column = invocation; column < columns; column += WORKGROUP_SIZE) {
        let x = teacher[start + column] * parameters.inverse_temperature;
        var q = kept * exp(x - teacher_row.softmax.maximum) / teacher_row.softmax.sum;
        if counts && column == u32(label) {
            q = kept * p_label + (1.0 - kept);
        }
        corrected[start + column] = q;
    }
}
