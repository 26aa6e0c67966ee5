//! Requests to the Hub.
//!
//! Redirects are followed here: the token goes to the endpoint's host alone, not to the content
//! networks that the Hub sends its callers to, and what a file is stands in the answer before that.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE,
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
/// The description of a repository of ten thousand files takes about a megabyte.
const LARGEST_DESCRIPTION: u64 = 32 << 20;

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no answer, or none but to try again later.
    NoAnswer(String),
    /// The answer is no, and will be.
    Final(Error),
}

/// Why one try of a request brought nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// No connection, or one that broke.
    Broken(String),
    /// An answer to try again later, after a time if it says so.
    Busy(String, Option<Duration>),
    /// The answer is no, and will be.
    Final(Error),
}

/// What one try of a request brought.
pub(super) type Tried<T> = std::result::Result<T, Fault>;

/// What the Hub says of a file before it gives it.
#[derive(Clone, Debug)]
pub(super) struct FileFacts {
    /// Names the bytes: the same tag, the same bytes.
    pub(super) etag: String,
    /// Bytes of the file.
    pub(super) size: u64,
    /// The SHA-256 of the bytes in hexadecimal digits, known of large files.
    pub(super) sha256: Option<String>,
}

/// The bytes of a file from some byte on.
pub(super) struct FileBody {
    /// Where they begin: where they were asked for from, or at 0.
    pub(super) start: u64,
    pub(super) body: Body,
    /// Who sends them.
    pub(super) from: Uri,
}

/// Asks the Hub about one model.
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
            // A proxy would look for it on its own machine.
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

    /// Which commit the model's revision is, and the files of it.
    ///
    /// A Hub that cannot be reached is not tried again: nothing is lost yet, and a copy may serve.
    pub(super) fn listing(&self) -> std::result::Result<Listing, Failure> {
        let limits = &self.settings.limits;
        let mut tries = 0;
        loop {
            match self.try_listing() {
                Ok(listing) => return Ok(listing),
                Err(Fault::Final(error)) => return Err(Failure::Final(error)),
                Err(Fault::Busy(_, wait)) if tries < limits.retries => {
                    std::thread::sleep(limits.wait(tries, wait));
                    tries += 1;
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
        let address = format!("{endpoint}/api/models/{name}/revision/{revision}");
        let (response, from) = self.send(Method::GET, &address, None, |_| false)?;
        self.check(&response, &from, None)?;
        let body = response
            .into_body()
            .into_with_config()
            .limit(LARGEST_DESCRIPTION);
        let bytes = body.read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => self.nonsense("its description is too long"),
            error => Fault::Broken(reason(&error, &from)),
        })?;
        Listing::parse(&bytes).map_err(|message| {
            self.nonsense(&format!(
                "its description of the model cannot be read: {message}"
            ))
        })
    }

    /// What the Hub says of a file of a commit.
    pub(super) fn facts(&self, commit: &str, file: &str) -> Tried<FileFacts> {
        let address = self.address(commit, file);
        // Large files are elsewhere, but what they are stands in the answer that says where.
        let is_enough = |headers: &HeaderMap| headers.contains_key(LINKED_ETAG);
        let (response, from) = self.send(Method::HEAD, &address, None, is_enough)?;
        let headers = response.headers();
        if !response.status().is_redirection() {
            self.check(&response, &from, Some(file))?;
        }
        if text(headers, COMMIT).is_some_and(|found| found != commit) {
            return Err(self.nonsense(&format!("it gives {file} of another commit")));
        }
        let linked = text(headers, LINKED_ETAG).map(plain_etag);
        let etag = linked.or_else(|| text(headers, ETAG.as_str()).map(plain_etag));
        let size = text(headers, LINKED_SIZE).or_else(|| text(headers, CONTENT_LENGTH.as_str()));
        let (Some(etag), Some(Ok(size))) = (etag, size.map(str::parse)) else {
            return Err(self.nonsense(&format!("it does not say what {file} is")));
        };
        // It becomes the name of a file.
        if !is_etag(etag) {
            return Err(self.nonsense(&format!("{etag:.80?} is no entity tag of {file}")));
        }
        Ok(FileFacts {
            etag: etag.to_string(),
            size,
            sha256: linked.filter(|etag| is_sha256(etag)).map(str::to_lowercase),
        })
    }

    /// The bytes of a file of a commit from `start` on, or from the beginning if the server will not
    /// begin elsewhere.
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
                let message = format!("it gives {found:.80?} of {file}, not {expected:?}");
                return Err(self.nonsense(&message));
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
        format!("{endpoint}/{}/resolve/{commit}/{file}", self.model.name())
    }

    /// Sends a request and follows redirects up to an answer that is none, or whose headers are
    /// enough; with where that came from.
    fn send(
        &self,
        method: Method,
        address: &str,
        start: Option<u64>,
        is_enough: impl Fn(&HeaderMap) -> bool,
    ) -> Tried<(Response<Body>, Uri)> {
        let invalid = |error: ureq::http::Error| self.nonsense(&error.to_string());
        let mut at: Uri = address
            .parse()
            .map_err(|error| invalid(From::from(error)))?;
        for _ in 0..MOST_REDIRECTS {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(&at)
                // The bytes as they are, so that they can be counted.
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
        Err(self.nonsense("it sends from one address to the next without end"))
    }

    /// Where a redirect leads.
    fn redirect(&self, at: &Uri, response: &Response<Body>) -> Tried<Uri> {
        let location = text(response.headers(), LOCATION.as_str());
        let next = location.and_then(|location| {
            let next: Uri = location.parse().ok()?;
            if next.scheme().is_some() {
                return Some(next);
            }
            let mut parts = next.into_parts();
            let path = parts.path_and_query.as_ref()?.path();
            // A path from the root: other hosts are named in full.
            let is_path = path.starts_with('/') && !path.starts_with("//");
            if parts.authority.is_some() || !is_path {
                return None;
            }
            parts.scheme = at.scheme().cloned();
            parts.authority = at.authority().cloned();
            Uri::from_parts(parts).ok()
        });
        let next = next.ok_or_else(|| self.nonsense("it redirects without saying where to"))?;
        if !is_safe(at, &next) {
            return Err(self.nonsense("it redirects to an address that is not https"));
        }
        Ok(next)
    }

    /// Whether an address is on the endpoint's host, which may see the token.
    pub(super) fn is_endpoint(&self, address: &Uri) -> bool {
        let endpoint: Option<Uri> = self.settings.endpoint.parse().ok();
        endpoint.is_some_and(|endpoint| {
            let host = |address: &Uri| address.host().map(str::to_ascii_lowercase);
            endpoint.scheme() == address.scheme()
                && host(&endpoint) == host(address)
                && endpoint.port_u16() == address.port_u16()
        })
    }

    /// An answer that makes no sense.
    fn nonsense(&self, message: &str) -> Fault {
        Fault::Final(Error::Hub {
            name: self.name(),
            message: format!(
                "the answer of {} makes no sense: {message}",
                self.settings.endpoint
            ),
        })
    }
}

/// Why there was no answer, without the address: those of content networks hold signatures.
pub(super) fn reason(error: &ureq::Error, address: &Uri) -> String {
    let host = address.host().unwrap_or_default();
    match error {
        ureq::Error::HostNotFound => format!("no address of {host} was found"),
        ureq::Error::Timeout(Timeout::PerRead) => format!("nothing more came from {host}"),
        ureq::Error::Timeout(_) => format!("{host} did not answer in time"),
        ureq::Error::Io(error) => format!("{host}: {error}"),
        ureq::Error::Rustls(error) => format!(
            "{host}: {error} (where a proxy reads along, SSL_CERT_FILE names its certificates)"
        ),
        error => format!("{host}: {error}"),
    }
}

/// The certificates of a PEM file.
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

/// A header as text.
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

/// A revision as one part of an address; nothing else in it needs an escape.
fn in_address(revision: &str) -> String {
    revision.replace('/', "%2F").replace('+', "%2B")
}

/// Whether one address may lead to another: what began encrypted stays so.
fn is_safe(at: &Uri, next: &Uri) -> bool {
    match next.scheme_str() {
        Some("https") => true,
        Some("http") => at.scheme_str() == Some("http"),
        _ => false,
    }
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
    fn what_began_encrypted_stays_so() {
        let is_safe = |at: &str, next: &str| is_safe(&at.parse().unwrap(), &next.parse().unwrap());
        assert!(is_safe("https://a/x", "https://b/x"));
        assert!(is_safe("http://a/x", "https://b/x"));
        assert!(is_safe("http://a/x", "http://b/x"));
        assert!(!is_safe("https://a/x", "http://a/x"));
        assert!(!is_safe("https://a/x", "ftp://a/x"));
    }

    #[test]
    fn this_machine_needs_no_proxy() {
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
