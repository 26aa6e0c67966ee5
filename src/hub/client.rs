//! HTTP requests to the Hub.
//!
//! Redirects are followed here rather than by the HTTP library: the token must only be sent to the
//! endpoint's host, not to the content networks it redirects to, and a file's metadata is in the headers
//! of the response before the redirect.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE,
};
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

use super::contents::Listing;
use super::name::HubModel;
use super::settings::HubSettings;
use crate::error::{Error, Result};

const COMMIT: &str = "x-repo-commit";
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

const USER_AGENT: &str = concat!("minift/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 10;
/// Limit on the model info response. That of a repository of ten thousand files takes about a megabyte.
const LARGEST_DESCRIPTION: u64 = 32 << 20;

/// Why a request failed after all retries.
#[derive(Debug)]
pub(super) enum Failure {
    /// No response, or only responses asking to retry later.
    NoAnswer(String),
    /// A failure that retrying does not change.
    Final(Error),
}

/// Why one attempt of a request failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection failed or was interrupted.
    Broken(String),
    /// A response asking to retry later, with the delay if it states one.
    Busy(String, Option<Duration>),
    /// A failure that retrying does not change.
    Final(Error),
}

/// The result of one attempt of a request.
pub(super) type Tried<T> = std::result::Result<T, Fault>;

/// A file's metadata.
#[derive(Clone, Debug)]
pub(super) struct FileFacts {
    /// Entity tag: files with the same tag have the same bytes.
    pub(super) etag: String,
    /// File size in bytes.
    pub(super) size: u64,
    /// SHA-256 of the bytes in hexadecimal, known for large files.
    pub(super) sha256: Option<String>,
}

/// The body of a download response.
pub(super) struct FileBody {
    /// Offset of its first byte: the requested one, or 0.
    pub(super) start: u64,
    pub(super) body: Body,
    /// The address that it is sent from.
    pub(super) from: Uri,
}

/// Sends requests about one model.
pub(super) struct Client<'a> {
    pub(super) model: &'a HubModel,
    pub(super) settings: &'a HubSettings,
    agent: Agent,
}

impl<'a> Client<'a> {
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::InvalidSetting`] for certificates that cannot be read.
    pub(super) fn new(model: &'a HubModel, settings: &'a HubSettings) -> Result<Self> {
        let limits = &settings.limits;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(USER_AGENT)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(limits.stall))
            .timeout_per_read(Some(limits.stall))
            .timeout_per_write(Some(limits.stall));
        if is_loopback(&settings.endpoint) {
            // A proxy would resolve it to its own machine.
            config = config.proxy(None);
        }
        if let Some(path) = &settings.certificates {
            let roots = certificates(path)?.into();
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            model,
            settings,
            agent: config.build().into(),
        })
    }

    /// The model with its revision, for messages.
    pub(super) fn name(&self) -> String {
        self.model.to_string()
    }

    /// Resolves the model's revision to a commit, and lists the files of that commit.
    ///
    /// Failed connections are not retried: nothing has been downloaded yet, and a cached copy may be usable.
    pub(super) fn listing(&self) -> std::result::Result<Listing, Failure> {
        let limits = &self.settings.limits;
        let mut attempts = 0;
        loop {
            match self.try_listing() {
                Ok(listing) => return Ok(listing),
                Err(Fault::Final(error)) => return Err(Failure::Final(error)),
                Err(Fault::Busy(_, wait)) if attempts < limits.retries => {
                    std::thread::sleep(limits.wait(attempts, wait));
                    attempts += 1;
                }
                Err(Fault::Broken(reason) | Fault::Busy(reason, _)) => {
                    return Err(Failure::NoAnswer(reason));
                }
            }
        }
    }

    fn try_listing(&self) -> Tried<Listing> {
        let HubSettings { endpoint, .. } = self.settings;
        let (name, revision) = (self.model.name(), in_address(self.model.revision()));
        let kind = self.model.kind().in_api();
        let address = format!("{endpoint}/api/{kind}/{name}/revision/{revision}");
        let (response, from) = self.send(Method::GET, &address, None, |_| false)?;
        self.check(&response, &from, None)?;
        let body = response
            .into_body()
            .into_with_config()
            .limit(LARGEST_DESCRIPTION);
        let bytes = body.read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                self.invalid_response("the description is too long")
            }
            error => Fault::Broken(reason(&error, &from)),
        })?;
        Listing::parse(&bytes).map_err(|message| {
            self.invalid_response(&format!("cannot parse the description: {message}"))
        })
    }

    /// Requests the metadata of a file of a commit.
    pub(super) fn facts(&self, commit: &str, file: &str) -> Tried<FileFacts> {
        let address = self.address(commit, file);
        // Large files are on another host, but the redirect to it has their metadata.
        let is_enough = |headers: &HeaderMap| headers.contains_key(LINKED_ETAG);
        let (response, from) = self.send(Method::HEAD, &address, None, is_enough)?;
        let headers = response.headers();
        if !response.status().is_redirection() {
            self.check(&response, &from, Some(file))?;
        }
        if text(headers, COMMIT).is_some_and(|found| found != commit) {
            return Err(self.invalid_response(&format!("{file} is from another commit")));
        }
        let linked = text(headers, LINKED_ETAG).map(plain_etag);
        let etag = linked.or_else(|| text(headers, ETAG.as_str()).map(plain_etag));
        let size = text(headers, LINKED_SIZE).or_else(|| text(headers, CONTENT_LENGTH.as_str()));
        let (Some(etag), Some(Ok(size))) = (etag, size.map(str::parse)) else {
            return Err(self.invalid_response(&format!("no entity tag or no size for {file}")));
        };
        // It becomes a file name.
        if !is_etag(etag) {
            return Err(
                self.invalid_response(&format!("invalid entity tag {etag:.80?} for {file}"))
            );
        }
        Ok(FileFacts {
            etag: etag.to_string(),
            size,
            sha256: linked.filter(|etag| is_sha256(etag)).map(str::to_lowercase),
        })
    }

    /// Requests a file of a commit from byte `start` on. Servers without range support send the whole file.
    pub(super) fn open(
        &self,
        commit: &str,
        file: &str,
        facts: &FileFacts,
        start: u64,
    ) -> Tried<FileBody> {
        let address = self.address(commit, file);
        let range = (start > 0).then_some(start);
        let (response, from) = self.send(Method::GET, &address, range, |_| false)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && start > 0 {
            return self.open(commit, file, facts, 0);
        }
        self.check(&response, &from, Some(file))?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let last = facts.size.saturating_sub(1);
            let expected = format!("bytes {start}-{last}/{}", facts.size);
            let found = text(response.headers(), CONTENT_RANGE.as_str());
            if found != Some(&expected) {
                let found = found.unwrap_or_default();
                let message =
                    format!("Content-Range of {file} is {found:.80?}, expected {expected:?}");
                return Err(self.invalid_response(&message));
            }
        }
        let is_partial = response.status() == StatusCode::PARTIAL_CONTENT;
        Ok(FileBody {
            start: if is_partial { start } else { 0 },
            body: response.into_body(),
            from,
        })
    }

    fn address(&self, commit: &str, file: &str) -> String {
        let HubSettings { endpoint, .. } = self.settings;
        let (path, file) = (self.model.path(), escaped(file));
        format!("{endpoint}/{path}/resolve/{commit}/{file}")
    }

    /// Sends a request and follows redirects until a response is not a redirect or `is_enough` accepts its
    /// headers. Returns the response and the address it came from.
    fn send(
        &self,
        method: Method,
        address: &str,
        start: Option<u64>,
        is_enough: impl Fn(&HeaderMap) -> bool,
    ) -> Tried<(Response<Body>, Uri)> {
        let invalid = |error: ureq::http::Error| self.invalid_response(&error.to_string());
        let mut at: Uri = address
            .parse()
            .map_err(|error| invalid(From::from(error)))?;
        for _ in 0..MOST_REDIRECTS {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(&at)
                // Uncompressed, so that the bytes can be counted.
                .header(ACCEPT_ENCODING, "identity");
            if let Some(token) = &self.settings.token
                && self.is_endpoint(&at)
            {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret()));
            }
            if let Some(start) = start {
                request = request.header(RANGE, format!("bytes={start}-"));
            }
            let request = request.body(()).map_err(invalid)?;
            let response = self
                .agent
                .run(request)
                .map_err(|error| Fault::Broken(reason(&error, &at)))?;
            if !response.status().is_redirection() || is_enough(response.headers()) {
                return Ok((response, at));
            }
            at = self.redirect(&at, &response)?;
        }
        Err(self.invalid_response("too many redirects"))
    }

    /// The error for a response that violates the protocol.
    pub(super) fn invalid_response(&self, message: &str) -> Fault {
        Fault::Final(Error::Hub {
            name: self.name(),
            message: format!(
                "invalid response from {}: {message}",
                self.settings.endpoint
            ),
        })
    }
}

/// Describes a connection error without the URL: those of content networks contain signatures.
pub(super) fn reason(error: &ureq::Error, address: &Uri) -> String {
    let host = address.host().unwrap_or_default();
    match error {
        ureq::Error::HostNotFound => format!("cannot resolve {host}"),
        ureq::Error::Timeout(Timeout::PerRead) => format!("{host} stopped sending data"),
        ureq::Error::Timeout(_) => format!("{host} did not respond in time"),
        ureq::Error::Io(error) => format!("{host}: {error}"),
        ureq::Error::Rustls(error) => format!(
            "{host}: {error} (behind a TLS-inspecting proxy, set SSL_CERT_FILE to its certificates)"
        ),
        error => format!("{host}: {error}"),
    }
}

/// Reads the certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let certificates: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let expected = "a PEM file of root certificates";
        return Err(Error::setting("SSL_CERT_FILE", path.display(), expected));
    }
    Ok(certificates)
}

/// The value of a header.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// An entity tag without its quotes.
fn plain_etag(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"')
}

fn is_etag(etag: &str) -> bool {
    const LONGEST: usize = 128;
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST).contains(&etag.len()) && etag.bytes().all(is_character)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Escapes a revision for use as one path segment; no other characters of it need escaping.
fn in_address(revision: &str) -> String {
    revision.replace('/', "%2F").replace('+', "%2B")
}

/// Escapes a file name for use as a path.
fn escaped(file: &str) -> String {
    let escape = |byte: u8| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    file.bytes().map(escape).collect()
}

fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.parse::<Uri>().ok();
    let host = host.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_escaped() {
        assert_eq!(escaped("data/a_b-1.x"), "data/a_b-1.x");
        assert_eq!(escaped("a b/é#?%"), "a%20b/%C3%A9%23%3F%25");
    }

    #[test]
    fn loopback_addresses_bypass_the_proxy() {
        for endpoint in [
            "http://localhost:80",
            "http://127.0.0.1",
            "http://[::1]:80/hub",
        ] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "https://huggingface.co",
            "http://10.0.0.1",
            "http://localhost.example",
        ] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }
}
