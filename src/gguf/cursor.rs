//! Reads numbers and strings from the bytes of a file, within its bounds.

/// A place in the bytes of a file.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    /// Returns the number of bytes before the place.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Reads a number of bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.place..];
        let Some(found) = rest.get(..count) else {
            return Err(format!(
                "{count} bytes expected at byte {}, but the file ends at byte {}: download it again",
                self.place,
                self.bytes.len()
            ));
        };
        self.place += count;
        Ok(found)
    }

    /// Reads the bytes of a number.
    pub(super) fn number<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], String> {
        let mut number = [0; BYTES];
        number.copy_from_slice(self.take(BYTES)?);
        Ok(number)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.number().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.number().map(u64::from_le_bytes)
    }

    /// Reads a count of bytes and a text of that many.
    pub(super) fn string(&mut self) -> Result<&'a str, String> {
        let count = self.u64()?;
        let place = self.place;
        let bytes = self.take(usize::try_from(count).unwrap_or(usize::MAX))?;
        std::str::from_utf8(bytes)
            .map_err(|error| format!("the text at byte {place} is not UTF-8: {error}"))
    }

    /// Reads an array of numbers.
    pub(super) fn numbers<T, const BYTES: usize>(
        &mut self,
        count: u64,
        read: impl Fn([u8; BYTES]) -> T,
    ) -> Result<Vec<T>, String> {
        let count = usize::try_from(count).ok();
        let bytes = count.and_then(|count| count.checked_mul(BYTES));
        let (numbers, _) = self.take(bytes.unwrap_or(usize::MAX))?.as_chunks();
        Ok(numbers.iter().map(|&number| read(number)).collect())
    }
}
