// The distillation loss and its gradient, one row of logits per workgroup.
// CPU kernel: src/kernels/distillation/cpu/loss.rs.
//
//   L = w T^2 KL(q || softmax(student / T)),   dL/dstudent = w T (softmax(student / T) - q)
//
// with q the corrected target of the teacher's row and w its weight (distillation/correction.wgsl). The
// gradient overwrites the student's logits. With x = logit / T and everything measured from the label's logit,
//
//   contrast_i = (x_teacher_i - x_teacher_label) - (x_student_i - x_student_label)
//   L / w T^2  = (1 - alpha) sum_i p_i contrast_i + (1 - q_label) (log(1 - alpha) + log p_label)
//                + q_label log q_label - log softmax(x_student)_label
//
// so that one pass over the vocabulary accumulates the loss, and another writes the gradient. An anchored
// loss is reported as its paper defines it, which differs by a constant of the student's logits:
//
//   L / T^2    = w_e cross-entropy + w_p KL(p || softmax(x_student))
//   L / w T^2  = (1 - alpha) (sum_i p_i contrast_i + log p_label) - log softmax(x_student)_label
//
// Pieces: shared/online_softmax, distillation/row_of_workgroup, distillation/teacher_row,
// distillation/correction, distillation/rows_by_barriers or rows_by_subgroups (the entry point and
// the reductions over a workgroup), distillation/logits_one_by_one or logits_in_quads (student,
// teacher and how their columns are read and written), distillation/student_entropy or no_entropy (what
// entropy-adaptive weights depend on).

@group(0) @binding(2) var<storage, read_write> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> parameters: Parameters;

// Columns that a workgroup processes at once: four per invocation.
const BLOCK: u32 = 4u * WORKGROUP_SIZE;

// The terms of a row's loss.
struct Gathered {
    student: OnlineSoftmax,
    teacher: TeacherRow,
}

// The terms of a row's gradient.
struct Row {
    label: u32,
    q_label: f32,
    student_maximum: f32,
    // 1 / sum
    student_scale: f32,
    teacher_maximum: f32,
    // (1 - alpha) / sum
    teacher_scale: f32,
    gradient_scale: f32,
}

// Adds four columns. `labels` are the student's and the teacher's logit of the label.
fn gather(
    gathered: Gathered,
    x_student: vec4<f32>,
    x_teacher: vec4<f32>,
    columns: vec4<u32>,
    labels: vec2<f32>,
) -> Gathered {
    let student = online_softmax_include_four(gathered.student, x_student);
    if parameters.one_hot != 0u {
        return Gathered(student, gathered.teacher);
    }
    let inside = columns < vec4(parameters.vocab_size);
    let contrast = select(vec4(0.0), (x_teacher - labels.y) - (x_student - labels.x), inside);
    let teacher =
        teacher_row_include_four(gathered.teacher, x_teacher, columns.x, COLUMN_STRIDE, contrast);
    return Gathered(student, teacher);
}

// Returns L / T^2, 0 for a weight of 0. The last two arguments are logarithms of the label's probabilities.
fn loss_of_row(
    teacher: TeacherRow,
    correction: Correction,
    log_student_label: f32,
    log_p_label: f32,
) -> f32 {
    if correction.weight == 0.0 {
        return 0.0;
    }
    var loss = -log_student_label;
    if parameters.rule == RULE_ANCHORED {
        if correction.kept > 0.0 {
            loss += correction.kept * (teacher.contrast / teacher.softmax.sum + log_p_label);
        }
        return correction.weight * loss;
    }
    if correction.kept > 0.0 {
        loss += correction.kept * teacher.contrast / teacher.softmax.sum
            + (1.0 - correction.q_label) * (log(correction.kept) + log_p_label);
    }
    if correction.q_label > 0.0 {
        loss += correction.q_label * log(correction.q_label);
    }
    return correction.weight * loss;
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
    put(start, columns, row.gradient_scale * (p_student - q));
}

fn work_on_row(row: u32, invocation: u32) {
    // A row past the end has no columns. A masked row (label < 0) has loss and gradient 0. No invocation
    // returns early: barriers need all of them.
    let inside = row < parameters.rows;
    let blocks = select(0u, (parameters.vocab_size + BLOCK - 1u) / BLOCK, inside);
    let label = labels[select(0u, row, inside)];
    let counts = inside && label >= 0;
    let blocks_read = select(0u, blocks, counts);
    let start = select(0u, row * parameters.vocab_size, inside);
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
    let student = online_softmax_of_workgroup(gathered.student, invocation);
    let teacher = teacher_row_of_workgroup(gathered.teacher, invocation);

    let log_student_label = student_label - student.maximum - log(student.sum);
    let s_label = exp(log_student_label);
    let entropy = entropy_of_student(start, blocks_read, student.maximum, invocation);
    var log_p_label = 0.0;
    var correction = Correction(0.0, 1.0, weight(0.0, s_label, entropy, parameters));
    if parameters.one_hot == 0u {
        log_p_label = teacher_label - teacher.softmax.maximum - log(teacher.softmax.sum);
        correction = correct(teacher, log_p_label, u32(label), s_label, entropy, parameters);
    }
    let loss = loss_of_row(teacher, correction, log_student_label, log_p_label);
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
        correction.q_label,
        student.maximum,
        1.0 / student.sum,
        teacher.softmax.maximum,
        correction.kept / teacher.softmax.sum,
        parameters.gradient_scale * correction.weight,
    );
    // Backwards, since caches still contain the row's end.
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
