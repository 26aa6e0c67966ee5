// Piece: how far a target is moved from the teacher's distribution towards the label, and how much it
// weighs.
// Provides: Parameters, Correction, one_minus_alpha, weight, correct. Requires: distillation/teacher_row.
//
// The gradient of a token is w_e (s - e_label) + w_p (s - p) = w (s - q) with the student's distribution s,
//
//   w = w_e + w_p,   q = (1 - alpha) p + alpha e_label,   1 - alpha = w_p / w
//
// The kernels compute 1 - alpha, which stays precise where alpha is close to 1.

struct Parameters {
    // Rows of logits.
    rows: u32,
    // Logits per row.
    vocab_size: u32,
    // 1 if every target is one-hot; the teacher is then not read.
    one_hot: u32,
    // The rule for alpha, one of RULE_*.
    rule: u32,
    // The rule's number: tau, alpha, threshold, anchor or gamma.
    strength: f32,
    // 1 / temperature.
    inverse_temperature: f32,
    // Factor of the loss: temperature^2.
    loss_scale: f32,
    // Factor of the gradient: temperature / number of predicted tokens.
    gradient_scale: f32,
}

// Minifinetuning on every token (arXiv:2506.15702, section 3), or only where argmax != label.
const RULE_CORRECTED_ALL: u32 = 1u;
const RULE_CORRECTED_INCORRECT: u32 = 2u;
// The same alpha for every token.
const RULE_MIXTURE: u32 = 3u;
// The label alone if its probability is at least `strength`, else the teacher's distribution.
const RULE_SELECTIVE: u32 = 4u;
// The label alone, weighted: 1 if its probability is at least `strength`, else 0 (arXiv:2501.14315).
const RULE_TOKEN_MASKING: u32 = 5u;
// The label alone, weighted by its probability by the student (arXiv:2508.05629).
const RULE_DYNAMIC: u32 = 6u;
// The same, and the teacher with weight `strength` (arXiv:2509.23753).
const RULE_ANCHORED: u32 = 7u;
// The label alone, weighted by the student's entropy to the power `strength` (arXiv:2601.02151).
const RULE_ENTROPY_ADAPTIVE: u32 = 8u;
// The label alone, weighted by its probability by the student to the power `strength`, at least LEAST_WEIGHT
// (arXiv:2509.20758).
const RULE_TOKEN_ADAPTIVE: u32 = 9u;
const LEAST_WEIGHT: f32 = 0.01;

struct Correction {
    // 1 - alpha: the share of its probability that every token keeps.
    kept: f32,
    // The label's probability in the target.
    q_label: f32,
    // w: the factor of loss and gradient.
    weight: f32,
}

//   argmax != label:  1 - alpha = (1 - tau) / (1 + p_max - p_label)      then q_label - q_max = tau
//   argmax == label:  1 - alpha = (1 - p_label - tau) / (1 - p_label)    then q_label = p_label + tau
//                     1 - alpha = 0  where p_label + tau >= 1            then q_label = 1
fn one_minus_alpha(
    p_label: f32,
    p_max: f32,
    label_is_argmax: bool,
    s_label: f32,
    parameters: Parameters,
) -> f32 {
    if parameters.rule == RULE_MIXTURE {
        return 1.0 - parameters.strength;
    }
    if parameters.rule == RULE_SELECTIVE {
        return select(0.0, 1.0, p_label < parameters.strength);
    }
    if parameters.rule == RULE_ANCHORED {
        return parameters.strength / (parameters.strength + s_label);
    }
    if parameters.rule == RULE_TOKEN_MASKING
        || parameters.rule == RULE_DYNAMIC
        || parameters.rule == RULE_ENTROPY_ADAPTIVE
        || parameters.rule == RULE_TOKEN_ADAPTIVE {
        return 0.0;
    }
    let tau = parameters.strength;
    if !label_is_argmax {
        return (1.0 - tau) / (1.0 + p_max - p_label);
    }
    if parameters.rule == RULE_CORRECTED_INCORRECT {
        return 1.0;
    }
    if p_label + tau >= 1.0 {
        return 0.0;
    }
    return (1.0 - p_label - tau) / (1.0 - p_label);
}

// `entropy` is that of the student's most likely tokens, from 0 to 1.
fn weight(p_label: f32, s_label: f32, entropy: f32, parameters: Parameters) -> f32 {
    if parameters.rule == RULE_TOKEN_MASKING {
        return select(0.0, 1.0, p_label >= parameters.strength);
    }
    if parameters.rule == RULE_DYNAMIC {
        return s_label;
    }
    if parameters.rule == RULE_ANCHORED {
        return s_label + parameters.strength;
    }
    if parameters.rule == RULE_ENTROPY_ADAPTIVE && parameters.strength > 0.0 {
        return select(0.0, pow(entropy, parameters.strength), entropy > 0.0);
    }
    if parameters.rule == RULE_TOKEN_ADAPTIVE && parameters.strength > 0.0 {
        return select(LEAST_WEIGHT, max(pow(s_label, parameters.strength), LEAST_WEIGHT), s_label > 0.0);
    }
    return 1.0;
}

fn correct(
    row: TeacherRow,
    log_p_label: f32,
    label: u32,
    s_label: f32,
    entropy: f32,
    parameters: Parameters,
) -> Correction {
    let p_max = 1.0 / row.softmax.sum;
    let label_is_argmax = row.argmax == label;
    let p_label = select(exp(log_p_label), p_max, label_is_argmax);
    let kept = one_minus_alpha(p_label, p_max, label_is_argmax, s_label, parameters);
    return Correction(
        kept,
        kept * p_label + (1.0 - kept),
        weight(p_label, s_label, entropy, parameters),
    );
}
