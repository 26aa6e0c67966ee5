//! A local Hub server: speaks the protocol over plain HTTP, injects faults, and records the requests.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub const NAME: &str = "owner/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file of the repository.
#[derive(Clone)]
pub struct RepositoryFile {
    pub bytes: Vec<u8>,
    /// In large file storage: its SHA-256 is known, and its bytes are on the other host.
    pub is_large: bool,
}

/// A fault to inject into one response.
#[derive(Clone)]
pub enum Trouble {
    /// A status with additional headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// The connection closes after this many bytes of the announced length.
    CutAfter(usize),
    /// The connection stays open but sends nothing after this many bytes.
    StallAfter(usize),
    /// Like `CutAfter`, and ignores the requested range.
    CutWithoutRanges(usize),
    /// Sends the whole file, ignoring the requested range.
    NoRanges,
    /// One byte is flipped.
    Damaged,
    /// More bytes than the file has, without a length.
    TooMuch,
    /// Additional headers.
    Headers(Vec<(&'static str, String)>),
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, RepositoryFile>,
    /// Additional files in the model info.
    pub further_siblings: Vec<String>,
    /// Overrides the model info.
    pub description: Option<String>,
    /// Faults by method and suffix of the path, each used once, in order.
    pub troubles: Vec<(&'static str, String, Trouble)>,
    pub asked: Vec<Asked>,
}

/// The Hub, at `127.0.0.1`, and its content network, at `localhost` on another port.
pub struct Server {
    pub state: Arc<Mutex<State>>,
    pub endpoint: String,
    ports: [u16; 2],
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = [0, 1].map(|i: usize| listeners[i].local_addr().unwrap().port());
        for listener in listeners {
            let (state, is_over) = (state.clone(), is_over.clone());
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (stream, state) = (stream.unwrap(), state.clone());
                    thread::spawn(move || serve(stream, &state, ports[1]));
                }
            });
        }
        let server = Self {
            state,
            endpoint: format!("http://127.0.0.1:{}", ports[0]),
            ports,
            is_over,
        };
        server.add("config.json", b"{\"model_type\": \"llama\"}", false);
        server.add("tokenizer.json", b"{\"version\": \"1.0\"}", false);
        server.add("generation_config.json", b"{}", false);
        server.add("README.md", b"# Tiny", false);
        server.add("model.safetensors", &weights(300_000), true);
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn add(&self, name: &str, bytes: &[u8], is_large: bool) {
        let bytes = bytes.to_vec();
        let file = RepositoryFile { bytes, is_large };
        self.state().files.insert(name.to_string(), file);
    }

    pub fn remove(&self, name: &str) {
        self.state().files.remove(name);
    }

    pub fn trouble(&self, method: &'static str, path: &str, trouble: Trouble) {
        let trouble = (method, path.to_string(), trouble);
        self.state().troubles.push(trouble);
    }

    /// Takes the requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// Stops the server.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for port in self.ports {
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
        // Until the listeners are closed.
        while TcpStream::connect(("127.0.0.1", self.ports[0])).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        for port in self.ports {
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
    }
}

/// Pseudo-random bytes.
pub fn weights(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tag of a file: of a small one 40 digits, like git's.
pub fn etag(file: &RepositoryFile) -> String {
    let mut etag = sha256(&file.bytes);
    if !file.is_large {
        etag.truncate(40);
    }
    etag
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, state: &Mutex<State>, other_port: u16) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read_request(&mut reader) {
        let is_over = answer(&stream, &asked, state, other_port).is_none();
        if is_over {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
    let mut words = line.split_whitespace().map(str::to_string);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    Some(Asked {
        method,
        path,
        headers,
    })
}

/// Answers one request; nothing if the connection is to end.
fn answer(stream: &TcpStream, asked: &Asked, state: &Mutex<State>, other_port: u16) -> Option<()> {
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    let is_meant = |trouble: &(&str, String, Trouble)| {
        asked.method == trouble.0 && asked.path.ends_with(&trouble.1)
    };
    let trouble = state.troubles.iter().position(is_meant);
    let trouble = trouble.map(|i| state.troubles.remove(i).2);
    if let Some(Trouble::Status(status, headers)) = &trouble {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.to_string())).collect();
        return send(stream, *status, &headers, Some(0), b"");
    }
    let mut headers = match &trouble {
        Some(Trouble::Headers(headers)) => headers.clone(),
        _ => Vec::new(),
    };
    if asked.path.starts_with("/api/models/") || asked.path.starts_with("/api/datasets/") {
        let description = state.description.clone().unwrap_or_else(|| {
            let names = state.files.keys().chain(&state.further_siblings);
            let siblings: Vec<_> = names
                .map(|name| serde_json::json!({ "rfilename": name }))
                .collect();
            serde_json::json!({ "id": NAME, "sha": COMMIT, "siblings": siblings }).to_string()
        });
        let bytes = description.as_bytes();
        return send(stream, 200, &headers, Some(bytes.len()), bytes);
    }
    let places = [
        format!("/{NAME}/resolve/{COMMIT}/"),
        format!("/datasets/{NAME}/resolve/{COMMIT}/"),
        "/moved/".to_string(),
        "/content/".to_string(),
    ];
    let mut names = places
        .iter()
        .filter_map(|place| asked.path.strip_prefix(place));
    let name = names.next().unwrap_or_default();
    let Some(file) = state.files.get(name).cloned() else {
        return send(
            stream,
            404,
            &[("X-Error-Code", "EntryNotFound".into())],
            Some(0),
            b"",
        );
    };
    drop(state);
    let quoted = format!("\"{}\"", etag(&file));
    if file.is_large && !asked.path.starts_with("/content/") {
        headers.extend([
            (
                "Location",
                format!("http://localhost:{other_port}/content/{name}"),
            ),
            ("X-Repo-Commit", COMMIT.to_string()),
            ("X-Linked-Etag", quoted),
            ("X-Linked-Size", file.bytes.len().to_string()),
            ("ETag", "\"of-the-redirect\"".to_string()),
        ]);
        return send(stream, 302, &headers, Some(0), b"");
    }
    if !headers.iter().any(|(name, _)| *name == "ETag") {
        headers.push(("ETag", quoted));
    }
    headers.push(("X-Repo-Commit", COMMIT.to_string()));
    let length = file.bytes.len();
    if asked.method == "HEAD" {
        return send(stream, 200, &headers, Some(length), b"");
    }
    let mut bytes = file.bytes;
    let range = asked.header("range").filter(|_| {
        !matches!(
            trouble,
            Some(Trouble::NoRanges | Trouble::CutWithoutRanges(_))
        )
    });
    let start: Option<usize> = range.map(|range| {
        let start = range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'));
        start.unwrap().parse().unwrap()
    });
    let status = if let Some(start) = start {
        if start >= length {
            return send(stream, 416, &headers, Some(0), b"");
        }
        headers.push((
            "Content-Range",
            format!("bytes {start}-{}/{length}", length - 1),
        ));
        bytes.drain(..start);
        206
    } else {
        200
    };
    let promised = bytes.len();
    match trouble {
        Some(Trouble::CutAfter(length) | Trouble::CutWithoutRanges(length)) => {
            send(stream, status, &headers, Some(promised), &bytes[..length])?;
            None
        }
        Some(Trouble::StallAfter(length)) => {
            send(stream, status, &headers, Some(promised), &bytes[..length])?;
            thread::sleep(Duration::from_secs(5));
            None
        }
        Some(Trouble::Damaged) => {
            bytes[promised / 2] ^= 1;
            send(stream, status, &headers, Some(promised), &bytes)
        }
        Some(Trouble::TooMuch) => {
            bytes.extend(b"and more");
            send(stream, status, &headers, None, &bytes)?;
            None
        }
        _ => send(stream, status, &headers, Some(promised), &bytes),
    }
}

fn send(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, String)],
    length: Option<usize>,
    bytes: &[u8],
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} Reason\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match length {
        Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
        None => head.push_str("Connection: close\r\n\r\n"),
    }
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(bytes).ok()
}
