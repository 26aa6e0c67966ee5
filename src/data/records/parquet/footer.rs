//! Looks at a Parquet file's schema before the parquet crate does, which builds it by recursion and
//! reserves memory for as many columns as it claims: a damaged one would end the program.
//!
//! The footer is a structure in Thrift's compact protocol, whose second field lists the elements of
//! the schema, each before its children.

/// Groups within groups that a schema may have; a conversation has about ten.
const DEEPEST: usize = 64;
/// Structures within structures that are skipped.
const DEEPEST_SKIPPED: usize = 64;

/// Length of the footer, and the mark of a Parquet file, at its end.
const END: usize = 8;

// Types of the compact protocol.
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

/// Number of the field of the file's metadata that lists the schema's elements.
const SCHEMA: i16 = 2;
/// Number of the field of an element that counts its children.
const CHILDREN: i16 = 5;

/// Whether a file's schema is safe to be built. Fails with what is wrong with the footer.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    const EARLY: &str = "it ends early";
    let (rest, end) = file
        .len()
        .checked_sub(END)
        .map(|length| file.split_at(length))
        .ok_or(EARLY)?;
    let &[a, b, c, d, ..] = end else {
        return Err(EARLY);
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let footer = rest.len().checked_sub(length).ok_or(EARLY)?;
    let mut thrift = Thrift(&rest[footer..]);
    thrift
        .fields(|thrift, number, kind| match (number, kind) {
            (SCHEMA, LIST) => thrift.schema(),
            _ => thrift.skip(kind, DEEPEST_SKIPPED),
        })
        .ok_or("its schema cannot be read")
}

/// Bytes in Thrift's compact protocol. None is for what is not.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    /// The fields of a structure: `read` gets each one's number and type, and reads it.
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

    /// The list of a schema's elements.
    fn schema(&mut self) -> Option<()> {
        let (count, kind) = self.list()?;
        if kind != STRUCT {
            return None;
        }
        // How many children each of the groups around the next element still lacks.
        let mut lacking: Vec<u64> = Vec::new();
        for index in 0..count {
            let mut children = 0;
            self.fields(|thrift, number, kind| match (number, kind) {
                (CHILDREN, I32) => {
                    children = u64::try_from(thrift.signed()?).ok()?;
                    Some(())
                }
                _ => thrift.skip(kind, DEEPEST_SKIPPED),
            })?;
            if let Some(lacking) = lacking.last_mut() {
                *lacking -= 1;
            }
            if children >= count - index {
                return None;
            }
            lacking.push(children);
            if lacking.len() > DEEPEST {
                return None;
            }
            while lacking.pop_if(|lacking| *lacking == 0).is_some() {}
        }
        lacking.is_empty().then_some(())
    }

    /// Number and type of a list's elements.
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
            // The type of a field that is true or false says which.
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

    /// In lists and maps, what is true or false takes a byte.
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

    /// A field of the last one's number and `step`.
    fn field(step: u8, kind: u8) -> u8 {
        step << 4 | kind
    }

    /// An element without a name that counts its children, which are below 64.
    fn element(children: u8) -> Vec<u8> {
        vec![field(5, I32), children << 1, 0]
    }

    fn file(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut footer = vec![field(1, I32), 2, field(1, LIST), 0xf0 | STRUCT];
        let count = elements.len();
        footer.extend([0x80 | (count & 0x7f) as u8, (count >> 7) as u8]);
        footer.extend(elements.concat());
        // A list of something else, and a map, that are skipped.
        footer.extend([field(2, LIST), 0x20 | BINARY, 1, b'a', 0]);
        footer.extend([field(1, MAP), 1, I32 << 4 | TRUE, 9, 1, 0]);
        let length = footer.len() as u32;
        [b"PAR1", &footer[..], &length.to_le_bytes(), b"PAR1"].concat()
    }

    #[test]
    fn trees_pass() {
        let tree = [2, 1, 2, 0, 0, 0].map(element);
        assert_eq!(check(&file(&tree)), Ok(()));
        let wide: Vec<_> = [20].into_iter().chain([0; 20]).map(element).collect();
        assert_eq!(check(&file(&wide)), Ok(()));
    }

    #[test]
    fn what_is_no_tree_fails() {
        let deep = |depth| {
            let elements = std::iter::repeat_n(1, depth).chain([0]);
            file(&elements.map(element).collect::<Vec<_>>())
        };
        assert_eq!(check(&deep(DEEPEST - 1)), Ok(()));
        assert!(check(&deep(DEEPEST)).is_err());
        assert!(check(&file(&[3, 0, 0].map(element))).is_err());
        assert!(check(&file(&[2, 1, 0].map(element))).is_err());
        // Minus one.
        assert!(check(&file(&[vec![field(5, I32), 1, 0]])).is_err());

        let whole = file(&[1, 0].map(element));
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length}");
        }
    }
}
