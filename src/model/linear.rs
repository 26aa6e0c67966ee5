//! Linear layers, and what an adapter changes about them.

use burn::tensor::{Tensor, TensorData};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::matrix_product::matrix_product;

/// What an adapter does to a linear layer `x · Wᵀ` with W \[out, in\].
#[derive(Clone, Debug)]
pub enum LinearChange {
    /// LoRA or DoRA.
    LowRank(Box<LowRank>),
    /// IA³ (Liu et al., arXiv:2205.05638) on outputs: `(x · Wᵀ) ⊙ l` with l \[1, out\].
    ScaleOutput(Tensor<2>),
    /// IA³ on the inputs of a feed-forward layer: `(x ⊙ l) · Wᵀ` with l \[1, in\].
    ScaleInput(Tensor<2>),
}

/// LoRA (Hu et al., arXiv:2106.09685): `x · Wᵀ + scale · x · Aᵀ · Bᵀ`, and with a magnitude m DoRA
/// (Liu et al., arXiv:2402.09353): each output times m / ‖W + scale · B · A‖, the norm over the inputs
/// and taken as a constant (there: section 4.3).
#[derive(Clone, Debug)]
pub struct LowRank {
    /// A \[rank, in\].
    pub a: Tensor<2>,
    /// B \[out, rank\].
    pub b: Tensor<2>,
    /// What the product is multiplied by.
    pub scale: f64,
    /// m \[1, out\].
    pub magnitude: Option<Tensor<2>>,
    /// In training, what of x does not reach A.
    pub dropout: Option<Dropout>,
}

impl LowRank {
    fn apply(&self, x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
        let seen = match &self.dropout {
            Some(dropout) => dropout.apply(x.clone()),
            None => x.clone(),
        };
        let update = times(times(seen, &self.a), &self.b) * self.scale;
        let sum = times(x, weight) + update;
        match &self.magnitude {
            None => sum,
            Some(magnitude) => sum * (magnitude.clone() / row_norms(self.added(weight)).detach()),
        }
    }

    fn merge(&self, weight: &Tensor<2>) -> Tensor<2> {
        let changed = self.added(weight);
        match &self.magnitude {
            None => changed,
            Some(magnitude) => {
                let factors = magnitude.clone() / row_norms(changed.clone());
                changed * factors.transpose()
            }
        }
    }

    /// `W + scale · B · A`.
    fn added(&self, weight: &Tensor<2>) -> Tensor<2> {
        weight.clone() + matrix_product(self.b.clone(), self.a.clone()) * self.scale
    }
}

/// Dropout (Srivastava et al., 2014) whose choices follow from a seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of the values that become 0; the rest is divided by 1 − rate.
    pub rate: f64,
    /// Fixes which.
    pub seed: u64,
}

impl Dropout {
    fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let shape = x.dims();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut bytes = vec![0; 2 * shape[0] * shape[1]];
        random.fill_bytes(&mut bytes);
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

/// `x · weightᵀ + bias` for x \[rows, in\], weight \[out, in\] and bias \[1, out\], with what an
/// adapter changes about it. IA³ scales the bias too, as PEFT does; LoRA and DoRA leave it alone.
pub fn linear(
    x: Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<2>>,
    change: Option<&LinearChange>,
) -> Tensor<2> {
    let biased = |x: Tensor<2>| match bias {
        Some(bias) => x + bias.clone(),
        None => x,
    };
    match change {
        None => biased(times(x, weight)),
        Some(LinearChange::ScaleOutput(factors)) => biased(times(x, weight)) * factors.clone(),
        Some(LinearChange::ScaleInput(factors)) => biased(times(x * factors.clone(), weight)),
        Some(LinearChange::LowRank(low_rank)) => biased(low_rank.apply(x, weight)),
    }
}

/// The bias of that weight; only factors of outputs change it.
pub fn merged_bias(bias: &Tensor<2>, change: &LinearChange) -> Tensor<2> {
    match change {
        LinearChange::ScaleOutput(factors) => bias.clone() * factors.clone(),
        LinearChange::ScaleInput(_) | LinearChange::LowRank(_) => bias.clone(),
    }
}

/// The weight that does by itself what the layer does with the change.
pub fn merged(weight: &Tensor<2>, change: &LinearChange) -> Tensor<2> {
    match change {
        LinearChange::ScaleOutput(factors) => weight.clone() * factors.clone().transpose(),
        LinearChange::ScaleInput(factors) => weight.clone() * factors.clone(),
        LinearChange::LowRank(low_rank) => low_rank.merge(weight),
    }
}

fn times(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    matrix_product(x, weight.clone().transpose())
}

/// The norm of each row of a weight \[out, in\], as \[1, out\].
pub(crate) fn row_norms(weight: Tensor<2>) -> Tensor<2> {
    (weight.clone() * weight).sum_dim(1).sqrt().transpose()
}
