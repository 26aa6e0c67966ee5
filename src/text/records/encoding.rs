//! Decodes text files: UTF-8, and UTF-16 with a byte order mark.

use std::borrow::Cow;
use std::path::Path;

use super::compression::Compression;
use crate::error::{Error, Result};

/// Number of bytes that are searched for NULs.
const SEARCHED: usize = 4096;

/// Decodes a file as UTF-8, or as UTF-16 if it starts with its byte order mark. `compression` is the one
/// that the file's extension names.
///
/// # Errors
///
/// [`Error::DataLine`] with the position of an invalid byte; [`Error::DataFile`] for invalid UTF-16, for a
/// text full of NULs, which is UTF-16 without a mark or no text, and for one that is neither text nor
/// compressed.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    path: &Path,
    compression: Option<Compression>,
) -> Result<Cow<'a, str>> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes, path)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes, path)?),
        _ => Cow::Borrowed(utf8(bytes, path, compression)?),
    };
    let searched = &text.as_bytes()[..text.len().min(SEARCHED)];
    let nuls = searched.iter().filter(|&&byte| byte == 0).count();
    if nuls * 4 > searched.len() {
        let message = "a text full of NULs, such as UTF-16 without a byte order mark: save the file as \
                       UTF-8";
        return Err(Error::data_file(path, message));
    }
    Ok(text)
}

fn utf8<'a>(bytes: &'a [u8], path: &Path, compression: Option<Compression>) -> Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        if let Some(compression) = compression {
            let (name, ending) = (compression.name(), compression.ending());
            let message = format!(
                "neither compressed with {name}, as its extension .{ending} says, nor text: copy or \
                 compress it again"
            );
            return Error::data_file(path, message);
        }
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let message = format!(
            "byte {} of the file is not UTF-8: save the file as UTF-8",
            error.valid_up_to() + 1
        );
        Error::data_line(path, line, message)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Decodes UTF-16 after its byte order mark.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, path: &Path) -> Result<String> {
    let (units, rest) = bytes.as_chunks();
    let text: std::result::Result<String, _> =
        char::decode_utf16(units.iter().map(|&bytes| unit(bytes))).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => {
            let message = "starts like UTF-16, but is not: save the file as UTF-8";
            Err(Error::data_file(path, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> String {
        let error = decode(bytes, Path::new("a.txt"), None).unwrap_err();
        error.to_string()
    }

    #[test]
    fn utf16_is_decoded_by_its_mark() {
        let text = "zwö 😀\n\nb";
        let mark = [0xfeff].into_iter().chain(text.encode_utf16());
        let units: Vec<u16> = mark.collect();
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = units.iter().flat_map(|&bytes| unit(bytes)).collect();
            assert_eq!(decode(&bytes, Path::new("a.txt"), None).unwrap(), text);
            assert!(fault(&bytes[..bytes.len() - 1]).contains("not: save the file as UTF-8"));
        }
        let without_mark: Vec<u8> = units[1..3]
            .iter()
            .flat_map(|unit| unit.to_le_bytes())
            .collect();
        assert!(fault(&without_mark).contains("UTF-16 without a byte order mark"));
        assert!(fault(&[0xff, 0xfe, 0x00, 0xd8]).contains("starts like UTF-16"));
        // A few NULs are part of a text.
        assert_eq!(
            decode(b"a text\0", Path::new("a.txt"), None).unwrap(),
            "a text\0"
        );
    }

    #[test]
    fn invalid_utf8_is_located() {
        assert!(fault(b"one\n\nt\xffo").starts_with("a.txt:3: byte 7"));
        let error = decode(b"\xff", Path::new("a.txt.gz"), Some(Compression::Gzip));
        let fault = error.unwrap_err().to_string();
        assert!(fault.contains("neither compressed with gzip"), "{fault}");
    }
}
