//! Downloads of single files: into an `.incomplete` file that a later run resumes, verified by checksum,
//! and renamed to the blob when complete.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::DownloadProgress;
use super::cache::ModelCache;
use super::client::{self, Client, Fault, FileFacts, Tried};
use crate::error::{Error, Result};

/// Bytes per read and write.
const CHUNK: usize = 1 << 18;
/// Polling interval while waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Downloads the file of a commit that `now` names, and links it into the commit's folder.
///
/// # Errors
///
/// Those of [`super::fetch`].
pub(super) fn download(
    client: &Client<'_>,
    cache: &ModelCache<'_>,
    commit: &str,
    now: &mut DownloadProgress,
    progress: &mut dyn FnMut(&DownloadProgress) -> ControlFlow<()>,
) -> Result<()> {
    let mut download = Download {
        client,
        cache,
        commit,
        now,
        progress,
        attempts: 0,
        furthest: 0,
    };
    let facts = download.facts()?;
    download.now.size = facts.size;
    if !download.has_blob(&facts)
        && let Some(_lock) = download.lock(&facts)?
    {
        download.run(&facts)?;
    }
    cache.link(commit, &download.now.file, &facts.etag)?;
    download.now.bytes = facts.size;
    download.now.files_done += 1;
    download.report()
}

struct Download<'d> {
    client: &'d Client<'d>,
    cache: &'d ModelCache<'d>,
    commit: &'d str,
    now: &'d mut DownloadProgress,
    progress: &'d mut dyn FnMut(&DownloadProgress) -> ControlFlow<()>,
    /// Failed attempts since the last new byte.
    attempts: u32,
    /// Most bytes received so far. A server without range support that interrupts every connection sends
    /// the same ones again and again.
    furthest: u64,
}

/// The partial file, and the running checksum of its contents.
struct Incomplete {
    file: File,
    path: PathBuf,
    hash: Option<Sha256>,
}

impl Download<'_> {
    fn facts(&mut self) -> Result<FileFacts> {
        loop {
            match self.client.facts(self.commit, &self.now.file) {
                Ok(facts) => {
                    self.attempts = 0;
                    return Ok(facts);
                }
                Err(fault) => self.wait_after(fault)?,
            }
        }
    }

    /// Whether the blob is complete already, from this commit or another one with the same file.
    fn has_blob(&self, facts: &FileFacts) -> bool {
        let blob = fs::metadata(self.cache.blob(&facts.etag));
        blob.is_ok_and(|blob| blob.is_file() && blob.len() == facts.size)
    }

    /// Waits until no other process is downloading the file. Returns `None` if another one completed it.
    fn lock(&mut self, facts: &FileFacts) -> Result<Option<File>> {
        let incomplete = self.cache.incomplete(&facts.etag);
        let mut seen = Instant::now();
        loop {
            let lock = self.cache.try_lock(&facts.etag)?;
            if self.has_blob(facts) {
                return Ok(None);
            }
            if lock.is_some() {
                return Ok(lock);
            }
            let bytes = fs::metadata(&incomplete).map_or(0, |file| file.len());
            if bytes != self.now.bytes {
                self.now.bytes = bytes;
                seen = Instant::now();
            }
            if seen.elapsed() > self.client.settings.limits.stall {
                return Err(Error::Hub {
                    name: self.client.name(),
                    message: format!(
                        "another program is downloading {} but makes no progress: stop it, or wait for \
                         it",
                        self.now.file
                    ),
                });
            }
            self.report()?;
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Downloads the missing bytes, verifies the file and renames it to the blob.
    fn run(&mut self, facts: &FileFacts) -> Result<()> {
        let mut incomplete = self.open_incomplete(facts)?;
        // Only a resumed file is downloaded a second time: its first part may come from a damaged earlier
        // download.
        let mut is_resumed = self.now.bytes > 0;
        loop {
            while self.now.bytes < facts.size {
                if let Err(fault) = self.receive(facts, &mut incomplete)? {
                    self.wait_after(fault)?;
                }
            }
            let Some(expected) = &facts.sha256 else { break };
            let found = incomplete.hash.take().map(|hash| hex(&hash.finalize()));
            if found.as_ref() == Some(expected) {
                break;
            }
            self.restart(&mut incomplete, facts)?;
            if !is_resumed {
                let found = found.unwrap_or_default();
                return Err(Error::Hub {
                    name: self.client.name(),
                    message: format!(
                        "{} is damaged: its SHA-256 is {found}, expected {expected}; try again, on \
                         another network if it persists",
                        self.now.file
                    ),
                });
            }
            (is_resumed, self.furthest) = (false, 0);
        }
        let path = &incomplete.path;
        incomplete
            .file
            .sync_all()
            .map_err(Error::io("write", path))?;
        drop(incomplete.file);
        let blob = self.cache.blob(&facts.etag);
        fs::rename(path, &blob).map_err(Error::io("write", &blob))
    }

    /// Opens the partial file, keeping the bytes of an earlier run.
    fn open_incomplete(&mut self, facts: &FileFacts) -> Result<Incomplete> {
        let path = self.cache.incomplete(&facts.etag);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(Error::io("write", &path))?;
        let length = file.metadata().map_err(Error::io("read", &path))?.len();
        let mut incomplete = Incomplete {
            file,
            path,
            hash: None,
        };
        // Until now, this was the progress of the other process.
        self.now.bytes = 0;
        if length > facts.size {
            self.restart(&mut incomplete, facts)?;
            return Ok(incomplete);
        }
        let Some(mut hash) = new_hash(facts) else {
            let end = incomplete.file.seek(SeekFrom::End(0));
            self.now.bytes = end.map_err(Error::io("read", &incomplete.path))?;
            return Ok(incomplete);
        };
        // Reading to the end also positions the file for appending.
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = incomplete.file.read(&mut chunk);
            let read = read.map_err(Error::io("read", &incomplete.path))?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            self.now.bytes += read as u64;
            self.report()?;
        }
        incomplete.hash = Some(hash);
        Ok(incomplete)
    }

    /// Truncates the partial file.
    fn restart(&mut self, incomplete: &mut Incomplete, facts: &FileFacts) -> Result<()> {
        let file = &mut incomplete.file;
        let truncated = file.set_len(0).and_then(|()| file.rewind());
        truncated.map_err(Error::io("write", &incomplete.path))?;
        incomplete.hash = new_hash(facts);
        self.now.bytes = 0;
        Ok(())
    }

    /// Sends one request and appends its body.
    fn receive(&mut self, facts: &FileFacts, incomplete: &mut Incomplete) -> Result<Tried<()>> {
        let start = self.now.bytes;
        let opened = match self.client.open(self.commit, &self.now.file, facts, start) {
            Ok(opened) => opened,
            Err(fault) => return Ok(Err(fault)),
        };
        if opened.start != start {
            self.restart(incomplete, facts)?;
        }
        let mut body = opened.body.into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match body.read(&mut chunk) {
                Ok(0) if self.now.bytes == facts.size => return Ok(Ok(())),
                Ok(0) => {
                    return Ok(Err(Fault::Broken(
                        "the connection was closed early".to_string(),
                    )));
                }
                Ok(read) => read,
                Err(error) => {
                    let reason = client::reason(&error.into(), &opened.from);
                    return Ok(Err(Fault::Broken(reason)));
                }
            };
            if read as u64 > facts.size - self.now.bytes {
                self.restart(incomplete, facts)?;
                return Err(Error::Hub {
                    name: self.client.name(),
                    message: format!(
                        "the server sent more than the {} bytes of {}: try again, on another network \
                         if it persists",
                        facts.size, self.now.file
                    ),
                });
            }
            let written = incomplete.file.write_all(&chunk[..read]);
            written.map_err(Error::io("write", &incomplete.path))?;
            if let Some(hash) = &mut incomplete.hash {
                hash.update(&chunk[..read]);
            }
            self.now.bytes += read as u64;
            if self.now.bytes > self.furthest {
                (self.furthest, self.attempts) = (self.now.bytes, 0);
            }
            self.report()?;
        }
    }

    /// Waits before the next attempt, or fails if no retries are left.
    fn wait_after(&mut self, fault: Fault) -> Result<()> {
        let (reason, wait) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Busy(reason, wait) => (reason, wait),
            Fault::Broken(reason) => (reason, None),
        };
        let limits = self.client.settings.limits;
        if self.attempts >= limits.retries {
            return Err(self.interrupted(reason));
        }
        let wait = limits.wait(self.attempts, wait);
        log::info!("{}: {reason}; retrying in {wait:?}", self.now.file);
        self.attempts += 1;
        let end = Instant::now() + wait;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.report()?;
            std::thread::sleep(left.min(POLL_INTERVAL));
        }
        Ok(())
    }

    /// Reports progress. Fails if the callback stops the download.
    fn report(&mut self) -> Result<()> {
        match (self.progress)(self.now) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(self.interrupted("stopped".to_string())),
        }
    }

    fn interrupted(&self, reason: String) -> Error {
        Error::HubInterrupted {
            name: self.client.name(),
            file: self.now.file.clone(),
            done: self.now.bytes,
            size: self.now.size,
            reason,
        }
    }
}

fn new_hash(facts: &FileFacts) -> Option<Sha256> {
    facts.sha256.as_ref().map(|_| Sha256::new())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
