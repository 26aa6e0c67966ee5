//! Files that are no data, recognized by their first bytes.

/// Describes a file that is known not to be data, with what to do.
pub(super) fn describe(bytes: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    Some(if starts(b"GGUF") || is_safetensors(bytes) {
        "the weights of a model, not data: pass the folder of the model as the model, and texts as data"
    } else if starts(b"PK\x03\x04") {
        "a ZIP archive (a spreadsheet, an archive of texts, weights of PyTorch): export it as CSV or JSON \
         lines, or extract it"
    } else if bytes.first() == Some(&0x80) && matches!(bytes.get(1), Some(2..=5)) {
        "a pickle of Python, which is never read: write the data as JSON lines"
    } else if starts(b"ARROW1") || starts(&[0xff; 4]) {
        "an Arrow file: write it as Parquet, in Python with Dataset.from_file(path).to_parquet(\"data.parquet\")"
    } else if starts(b"version https://git-lfs.github.com/spec/") {
        "a pointer of Git LFS, not the file itself: run git lfs pull, or download the file"
    } else if starts(b"%PDF-") {
        "a PDF: convert it to text"
    } else if starts(b"\x89PNG") || starts(&[0xff, 0xd8, 0xff]) {
        "an image: only text is supported"
    } else if starts(b"SQLite format 3\0") {
        "an SQLite database: export its tables as CSV"
    } else if starts(b"\xfd7zXZ\0") || is_bzip2(bytes) || starts(b"7z\xbc\xaf\x27\x1c") {
        "compressed with xz, bzip2 or 7-Zip: decompress it, or compress it with gzip or zstd instead"
    } else if bytes.get(257..262) == Some(b"ustar") {
        "a tar archive: extract it"
    } else {
        return None;
    })
}

/// Whether a file starts with the length of a header, and the header, which is a JSON object.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, header)) = bytes.split_first_chunk() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    // The header of a text would be far longer than any file.
    header.starts_with(b"{") && length < 1 << 40
}

fn is_bzip2(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BZh") && bytes.get(4..10) == Some(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_named() {
        let weights = [&100u64.to_le_bytes()[..], b"{\"a\": {}}"].concat();
        let tar = [vec![b'a'; 257], b"ustar\0".to_vec()].concat();
        for (bytes, part) in [
            (&b"GGUF\x03"[..], "weights of a model"),
            (&weights, "weights of a model"),
            (b"PK\x03\x04abc", "ZIP archive"),
            (b"\x80\x04\x95", "pickle"),
            (b"ARROW1\0\0", "to_parquet"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid",
                "git lfs pull",
            ),
            (b"%PDF-1.7", "PDF"),
            (b"\x89PNG\r\n", "image"),
            (b"BZh91AY&SY", "bzip2"),
            (&tar, "tar archive"),
        ] {
            let found = describe(bytes).unwrap_or_default();
            assert!(found.contains(part), "{part}: {found}");
        }
        for text in [
            "",
            "BZh9 is a word",
            "a",
            "{\"text\": \"a\"}",
            "version of {",
        ] {
            assert_eq!(describe(text.as_bytes()), None, "{text}");
        }
    }
}
