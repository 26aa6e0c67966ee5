//! The tensors of an exported model: names, types and values.

use std::ops::Range;

use super::Notes;
use crate::error::{Error, Result};
use crate::gguf::names::{Architecture, Change, ROPE_FACTORS, interleaved_row, row_of_part};
use crate::gguf::value_heads::{HeadSizes, ValueHeads};
use crate::gguf::write::{GgufWriter, TensorEntry};
use crate::model::CausalLm;
use crate::model::config::DecoderConfig;
use crate::quantization::WeightType;

/// One or two tensors of a file with the values of one parameter.
pub(super) struct Planned {
    source: Source,
    /// Shape of the parameter as a matrix.
    shape: [usize; 2],
    change: Change,
    heads: HeadSizes,
    /// The tensors, with their rows of the changed parameter.
    pieces: Vec<(TensorEntry, Range<usize>)>,
}

/// Where values come from.
enum Source {
    /// The parameter of a model.
    Parameter(usize),
    /// These.
    Values(Vec<f32>),
}

/// Returns the sizes of a decoder's heads.
pub(super) fn head_sizes(decoder: &DecoderConfig) -> HeadSizes {
    let values = decoder.gated_delta().map(|delta| ValueHeads {
        heads: delta.heads,
        key_heads: delta.key_heads,
        size: delta.value_size,
    });
    HeadSizes {
        attention: decoder.head_size(),
        values: values.unwrap_or(ValueHeads::NONE),
    }
}

/// Plans the tensors of a model, with `factors` of its rotary frequencies.
///
/// # Errors
///
/// [`Error::Config`] for a parameter that llama.cpp does not have.
pub(super) fn plan(
    model: &CausalLm,
    architecture: &Architecture,
    kind: WeightType,
    factors: Option<Vec<f32>>,
    notes: &mut Notes,
) -> Result<Vec<Planned>> {
    let decoder = &model.config().decoder;
    let is_tied = decoder.tie_word_embeddings;
    let mut types = Types {
        kind,
        is_tied,
        kept: Vec::new(),
        not_in_blocks: Vec::new(),
    };
    let mut plan = Vec::new();
    for (index, spec) in model.decoder().parameters().iter().enumerate() {
        let parameter = architecture.parameter(&spec.name);
        let parameter = parameter.ok_or_else(|| Error::Config {
            path: model.reader().files().config_path(),
            message: format!(
                "llama.cpp has no tensor for {} in models of its architecture {}",
                spec.name, architecture.gguf
            ),
        })?;
        let is_vector = spec.shape.len() == 1;
        let change = match parameter.name.change {
            Change::Transposed | Change::PlusOne if parameter.is_bias => Change::None,
            change => change,
        };
        let shape = match (spec.matrix_shape(), change) {
            // Each element of a bias is a row.
            ([1, width], _) if is_vector => [width, 1],
            ([rows, columns], Change::Transposed) => [columns, rows],
            (shape, _) => shape,
        };
        let name = parameter.gguf_name();
        let mut names = vec![(name.clone(), 0..shape[0])];
        if let Change::Upper { lower } = change {
            let half = shape[0] / 2;
            let lower = parameter.gguf_sibling(lower);
            names = vec![(name.clone(), 0..half), (lower, half..shape[0])];
        }
        // llama.cpp has no tied embeddings for these architectures.
        if index == 0 && is_tied && matches!(architecture.gguf, "phi2" | "olmo2" | "gptneox") {
            let head = ("output.weight".to_string(), 0..shape[0]);
            names.push(head);
        }
        let pieces = names.into_iter().map(|(name, rows)| {
            let shape = match is_vector {
                true => vec![rows.len()],
                false => vec![rows.len(), shape[1]],
            };
            let kind = types.of(&name, &shape);
            (TensorEntry { name, kind, shape }, rows)
        });
        plan.push(Planned {
            source: Source::Parameter(index),
            shape,
            change,
            heads: head_sizes(decoder),
            pieces: pieces.collect(),
        });
    }
    if let Some(factors) = factors {
        let entry = TensorEntry {
            name: ROPE_FACTORS.to_string(),
            kind: WeightType::Float32,
            shape: vec![factors.len()],
        };
        plan.push(Planned {
            shape: [factors.len(), 1],
            change: Change::None,
            heads: head_sizes(decoder),
            pieces: vec![(entry, 0..factors.len())],
            source: Source::Values(factors),
        });
    }
    types.note(notes);
    Ok(plan)
}

/// Chooses the types of tensors.
struct Types {
    kind: WeightType,
    is_tied: bool,
    /// Tensors kept as q8_0.
    kept: Vec<String>,
    /// Tensors whose rows are no whole blocks.
    not_in_blocks: Vec<String>,
}

impl Types {
    fn of(&mut self, name: &str, shape: &[usize]) -> WeightType {
        let [_, columns] = *shape else {
            return WeightType::Float32;
        };
        // llama.cpp adds position embeddings and convolves in float32.
        if name.starts_with("position_embd")
            || name.ends_with("conv.weight")
            || name.ends_with("conv1d.weight")
        {
            return WeightType::Float32;
        }
        let is_head =
            name.starts_with("output.") || (self.is_tied && name.starts_with("token_embd."));
        let mut kind = self.kind;
        if kind == WeightType::Q4_0 && is_head {
            kind = WeightType::Q8_0;
        }
        if kind.row_bytes(columns).is_none() {
            self.not_in_blocks.push(name.to_string());
            return WeightType::Float16;
        }
        if kind != self.kind {
            self.kept.push(name.to_string());
        }
        kind
    }

    fn note(&self, notes: &mut Notes) {
        if !self.kept.is_empty() {
            notes.push(format!(
                "{} is stored as q8_0: predictions depend on it most",
                self.kept.join(", ")
            ));
        }
        if let Some(first) = self.not_in_blocks.first() {
            notes.push(format!(
                "{} stored as float16, since their rows are no whole blocks of {} values: {first}{}",
                crate::error::counted(self.not_in_blocks.len(), "tensor"),
                self.kind.block(),
                if self.not_in_blocks.len() > 1 { ", …" } else { "" }
            ));
        }
    }
}

impl Planned {
    /// Returns the tensors.
    pub(super) fn entries(&self) -> impl Iterator<Item = &TensorEntry> {
        self.pieces.iter().map(|(entry, _)| entry)
    }

    /// Writes the values of the tensors.
    pub(super) async fn write(&self, model: &CausalLm, writer: &mut GgufWriter<'_>) -> Result<()> {
        let values = match &self.source {
            Source::Parameter(index) => model.parameter_values(*index).await?,
            Source::Values(values) => values.clone(),
        };
        let [rows, columns] = self.shape;
        let values = changed(values, [rows, columns], self.change, self.heads);
        for (entry, rows) in &self.pieces {
            let values = &values[rows.start * columns..rows.end * columns];
            writer.tensor(&packed(entry, values)?)?;
        }
        Ok(())
    }
}

/// Returns the values of a tensor \[rows, columns\] as llama.cpp has them.
pub(super) fn changed(
    values: Vec<f32>,
    [rows, columns]: [usize; 2],
    change: Change,
    heads: HeadSizes,
) -> Vec<f32> {
    let of_rows = |values: &[f32], place: &dyn Fn(usize) -> usize| {
        let mut moved = vec![0.0; values.len()];
        for (row, values) in values.chunks_exact(columns).enumerate() {
            moved[place(row) * columns..][..columns].copy_from_slice(values);
        }
        moved
    };
    let one_row = heads.values.of_one_row();
    match change {
        Change::None | Change::Squeezed | Change::Upper { .. } => values,
        Change::PlusOne => values.into_iter().map(|value| value + 1.0).collect(),
        Change::HeadRows => of_rows(&values, &|row| interleaved_row(row, heads.attention)),
        Change::HeadParts => of_rows(&values, &|row| row_of_part(row, rows, heads.attention)),
        Change::ValueRows | Change::SqueezedValueRows => {
            of_rows(&values, &|row| heads.values.row(row, rows))
        }
        Change::ValueHeads => of_rows(&values, &|row| one_row.row(row, rows)),
        Change::ValueRates => {
            let rates: Vec<f32> = values.into_iter().map(|value| -value.exp()).collect();
            of_rows(&rates, &|row| one_row.row(row, rows))
        }
        Change::ValueColumns => {
            let mut moved = vec![0.0; values.len()];
            let rows = values
                .chunks_exact(columns)
                .zip(moved.chunks_exact_mut(columns));
            for (values, moved) in rows {
                for (column, &value) in values.iter().enumerate() {
                    moved[heads.values.row(column, columns)] = value;
                }
            }
            moved
        }
        Change::Transposed => {
            let mut transposed = Vec::with_capacity(values.len());
            for row in 0..rows {
                transposed.extend((0..columns).map(|column| values[column * rows + row]));
            }
            transposed
        }
    }
}

/// Packs the values of a tensor.
///
/// # Errors
///
/// [`Error::InvalidSetting`] for a value that would become infinite.
pub(super) fn packed(entry: &TensorEntry, values: &[f32]) -> Result<Vec<u8>> {
    /// Largest float16, with what rounds to it.
    const FLOAT16: f32 = 65_520.0;
    /// Largest bfloat16, likewise.
    const BFLOAT16: f32 = 3.396e38;
    let limit = match entry.kind {
        WeightType::Float16 => FLOAT16,
        WeightType::Bfloat16 => BFLOAT16,
        WeightType::Q8_0 => FLOAT16 * 127.0,
        WeightType::Q4_0 => FLOAT16 * 8.0,
        _ => f32::INFINITY,
    };
    let mut finite = values.iter().filter(|value| value.is_finite());
    if let Some(value) = finite.find(|value| value.abs() >= limit) {
        let expected = format!(
            "a type with a larger range, such as float32: tensor {} contains the value {value}",
            entry.name
        );
        return Err(Error::setting("type", entry.kind, expected));
    }
    let mut bytes = Vec::with_capacity(entry.bytes());
    entry.kind.pack(values, &mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_llama_cpp() {
        let numbers = |count: usize| (0..count).map(|i| i as f32).collect::<Vec<_>>();
        let heads = HeadSizes {
            attention: 4,
            values: ValueHeads {
                heads: 4,
                key_heads: 2,
                size: 1,
            },
        };
        let moved = changed(numbers(8), [4, 2], Change::HeadRows, heads);
        assert_eq!(moved, [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        let transposed = changed(numbers(6), [3, 2], Change::Transposed, heads);
        assert_eq!(transposed, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(
            changed(numbers(2), [2, 1], Change::PlusOne, heads),
            [1.0, 2.0]
        );
        let moved = changed(numbers(5), [5, 1], Change::ValueRows, heads);
        assert_eq!(moved, [0.0, 1.0, 3.0, 2.0, 4.0]);
        let moved = changed(numbers(8), [2, 4], Change::ValueColumns, heads);
        assert_eq!(moved, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }

    #[test]
    fn values_beyond_a_type_are_an_error() {
        let entry = |kind| TensorEntry {
            name: "output.weight".to_string(),
            kind,
            shape: vec![1, 32],
        };
        let mut values = vec![1.0_f32; 32];
        values[3] = -70_000.0;
        let error = packed(&entry(WeightType::Float16), &values).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            message.contains("output.weight contains the value -70000"),
            "{message}"
        );
        for kind in [WeightType::Bfloat16, WeightType::Q8_0, WeightType::Float32] {
            assert!(packed(&entry(kind), &values).is_ok());
        }
    }
}
