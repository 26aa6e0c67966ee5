//! Error responses of the Hub: what they mean and what to do.

use std::time::Duration;

use ureq::Body;
use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};

use super::client::{Client, Fault, Tried, text};
use crate::error::Error;

const ERROR_CODE: &str = "x-error-code";
const ERROR_MESSAGE: &str = "x-error-message";

impl Client<'_> {
    /// Checks a response's status and turns an error status into a fault.
    pub(super) fn check(
        &self,
        response: &Response<Body>,
        from: &Uri,
        file: Option<&str>,
    ) -> Tried<()> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let host = from.host().unwrap_or_default();
        let headers = response.headers();
        let is_transient = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
            // A content network: its URLs expire, and each attempt gets a new one.
            || !self.is_endpoint(from);
        if is_transient {
            let wait = text(headers, RETRY_AFTER.as_str()).and_then(|wait| wait.parse().ok());
            let wait = wait.map(Duration::from_secs);
            return Err(Fault::Busy(format!("{host} responded with {status}"), wait));
        }
        let name = self.name();
        let (denied, not_found) = (
            |message| Error::HubDenied {
                name: name.clone(),
                message,
            },
            |message| Error::HubNotFound {
                name: name.clone(),
                message,
            },
        );
        let page = format!("{}/{}", self.settings.endpoint, self.model.path());
        let noun = self.model.kind().noun();
        let has_token = self.settings.token.is_some();
        let code = text(headers, ERROR_CODE).unwrap_or_default();
        let error = match (code, status) {
            ("GatedRepo", _) if has_token => denied(format!(
                "the {noun} is gated, and the account of your token has no access: accept the licence \
                 on {page}, wait for approval if required, and check that the token may read gated \
                 repositories"
            )),
            ("GatedRepo", _) => denied(format!(
                "the {noun} is gated: log in and accept the licence on {page}, then set HF_TOKEN \
                 to a token from {}/settings/tokens",
                self.settings.endpoint
            )),
            ("RevisionNotFound", _) => not_found(format!(
                "no revision {:?}: see {page}/tree/main for the branches and tags",
                self.model.revision()
            )),
            // The Hub does not reveal whether a private model exists.
            ("RepoNotFound", _) => not_found(no_such(noun, &page, has_token)),
            ("", StatusCode::NOT_FOUND) if file.is_none() => {
                not_found(no_such(noun, &page, has_token))
            }
            ("", StatusCode::UNAUTHORIZED) if !has_token => not_found(no_such(noun, &page, false)),
            (_, StatusCode::UNAUTHORIZED) if has_token => denied(format!(
                "{host} rejects the token: set HF_TOKEN to a valid one, or unset it and log out{}",
                server_message(headers)
            )),
            (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                denied(format!("{host} denies access{}", server_message(headers)))
            }
            (_, StatusCode::NOT_FOUND) => not_found(format!(
                "{host} lists {} but does not have it: try again, or choose another revision",
                file.unwrap_or(noun)
            )),
            _ => Error::Hub {
                name: name.clone(),
                message: format!("{host} responded with {status}{}", server_message(headers)),
            },
        };
        Err(Fault::Final(error))
    }
}

fn no_such(noun: &str, page: &str, has_token: bool) -> String {
    let advice = if has_token {
        "check that the account of your token may read it"
    } else {
        "set HF_TOKEN"
    };
    format!(
        "no {noun} {page} and no file or folder of that name: check the spelling; if the {noun} is \
         private, {advice}"
    )
}

/// The server's error message, truncated and without control characters.
fn server_message(headers: &HeaderMap) -> String {
    const LONGEST: usize = 200;
    let message = text(headers, ERROR_MESSAGE).unwrap_or_default();
    let shown: String = message
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST)
        .collect();
    if shown.is_empty() {
        return shown;
    }
    format!(": {shown}")
}
