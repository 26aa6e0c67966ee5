//! Metadata values of GGUF files.

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of values of one type. Token lists have hundreds of thousands of elements, so that each takes no
/// more memory than its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    Nested(Vec<Array>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// The types of values, with their numbers in the file (`enum gguf_type`) and their names in messages.
const TYPES: [(u32, &str); 13] = [
    (0, "uint8"),
    (1, "int8"),
    (2, "uint16"),
    (3, "int16"),
    (4, "uint32"),
    (5, "int32"),
    (6, "float32"),
    (7, "bool"),
    (8, "string"),
    (9, "array"),
    (10, "uint64"),
    (11, "int64"),
    (12, "float64"),
];

/// Defines the type of a value, or of the elements of an array. An array is the variant named.
macro_rules! types {
    ($($values:ident with $array:ident),*) => {$(
        impl $values {
            /// Returns the number of the type in the file.
            pub(crate) fn type_number(&self) -> u32 {
                match self {
                    Self::U8(_) => 0,
                    Self::I8(_) => 1,
                    Self::U16(_) => 2,
                    Self::I16(_) => 3,
                    Self::U32(_) => 4,
                    Self::I32(_) => 5,
                    Self::F32(_) => 6,
                    Self::Bool(_) => 7,
                    Self::String(_) => 8,
                    Self::$array(_) => 9,
                    Self::U64(_) => 10,
                    Self::I64(_) => 11,
                    Self::F64(_) => 12,
                }
            }

            /// Returns the name of the type.
            pub(crate) fn type_name(&self) -> &'static str {
                type_name(self.type_number())
            }
        }
    )*};
}

types!(Value with Array, Array with Nested);

impl Value {
    /// Returns a whole number that is not negative, of any integer type.
    pub(crate) fn unsigned(&self) -> Option<u64> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::U64(value) => Some(value),
            Self::I8(value) => value.try_into().ok(),
            Self::I16(value) => value.try_into().ok(),
            Self::I32(value) => value.try_into().ok(),
            Self::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// Returns a float.
    pub(crate) fn float(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => None,
        }
    }

    /// Returns a string.
    pub(crate) fn string(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }
}

impl Array {
    /// Returns whole numbers that are not negative, of any integer type.
    pub(crate) fn unsigned(&self) -> Option<Vec<u64>> {
        fn all<T: Copy + TryInto<u64>>(values: &[T]) -> Option<Vec<u64>> {
            values.iter().map(|&value| value.try_into().ok()).collect()
        }
        match self {
            Self::U8(values) => all(values),
            Self::I8(values) => all(values),
            Self::U16(values) => all(values),
            Self::I16(values) => all(values),
            Self::U32(values) => all(values),
            Self::I32(values) => all(values),
            Self::U64(values) => all(values),
            Self::I64(values) => all(values),
            _ => None,
        }
    }
}

/// Returns the name of a type, given its number in the file.
fn type_name(number: u32) -> &'static str {
    let found = TYPES.iter().find(|(known, _)| *known == number);
    found.map_or("an unknown type", |(_, name)| name)
}
