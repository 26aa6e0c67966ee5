//! Linear layers, and how adapters change them.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kernels::low_rank::low_rank_linear;
use crate::kernels::matmul::matmul;
use crate::kernels::packed::Weight;

/// An adapter's change of a linear layer `x · Wᵀ` with W \[out, in\].
#[derive(Clone, Debug)]
pub enum LinearChange {
    /// LoRA or DoRA.
    LowRank(Box<LowRank>),
    /// IA³ (Liu et al., arXiv:2205.05638) on the outputs: `(x · Wᵀ) ⊙ l` with l \[1, out\].
    ScaleOutput(Tensor<2>),
    /// IA³ on the inputs of a feed-forward layer: `(x ⊙ l) · Wᵀ` with l \[1, in\].
    ScaleInput(Tensor<2>),
}

/// LoRA (Hu et al., arXiv:2106.09685): `x · Wᵀ + scale · x · Aᵀ · Bᵀ`, or with a magnitude m DoRA
/// (Liu et al., arXiv:2402.09353): each output times m / ‖W + scale · B · A‖, where the norm runs over the
/// inputs and is treated as a constant (section 4.3 of the paper).
#[derive(Clone, Debug)]
pub struct LowRank {
    /// A \[rank, in\].
    pub a: Tensor<2>,
    /// B \[out, rank\].
    pub b: Tensor<2>,
    /// Factor of the product.
    pub scale: f64,
    /// m \[1, out\].
    pub magnitude: Option<Tensor<2>>,
    /// Bias of B \[1, out\], scaled like the product.
    pub bias: Option<Tensor<2>>,
    /// Dropout of the input of A, during training.
    pub dropout: Option<Dropout>,
}

impl LowRank {
    fn apply(&self, x: Tensor<2>, weight: &Weight) -> Tensor<2> {
        if self.dropout.is_none() && self.bias.is_none() && weight.is_frozen_head() {
            let sum = low_rank_linear(x, weight, &self.a, &self.b, self.scale as f32);
            return self.rescaled(sum, weight);
        }
        let input = match &self.dropout {
            Some(dropout) => dropout.apply(x.clone()),
            None => x.clone(),
        };
        let mut update = times(times(input, &self.a), &self.b);
        if let Some(bias) = &self.bias {
            update = update + bias.clone();
        }
        self.rescaled(weight.times_transposed(x) + update * self.scale, weight)
    }

    /// Returns the rows \[tokens, width\] that are looked up in a table \[rows, width\], which is the
    /// transposed weight of a layer with one input per row. As in PEFT, there is no dropout.
    fn look_up(&self, ids: Tensor<2, Int>, table: &Weight) -> Tensor<2> {
        let a = Weight::from(self.a.clone()).transpose();
        let update = times(a.rows(ids.clone()), &self.b);
        let sum = table.rows(ids) + update * self.scale;
        self.rescaled(sum, &table.transpose())
    }

    /// Returns the outputs, each times m / ‖W + scale · B · A‖ with DoRA.
    fn rescaled(&self, sum: Tensor<2>, weight: &Weight) -> Tensor<2> {
        match &self.magnitude {
            None => sum,
            Some(magnitude) => sum * (magnitude.clone() / row_norms(self.added(weight)).detach()),
        }
    }

    fn merge(&self, weight: &Weight) -> Tensor<2> {
        let changed = self.added(weight);
        match &self.magnitude {
            None => changed,
            Some(magnitude) => {
                let factors = magnitude.clone() / row_norms(changed.clone()).detach();
                changed * factors.transpose()
            }
        }
    }

    /// `W + scale · B · A`.
    fn added(&self, weight: &Weight) -> Tensor<2> {
        weight.float() + matmul(self.b.clone(), self.a.clone()) * self.scale
    }
}

/// Dropout (Srivastava et al., 2014) with masks that seeds determine.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Fraction of the values that become 0; the others are divided by 1 − rate.
    pub rate: f64,
    /// Seed of the mask of each sequence of the batch, so that a mask depends on neither the rest of the batch nor
    /// its padding.
    pub seeds: Arc<[u64]>,
    /// Number of the layer, which has masks of its own.
    pub layer: u64,
}

impl Dropout {
    fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let shape = x.dims();
        let mut bytes = vec![0; 2 * shape[0] * shape[1]];
        let of_sequence = bytes.len() / self.seeds.len().max(1);
        for (&seed, bytes) in self.seeds.iter().zip(bytes.chunks_mut(of_sequence.max(1))) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(self.layer);
            random.fill_bytes(bytes);
        }
        let threshold = (self.rate * 65_536.0).round();
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let mask: Vec<f32> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .map(|draw| {
                if f64::from(draw) < threshold {
                    0.0
                } else {
                    kept
                }
            })
            .collect();
        let device = x.device();
        x * Tensor::from_data(TensorData::new(mask, shape), &device)
    }
}

/// Returns `x · weightᵀ + bias` for x \[rows, in\], weight \[out, in\] and bias \[1, out\], with an
/// adapter's change. As in PEFT, IA³ scales the bias too, LoRA and DoRA do not.
pub(crate) fn linear(
    x: Tensor<2>,
    weight: &Weight,
    bias: Option<&Tensor<2>>,
    change: Option<&LinearChange>,
) -> Tensor<2> {
    let biased = |x: Tensor<2>| match bias {
        Some(bias) => x + bias.clone(),
        None => x,
    };
    match change {
        None => biased(weight.times_transposed(x)),
        Some(LinearChange::ScaleOutput(factors)) => {
            biased(weight.times_transposed(x)) * factors.clone()
        }
        Some(LinearChange::ScaleInput(factors)) => {
            biased(weight.times_transposed(x * factors.clone()))
        }
        Some(LinearChange::LowRank(low_rank)) => biased(low_rank.apply(x, weight)),
    }
}

/// Returns the rows \[tokens, width\] of a table \[rows, width\], with an adapter's change of it.
pub(crate) fn look_up(
    ids: Tensor<2, Int>,
    table: &Weight,
    change: Option<&LinearChange>,
) -> Tensor<2> {
    match change {
        None => table.rows(ids),
        Some(LinearChange::LowRank(low_rank)) => low_rank.look_up(ids, table),
        Some(scaled) => Weight::from(merged(&table.transpose(), scaled))
            .transpose()
            .rows(ids),
    }
}

/// Returns the bias with the change merged into it; only factors of the outputs and a bias of B change it.
pub(crate) fn merged_bias(bias: &Tensor<2>, change: &LinearChange) -> Tensor<2> {
    match change {
        LinearChange::ScaleOutput(factors) => bias.clone() * factors.clone(),
        LinearChange::LowRank(low_rank) => match &low_rank.bias {
            Some(added) => bias.clone() + added.clone() * low_rank.scale,
            None => bias.clone(),
        },
        LinearChange::ScaleInput(_) => bias.clone(),
    }
}

/// Returns the weight with the change merged into it.
pub(crate) fn merged(weight: &Weight, change: &LinearChange) -> Tensor<2> {
    match change {
        LinearChange::ScaleOutput(factors) => weight.float() * factors.clone().transpose(),
        LinearChange::ScaleInput(factors) => weight.float() * factors.clone(),
        LinearChange::LowRank(low_rank) => low_rank.merge(weight),
    }
}

fn times(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    matmul(x, weight.clone().transpose())
}

/// Returns the norm of each row of a weight \[out, in\], as \[1, out\].
pub(crate) fn row_norms(weight: Tensor<2>) -> Tensor<2> {
    (weight.clone() * weight).sum_dim(1).sqrt().transpose()
}
