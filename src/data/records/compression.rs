//! Expands gzip and zstd, no further than a text can be expected to.

use std::io::{self, BufRead, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::error::{Error, Result};

/// What a file is compressed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// `.gz`: one or more members.
    Gzip,
    /// `.zst`: one or more frames.
    Zstd,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Zstd files may begin with a frame to be skipped: 0x184d2a50 to 0x184d2a5f, the lowest byte first.
const ZSTD_SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// No archive expands to more bytes than this: what is in memory has to fit there.
const LARGEST: u64 = if cfg!(target_arch = "wasm32") {
    1 << 30
} else {
    16 << 30
};
/// Every archive may expand to this many bytes…
const SMALL: u64 = 256 << 20;
/// …and a larger one to this many times its size: text, tables of the same few words included,
/// stays far below.
const RATIO: u64 = 200;

/// The most bytes that a compressed file of `size` bytes may expand to.
pub(super) fn limit(size: u64) -> u64 {
    size.saturating_mul(RATIO).clamp(SMALL, LARGEST)
}

impl Compression {
    /// The compression that a file's first bytes show.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else if bytes.starts_with(&ZSTD) || bytes.get(1..4) == Some(&ZSTD_SKIPPED) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The ending of files that are compressed by it.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }

    /// Expands all of `source`, the `size` bytes of `path`.
    ///
    /// # Errors
    ///
    /// [`Error::DataFile`] for bytes that are not so compressed, are damaged, end early, or expand
    /// to more than [`limit`]; [`Error::Io`] if `source` cannot be read.
    pub fn expand(self, source: impl BufRead, size: u64, path: &Path) -> Result<Vec<u8>> {
        self.expand_within(source, limit(size), path)
    }

    fn expand_within(self, mut source: impl BufRead, limit: u64, path: &Path) -> Result<Vec<u8>> {
        let (name, ending) = (self.name(), self.ending());
        let start = source.fill_buf().map_err(Error::io("read", path))?;
        if Self::of_bytes(start) != Some(self) {
            let message = format!(
                "not compressed by {name}, as its ending says: compress it, or name it without .{ending}"
            );
            return Err(Error::data_file(path, message));
        }
        let mut expanded = Vec::new();
        let room = Room {
            bytes: &mut expanded,
            limit,
        };
        let complete = match self {
            Self::Gzip => expand_gzip(source, room),
            Self::Zstd => expand_zstd(source, room),
        }
        .map_err(|error| {
            // The system's errors have numbers, the decoders' do not.
            if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::OutOfMemory {
                return Error::io("read", path)(error);
            }
            let message = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it ends early".to_string(),
                _ => error.to_string(),
            };
            let advice = "copy or compress it again";
            Error::data_file(path, format!("damaged {name} file ({message}): {advice}"))
        })?;
        if !complete {
            let message = format!(
                "expands to more than {limit} bytes: expand it and name it without .{ending}"
            );
            return Err(Error::data_file(path, message));
        }
        Ok(expanded)
    }
}

/// Where expanded bytes go.
struct Room<'a> {
    bytes: &'a mut Vec<u8>,
    limit: u64,
}

impl Room<'_> {
    /// Takes all that `source` has; false if that is more than there is room for.
    fn take(&mut self, source: impl Read) -> io::Result<bool> {
        let left = self.limit - self.bytes.len() as u64;
        source.take(left + 1).read_to_end(self.bytes)?;
        Ok(self.bytes.len() as u64 <= self.limit)
    }
}

fn expand_gzip(source: impl BufRead, mut room: Room) -> io::Result<bool> {
    room.take(MultiGzDecoder::new(source))
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
            return Err(io::Error::other("its checksum is another"));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::records::{ReadOptions, Record, parse_records};

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

    /// A text that does not compress to nothing.
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
    fn several_members_and_frames_are_one_file() {
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
    fn every_text_kind_may_be_compressed() {
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
    fn endings_and_first_bytes_have_to_agree() {
        assert_fault(b"plain", "a.txt.gz", "not compressed by gzip");
        assert_fault(b"", "a.txt.gz", "not compressed by gzip");
        assert_fault(&gzip(b"a"), "a.txt.zst", "not compressed by zstd");
        assert_fault(&gzip(b"a"), "a.jsonl", "compressed by gzip: add .gz");
        assert_fault(&zstd(b"a"), "a.csv", "compressed by zstd: add .zst");
        for name in ["a.parquet.gz", "a.gz", "gz", "a", "a.xlsx"] {
            let found = parse(b"a", name);
            assert!(
                matches!(found, Err(Error::UnknownDataFormat { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn damage_is_found() {
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
    fn expansion_has_a_limit() {
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
