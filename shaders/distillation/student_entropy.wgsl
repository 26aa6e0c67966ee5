// Piece: the entropy of the student's most likely tokens, from 0 to 1 (arXiv:2601.02151, equation 3).
// CPU kernel: src/kernels/distillation/cpu/student_entropy.rs.
// Provides: entropy_of_student. Requires: WORKGROUP_SIZE of at least 256, student_logits, columns_of,
// parameters, shared/online_softmax, distillation/teacher_row, and the reduction teacher_row_of_workgroup.
//
//   H = -sum_i r_i log r_i,   r = softmax of the TOP largest logits,   result = H / log TOP
//
// The TOP-th largest logit is found digit by digit (radix select), without sorting: numbers are mapped to
// integers of the same order, whose four bytes are counted from the highest to the lowest.

const TOP: u32 = 20u;
const BINS: u32 = 256u;

// A logit's integer, or a part of it, and how many of the TOP logits have exactly that.
struct Selection {
    key: u32,
    left: u32,
}

// Logits per value of a byte, then the sums from each value to the highest.
var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> selected: Selection;
// Logits that are as large as the largest.
var<workgroup> largest: atomic<u32>;

fn ordered(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn number_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

// Counts the byte at `shift` of the keys that begin with `prefix`.
fn count_byte(start: u32, blocks: u32, shift: u32, prefix: u32, invocation: u32) {
    for (var block = 0u; block < blocks; block++) {
        let logits = student_logits(start, columns_of(block, invocation));
        for (var i = 0u; i < 4u; i++) {
            let key = ordered(logits[i]) >> shift;
            if (key >> 8u) == prefix {
                atomicAdd(&bins[key & 255u], 1u);
            }
        }
    }
}

// Returns the TOP-th largest logit's key. Columns past the end count as the lowest number.
fn select_top(start: u32, blocks: u32, invocation: u32) -> Selection {
    var selection = Selection(0u, TOP);
    for (var byte = 0u; byte < 4u; byte++) {
        if invocation < BINS {
            atomicStore(&bins[invocation], 0u);
        }
        workgroupBarrier();
        count_byte(start, blocks, 24u - 8u * byte, selection.key, invocation);
        workgroupBarrier();
        for (var stride = 1u; stride < BINS; stride *= 2u) {
            var above = 0u;
            if invocation + stride < BINS {
                above = atomicLoad(&bins[invocation + stride]);
            }
            workgroupBarrier();
            if invocation < BINS {
                atomicAdd(&bins[invocation], above);
            }
            workgroupBarrier();
        }
        if invocation < BINS {
            var above = 0u;
            if invocation + 1u < BINS {
                above = atomicLoad(&bins[invocation + 1u]);
            }
            if above < selection.left && atomicLoad(&bins[invocation]) >= selection.left {
                selected = Selection((selection.key << 8u) | invocation, selection.left - above);
            }
        }
        workgroupBarrier();
        selection = selected;
    }
    return selection;
}

// log(1 + x) for x >= 0.
fn log_1p(x: f32) -> f32 {
    return select(log(1.0 + x), x * (1.0 - x * (0.5 - x * (1.0 / 3.0 - 0.25 * x))), x < 0.01);
}

fn entropy_of_student(start: u32, blocks: u32, maximum: f32, invocation: u32) -> f32 {
    if invocation == 0u {
        atomicStore(&largest, 0u);
    }
    let threshold = select_top(start, blocks, invocation);
    // Sums over the logits above the threshold but below the maximum, relative to the maximum. Every
    // invocation has the same maximum, so that the reduction only adds. The largest term is left out: it
    // would hide the others where they are small.
    var sum = 0.0;
    var contrast = 0.0;
    for (var block = 0u; block < blocks; block++) {
        let logits = student_logits(start, columns_of(block, invocation));
        for (var i = 0u; i < 4u; i++) {
            if logits[i] == maximum {
                atomicAdd(&largest, 1u);
            } else if ordered(logits[i]) > threshold.key {
                let difference = logits[i] - maximum;
                sum += exp(difference);
                contrast += exp(difference) * max(difference, -100.0);
            }
        }
    }
    workgroupBarrier();
    let row = TeacherRow(OnlineSoftmax(maximum, sum), 0u, contrast);
    let others = teacher_row_of_workgroup(row, invocation);
    let ties = atomicLoad(&largest);
    var rest = others.softmax.sum + f32(min(ties, TOP) - min(ties, 1u));
    var weighted = others.contrast;
    let difference = number_of(threshold.key) - maximum;
    if difference < 0.0 {
        let same = f32(threshold.left) * exp(difference);
        rest += same;
        weighted += same * max(difference, -100.0);
    }
    let entropy = log_1p(rest) - weighted / (1.0 + rest);
    return min(entropy / log(f32(min(TOP, max(parameters.vocab_size, 2u)))), 1.0);
}
