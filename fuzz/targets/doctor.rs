//! Logits of another program.

use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use half::f16;
use minift::doctor::{ExpectedLogits, check_logits};
use pollster::block_on;
use safetensors::{Dtype, serialize, tensor::TensorView};

use super::check_error;
use super::small_model::{cpu, model};

/// Reads logits and compares them with those of the small model. Every position of an accepted file is compared.
pub fn expected_logits(data: &[u8]) -> bool {
    let path = Path::new("expected.safetensors");
    let checked = ExpectedLogits::parse(path, data).and_then(|expected| {
        let check = block_on(check_logits(model(), &expected, 1.0, |_| {}))?;
        Ok((expected.dims(), check))
    });
    match checked {
        Ok(([rows, length, _], check)) => {
            assert_eq!(check.positions, rows * length);
            assert!(check.same_most_likely <= check.positions);
            assert!(check.mean_error <= check.max_error * (1.0 + 1e-9));
            let positions = check.worst.iter();
            assert!(
                positions
                    .clone()
                    .all(|at| at.row < rows && at.position < length)
            );
            assert!(positions.is_sorted_by(|a, b| a.max_error >= b.max_error));
            true
        }
        Err(error) => {
            check_error(&error, data.len());
            false
        }
    }
}

/// The logits of the small model, in every type and number of dimensions.
pub fn expected_logits_seeds() -> Vec<Vec<u8>> {
    let ids = [0, 2, 3, 1, 4, 2];
    let tokens = TensorData::new(ids.to_vec(), [2, 3]);
    let tokens = Tensor::<2, Int>::from_data(tokens, cpu().tensors());
    let logits: Vec<f32> = model().logits(tokens).into_data().try_to_vec().unwrap();
    let vocab_size = logits.len() / ids.len();
    let narrow: Vec<u8> = ids.iter().flat_map(|id: &i32| id.to_le_bytes()).collect();
    let wide: Vec<u8> = ids
        .iter()
        .flat_map(|&id| i64::from(id).to_le_bytes())
        .collect();
    let floats: Vec<u8> = logits
        .iter()
        .flat_map(|logit| logit.to_le_bytes())
        .collect();
    let halves = logits
        .iter()
        .flat_map(|&logit| f16::from_f32(logit).to_le_bytes());
    let halves: Vec<u8> = halves.collect();
    let file = |ids: (Dtype, &[usize], &[u8]), logits: (Dtype, &[usize], &[u8])| {
        let tensor = |(dtype, shape, bytes): (Dtype, &[usize], _)| {
            TensorView::new(dtype, shape.to_vec(), bytes).unwrap()
        };
        let tensors = [("input_ids", tensor(ids)), ("logits", tensor(logits))];
        serialize(tensors, None).unwrap()
    };
    let (three, row) = (&narrow[..12], &floats[..12 * vocab_size]);
    vec![
        file(
            (Dtype::I32, &[2, 3], &narrow),
            (Dtype::F32, &[2, 3, vocab_size], &floats),
        ),
        file(
            (Dtype::I64, &[2, 3], &wide),
            (Dtype::F16, &[2, 3, vocab_size], &halves),
        ),
        file(
            (Dtype::I32, &[3], three),
            (Dtype::F32, &[3, vocab_size], row),
        ),
        file(
            (Dtype::I32, &[1, 3], three),
            (Dtype::F32, &[3, vocab_size], row),
        ),
        file(
            (Dtype::I32, &[3], three),
            (Dtype::F32, &[3, 1, vocab_size], row),
        ),
    ]
}
