// Piece: logits in rows whose length is a multiple of four. An invocation accesses four neighboring
// columns at once.
// Provides: student, teacher, COLUMN_STRIDE, columns_of, student_logit, teacher_logit,
// student_logits, teacher_logits, put. Requires: Parameters, BLOCK, LOWEST.

@group(0) @binding(0) var<storage, read_write> student: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> teacher: array<vec4<f32>>;

const COLUMN_STRIDE: u32 = 1u;

fn columns_of(block: u32, invocation: u32) -> vec4<u32> {
    return block * BLOCK + 4u * invocation + vec4(0u, 1u, 2u, 3u);
}

fn student_logit(at: u32) -> f32 {
    return student[at / 4u][at % 4u];
}

fn teacher_logit(at: u32) -> f32 {
    return teacher[at / 4u][at % 4u];
}

fn student_logits(start: u32, columns: vec4<u32>) -> vec4<f32> {
    if columns.x >= parameters.vocab_size {
        return vec4(LOWEST);
    }
    return student[(start + columns.x) / 4u] * parameters.inverse_temperature;
}

fn teacher_logits(start: u32, columns: vec4<u32>) -> vec4<f32> {
    if columns.x >= parameters.vocab_size {
        return vec4(LOWEST);
    }
    return teacher[(start + columns.x) / 4u] * parameters.inverse_temperature;
}

fn put(start: u32, columns: vec4<u32>, gradient: vec4<f32>) {
    if columns.x < parameters.vocab_size {
        student[(start + columns.x) / 4u] = gradient;
    }
}
