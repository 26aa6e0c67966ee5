// Piece: the statistics of a row of teacher logits that the correction depends on.
// Provides: TeacherRow, teacher_row_*. Requires: shared/online_softmax.

struct TeacherRow {
    softmax: OnlineSoftmax,
    // Index of the largest logit; the lowest index wins a tie.
    argmax: u32,
    // Sum over the row of exp(teacher - maximum) * contrast, see distillation/loss.wgsl.
    contrast: f32,
}

fn teacher_row_empty() -> TeacherRow {
    return TeacherRow(online_softmax_empty(), 0xffffffffu, 0.0);
}

fn teacher_row_include(row: TeacherRow, logit: f32, index: u32) -> TeacherRow {
    if logit > row.softmax.maximum {
        let shrink = exp(row.softmax.maximum - logit);
        let softmax = OnlineSoftmax(logit, row.softmax.sum * shrink + 1.0);
        return TeacherRow(softmax, index, row.contrast * shrink);
    }
    let weight = exp(logit - row.softmax.maximum);
    let softmax = OnlineSoftmax(row.softmax.maximum, row.softmax.sum + weight);
    return TeacherRow(softmax, row.argmax, row.contrast);
}

// Four logits at once, in columns `stride` apart from `index` on.
fn teacher_row_include_four(
    row: TeacherRow,
    logits: vec4<f32>,
    index: u32,
    stride: u32,
    contrasts: vec4<f32>,
) -> TeacherRow {
    let largest = largest_of_four(logits);
    var argmax = row.argmax;
    if largest > row.softmax.maximum {
        // The first of the four that is the largest.
        argmax = index + 3u * stride;
        argmax = select(argmax, index + 2u * stride, logits.z == largest);
        argmax = select(argmax, index + stride, logits.y == largest);
        argmax = select(argmax, index, logits.x == largest);
    }
    let maximum = max(row.softmax.maximum, largest);
    let shrink = exp(row.softmax.maximum - maximum);
    let weights = exp(logits - maximum);
    let sum = row.softmax.sum * shrink + (weights.x + weights.y) + (weights.z + weights.w);
    // A token of probability 0 adds nothing, even if its contrast is infinite.
    let counted = select(vec4(0.0), contrasts, weights > vec4(0.0));
    let contrast = row.contrast * shrink + dot(weights, counted);
    return TeacherRow(OnlineSoftmax(maximum, sum), argmax, contrast);
}

fn teacher_row_merge(a: TeacherRow, b: TeacherRow) -> TeacherRow {
    let softmax = online_softmax_merge(a.softmax, b.softmax);
    let a_wins = a.softmax.maximum > b.softmax.maximum
        || (a.softmax.maximum == b.softmax.maximum && a.argmax < b.argmax);
    let contrast = a.contrast * exp(a.softmax.maximum - softmax.maximum)
        + b.contrast * exp(b.softmax.maximum - softmax.maximum);
    return TeacherRow(softmax, select(b.argmax, a.argmax, a_wins), contrast);
}
