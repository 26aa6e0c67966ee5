//! Answers of the Hub that are no success: what they mean and what to do.

use std::time::Duration;

use ureq::Body;
use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, Response, StatusCode, Uri};

use super::client::{Client, Fault, Tried, text};
use crate::error::Error;

const ERROR_CODE: &str = "x-error-code";
const ERROR_MESSAGE: &str = "x-error-message";

impl Client<'_> {
    /// What an answer that is no success means.
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
            // A content network: its addresses are valid for a while, and each try gets a new one.
            || !self.is_endpoint(from);
        if is_transient {
            let wait = text(headers, RETRY_AFTER.as_str()).and_then(|wait| wait.parse().ok());
            let wait = wait.map(Duration::from_secs);
            return Err(Fault::Busy(format!("{host} answers {status}"), wait));
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
        let page = format!("{}/{}", self.settings.endpoint, self.model.name());
        let has_token = self.settings.token.is_some();
        let code = text(headers, ERROR_CODE).unwrap_or_default();
        let error = match (code, status) {
            ("GatedRepo", _) if has_token => denied(format!(
                "access is restricted, and the account of your token has none: accept the licence \
                 on {page}, wait if its owner decides, and see that the token may read such models"
            )),
            ("GatedRepo", _) => denied(format!(
                "access is restricted: log in and accept the licence on {page}, then set HF_TOKEN \
                 to a token from {}/settings/tokens",
                self.settings.endpoint
            )),
            ("RevisionNotFound", _) => not_found(format!(
                "there is no revision {:?}: the branches and tags are on {page}/tree/main",
                self.model.revision()
            )),
            // The Hub does not tell strangers which private models there are.
            ("RepoNotFound", _) => not_found(no_such_model(&page, has_token)),
            ("", StatusCode::NOT_FOUND) if file.is_none() => {
                not_found(no_such_model(&page, has_token))
            }
            ("", StatusCode::UNAUTHORIZED) if !has_token => not_found(no_such_model(&page, false)),
            (_, StatusCode::UNAUTHORIZED) if has_token => denied(format!(
                "{host} refuses the token: set HF_TOKEN to a valid one, or unset it and log out{}",
                said(headers)
            )),
            (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                denied(format!("{host} denies access{}", said(headers)))
            }
            (_, StatusCode::NOT_FOUND) => not_found(format!(
                "{host} lists {} but does not have it: run it again, or choose another --revision",
                file.unwrap_or("the model")
            )),
            _ => Error::Hub {
                name: name.clone(),
                message: format!("{host} answers {status}{}", said(headers)),
            },
        };
        Err(Fault::Final(error))
    }
}

fn no_such_model(page: &str, has_token: bool) -> String {
    let advice = if has_token {
        "see that the account of your token may read it"
    } else {
        "set HF_TOKEN"
    };
    format!(
        "there is no model {page}, and no folder of that name: check the spelling; if it is \
         private, {advice}"
    )
}

/// What a server says went wrong, as far as it can be shown.
fn said(headers: &HeaderMap) -> String {
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
