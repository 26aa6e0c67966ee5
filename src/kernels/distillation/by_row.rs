//! Losses per row from hidden states, for evaluation: one tile of rows at a time, as in training.

use burn::tensor::{Int, Tensor};

use super::{Objective, Predictions, loss_and_gradient, rows_of_tile};

/// Computes the loss per row \[rows\] of the student's predictions for each objective, without autodiff. The
/// logits of a tile are computed once for all objectives.
///
/// * `teacher`: predictions of another model for the same rows; may be absent if no objective needs it.
/// * `labels` \[rows\]: negative for masked tokens, whose loss is 0.
/// * `tile_bytes`: memory per tile of logits, see [`DEFAULT_TILE_BYTES`](super::DEFAULT_TILE_BYTES). At most
///   two tiles are in memory.
///
/// # Panics
///
/// If shapes do not fit together, there are no rows, or a required teacher is absent.
pub(crate) fn losses_by_row<const N: usize>(
    student: &Predictions,
    teacher: Option<&Predictions>,
    labels: &Tensor<1, Int>,
    objectives: &[Objective; N],
    tile_bytes: usize,
) -> [Tensor<1>; N] {
    let [rows, _] = student.hidden.dims();
    let [vocab_size, _] = student.head.weight.dims();
    let tile = rows_of_tile(vocab_size, tile_bytes);
    let mut losses: [Vec<Tensor<1>>; N] = std::array::from_fn(|_| Vec::new());
    for start in (0..rows).step_by(tile) {
        let length = tile.min(rows - start);
        let logits = |predictions: &Predictions| {
            let hidden = predictions.hidden.clone().narrow(0, start, length);
            predictions.head.logits(hidden)
        };
        let mut student_logits = Some(logits(student));
        for (place, (objective, losses)) in objectives.iter().zip(&mut losses).enumerate() {
            // The last objective gets the only handle, so that the gradient needs no memory of its own.
            let of_tile = match place + 1 == N {
                true => student_logits.take(),
                false => student_logits.clone(),
            };
            let (of_rows, _) = loss_and_gradient(
                of_tile.expect("taken by the last objective only"),
                teacher.filter(|_| objective.needs_teacher()).map(logits),
                labels.clone().narrow(0, start, length),
                objective,
                1.0,
            );
            losses.push(of_rows);
        }
    }
    losses.map(|mut tiles| match tiles.len() {
        1 => tiles.remove(0),
        _ => Tensor::cat(tiles, 0),
    })
}
