//! Positions of tokens in their texts, and what is computed from them.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::config::QueryScaling;
use crate::kernels::attention::SegmentStarts;

/// Returns the position of each token of packed samples with rows of `length` tokens, which restarts with
/// each segment.
fn packed_positions(
    segment_starts: &SegmentStarts,
    length: usize,
) -> impl Iterator<Item = usize> + '_ {
    let starts = segment_starts.iter().enumerate();
    starts.map(move |(index, &start)| (index % length).saturating_sub(start as usize))
}

/// Returns the position ids \[batch, length\] of packed samples.
pub(super) fn packed_position_ids(
    segment_starts: &SegmentStarts,
    [batch, length]: [usize; 2],
    device: &Device,
) -> Tensor<2, Int> {
    let positions = packed_positions(segment_starts, length).map(|position| position as i32);
    let positions = TensorData::new(positions.collect::<Vec<_>>(), [batch, length]);
    Tensor::from_data(positions, device)
}

/// Returns the factors \[1 or batch, length, 1, 1\] of queries at `length` positions, starting at `first`;
/// `None` if all are 1.
pub(super) fn query_factors(
    scaling: QueryScaling,
    first: usize,
    length: usize,
    segment_starts: Option<&SegmentStarts>,
) -> Option<TensorData> {
    let factor = |position: usize| {
        let times = (position / scaling.original_length) as f32;
        1.0 + scaling.rate * times.ln_1p()
    };
    let factors: Vec<f32> = match segment_starts {
        None => (first..first + length).map(factor).collect(),
        Some(starts) => packed_positions(starts, length).map(factor).collect(),
    };
    if factors.iter().all(|&factor| factor == 1.0) {
        return None;
    }
    let rows = factors.len() / length;
    Some(TensorData::new(factors, [rows, length, 1, 1]))
}
