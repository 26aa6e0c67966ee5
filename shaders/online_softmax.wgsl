// Shared: the softmax of a row of any length, gathered in one pass.
//
// An invocation keeps the largest logit it has seen and the sum of exp(logit - maximum); when a
// larger logit comes, what was summed before is scaled down to it. Two such states merge into the
// state of both parts (Milakov and Gimelshein, arXiv:1805.02867).

// Below every finite logit, and finite itself, so that differences of it are never NaN.
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

fn online_softmax_include(state: OnlineSoftmax, logit: f32) -> OnlineSoftmax {
    if logit > state.maximum {
        return OnlineSoftmax(logit, state.sum * exp(state.maximum - logit) + 1.0);
    }
    return OnlineSoftmax(state.maximum, state.sum + exp(logit - state.maximum));
}

fn online_softmax_merge(a: OnlineSoftmax, b: OnlineSoftmax) -> OnlineSoftmax {
    let maximum = max(a.maximum, b.maximum);
    let sum = a.sum * exp(a.maximum - maximum) + b.sum * exp(b.maximum - maximum);
    return OnlineSoftmax(maximum, sum);
}

var<workgroup> softmaxes: array<OnlineSoftmax, WORKGROUP_SIZE>;

// The state of the whole row out of those of a workgroup's invocations; all of them must call it.
fn online_softmax_of_workgroup(softmax: OnlineSoftmax, invocation: u32) -> OnlineSoftmax {
    softmaxes[invocation] = softmax;
    workgroupBarrier();
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        if invocation < half {
            softmaxes[invocation] =
                online_softmax_merge(softmaxes[invocation], softmaxes[invocation + half]);
        }
        workgroupBarrier();
    }
    return softmaxes[0];
}
