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
// join logits
// join correction

@group(0) @binding(2) var<storage, read_write> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> parameters: Parameters;

// Columns that a workgroup takes at once: four an invocation.
const BLOCK: u32 = 4u * WORKGROUP_SIZE;

struct Gathered {
    student: OnlineSoftmax,
    teacher: TeacherRow,
}

// What four columns add to what was gathered; `labels` are both logits of the label.
fn gather(
    gathered: Gathered,
    x_student: vec4<f32>,
    x_teacher: vec4<f32>,
    columns: vec4<u32>,
    labels: vec2<f32>,
) -> Gathered {
    let student_row = online_softmax_include_four(gathered.student, x_student);
    if parameters.one_hot != 0u {
        return Gathered(student_row, gathered.teacher);
    }
    let inside = columns < vec4(parameters.vocabulary);
    let contrast = select(vec4(0.0), (x_teacher - labels.y) - (x_student - labels.x), inside);
    return Gathered(
        student_row,
        teacher_row_include_four(
            gathered.teacher,
            x_teacher,
            columns.x,
            COLUMN_STRIDE,
            contrast,
        ),
    );
}

// What makes gradients of a row's logits.
struct Row {
    label: u32,
    q_label: f32,
    student_maximum: f32,
    student_scale: f32,
    teacher_maximum: f32,
    // (1 - alpha) / sum
    teacher_scale: f32,
}

fn put_gradient(
    start: u32,
    row: Row,
    x_student: vec4<f32>,
    x_teacher: vec4<f32>,
    columns: vec4<u32>,
) {
    var q = vec4(0.0);
    if parameters.one_hot == 0u {
        q = exp(x_teacher - row.teacher_maximum) * row.teacher_scale;
    }
    q = select(q, vec4(row.q_label), columns == vec4(row.label));
    let p_student = exp(x_student - row.student_maximum) * row.student_scale;
    put(start, columns, parameters.gradient_scale * (p_student - q));
}

fn work_on_row(row: u32, invocation: u32) {
    // A row past the end has no columns, a masked one (label < 0) gets loss and gradient 0.
    // No invocation leaves early: barriers need all of them.
    let inside = row < parameters.tokens;
    let blocks = select(0u, (parameters.vocabulary + BLOCK - 1u) / BLOCK, inside);
    let label = labels[select(0u, row, inside)];
    let counts = inside && label >= 0;
    let blocks_read = select(0u, blocks, counts);
    let start = select(0u, row * parameters.vocabulary, inside);
    let at_label = start + select(0u, u32(label), counts);
    let at_label_of_teacher = select(at_label, 0u, parameters.one_hot != 0u);

    let student_label = student_logit(at_label) * parameters.inverse_temperature;
    let teacher_label = teacher_logit(at_label_of_teacher) * parameters.inverse_temperature;
    let of_label = vec2(student_label, teacher_label);

    var gathered = Gathered(online_softmax_empty(), teacher_row_empty());
    for (var block = 0u; block < blocks_read; block++) {
        let columns = columns_of(block, invocation);
        let x_student = student_logits(start, columns);
        var x_teacher = vec4(0.0);
        if parameters.one_hot == 0u {
            x_teacher = teacher_logits(start, columns);
        }
        gathered = gather(gathered, x_student, x_teacher, columns, of_label);
    }
    let student_row = online_softmax_of_workgroup(gathered.student, invocation);
    let teacher_row = teacher_row_of_workgroup(gathered.teacher, invocation);

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
    if invocation == 0u && inside {
        losses[row] = select(0.0, parameters.loss_scale * loss, counts);
    }
    if !counts {
        for (var block = 0u; block < blocks; block++) {
            put(start, columns_of(block, invocation), vec4(0.0));
        }
        return;
    }
    let of_row = Row(
        u32(label),
        q_label,
        student_row.maximum,
        1.0 / student_row.sum,
        teacher_row.softmax.maximum,
        kept / teacher_row.softmax.sum,
    );
    // From the row's end, which caches still hold, to its beginning.
    for (var block = blocks; block > 0u; block--) {
        let columns = columns_of(block - 1u, invocation);
        let x_student = student_logits(start, columns);
        var x_teacher = vec4(0.0);
        if parameters.one_hot == 0u {
            x_teacher = teacher_logits(start, columns);
        }
        put_gradient(start, of_row, x_student, x_teacher, columns);
    }
}
