//! The tiled loss takes memory for a tile, whatever the number of tokens: measured with an allocator
//! that counts, on the CPU device.
#![allow(clippy::unwrap_used)]

#[path = "common/counting.rs"]
mod counting;

use burn::tensor::{Int, Tensor, TensorData};
use counting::peak_bytes;
use minift::device::Device;
use minift::objective::{Objective, Predictions, distillation_loss};

const HIDDEN: usize = 16;
const VOCABULARY: usize = 4096;
const TILE_BYTES: usize = 1 << 20;

/// Bytes beyond inputs and gradients that a forward and backward pass takes at its peak.
fn extra_bytes(rows: usize) -> usize {
    let device = Device::cpu();
    let device = device.tensors();
    let matrix = |rows: usize| {
        let values: Vec<f32> = (0..rows * HIDDEN)
            .map(|i| ((i * 37) % 19) as f32 / 19.0)
            .collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, HIDDEN]), device)
    };
    let student = Predictions {
        hidden: matrix(rows).autodiff().require_grad(),
        head: matrix(VOCABULARY).autodiff().require_grad(),
    };
    let teacher = Predictions {
        hidden: matrix(rows),
        head: matrix(VOCABULARY),
    };
    let labels: Vec<i32> = (0..rows).map(|row| (row % VOCABULARY) as i32).collect();
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows]), device);
    let (gradients, peak) = peak_bytes(|| {
        distillation_loss(
            student.clone(),
            Some(teacher),
            labels,
            &Objective::default(),
            rows,
            TILE_BYTES,
        )
        .backward()
    });
    assert!(student.hidden.grad(&gradients).is_some() && student.head.grad(&gradients).is_some());
    // Gradients: made in the forward pass, and multiplied by what comes from above in the backward
    // pass; those of the hidden states are put together from their tiles.
    let gradients = 3 * rows * HIDDEN * 4;
    peak.saturating_sub(gradients)
}

#[test]
fn extra_memory_does_not_grow_with_the_number_of_tokens() {
    extra_bytes(64); // what is allocated once a process
    let (few, many) = (extra_bytes(1024), extra_bytes(65_536));
    assert!(
        many <= few + few / 4,
        "{few} bytes beside the gradients for 1,024 tokens, {many} for 65,536"
    );
    // Two tiles of logits, the head's gradient a few times, and little else; whole logits of student
    // and teacher alone would take 2 GiB.
    assert!(many < 8 << 20, "{many} bytes");
}
