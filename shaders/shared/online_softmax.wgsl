// Piece: the softmax of a row of any length in one pass (Milakov and Gimelshein, arXiv:1805.02867).
// Provides: LOWEST, OnlineSoftmax, online_softmax_*, largest_of_four.
//
// An invocation keeps the largest logit so far and the sum of exp(logit - maximum); a larger logit
// rescales the sum. Two such states merge into the state of both parts.

// The lowest finite number, so that differences are never NaN.
const LOWEST: f32 = -3.4028234e38;

struct OnlineSoftmax {
    // Largest logit so far.
    maximum: f32,
    // Sum of exp(logit - maximum) so far.
    sum: f32,
}

fn online_softmax_empty() -> OnlineSoftmax {
    return OnlineSoftmax(LOWEST, 0.0);
}

// Four logits at once: the sum is rescaled once for all of them.
fn online_softmax_include_four(state: OnlineSoftmax, logits: vec4<f32>) -> OnlineSoftmax {
    let maximum = max(state.maximum, largest_of_four(logits));
    let terms = exp(logits - maximum);
    let before = state.sum * exp(state.maximum - maximum);
    return OnlineSoftmax(maximum, before + (terms.x + terms.y) + (terms.z + terms.w));
}

fn largest_of_four(values: vec4<f32>) -> f32 {
    return max(max(values.x, values.y), max(values.z, values.w));
}

fn online_softmax_merge(a: OnlineSoftmax, b: OnlineSoftmax) -> OnlineSoftmax {
    let maximum = max(a.maximum, b.maximum);
    let sum = a.sum * exp(a.maximum - maximum) + b.sum * exp(b.maximum - maximum);
    return OnlineSoftmax(maximum, sum);
}
