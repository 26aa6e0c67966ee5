//! Settings of the Hub client: endpoint, cache folder, token and limits.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

const ENDPOINT: &str = "https://huggingface.co";

/// Settings of the Hub client.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// URL of the Hub, without a trailing slash.
    pub endpoint: String,
    /// Cache folder.
    pub cache: PathBuf,
    /// The user's token, which is only sent to the endpoint's host.
    pub token: Option<Token>,
    /// PEM file of root certificates, for networks with a TLS-inspecting proxy. Mozilla's by default.
    pub certificates: Option<PathBuf>,
    /// Uses the cache without any request.
    pub offline: bool,
    /// Timeouts and retries.
    pub limits: Limits,
}

/// Timeouts and retries.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connection timeout; 10 seconds by default.
    pub connect: Duration,
    /// Timeout for the next byte, or for progress of another process downloading the same file; one
    /// minute by default. There is no limit on a whole download.
    pub stall: Duration,
    /// Number of retries without a new byte; 4 by default.
    pub retries: u32,
    /// Delay before the first retry, doubled before each further one; one second by default.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            retries: 4,
            pause: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The delay before a retry: as requested by the server, or by exponential backoff after `attempts`
    /// failed ones; at most a minute.
    pub(super) fn wait(&self, attempts: u32, requested: Option<Duration>) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60);
        let factor = 2u32.saturating_pow(attempts);
        let wait = requested.unwrap_or(self.pause.saturating_mul(factor));
        wait.min(LONGEST)
    }
}

/// An access token, hidden from debug output.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Trims a token. Returns `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if it contains anything but visible ASCII characters.
    pub fn new(text: &str) -> Result<Option<Self>> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let expected = "a token from https://huggingface.co/settings/tokens";
            return Err(Error::setting("HF_TOKEN", "(hidden)", expected));
        }
        Ok((!text.is_empty()).then(|| Self(text.to_string())))
    }

    /// The token itself.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

impl HubSettings {
    /// Reads the environment variables that `huggingface_hub` reads: `HF_ENDPOINT`; `HF_HUB_CACHE`,
    /// `HUGGINGFACE_HUB_CACHE`, `HF_HOME` and `XDG_CACHE_HOME`; `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN` and
    /// `HF_TOKEN_PATH`, or the token of a login; `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE`;
    /// `HF_HUB_OFFLINE` and `HF_HUB_DISABLE_IMPLICIT_TOKEN`. An empty variable counts as unset.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an invalid endpoint or token, and if there is no home folder for the
    /// cache; [`Error::Io`] if the file `HF_TOKEN_PATH` cannot be read.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| env::var_os(name), env::home_dir())
    }

    /// Reads the settings from `variable`.
    fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
    ) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let is_true = |name: &str| text(name).is_some_and(|value| is_true(&value));
        let path = |name: &str| {
            let path = PathBuf::from(variable(name)?);
            // Shells expand `~` too, but not everywhere variables are set.
            match (path.strip_prefix("~"), &home) {
                (Ok(rest), Some(home)) => Some(home.join(rest)),
                _ => Some(path),
            }
        };

        let base = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")));
            caches.map(|folder| folder.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(base.as_ref()?.join("hub")))
            .ok_or_else(|| {
                Error::setting("HF_HOME", "", "a folder, since there is no home folder")
            })?;

        let token = if is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            None
        } else if let Some(token) = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")) {
            Token::new(&token)?
        } else if let Some(path) = path("HF_TOKEN_PATH") {
            Token::new(&fs::read_to_string(&path).map_err(Error::io("read", &path))?)?
        } else {
            // Most users have never logged in.
            let login = base.and_then(|folder| fs::read_to_string(folder.join("token")).ok());
            login.map_or(Ok(None), |login| Token::new(&login))?
        };
        Ok(Self {
            endpoint: endpoint(text("HF_ENDPOINT"))?,
            cache: absolute(&cache)?,
            token,
            certificates: path("SSL_CERT_FILE").or_else(|| path("REQUESTS_CA_BUNDLE")),
            offline: is_true("HF_HUB_OFFLINE"),
            limits: Limits::default(),
        })
    }
}

fn endpoint(given: Option<String>) -> Result<String> {
    let Some(given) = given else {
        return Ok(ENDPOINT.to_string());
    };
    let endpoint = given.trim().trim_end_matches('/');
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| endpoint.strip_prefix(scheme));
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', '@']))
        && endpoint.parse::<ureq::http::Uri>().is_ok();
    if !is_url {
        let expected = format!("a URL such as {ENDPOINT}");
        return Err(Error::setting(
            "HF_ENDPOINT",
            format!("{given:?}"),
            expected,
        ));
    }
    Ok(endpoint.to_string())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

/// Parses a switch as `huggingface_hub` does.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings(variables: &[(&str, &str)], home: Option<&Path>) -> Result<HubSettings> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(OsString::from);
        HubSettings::from_variables(variable, home.map(Path::to_path_buf))
    }

    fn secret(settings: &HubSettings) -> Option<&str> {
        settings.token.as_ref().map(Token::secret)
    }

    #[test]
    fn the_cache_folder_is_that_of_huggingface_hub() {
        let home = Some(Path::new("/home/x"));
        let cases: [(&[(&str, &str)], &str); 8] = [
            (&[], "/home/x/.cache/huggingface/hub"),
            (&[("HF_HOME", "")], "/home/x/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/c"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HF_HOME", "~/h")], "/home/x/h/hub"),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")],
                "/old",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")],
                "/new",
            ),
            (&[("HF_HUB_CACHE", "~/new")], "/home/x/new"),
        ];
        for (variables, cache) in cases {
            let settings = settings(variables, home).unwrap();
            assert_eq!(settings.cache, Path::new(cache), "{variables:?}");
        }
        let error = settings(&[], None).unwrap_err();
        assert!(error.to_string().contains("HF_HOME"), "{error}");
        assert!(settings(&[("HF_HOME", "/h")], None).is_ok());
    }

    #[test]
    fn the_token_is_read_from_all_known_places() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let login = home.join(".cache/huggingface");
        fs::create_dir_all(&login).unwrap();
        assert_eq!(secret(&settings(&[], Some(&home)).unwrap()), None);

        fs::write(login.join("token"), "hf_login\n").unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "hf_file").unwrap();
        let other = ("HF_TOKEN_PATH", other.to_str().unwrap());
        let old = ("HUGGING_FACE_HUB_TOKEN", "hf_old");
        let new = ("HF_TOKEN", " hf_new ");
        let cases = [
            (vec![], Some("hf_login")),
            (vec![other], Some("hf_file")),
            (vec![other, old], Some("hf_old")),
            (vec![other, old, new], Some("hf_new")),
            (vec![new, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
        ];
        for (variables, token) in cases {
            let settings = settings(&variables, Some(&home)).unwrap();
            assert_eq!(secret(&settings), token, "{variables:?}");
            assert!(!format!("{settings:?}").contains("hf_"), "{settings:?}");
        }
        let error = settings(&[("HF_TOKEN", "hf_se\ncret")], Some(&home)).unwrap_err();
        assert!(!error.to_string().contains("cret"), "{error}");
        let error = settings(&[("HF_TOKEN_PATH", "/nowhere/token")], Some(&home)).unwrap_err();
        assert_eq!(error.kind(), "Io");
    }

    #[test]
    fn the_endpoint_is_a_url() {
        let home = Some(Path::new("/home/x"));
        let of = |value| settings(&[("HF_ENDPOINT", value)], home);
        assert_eq!(of("").unwrap().endpoint, ENDPOINT);
        assert_eq!(
            of("https://mirror.example/").unwrap().endpoint,
            "https://mirror.example"
        );
        assert_eq!(
            of("http://[::1]:80/hub").unwrap().endpoint,
            "http://[::1]:80/hub"
        );
        for value in [
            "mirror.example",
            "ftp://x",
            "https://",
            "https://a b",
            "https://u:p@x",
        ] {
            assert_eq!(of(value).unwrap_err().kind(), "InvalidSetting", "{value}");
        }
    }

    #[test]
    fn backoff_grows_to_a_minute() {
        let limits = Limits::default();
        let waits = [0, 1, 2, 5, 6, u32::MAX].map(|attempts| limits.wait(attempts, None).as_secs());
        assert_eq!(waits, [1, 2, 4, 32, 60, 60]);
        let requested = [0, 7, u64::MAX].map(|seconds| Some(Duration::from_secs(seconds)));
        assert_eq!(
            requested.map(|requested| limits.wait(1, requested).as_secs()),
            [0, 7, 60]
        );
    }

    #[test]
    fn offline_is_a_switch() {
        let home = Some(Path::new("/home/x"));
        let of = |value| {
            settings(&[("HF_HUB_OFFLINE", value)], home)
                .unwrap()
                .offline
        };
        assert!(of("1") && of("TRUE") && of("yes"));
        assert!(!of("0") && !of(""));
    }
}
