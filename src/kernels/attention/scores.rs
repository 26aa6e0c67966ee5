//! How attention scores follow from products of queries and keys.

/// How the scores of a query follow from its products with the keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Factor of the products.
    pub scale: f32,
    /// Soft cap of the scaled products, if they have one: cap · tanh(product / cap).
    pub soft_cap: Option<f32>,
}
