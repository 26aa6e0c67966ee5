// Piece: logits in rows of any length. The four columns that an invocation accesses at once are
// WORKGROUP_SIZE apart, so that neighboring invocations read neighboring elements.
// Provides: student, teacher, COLUMN_STRIDE, columns_of, student_logit, teacher_logit,
// student_logits, teacher_logits, put. Requires: Parameters, BLOCK, LOWEST.

@group(0) @binding(0) var<storage, read_write> student: array<f32>;
@group(0) @binding(1) var<storage, read_write> teacher: array<f32>;

const COLUMN_STRIDE: u32 = WORKGROUP_SIZE;

fn columns_of(block: u32, invocation: u32) -> vec4<u32> {
    return block * BLOCK + invocation + vec4(0u, 1u, 2u, 3u) * WORKGROUP_SIZE;
}

fn student_logit(at: u32) -> f32 {
    return student[at];
}

fn teacher_logit(at: u32) -> f32 {
    return teacher[at];
}

// Logits divided by the temperature in four columns of a row; LOWEST past the end.
fn student_logits(start: u32, columns: vec4<u32>) -> vec4<f32> {
    let inside = columns < vec4(parameters.vocab_size);
    let at = start + select(vec4(0u), columns, inside);
    let logits = vec4(student[at.x], student[at.y], student[at.z], student[at.w]);
    return select(vec4(LOWEST), logits * parameters.inverse_temperature, inside);
}

fn teacher_logits(start: u32, columns: vec4<u32>) -> vec4<f32> {
    let inside = columns < vec4(parameters.vocab_size);
    let at = start + select(vec4(0u), columns, inside);
    let logits = vec4(teacher[at.x], teacher[at.y], teacher[at.z], teacher[at.w]);
    return select(vec4(LOWEST), logits * parameters.inverse_temperature, inside);
}

fn put(start: u32, columns: vec4<u32>, gradient: vec4<f32>) {
    if columns.x < parameters.vocab_size {
        student[start + columns.x] = gradient.x;
    }
    if columns.y < parameters.vocab_size {
        student[start + columns.y] = gradient.y;
    }
    if columns.z < parameters.vocab_size {
        student[start + columns.z] = gradient.z;
    }
    if columns.w < parameters.vocab_size {
        student[start + columns.w] = gradient.w;
    }
}
