//! Redirects: where they lead, and which of them are followed.

use ureq::Body;
use ureq::http::header::LOCATION;
use ureq::http::{Response, Uri};

use super::client::{Client, Tried, text};

impl Client<'_> {
    /// Resolves the target of a redirect.
    pub(super) fn redirect(&self, at: &Uri, response: &Response<Body>) -> Tried<Uri> {
        let location = text(response.headers(), LOCATION.as_str());
        let next = location.and_then(|location| {
            let next: Uri = location.parse().ok()?;
            if next.scheme().is_some() {
                return Some(next);
            }
            let mut parts = next.into_parts();
            let path = parts.path_and_query.as_ref()?.path();
            // An absolute path; redirects to other hosts have to be full URLs.
            let is_path = path.starts_with('/') && !path.starts_with("//");
            if parts.authority.is_some() || !is_path {
                return None;
            }
            parts.scheme = at.scheme().cloned();
            parts.authority = at.authority().cloned();
            Uri::from_parts(parts).ok()
        });
        let next =
            next.ok_or_else(|| self.invalid_response("a redirect without a valid target"))?;
        if !is_safe(at, &next) {
            return Err(self.invalid_response("a redirect to an address that is not https"));
        }
        Ok(next)
    }

    /// Whether an address is on the endpoint's host, the only one that receives the token.
    pub(super) fn is_endpoint(&self, address: &Uri) -> bool {
        let endpoint: Option<Uri> = self.settings.endpoint.parse().ok();
        endpoint.is_some_and(|endpoint| {
            let host = |address: &Uri| address.host().map(str::to_ascii_lowercase);
            endpoint.scheme() == address.scheme()
                && host(&endpoint) == host(address)
                && endpoint.port_u16() == address.port_u16()
        })
    }
}

/// Whether a redirect is allowed: https must not be downgraded.
fn is_safe(at: &Uri, next: &Uri) -> bool {
    match next.scheme_str() {
        Some("https") => true,
        Some("http") => at.scheme_str() == Some("http"),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn https_is_not_downgraded() {
        let is_safe = |at: &str, next: &str| is_safe(&at.parse().unwrap(), &next.parse().unwrap());
        assert!(is_safe("https://a/x", "https://b/x"));
        assert!(is_safe("http://a/x", "https://b/x"));
        assert!(is_safe("http://a/x", "http://b/x"));
        assert!(!is_safe("https://a/x", "http://a/x"));
        assert!(!is_safe("https://a/x", "ftp://a/x"));
    }
}
