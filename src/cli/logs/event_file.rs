//! TensorBoard's event files.
//!
//! A file is a sequence of records, each of them a protocol buffer between two checksums (TFRecord):
//!
//! ```text
//! length of the data (u64) | checksum of the length (u32) | data | checksum of the data (u32)
//! ```
//!
//! all little endian. A checksum is the CRC-32C, masked so that checksums of data with checksums are no weaker. The
//! messages are `Event` of `tensorboard/compat/proto/event.proto` and what it contains; each field here names its own.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

static CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The start of the names of event files, by which TensorBoard finds them.
const NAME: &str = "events.out.tfevents.";
/// The program in the names of event files.
const WRITER: &str = ".minift.";

/// `Event.file_version`.
const VERSION: &str = "brain.Event:2";
/// `SessionLog.status`: events of earlier sessions from this step on are discarded.
const SESSION_START: u64 = 1;
/// `TensorProto.dtype` of strings.
const DT_STRING: u64 = 7;

/// A protocol buffer: fields after another, each with its number and the type of its encoding.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn key(&mut self, field: u64, encoding: u64) {
        self.varint((field << 3) | encoding);
    }

    fn integer(mut self, field: u64, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}

fn masked_checksum(bytes: &[u8]) -> [u8; 4] {
    let checksum = CHECKSUM.checksum(bytes).rotate_right(15);
    checksum.wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Returns a record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let (of_length, of_data) = (masked_checksum(&length), masked_checksum(data));
    [&length[..], &of_length, data, &of_data].concat()
}

/// Returns `Summary.Value` of a number.
fn scalar(tag: &str, value: f64) -> Message {
    let (tag_field, simple_value) = (1, 2);
    Message::default()
        .bytes(tag_field, tag.as_bytes())
        .float(simple_value, value as f32)
}

/// Returns `Summary.Value` of a text in Markdown, for TensorBoard's text plugin.
fn text(tag: &str, value: &str) -> Message {
    let (plugin_name, plugin_data) = (1, 1);
    let plugin = Message::default().bytes(plugin_name, b"text");
    let metadata = Message::default().message(plugin_data, &plugin);
    let (dtype, tensor_shape, string_val) = (1, 2, 8);
    let tensor = Message::default()
        .integer(dtype, DT_STRING)
        // Of a scalar.
        .message(tensor_shape, &Message::default())
        .bytes(string_val, value.as_bytes());
    let (tag_field, metadata_field, tensor_field) = (1, 9, 8);
    Message::default()
        .bytes(tag_field, tag.as_bytes())
        .message(tensor_field, &tensor)
        .message(metadata_field, &metadata)
}

/// Returns the time in seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Returns the event files of this program in a folder, in the order that TensorBoard reads them.
pub(super) fn find(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(NAME) && name.contains(WRITER) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// An event file. Every event is handed to the operating system before the call returns.
pub(super) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Creates a file that TensorBoard reads after those that are there. With `resumed`, events of these from that
    /// step on are discarded.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn create(folder: &Path, resumed: Option<usize>) -> Result<Self> {
        let earlier = find(folder)?;
        // Names sort by time. A clock that was set back must not change their order.
        let last = earlier.last().and_then(|path| seconds_of(path));
        let seconds = last.unwrap_or(0).max(now() as u64);
        let name = format!("{NAME}{seconds:010}{WRITER}{:04}", earlier.len());
        let path = folder.join(name);
        let file = File::options().write(true).create_new(true).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        let mut events = Self { file, path };
        let file_version = 3;
        events.put(0, |event| event.bytes(file_version, VERSION.as_bytes()))?;
        if let Some(step) = resumed {
            let (status, session_log) = (1, 7);
            let start = Message::default().integer(status, SESSION_START);
            events.put(step, |event| event.message(session_log, &start))?;
        }
        Ok(events)
    }

    /// Writes numbers of a step.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let values = values.iter().map(|&(tag, value)| scalar(tag, value));
        self.summary(step, values)
    }

    /// Writes a text in Markdown.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn text(&mut self, step: usize, tag: &str, value: &str) -> Result<()> {
        self.summary(step, std::iter::once(text(tag, value)))
    }

    fn summary(&mut self, step: usize, values: impl Iterator<Item = Message>) -> Result<()> {
        let (value, summary) = (1, 5);
        let all = values.fold(Message::default(), |all, one| all.message(value, &one));
        self.put(step, |event| event.message(summary, &all))
    }

    fn put(&mut self, step: usize, what: impl FnOnce(Message) -> Message) -> Result<()> {
        let (wall_time, step_field) = (1, 2);
        let event = Message::default().double(wall_time, now());
        let event = what(event.integer(step_field, step as u64));
        let written = self.file.write_all(&record(&event.0));
        written.map_err(Error::io("write", &self.path))
    }
}

/// Returns the time in the name of an event file.
fn seconds_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix(NAME)?;
    name.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of Python's `crc32c` and of TensorFlow's masking.
    #[test]
    fn checksums_are_masked_crc32c() {
        assert_eq!(CHECKSUM.checksum(b"123456789"), 0xe306_9283);
        assert_eq!(masked_checksum(&[0; 32]), MASKED_ZEROS.to_le_bytes());
        let found = record(b"abc");
        assert_eq!(
            (&found[..8], &found[12..15]),
            (&[3, 0, 0, 0, 0, 0, 0, 0][..], &b"abc"[..])
        );
        assert_eq!(found.len(), 19);
    }

    /// CRC-32C of 32 zeros is 0x8a9136aa (RFC 3720, B.4).
    const MASKED_ZEROS: u32 = (0x8a91_36aa_u32.rotate_right(15)).wrapping_add(0xa282_ead8);

    /// As in the documentation of protocol buffers: 150 in field 1 is 08 96 01.
    #[test]
    fn fields_are_encoded_as_protocol_buffers() {
        assert_eq!(Message::default().integer(1, 150).0, [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, b"testing").0;
        assert_eq!(text, *b"\x12\x07testing");
        let inner = Message::default().integer(1, 150);
        assert_eq!(
            Message::default().message(3, &inner).0,
            [0x1a, 3, 0x08, 0x96, 0x01]
        );
        assert_eq!(Message::default().float(2, 1.0).0, [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(
            Message::default().double(1, 1.0).0,
            [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]
        );
    }

    #[test]
    fn later_files_sort_after_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let future = folder
            .path()
            .join("events.out.tfevents.9999999998.minift.0000");
        std::fs::write(&future, "").unwrap();
        for _ in 0..3 {
            EventFile::create(folder.path(), None).unwrap();
        }
        let files = find(folder.path()).unwrap();
        assert_eq!((files.len(), &files[0]), (4, &future));
    }
}
