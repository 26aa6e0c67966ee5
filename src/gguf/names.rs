//! Names of tensors in GGUF files and in Hugging Face folders, and how the values differ between the two.

/// An architecture, by its names in both formats.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// `general.architecture`, and the prefix of its metadata keys.
    pub gguf: &'static str,
    /// Names in `architectures` of `config.json`; the first is the one that is written.
    pub hugging_face: &'static [&'static str],
    /// `model_type` of `config.json`.
    pub model_type: &'static str,
    /// Prefix of the tensors of a layer, before its number, in Hugging Face folders.
    pub layer: &'static str,
    /// Tensors outside the layers, without `.weight` and `.bias`.
    pub outside: &'static [Name],
    /// Tensors of each layer, without prefix, number, `.weight` and `.bias`.
    pub in_layer: &'static [Name],
}

/// A tensor, by its names in both formats.
#[derive(Debug)]
pub(crate) struct Name {
    /// Name in a GGUF file.
    pub gguf: &'static str,
    /// Name in a Hugging Face folder.
    pub hugging_face: &'static str,
    /// How the values differ.
    pub change: Change,
    /// Whether the names are in full, without `.weight` or `.bias`.
    pub is_full: bool,
}

/// How the values of a tensor in a GGUF file differ from those in a Hugging Face folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// They are equal.
    None,
    /// Queries, keys and values are each together, instead of query, key and value of each attention head.
    HeadParts,
    /// Within each attention head, the rows of the two halves alternate: rotary embeddings rotate neighbours
    /// in llama.cpp, and halves in `transformers`.
    HeadRows,
    /// Weights of norms are stored plus 1; biases are equal.
    PlusOne,
    /// Weights of depthwise convolutions are stored as \[channels, taps\] instead of \[channels, 1, taps\].
    Squeezed,
    /// The last rows are those of value heads, in another order.
    ValueRows,
    /// As [`Self::ValueRows`], and weights are stored as with [`Self::Squeezed`].
    SqueezedValueRows,
    /// Each row is that of a value head, in another order.
    ValueHeads,
    /// As [`Self::ValueHeads`], and values are stored as their negated exponentials.
    ValueRates,
    /// The columns are those of value heads, in another order.
    ValueColumns,
    /// Weights are stored as \[out, in\] instead of \[in, out\]; biases are equal.
    Transposed,
    /// The GGUF file has the upper half of the rows as this tensor, and the lower half as the one named here.
    Upper {
        /// Name of the tensor with the lower half.
        lower: &'static str,
    },
}

/// The prefix of the tensors of a layer in GGUF files, before its number.
pub(crate) const BLOCK: &str = "blk.";

/// Queries, keys and values as one tensor, in this order, as early exports of some families have them.
pub(crate) const FUSED: &str = "attn_qkv";

/// Factors of the rotary frequencies, which `config.json` describes instead.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A parameter of an architecture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// Its names.
    pub name: &'static Name,
    /// Its layer, if it is in one.
    pub layer: Option<usize>,
    /// Whether it is a bias instead of a weight.
    pub is_bias: bool,
}

impl Architecture {
    /// Returns the parameter with a name in a Hugging Face folder.
    pub(crate) fn parameter(&self, hugging_face: &str) -> Option<Parameter> {
        self.find(hugging_face, self.layer, |name| name.hugging_face)
    }

    /// Returns the parameter with a name in a GGUF file.
    pub(crate) fn parameter_of_gguf(&self, gguf: &str) -> Option<Parameter> {
        self.find(gguf, BLOCK, |name| name.gguf)
    }

    fn find(
        &self,
        full: &str,
        prefix: &str,
        of: impl Fn(&Name) -> &'static str,
    ) -> Option<Parameter> {
        let (list, layer, full) = match full.strip_prefix(prefix) {
            Some(rest) => {
                let (number, rest) = rest.split_once('.')?;
                let layer: usize = number.parse().ok()?;
                // Other spellings of the number, such as 01, are other names.
                (layer.to_string() == number).then_some((self.in_layer, Some(layer), rest))?
            }
            None => (self.outside, None, full),
        };
        let named = |stem: &str, is_full: bool| {
            list.iter()
                .find(|name| name.is_full == is_full && of(name) == stem)
        };
        let (name, is_bias) = match (named(full, true), full.strip_suffix(".weight")) {
            (Some(name), _) => (name, false),
            (None, Some(stem)) => (named(stem, false)?, false),
            (None, None) => (named(full.strip_suffix(".bias")?, false)?, true),
        };
        Some(Parameter {
            name,
            layer,
            is_bias,
        })
    }

    /// Returns the name of a parameter in a Hugging Face folder.
    pub(crate) fn hugging_face_name(&self, parameter: &Parameter) -> String {
        let name = parameter.name.hugging_face;
        parameter.full_name(self.layer, name)
    }
}

impl Parameter {
    /// Returns its name in a GGUF file.
    pub(crate) fn gguf_name(&self) -> String {
        self.full_name(BLOCK, self.name.gguf)
    }

    /// Returns the name of another tensor in a GGUF file, in the same layer and of the same kind.
    pub(crate) fn gguf_sibling(&self, name: &str) -> String {
        self.full_name(BLOCK, name)
    }

    fn full_name(&self, prefix: &str, name: &str) -> String {
        let kind = match (self.name.is_full, self.is_bias) {
            (true, _) => "",
            (false, true) => ".bias",
            (false, false) => ".weight",
        };
        match self.layer {
            Some(layer) => format!("{prefix}{layer}.{name}{kind}"),
            None => format!("{name}{kind}"),
        }
    }
}

/// Returns where a row of a tensor with [`Change::HeadRows`] in a Hugging Face folder is in the GGUF file, for
/// heads of `head_size` rows.
pub(crate) fn interleaved_row(row: usize, head_size: usize) -> usize {
    let (head, place) = (row / head_size, row % head_size);
    let half = head_size / 2;
    head * head_size + place % half * 2 + place / half
}

/// Returns where a row of a tensor with [`Change::HeadParts`] in a Hugging Face folder is in the GGUF file, for
/// `rows` rows of heads of `head_size` rows.
pub(crate) fn row_of_part(row: usize, rows: usize, head_size: usize) -> usize {
    let (group, place) = (row / head_size, row % head_size);
    let (head, part) = (group / 3, group % 3);
    part * (rows / 3) + head * head_size + place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_head_alternate() {
        let rows: Vec<usize> = (0..8).map(|row| interleaved_row(row, 4)).collect();
        assert_eq!(rows, [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    #[test]
    fn parts_of_heads_come_together() {
        let rows: Vec<usize> = (0..12).map(|row| row_of_part(row, 12, 2)).collect();
        assert_eq!(rows, [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]);
    }
}
