// Loss and gradient of the corrected target, one row of logits a workgroup.
//
//   L = T^2 KL(q || softmax(student / T)),   dL/dstudent = T (softmax(student / T) - q)
//
// with q the corrected target of the teacher's row (correction.wgsl). The student's logits are
// overwritten by the gradient. With x = logit / T and everything measured from the label's logit,
//
//   contrast_i = (x_teacher_i - x_teacher_label) - (x_student_i - x_student_label)
//   L / T^2    = (1 - alpha) sum_i p_i contrast_i + (1 - q_label) (log(1 - alpha) + log p_label)
//                + q_label log q_label - log softmax(x_student)_label
//
// so that one pass over the vocabulary gathers all the loss needs, and a second writes the gradient.

// join row_of_workgroup
// join online_softmax
// join teacher_row
// join rows
// join correction

@group(0) @binding(0) var<storage, read_write> student: array<f32>;
@group(0) @binding(1) var<storage, read_write> teacher: array<f32>;
@group(0) @binding(2) var<storage, read_write> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> parameters: Parameters;

// Columns that a workgroup takes at once.
const BLOCK: u32 = 4u * WORKGROUP_SIZE;

// Logits in four places.
fn student_logits(at: vec4<u32>) -> vec4<f32> {
    let logits = vec4(student[at.x], student[at.y], student[at.z], student[at.w]);
    return logits * parameters.inverse_temperature;
}

fn teacher_logits(at: vec4<u32>) -> vec4<f32> {
    let logits = vec4(teacher[at.x], teacher[at.y], teacher[at.z], teacher[at.w]);
    return logits * parameters.inverse_temperature;
}

fn work_on_row(row: u32, invocation: u32) {
    // A row past the end has no columns, a masked one (label < 0) gets loss and gradient 0.
    // No invocation leaves early: barriers need all of them.
    let inside = row < parameters.tokens;
    let columns = select(0u, parameters.vocabulary, inside);
    let label = labels[select(0u, row, inside)];
    let counts = inside && label >= 0;
    let columns_read = select(0u, columns, counts);
    let start = select(0u, row * parameters.vocabulary, inside);
    let at_label = start + select(0u, u32(label), counts);
    let at_label_of_teacher = select(at_label, 0u, parameters.one_hot != 0u);

    let student_label = student[at_label] * parameters.inverse_temperature;
    let teacher_label = teacher[at_label_of_teacher] * parameters.inverse_temperature;

    var student_row = online_softmax_empty();
    var teacher_row = teacher_row_empty();
    var column = invocation;
    for (; column + 3u * WORKGROUP_SIZE < columns_read; column += 4u * WORKGROUP_SIZE) {
        let at = start + column + vec4(0u, 1u, 2u, 3u) * WORKGROUP_SIZE;
        let x_student = student_logits(at);
        student_row = online_softmax_include_four(student_row, x_student);
        if parameters.one_hot == 0u {
            let x_teacher = teacher_logits(at);
            let contrast = (x_teacher - teacher_label) - (x_student - student_label);
            teacher_row =
                teacher_row_include_four(teacher_row, x_teacher, column, WORKGROUP_SIZE, contrast);
        }
    }
    for (; column < columns_read; column += WORKGROUP_SIZE) {
        let x_student = student[start + column] * parameters.inverse_temperature;
        student_row = online_softmax_include(student_row, x_student);
        if parameters.one_hot == 0u {
            let x_teacher = teacher[start + column] * parameters.inverse_temperature;
            let contrast = (x_teacher - teacher_label) - (x_student - student_label);
            teacher_row = teacher_row_include(teacher_row, x_teacher, column, contrast);
        }
    }
    student_row = online_softmax_of_workgroup(student_row, invocation);
    teacher_row = teacher_row_of_workgroup(teacher_row, invocation);

    let log_student_label = student_label - student_row.maximum - log(student_row.sum);
    var kept = 0.0;
    var q_label = 1.0;
    var loss = -log_student_label;
    if parameters.one_hot == 0u {
        let log_p_label = teacher_label - teacher_row.softmax.maximum - log(teacher_row.softmax.sum);
        let p_max = 1.0 / teacher_row.softmax.sum;
        let label_is_argmax = teacher_row.argmax == u32(label);
        let p_label = select(exp(log_p_label), p_max, label_is_argmax);
        kept = one_minus_alpha(p_label, p_max, label_is_argmax, parameters);
        q_label = kept * p_label + (1.0 - kept);
        if kept > 0.0 {
            loss += kept * teacher_row.contrast / teacher_row.softmax.sum
                + (1.0 - q_label) * (log(kept) + log_p_label);
        }
        if q_label > 0.0 {
            loss += q_label * log(q_label);
        }
    }

    // From the row's end, which caches still hold, to its beginning.
    let student_scale = 1.0 / student_row.sum;
    let teacher_scale = kept / teacher_row.softmax.sum;
    for (var block = (columns + BLOCK - 1u) / BLOCK; block > 0u; block--) {
        let first = (block - 1u) * BLOCK + invocation;
        let positions = first + vec4(0u, 1u, 2u, 3u) * WORKGROUP_SIZE;
        var gradient = vec4(0.0);
        if counts {
            // All that is read before anything is written: then the reads need not wait for each other.
            let at = start + min(positions, vec4(columns - 1u));
            let x_student = student_logits(at);
            var q = vec4(0.0);
            if parameters.one_hot == 0u {
                q = exp(teacher_logits(at) - teacher_row.softmax.maximum) * teacher_scale;
            }
            q = select(q, vec4(q_label), positions == vec4(u32(label)));
            let p_student = exp(x_student - student_row.maximum) * student_scale;
            gradient = parameters.gradient_scale * (p_student - q);
        }
        for (var i = 0u; i < 4u; i++) {
            if positions[i] < columns {
                student[start + positions[i]] = gradient[i];
            }
        }
    }
    if invocation == 0u && inside {
        losses[row] = select(0.0, parameters.loss_scale * loss, counts);
    }
}
