//! Validates a Parquet file's schema before the parquet crate parses it. The crate builds the schema
//! recursively and allocates as many columns as the file claims, so a damaged file could abort the
//! program.
//!
//! The footer is a struct in Thrift's compact protocol. Its second field lists the schema elements in
//! depth-first order.

/// Maximum nesting depth of groups in a schema; a conversation has about ten.
const DEEPEST: usize = 64;
/// Maximum nesting depth of skipped structs.
const DEEPEST_SKIPPED: usize = 64;

/// The footer's length and the magic bytes at the end of the file.
const END: usize = 8;

// Type codes of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Field id of the schema elements in the file metadata.
const SCHEMA: i16 = 2;
/// Field id of the number of children in a schema element.
const CHILDREN: i16 = 5;

/// Checks that a file's schema is safe to build. Fails with a description of the error.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    const TRUNCATED: &str = "unexpected end of file";
    let (rest, end) = file
        .len()
        .checked_sub(END)
        .map(|length| file.split_at(length))
        .ok_or(TRUNCATED)?;
    let &[a, b, c, d, ..] = end else {
        return Err(TRUNCATED);
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let footer = rest.len().checked_sub(length).ok_or(TRUNCATED)?;
    let mut thrift = Thrift(&rest[footer..]);
    thrift
        .fields(|thrift, number, kind| match (number, kind) {
            (SCHEMA, LIST) => thrift.schema(),
            _ => thrift.skip(kind, DEEPEST_SKIPPED),
        })
        .ok_or("invalid schema")
}

/// A reader of Thrift's compact protocol. Its methods return `None` for invalid data.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    /// Reads the fields of a struct: `read` is called with the id and type of each.
    fn fields(&mut self, mut read: impl FnMut(&mut Self, i16, u8) -> Option<()>) -> Option<()> {
        let mut number = 0i16;
        loop {
            let start = self.byte()?;
            if start == 0 {
                return Some(());
            }
            number = match start >> 4 {
                0 => i16::try_from(self.signed()?).ok()?,
                step => number.checked_add(i16::from(step))?,
            };
            read(self, number, start & 0xf)?;
        }
    }

    /// Reads the list of schema elements.
    fn schema(&mut self) -> Option<()> {
        let (count, kind) = self.list()?;
        if kind != STRUCT {
            return None;
        }
        // Number of missing children of each enclosing group.
        let mut missing: Vec<u64> = Vec::new();
        for index in 0..count {
            let mut children = 0;
            self.fields(|thrift, number, kind| match (number, kind) {
                (CHILDREN, I32) => {
                    children = u64::try_from(thrift.signed()?).ok()?;
                    Some(())
                }
                _ => thrift.skip(kind, DEEPEST_SKIPPED),
            })?;
            if let Some(missing) = missing.last_mut() {
                *missing -= 1;
            }
            if children >= count - index {
                return None;
            }
            missing.push(children);
            if missing.len() > DEEPEST {
                return None;
            }
            while missing.pop_if(|missing| *missing == 0).is_some() {}
        }
        missing.is_empty().then_some(())
    }

    /// Reads a list header: the number and type of its elements.
    fn list(&mut self) -> Option<(u64, u8)> {
        let start = self.byte()?;
        let count = match start >> 4 {
            15 => self.unsigned()?,
            count => u64::from(count),
        };
        Some((count, start & 0xf))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // The type code of a boolean field is its value.
            TRUE | FALSE => Some(()),
            STRUCT => self.fields(|thrift, _, kind| thrift.skip(kind, depth)),
            LIST | SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, depth))
            }
            MAP => {
                let count = self.unsigned()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0xf, depth)
                })
            }
            I8 => self.byte().map(drop),
            I16 | I32 | I64 => self.unsigned().map(drop),
            DOUBLE => self.bytes(8),
            BINARY => {
                let length = self.unsigned()?;
                self.bytes(usize::try_from(length).ok()?)
            }
            _ => None,
        }
    }

    /// In lists and maps, a boolean takes a byte.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            TRUE | FALSE => self.byte().map(drop),
            kind => self.skip(kind, depth),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn bytes(&mut self, count: usize) -> Option<()> {
        self.0.split_off(..count).map(drop)
    }

    fn unsigned(&mut self) -> Option<u64> {
        super::varint(&mut self.0)
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field header: the id delta and the type.
    fn field(step: u8, kind: u8) -> u8 {
        step << 4 | kind
    }

    /// An unnamed schema element with fewer than 64 children.
    fn element(children: u8) -> Vec<u8> {
        vec![field(5, I32), children << 1, 0]
    }

    fn file(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut footer = vec![field(1, I32), 2, field(1, LIST), 0xf0 | STRUCT];
        let count = elements.len();
        footer.extend([0x80 | (count & 0x7f) as u8, (count >> 7) as u8]);
        footer.extend(elements.concat());
        // Another list and a map, which are skipped.
        footer.extend([field(2, LIST), 0x20 | BINARY, 1, b'a', 0]);
        footer.extend([field(1, MAP), 1, I32 << 4 | TRUE, 9, 1, 0]);
        let length = footer.len() as u32;
        [b"PAR1", &footer[..], &length.to_le_bytes(), b"PAR1"].concat()
    }

    #[test]
    fn valid_trees_pass() {
        let tree = [2, 1, 2, 0, 0, 0].map(element);
        assert_eq!(check(&file(&tree)), Ok(()));
        let wide: Vec<_> = [20].into_iter().chain([0; 20]).map(element).collect();
        assert_eq!(check(&file(&wide)), Ok(()));
    }

    #[test]
    fn invalid_trees_fail() {
        let deep = |depth| {
            let elements = std::iter::repeat_n(1, depth).chain([0]);
            file(&elements.map(element).collect::<Vec<_>>())
        };
        assert_eq!(check(&deep(DEEPEST - 1)), Ok(()));
        assert!(check(&deep(DEEPEST)).is_err());
        assert!(check(&file(&[3, 0, 0].map(element))).is_err());
        assert!(check(&file(&[2, 1, 0].map(element))).is_err());
        // -1 children.
        assert!(check(&file(&[vec![field(5, I32), 1, 0]])).is_err());

        let whole = file(&[1, 0].map(element));
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length}");
        }
    }
}
