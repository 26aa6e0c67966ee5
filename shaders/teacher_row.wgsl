// Shared: what the corrected target needs to know of one row of teacher logits.

struct TeacherRow {
    softmax: OnlineSoftmax,
    // Index of the largest logit; the lowest index wins a tie.
    argmax: u32,
    // Sum over the row of exp(teacher - maximum) * contrast, see distillation_loss.wgsl.
    contrast: f32,
}

fn teacher_row_empty() -> TeacherRow {
    return TeacherRow(online_softmax_empty(), 0xffffffffu, 0.0);
}

fn teacher_row_include(row: TeacherRow, logit: f32, index: u32, contrast: f32) -> TeacherRow {
    if logit > row.softmax.maximum {
        let shrink = exp(row.softmax.maximum - logit);
        return TeacherRow(
            OnlineSoftmax(logit, row.softmax.sum * shrink + 1.0),
            index,
            row.contrast * shrink + contrast,
        );
    }
    let weight = exp(logit - row.softmax.maximum);
    return TeacherRow(
        OnlineSoftmax(row.softmax.maximum, row.softmax.sum + weight),
        row.argmax,
        row.contrast + weight * contrast,
    );
}

fn teacher_row_merge(a: TeacherRow, b: TeacherRow) -> TeacherRow {
    let softmax = online_softmax_merge(a.softmax, b.softmax);
    let a_wins = a.softmax.maximum > b.softmax.maximum
        || (a.softmax.maximum == b.softmax.maximum && a.argmax < b.argmax);
    let contrast = a.contrast * exp(a.softmax.maximum - softmax.maximum)
        + b.contrast * exp(b.softmax.maximum - softmax.maximum);
    return TeacherRow(softmax, select(b.argmax, a.argmax, a_wins), contrast);
}

var<workgroup> teacher_rows: array<TeacherRow, WORKGROUP_SIZE>;

// The state of the whole row out of those of a workgroup's invocations; all of them must call it.
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
