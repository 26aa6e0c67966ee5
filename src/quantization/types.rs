//! The storage types of weights, and the sizes of their blocks.

use std::fmt;
use std::str::FromStr;

use strum::{EnumIter, FromRepr, IntoEnumIterator, IntoStaticStr};

/// A storage type of weights.
///
/// Names are those of llama.cpp; `float32`, `float16` and `bfloat16` are those of `transformers`. The values are
/// the numbers of the types in GGUF files (`enum ggml_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, FromRepr, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[repr(u32)]
#[allow(non_camel_case_types)] // the formats' own names
pub enum WeightType {
    /// IEEE 754 single precision.
    Float32 = 0,
    /// IEEE 754 half precision.
    Float16 = 1,
    /// The upper half of a float32.
    Bfloat16 = 30,
    /// 32 values of 8 bits with a scale: 8.5 bits per value.
    Q8_0 = 8,
    /// 32 values of 4 bits with a scale: 4.5 bits per value.
    Q4_0 = 2,
    /// 32 values of 4 bits with scale and minimum: 5 bits per value.
    Q4_1 = 3,
    /// 256 values of 4 bits, in eight parts with scale and minimum each: 4.5 bits per value.
    Q4_K = 12,
    /// 256 values of 6 bits, in sixteen parts with a scale each: 6.6 bits per value.
    Q6_K = 14,
    /// 32 values of 5 bits with a scale.
    Q5_0 = 6,
    /// 32 values of 5 bits with scale and minimum.
    Q5_1 = 7,
    /// 256 values of 2 bits, in sixteen parts with scale and minimum each.
    Q2_K = 10,
    /// 256 values of 3 bits, in sixteen parts with a scale each.
    Q3_K = 11,
    /// 256 values of 5 bits, in eight parts with scale and minimum each.
    Q5_K = 13,
    /// 32 values of 4 bits that select from a table, with a scale.
    Iq4Nl = 20,
    /// 256 values of 4 bits that select from a table, in eight parts with a scale each.
    Iq4Xs = 23,
    /// 32 four-bit floats with a power of two as scale (Open Compute Project, microscaling formats 1.0).
    Mxfp4 = 39,
}

impl WeightType {
    /// The name on the command line, in recipes and in messages.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number of the type in GGUF files (`enum ggml_type`).
    pub fn ggml(self) -> u32 {
        self as u32
    }

    /// Returns the type of a number in GGUF files, if it is supported.
    pub fn from_ggml(number: u32) -> Option<Self> {
        Self::from_repr(number)
    }

    /// Values per block.
    pub const fn block(self) -> usize {
        match self {
            Self::Float32 | Self::Float16 | Self::Bfloat16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Iq4Nl => 32,
            Self::Mxfp4 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::Iq4Xs => 256,
        }
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::Iq4Xs => 136,
            Self::Mxfp4 => 17,
        }
    }

    /// Returns the size in bytes of a row, or `None` if it does not consist of whole blocks or overflows.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let whole = columns.is_multiple_of(self.block());
        (columns / self.block())
            .checked_mul(self.block_bytes())
            .filter(|_| whole)
    }

    /// Returns whether kernels read the type as it is stored; others are unpacked to float32 when a model is
    /// loaded.
    pub const fn is_read_packed(self) -> bool {
        matches!(
            self,
            Self::Float16
                | Self::Bfloat16
                | Self::Q8_0
                | Self::Q4_0
                | Self::Q4_1
                | Self::Q4_K
                | Self::Q6_K
        )
    }

    /// Returns how many significant bits a value has at most, counted in binary.
    pub(crate) const fn significant_bits(self) -> usize {
        /// Of a float16 scale.
        const SCALE: usize = 11;
        match self {
            Self::Bfloat16 => 8,
            Self::Float16 => 11,
            // Up to three bits, or a power of two, times the scale.
            Self::Q4_0 => SCALE + 3,
            Self::Q8_0 => SCALE + 7,
            _ => 24,
        }
    }

    /// Returns where a block has float16 scales, or its value if it is a 16-bit float.
    pub fn scales(self) -> &'static [usize] {
        match self {
            Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K => &[0, 2],
            Self::Q2_K => &[80, 82],
            Self::Q3_K => &[108],
            Self::Q6_K => &[208],
            Self::Float32 | Self::Mxfp4 => &[],
            _ => &[0],
        }
    }

    /// Returns whether values can be stored in the type.
    pub const fn is_written(self) -> bool {
        matches!(
            self,
            Self::Float32 | Self::Float16 | Self::Bfloat16 | Self::Q8_0 | Self::Q4_0
        )
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WeightType {
    type Err = String;

    /// Reads a name, or llama.cpp's or PyTorch's short name of a float type.
    fn from_str(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let name = match &*lower {
            "f32" | "fp32" => "float32",
            "f16" | "fp16" => "float16",
            "bf16" => "bfloat16",
            other => other,
        };
        Self::iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::iter().map(Self::name).collect();
                format!("expected one of {}", names.join(", "))
            })
    }
}
