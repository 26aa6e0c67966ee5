//! Decompresses gzip, zstd and Brotli, up to a limit that real text stays below.

use std::io::{self, BufRead, Read};
use std::path::Path;

#[cfg(feature = "parquet")]
use brotli_decompressor::Decompressor;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::error::{Error, Result};

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// `.gz`: one or more members.
    Gzip,
    /// `.zst`: one or more frames.
    Zstd,
    /// In Parquet files only: one stream, which does not tell that it is one.
    #[cfg(feature = "parquet")]
    Brotli,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Zstd files may start with a skippable frame: 0x184d2a50 to 0x184d2a5f, little-endian.
const ZSTD_SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Bytes that are read at once.
#[cfg(feature = "parquet")]
const BROTLI_BUFFER: usize = 4096;

/// Upper bound on decompressed bytes, since they are held in memory.
const LARGEST: u64 = if cfg!(target_arch = "wasm32") {
    1 << 30
} else {
    16 << 30
};
/// Every file may expand to this many bytes…
const SMALL: u64 = 256 << 20;
/// …and a larger one to this many times its size. Text stays far below, even a table of few distinct
/// words.
const RATIO: u64 = 200;

/// Maximum decompressed size of a file of `size` bytes.
pub(super) fn limit(size: u64) -> u64 {
    size.saturating_mul(RATIO).clamp(SMALL, LARGEST)
}

impl Compression {
    /// Detects the format from a file's first bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else if bytes.starts_with(&ZSTD) || bytes.get(1..4) == Some(&ZSTD_SKIPPED) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Name of the format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            #[cfg(feature = "parquet")]
            Self::Brotli => "brotli",
        }
    }

    /// File extension of the format.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
            #[cfg(feature = "parquet")]
            Self::Brotli => "br",
        }
    }

    /// Decompresses `source`, the `size` bytes of `path`.
    ///
    /// # Errors
    ///
    /// [`Error::DataFile`] for data that is damaged, truncated, or expands to more than [`limit`];
    /// [`Error::Io`] if `source` cannot be read.
    pub(super) fn expand(self, source: impl BufRead, size: u64, path: &Path) -> Result<Vec<u8>> {
        self.expand_within(source, limit(size), path)
    }

    fn expand_within(self, source: impl BufRead, limit: u64, path: &Path) -> Result<Vec<u8>> {
        let name = self.name();
        let expanded = self.expand_to(source, limit).map_err(|error| {
            // Only errors of the operating system have a code.
            if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::OutOfMemory {
                return Error::io("read", path)(error);
            }
            let message = match error.kind() {
                io::ErrorKind::UnexpectedEof => "unexpected end of file".to_string(),
                _ => error.to_string(),
            };
            let advice = "copy or compress it again";
            Error::data_file(path, format!("damaged {name} file ({message}): {advice}"))
        })?;
        expanded.ok_or_else(|| {
            let message = format!("expands to more than {limit} bytes: decompress it first");
            Error::data_file(path, message)
        })
    }

    /// Decompresses `source`; `None` if it expands to more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// Errors of `source`, and for damaged data.
    pub(super) fn expand_to(self, source: impl BufRead, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let mut expanded = Vec::new();
        let room = Room {
            bytes: &mut expanded,
            limit,
        };
        let complete = match self {
            Self::Gzip => expand_gzip(source, room),
            Self::Zstd => expand_zstd(source, room),
            #[cfg(feature = "parquet")]
            Self::Brotli => expand_brotli(source, room),
        };
        Ok(complete?.then_some(expanded))
    }
}

/// The output buffer.
struct Room<'a> {
    bytes: &'a mut Vec<u8>,
    limit: u64,
}

impl Room<'_> {
    /// Reads `source` to its end. Returns false if it exceeds the limit.
    fn take(&mut self, source: impl Read) -> io::Result<bool> {
        let left = self.limit - self.bytes.len() as u64;
        source.take(left + 1).read_to_end(self.bytes)?;
        Ok(self.bytes.len() as u64 <= self.limit)
    }
}

fn expand_gzip(source: impl BufRead, mut room: Room) -> io::Result<bool> {
    room.take(MultiGzDecoder::new(source))
}

#[cfg(feature = "parquet")]
fn expand_brotli(source: impl BufRead, mut room: Room) -> io::Result<bool> {
    room.take(Decompressor::new(source, BROTLI_BUFFER))
}

fn expand_zstd(mut source: impl BufRead, mut room: Room) -> io::Result<bool> {
    let mut decoder = FrameDecoder::new();
    while !source.fill_buf()?.is_empty() {
        let frame = match StreamingDecoder::new_with_decoder(&mut source, &mut decoder) {
            Ok(frame) => frame,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                if io::copy(&mut source.by_ref().take(length), &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        if !room.take(frame)? {
            return Ok(false);
        }
        let stored = decoder.get_checksum_from_data();
        if stored.is_some() && stored != decoder.get_calculated_checksum() {
            return Err(io::Error::other("checksum mismatch"));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::text::records::{ReadOptions, Record, parse_records};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A text with little redundancy.
    fn text() -> String {
        let words = (0..20_000u32).map(|number| number.wrapping_mul(2_654_435_761).to_string());
        words.collect::<Vec<_>>().join(" ")
    }

    fn parse(bytes: &[u8], name: &str) -> Result<Vec<Record>> {
        parse_records(bytes, Path::new(name), &ReadOptions::default()).map(|found| found.records)
    }

    #[track_caller]
    fn assert_fault(bytes: &[u8], name: &str, part: &str) {
        match parse(bytes, name) {
            Err(Error::DataFile { message, .. }) => assert!(message.contains(part), "{message}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_and_frames_are_concatenated() {
        let text = text();
        let (start, end) = text.as_bytes().split_at(777);
        let expected = [Record::Text(text.clone())];
        assert_eq!(
            parse(&[gzip(start), gzip(end)].concat(), "a.txt.gz").unwrap(),
            expected
        );
        let skipped = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let frames = [skipped, zstd(start), zstd(b""), zstd(end)].concat();
        assert_eq!(parse(&frames, "a.txt.ZST").unwrap(), expected);
    }

    #[test]
    fn every_text_format_can_be_compressed() {
        for (name, text) in [
            ("a.txt", "t"),
            ("a.md", "t"),
            ("a.jsonl", "{\"text\": \"t\"}"),
            ("a.json", "[{\"text\": \"t\"}]"),
            ("a.csv", "text\nt"),
            ("a.tsv", "text\nt"),
        ] {
            let expected = [match name {
                "a.md" => Record::Document("t".to_string()),
                _ => Record::Text("t".to_string()),
            }];
            let zipped = [
                ("gz", gzip(text.as_bytes())),
                ("zst", zstd(text.as_bytes())),
            ];
            for (ending, bytes) in zipped {
                let name = format!("{name}.{ending}");
                assert_eq!(parse(&bytes, &name).unwrap(), expected, "{name}");
            }
        }
    }

    #[test]
    fn the_bytes_decide_under_any_name() {
        let expected = [Record::Text("a".to_string())];
        let line = b"{\"text\": \"a\"}";
        for (bytes, name) in [
            (b"a".to_vec(), "a.txt.gz"),
            (gzip(b"a"), "a.txt"),
            (gzip(b"a"), "a.txt.zst"),
            (zstd(line), "a.jsonl"),
            (zstd(b"text\na"), "a.csv.gz"),
            (gzip(line), "a.gz"),
            (zstd(line), "a"),
        ] {
            assert_eq!(parse(&bytes, name).unwrap(), expected, "{name}");
        }
        assert_eq!(parse(b"", "a.txt.gz").unwrap(), []);
        assert_fault(b"\x1f\xff", "a.txt.gz", "neither compressed with gzip");
        let found = parse(&gzip(b"a"), "a.xlsx");
        assert!(matches!(found, Err(Error::UnknownDataFormat { .. })));
    }

    #[test]
    fn damage_is_detected() {
        let text = text();
        for (name, bytes) in [
            ("a.txt.gz", gzip(text.as_bytes())),
            ("a.txt.zst", zstd(text.as_bytes())),
        ] {
            for length in [6, bytes.len() / 2, bytes.len() - 5, bytes.len() - 1] {
                assert_fault(&bytes[..length], name, "damaged");
            }
            // Both end with a checksum of the text.
            let mut changed = bytes.clone();
            let byte = changed.len() - if name.ends_with("gz") { 8 } else { 4 };
            changed[byte] ^= 1;
            assert_fault(&changed, name, "damaged");
            assert_fault(&[&bytes[..], b"more"].concat(), name, "damaged");
        }
    }

    #[test]
    fn decompressed_size_is_limited() {
        let bytes = vec![b'a'; 100_000];
        for (compression, archive) in [
            (Compression::Gzip, gzip(&bytes)),
            (Compression::Zstd, zstd(&bytes)),
        ] {
            let expand = |limit| compression.expand_within(&archive[..], limit, Path::new("a"));
            assert_eq!(expand(100_000).unwrap(), bytes);
            let fault = expand(99_999).unwrap_err().to_string();
            assert!(fault.contains("more than 99999 bytes"), "{fault}");
        }
        assert_eq!(limit(0), SMALL);
        assert_eq!(limit(2 << 20), 400 << 20);
        assert_eq!(limit(u64::MAX), LARGEST);
    }
}
