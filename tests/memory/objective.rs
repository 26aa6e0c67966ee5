//! The tiled loss requires memory for tiles only, independent of the number of tokens: measured with a counting
//! allocator on the CPU.
#![allow(clippy::unwrap_used)]

use crate::counting;

use burn::tensor::{Int, Tensor, TensorData};
use counting::peak_bytes;
use minift::device::Device;
use minift::internals::distillation::{Objective, Predictions, distillation_loss};

const HIDDEN: usize = 16;
const VOCABULARY: usize = 4096;
const TILE_BYTES: usize = 1 << 20;

/// Returns the peak memory in bytes of a forward and backward pass, beyond inputs and gradients.
fn extra_bytes(rows: usize) -> usize {
    let device = Device::cpu();
    let device = device.tensors();
    let matrix = |rows: usize| {
        let values: Vec<f32> = (0..rows * HIDDEN)
            .map(|i| ((i * 37) % 19) as f32 / 19.0)
            .collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, HIDDEN]), device)
    };
    let head = matrix(VOCABULARY).autodiff().require_grad();
    let student = Predictions {
        hidden: matrix(rows).autodiff().require_grad(),
        head: head.clone().into(),
    };
    let teacher = Predictions {
        hidden: matrix(rows),
        head: matrix(VOCABULARY).into(),
    };
    let labels: Vec<i32> = (0..rows).map(|row| (row % VOCABULARY) as i32).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows]), device);
    let (gradients, peak) = peak_bytes(|| {
        distillation_loss(
            student.clone(),
            Some(teacher),
            labels,
            None,
            &Objective::default(),
            rows,
            TILE_BYTES,
        )
        .backward()
    });
    assert!(student.hidden.grad(&gradients).is_some() && head.grad(&gradients).is_some());
    // The gradients of the hidden states: of the tiles, concatenated, and multiplied by the upstream gradient.
    let gradients = 3 * rows * HIDDEN * 4;
    peak.saturating_sub(gradients)
}

#[test]
fn peak_memory_is_independent_of_the_number_of_tokens() {
    let _turn = crate::turn();
    extra_bytes(64); // one-time allocations
    let (few, many) = (extra_bytes(1024), extra_bytes(65_536));
    assert!(
        many <= few + few / 4,
        "{few} bytes beyond the gradients for 1,024 tokens, {many} for 65,536"
    );
    // Two tiles of logits, a few copies of the head's gradient, and little else. The full logits of student
    // and teacher alone would take 2 GiB.
    assert!(many < 8 << 20, "{many} bytes");
}
