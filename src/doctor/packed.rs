//! Products with packed weights, compared with the same products of the unpacked weights on the CPU.

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::IntoEnumIterator;

use super::{Check, largest_entry, largest_error};
use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::kernels::packed::Weight;
use crate::quantization::WeightType;

/// Rows of x, of the weight, and of its columns: none a multiple of the tiles but the last.
const SIZES: [usize; 3] = [33, 97, 512];

/// Checks every type that the kernels read.
///
/// # Errors
///
/// [`Error::Device`] if the device fails.
pub(super) async fn check(device: &Device, report: &mut impl FnMut(Check)) -> Result<()> {
    let [n, rows, columns] = SIZES;
    for kind in WeightType::iter().filter(|kind| kind.is_read_packed()) {
        let bytes = random_blocks(kind, rows * columns / kind.block());
        let mut unpacked = vec![0.0; rows * columns];
        kind.unpack(&bytes, &mut unpacked);
        let float = |device: &Device| {
            Tensor::<2>::from_data(
                TensorData::new(unpacked.clone(), [rows, columns]),
                device.tensors(),
            )
        };
        let expected = products(
            Weight::from(float(&Device::cpu()).autodiff()),
            n,
            &Device::cpu(),
        )
        .await?;
        let packed = Weight::packed(kind, [rows, columns], &bytes, device.tensors());
        let found = products(packed, n, device).await?;
        for (what, (found, expected)) in ["product", "gradient"]
            .into_iter()
            .zip(found.iter().zip(&expected))
        {
            let largest = largest_entry(expected);
            let max_error = largest_error(found, expected, |_| largest);
            report(Check::of(
                format!("{kind} weights: {what}"),
                device,
                max_error,
            ));
        }
    }
    Ok(())
}

/// Returns `x · Wᵀ`, and the gradient of a weighted sum of it with respect to x.
async fn products(weight: Weight, n: usize, device: &Device) -> Result<[Vec<f32>; 2]> {
    let [rows, columns] = weight.dims();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut tensor = |shape: [usize; 2]| -> Tensor<2> {
        let values = (0..shape[0] * shape[1]).map(|_| random.random_range(-1.0_f32..1.0));
        let values: Vec<f32> = values.collect();
        Tensor::from_data(TensorData::new(values, shape), device.tensors()).autodiff()
    };
    let (x, upstream) = (tensor([n, columns]).require_grad(), tensor([n, rows]));
    let product = weight.times_transposed(x.clone());
    let gradients = device::sum(product.clone() * upstream).backward();
    let gradient = x.grad(&gradients).ok_or_else(|| Error::Device {
        message: "autodiff returned no gradient".to_string(),
    })?;
    Ok([
        device::read(product.inner()).await?,
        device::read(gradient).await?,
    ])
}

/// Returns blocks of random bits, whose float16 and bfloat16 numbers are of moderate size.
fn random_blocks(kind: WeightType, count: usize) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut bytes = Vec::with_capacity(count * kind.block_bytes());
    for _ in 0..count {
        let mut block: Vec<u8> = (0..kind.block_bytes()).map(|_| random.random()).collect();
        for &at in kind.scales() {
            // The upper byte of a number between 2^-7 and 2^-4 in float16, or 2^-12 and 2^-1 in bfloat16.
            block[at + 1] = match kind {
                WeightType::Bfloat16 => 0x3a + block[at + 1] % 5,
                _ => 0x20 + block[at + 1] % 12,
            };
        }
        bytes.extend(block);
    }
    bytes
}
