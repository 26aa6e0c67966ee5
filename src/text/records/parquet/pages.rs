//! Validates the pages of a Parquet file before their values are decoded. The parquet crate allocates
//! memory for as many values as a page claims, which can be any number in a damaged file.
//!
//! Pages compressed with zstd or Brotli are decompressed here: the crate's zstd is C code, which browsers lack, and its
//! Brotli comes with an encoder, a tenth of the browser module.

use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding};
use ::parquet::bloom_filter::Sbbf;
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::RowGroupMetaData;
use ::parquet::file::reader::RowGroupReader;
use ::parquet::file::serialized_reader::SerializedPageReader;
use ::parquet::record::Field;
use ::parquet::record::reader::RowIter;
use ::parquet::schema::types::{ColumnDescPtr, Type};
use bytes::Bytes;

use crate::text::records::compression::Compression as Codec;

/// A row group whose pages are validated.
pub(super) struct CheckedRowGroup<'a> {
    /// The row group.
    pub inner: Box<dyn RowGroupReader + 'a>,
    /// The whole file.
    pub file: Bytes,
    /// Maximum number of bytes for the values of one column.
    pub limit: u64,
}

impl RowGroupReader for CheckedRowGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.inner.metadata()
    }

    fn num_columns(&self) -> usize {
        self.inner.num_columns()
    }

    fn get_column_page_reader(&self, index: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata().column(index);
        let codec = match column.compression() {
            Compression::ZSTD(_) => Some(Codec::Zstd),
            Compression::BROTLI(_) => Some(Codec::Brotli),
            _ => None,
        };
        Ok(Box::new(CheckedPages {
            inner: match codec {
                Some(_) => self.compressed_pages(index)?,
                None => self.inner.get_column_page_reader(index)?,
            },
            column: column.column_descr_ptr(),
            codec,
            left: self.limit,
        }))
    }

    fn get_column_bloom_filter(&self, index: usize) -> Option<&Sbbf> {
        self.inner.get_column_bloom_filter(index)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

impl CheckedRowGroup<'_> {
    /// Returns the pages of a column as they are in the file.
    fn compressed_pages(&self, index: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata().column(index).clone().into_builder();
        let column = column.set_compression(Compression::UNCOMPRESSED).build()?;
        let rows = usize::try_from(self.metadata().num_rows())?;
        let file = Arc::new(self.file.clone());
        Ok(Box::new(SerializedPageReader::new(
            file, &column, rows, None,
        )?))
    }
}

struct CheckedPages {
    inner: Box<dyn PageReader>,
    column: ColumnDescPtr,
    /// What pages are decompressed by here, if they are.
    codec: Option<Codec>,
    /// Remaining bytes for the values of further pages.
    left: u64,
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.inner.get_next_page()? else {
            return Ok(None);
        };
        if let Some(codec) = self.codec {
            decompress(&mut page, codec, self.left)?;
        }
        let values = u64::from(page.num_values()) * size_of::<Field>() as u64;
        self.left = self
            .left
            .checked_sub(values + page.buffer().len() as u64)
            .ok_or_else(|| fault(TOO_LARGE))?;
        if is_plausible(&page, &self.column) {
            Ok(Some(page))
        } else {
            Err(fault("a page claims more values than it has"))
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

const TOO_LARGE: &str = "a column expands to more than expected for a file of this size";

/// Decompresses a page; `limit` is the maximum size of its values in bytes. The levels of the second version of data
/// pages are never compressed.
fn decompress(page: &mut Page, codec: Codec, limit: u64) -> Result<()> {
    let (buffer, levels) = match page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
        Page::DataPageV2 {
            is_compressed: false,
            ..
        } => return Ok(()),
        Page::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => (
            buf,
            u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len),
        ),
    };
    let levels = usize::try_from(levels)
        .ok()
        .filter(|&levels| levels <= buffer.len());
    let levels = levels.ok_or_else(|| fault("a page is shorter than its levels"))?;
    let mut bytes = buffer[..levels].to_vec();
    let values = codec.expand_to(&buffer[levels..], limit)?;
    bytes.extend(values.ok_or_else(|| fault(TOO_LARGE))?);
    *buffer = bytes.into();
    Ok(())
}

fn fault(message: &str) -> ParquetError {
    ParquetError::General(message.to_string())
}

/// Whether the number of encoded values of a page is consistent with its header, for encodings for which
/// memory is allocated before decoding.
fn is_plausible(page: &Page, column: &ColumnDescPtr) -> bool {
    let claimed = u64::from(page.num_values());
    let is_plausible = |count: u64| count <= claimed;
    match page.encoding() {
        // Each dictionary value takes at least one byte.
        _ if page.is_dictionary_page() => claimed <= page.buffer().len() as u64,
        // Starts with the delta-encoded lengths.
        Encoding::DELTA_LENGTH_BYTE_ARRAY => values(page, column)
            .and_then(|mut values| delta_list(&mut values))
            .is_some_and(|list| is_plausible(list.count)),
        // Starts with the delta-encoded lengths of shared prefixes and of suffixes.
        Encoding::DELTA_BYTE_ARRAY => values(page, column)
            .and_then(|mut values| {
                let common = delta_list(&mut values)?;
                common.skip(&mut values)?;
                let rest = delta_list(&mut values)?;
                Some(is_plausible(common.count) && is_plausible(rest.count))
            })
            .unwrap_or(false),
        _ => true,
    }
}

/// The encoded values of a data page, after its definition and repetition levels.
fn values<'a>(page: &'a Page, column: &ColumnDescPtr) -> Option<&'a [u8]> {
    let mut bytes: &[u8] = page.buffer();
    match page {
        Page::DataPageV2 {
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            bytes.split_off(..usize::try_from(levels).ok()?)?;
        }
        Page::DataPage {
            def_level_encoding,
            rep_level_encoding,
            ..
        } => {
            for (levels, encoding) in [
                (column.max_rep_level(), rep_level_encoding),
                (column.max_def_level(), def_level_encoding),
            ] {
                if levels > 0 {
                    // The deprecated BIT_PACKED encoding predates the delta encodings.
                    if *encoding != Encoding::RLE {
                        return None;
                    }
                    let length = bytes.split_off(..4)?.try_into().ok()?;
                    bytes.split_off(..u32::from_le_bytes(length) as usize)?;
                }
            }
        }
        Page::DictionaryPage { .. } => {}
    }
    Some(bytes)
}

/// Header of a delta-encoded list of integers.
struct DeltaList {
    /// Miniblocks per block.
    parts: usize,
    /// Values per miniblock.
    part: u64,
    /// Total number of values.
    count: u64,
}

/// Reads the header of a delta-encoded list.
fn delta_list(bytes: &mut &[u8]) -> Option<DeltaList> {
    let block = super::varint(bytes)?;
    let parts = super::varint(bytes)?;
    let count = super::varint(bytes)?;
    let _first = super::varint(bytes)?;
    let part = block.checked_div(parts).filter(|&part| part > 0)?;
    Some(DeltaList {
        parts: usize::try_from(parts).ok()?,
        part,
        count,
    })
}

impl DeltaList {
    /// Skips the values after the first one.
    fn skip(&self, bytes: &mut &[u8]) -> Option<()> {
        let mut left = self.count.saturating_sub(1);
        while left > 0 {
            let _least = super::varint(bytes)?;
            // Bit width of each miniblock. Miniblocks after the last value are absent.
            for &width in bytes.split_off(..self.parts)? {
                if left > 0 {
                    let size = self.part.checked_mul(u64::from(width))?.div_ceil(8);
                    bytes.split_off(..usize::try_from(size).ok()?)?;
                    left = left.saturating_sub(self.part);
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::schema::parser::parse_message_type;
    use ::parquet::schema::types::SchemaDescriptor;

    use super::*;

    fn column() -> ColumnDescPtr {
        let schema = "message schema { optional binary text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        SchemaDescriptor::new(schema).column(0)
    }

    fn data(encoding: Encoding, num_values: u32, buf: Vec<u8>) -> Page {
        Page::DataPage {
            buf: buf.into(),
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    #[test]
    fn dictionary_sizes_are_checked() {
        let dictionary = |num_values| Page::DictionaryPage {
            buf: Bytes::from_static(&[0; 8]),
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        assert!(is_plausible(&dictionary(8), &column()));
        assert!(!is_plausible(&dictionary(9), &column()));
    }

    #[test]
    fn delta_list_sizes_are_checked() {
        // Two bytes of levels; a block of 128 values in 4 miniblocks; 3 values, the first is 0.
        let levels = [2, 0, 0, 0, 6, 1];
        let list =
            |count: u8| [vec![0x80, 1, 4, count, 0], vec![0, 2, 0, 0, 0], vec![0; 8]].concat();
        let one = |count| [&levels[..], &list(count)].concat();
        let encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;
        assert!(is_plausible(&data(encoding, 3, one(3)), &column()));
        assert!(!is_plausible(&data(encoding, 2, one(3)), &column()));
        assert!(!is_plausible(
            &data(encoding, 3, levels.to_vec()),
            &column()
        ));

        let two = |count| [&one(3)[..], &list(count)].concat();
        let encoding = Encoding::DELTA_BYTE_ARRAY;
        assert!(is_plausible(&data(encoding, 3, two(3)), &column()));
        assert!(!is_plausible(&data(encoding, 3, two(4)), &column()));
        assert!(!is_plausible(&data(encoding, 3, one(3)), &column()));
    }

    #[test]
    fn the_size_of_values_is_limited() {
        struct Once(Option<Page>);
        impl Iterator for Once {
            type Item = Result<Page>;
            fn next(&mut self) -> Option<Result<Page>> {
                self.0.take().map(Ok)
            }
        }
        impl PageReader for Once {
            fn get_next_page(&mut self) -> Result<Option<Page>> {
                self.next().transpose()
            }
            fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
                Ok(None)
            }
            fn skip_next_page(&mut self) -> Result<()> {
                Ok(())
            }
        }
        let size = 10 + 5 * size_of::<Field>() as u64;
        for (left, is_enough) in [(size, true), (size - 1, false)] {
            let page = data(Encoding::PLAIN, 5, vec![0; 10]);
            let mut pages = CheckedPages {
                inner: Box::new(Once(Some(page))),
                column: column(),
                codec: None,
                left,
            };
            assert_eq!(pages.get_next_page().is_ok(), is_enough);
        }
    }
}
