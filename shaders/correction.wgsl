// Shared: how far the teacher's distribution is moved towards the label (arXiv:2506.15702, section 3).
//
// The corrected target is q = (1 - alpha) p + alpha e_label. What is computed is 1 - alpha, which
// loses no digits where alpha is close to 1:
//
//   argmax != label:  1 - alpha = (1 - tau) / (1 + p_max - p_label)      then q_label - q_max = tau
//   argmax == label:  1 - alpha = (1 - p_label - tau) / (1 - p_label)    then q_label = p_label + tau
//                     1 - alpha = 0  where p_label + tau >= 1            then q_label = 1

struct Parameters {
    // Rows of logits.
    tokens: u32,
    // Logits in a row.
    vocabulary: u32,
    // 1 where every target is one-hot (tau = 1, scope = all): the teacher is then not read.
    one_hot: u32,
    // 1 for scope = all; 0 for scope = incorrect, which leaves rows with argmax == label alone.
    correct_all: u32,
    tau: f32,
    // 1 / temperature.
    inverse_temperature: f32,
    // Factor of the loss: temperature^2.
    loss_scale: f32,
    // Factor of the gradient: temperature / number of positions that count.
    gradient_scale: f32,
    // 1 - alpha of a constant mixture, the same for every token; negative where tau decides.
    constant_kept: f32,
}

fn one_minus_alpha(p_label: f32, p_max: f32, label_is_argmax: bool, parameters: Parameters) -> f32 {
    if parameters.constant_kept >= 0.0 {
        return parameters.constant_kept;
    }
    if !label_is_argmax {
        return (1.0 - parameters.tau) / (1.0 + p_max - p_label);
    }
    if parameters.correct_all == 0u {
        return 1.0;
    }
    if p_label + parameters.tau >= 1.0 {
        return 0.0;
    }
    return (1.0 - p_label - parameters.tau) / (1.0 - p_label);
}
