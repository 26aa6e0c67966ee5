//! Downloads of single files: into a file beside the blob that a later run goes on with, checked,
//! and renamed to the blob when complete.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};

use super::Progress;
use super::cache::ModelCache;
use super::client::{self, Client, Fault, FileFacts, Tried};
use crate::error::{Error, Result};

/// Bytes that are read and written at a time.
const CHUNK: usize = 1 << 18;
/// How often a wait looks around.
const GLANCE: Duration = Duration::from_millis(100);

/// Downloads a file of a commit, named by `now`, and links it into the commit's folder.
///
/// # Errors
///
/// Those of [`super::fetch`].
pub(super) fn download(
    client: &Client<'_>,
    cache: &ModelCache<'_>,
    commit: &str,
    now: &mut Progress,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<()> {
    let mut download = Download {
        client,
        cache,
        commit,
        now,
        progress,
        tries: 0,
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
    now: &'d mut Progress,
    progress: &'d mut dyn FnMut(&Progress) -> ControlFlow<()>,
    /// Tries that failed since something new came.
    tries: u32,
    /// The most bytes that there were. A server without ranges that cuts every connection brings
    /// the same ones again and again.
    furthest: u64,
}

/// The file on its way, and the checksum of what is in it.
struct Incomplete {
    file: File,
    path: PathBuf,
    hash: Option<Context>,
}

impl Download<'_> {
    fn facts(&mut self) -> Result<FileFacts> {
        loop {
            match self.client.facts(self.commit, &self.now.file) {
                Ok(facts) => {
                    self.tries = 0;
                    return Ok(facts);
                }
                Err(fault) => self.wait_after(fault)?,
            }
        }
    }

    /// Whether all bytes are there already, of this commit or of another that has the same file.
    fn has_blob(&self, facts: &FileFacts) -> bool {
        let blob = fs::metadata(self.cache.blob(&facts.etag));
        blob.is_ok_and(|blob| blob.is_file() && blob.len() == facts.size)
    }

    /// Waits until no other program downloads the file; nothing if another one has completed it.
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
                        "another program has begun to download {} and brings nothing: end it, or \
                         wait for it",
                        self.now.file
                    ),
                });
            }
            self.report()?;
            std::thread::sleep(GLANCE);
        }
    }

    /// Downloads what is missing, checks the whole and makes it the blob.
    fn run(&mut self, facts: &FileFacts) -> Result<()> {
        let mut incomplete = self.open_incomplete(facts)?;
        // What an earlier run left may be damaged; what comes now is not worth a second try.
        let mut is_resumed = self.now.bytes > 0;
        loop {
            while self.now.bytes < facts.size {
                if let Err(fault) = self.receive(facts, &mut incomplete)? {
                    self.wait_after(fault)?;
                }
            }
            let Some(expected) = &facts.sha256 else { break };
            let found = incomplete
                .hash
                .take()
                .map(|hash| hex(hash.finish().as_ref()));
            if found.as_ref() == Some(expected) {
                break;
            }
            self.restart(&mut incomplete, facts)?;
            if !is_resumed {
                let found = found.unwrap_or_default();
                return Err(Error::Hub {
                    name: self.client.name(),
                    message: format!(
                        "{} came damaged: its SHA-256 is {found}, not {expected}; run it again, \
                         over another connection if need be",
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

    /// Opens the file on its way, with what an earlier run left in it.
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
        // Waiting for the lock showed how far the other program was.
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
        // Reading to the end leaves the position there, where writing goes on.
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

    /// Empties the file on its way.
    fn restart(&mut self, incomplete: &mut Incomplete, facts: &FileFacts) -> Result<()> {
        let file = &mut incomplete.file;
        let emptied = file.set_len(0).and_then(|()| file.rewind());
        emptied.map_err(Error::io("write", &incomplete.path))?;
        incomplete.hash = new_hash(facts);
        self.now.bytes = 0;
        Ok(())
    }

    /// Appends what comes in one request.
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
                Ok(0) => return Ok(Err(Fault::Broken("the connection was cut".to_string()))),
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
                        "more came of {} than its {} bytes: run it again, over another connection \
                         if need be",
                        self.now.file, facts.size
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
                (self.furthest, self.tries) = (self.now.bytes, 0);
            }
            self.report()?;
        }
    }

    /// After a try that failed: waits before the next, if there is to be one.
    fn wait_after(&mut self, fault: Fault) -> Result<()> {
        let (reason, wait) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Busy(reason, wait) => (reason, wait),
            Fault::Broken(reason) => (reason, None),
        };
        let limits = self.client.settings.limits;
        if self.tries >= limits.retries {
            return Err(self.ended(reason));
        }
        let wait = limits.wait(self.tries, wait);
        log::info!("{}: {reason}; trying again in {wait:?}", self.now.file);
        self.tries += 1;
        let end = Instant::now() + wait;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.report()?;
            std::thread::sleep(left.min(GLANCE));
        }
        Ok(())
    }

    /// Shows how far the download is; an error if it is to end.
    fn report(&mut self) -> Result<()> {
        match (self.progress)(self.now) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(self.ended("it was stopped".to_string())),
        }
    }

    fn ended(&self, reason: String) -> Error {
        Error::HubInterrupted {
            name: self.client.name(),
            file: self.now.file.clone(),
            done: self.now.bytes,
            size: self.now.size,
            reason,
        }
    }
}

fn new_hash(facts: &FileFacts) -> Option<Context> {
    facts.sha256.as_ref().map(|_| Context::new(&SHA256))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
