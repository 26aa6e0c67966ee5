//! The parameters of a model: names, shapes, and values as a flat list of tensors.

use burn::tensor::Tensor;

/// A parameter's name and shape, as in the model's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name, such as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// One to three sizes; a linear layer's weight is \[out, in\], or \[in, out\] in families with transposed
    /// weights, and a depthwise convolution's \[channels, 1, taps\].
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// Returns the number of elements, saturated on overflow.
    pub fn elements(&self) -> usize {
        let sizes = self.shape.iter();
        sizes.fold(1, |all, &size| all.saturating_mul(size))
    }

    /// Returns the shape as a matrix; vectors are one row.
    pub fn matrix_shape(&self) -> [usize; 2] {
        match self.shape[..] {
            [width] => [1, width],
            [rows, columns] | [rows, 1, columns] => [rows, columns],
            _ => unreachable!("parameters are vectors, matrices or depthwise convolutions"),
        }
    }
}

/// Role of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearRole {
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Fused query, key and value projection.
    QueryKeyValue,
    /// Output projection of the attention.
    AttentionOutput,
    /// Input projection of another mixer than attention.
    MixerInput,
    /// Output projection of another mixer than attention.
    MixerOutput,
    /// Gate projection of a feed-forward block.
    Gate,
    /// Up projection.
    Up,
    /// Fused gate and up projection.
    GateAndUp,
    /// Down projection.
    Down,
    /// Projection of the embeddings to the inputs of all layers.
    LayerInputs,
    /// Gate of a layer's input.
    LayerInputGate,
    /// Projection of a layer's gated input.
    LayerInput,
    /// Embedding of tokens or positions: the transposed weight of a layer with one input per row.
    Embedding,
    /// Head.
    Head,
}

/// A linear layer of a decoder; embeddings and head are some, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearLayer {
    /// Index of the weight in the decoder's parameters.
    pub parameter: usize,
    /// Index of the bias, if it has one.
    pub bias: Option<usize>,
    /// Name, such as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// Role.
    pub role: LinearRole,
    /// Output width.
    pub outputs: usize,
    /// Input width.
    pub inputs: usize,
    /// Whether the weight is \[in, out\].
    pub transposed: bool,
}

/// The values of parameters in float32, in the order of their specs; vectors are matrices of one row.
pub type Parameters = Vec<Tensor<2>>;
