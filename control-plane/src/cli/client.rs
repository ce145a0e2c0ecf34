//! The admin API, from its other end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client as Http, ClientBuilder, Method, StatusCode, Url, redirect};
use serde_json::Value;

use super::Remote;

/// Longer than the server's own limit, so that it is the server who explains.
const TIMEOUT: Duration = Duration::from_secs(35);

/// Speaks to the admin API.
pub(super) struct Client {
    http: Http,
    base: Url,
    token: String,
}

/// Why the control plane cannot be asked, or what it says instead of yes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// No token.
    #[error(
        "no token: set FEDGATE_TOKEN to a token of role admin or viewer, or name its file with --token-file (`fedgate token new` makes one)"
    )]
    NoToken,
    /// The token's file.
    #[error("cannot read the token in {}: {cause}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The authorities' file.
    #[error("cannot use the certificate authorities in {}: {cause}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The address.
    #[error("'{url}' is not the URL of an admin API: {cause}; write e.g. http://127.0.0.1:8600")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Nobody there.
    #[error(
        "cannot reach the control plane at {url}: {cause}: is `fedgate serve` running? Name it with --url or FEDGATE_URL"
    )]
    Unreachable {
        /// Where we looked.
        url: Url,
        /// What the network says.
        cause: String,
    },
    /// The token is unknown.
    #[error(
        "{url} does not accept the token: set FEDGATE_TOKEN to one whose sha256 is among the tokens of `fedgate serve`"
    )]
    Unauthorized {
        /// Where we asked.
        url: Url,
    },
    /// It says no.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it says.
        detail: String,
    },
    /// It is something else.
    #[error("{url} answers with status {status}, and not as a control plane does: is the URL right?")]
    Strange {
        /// Where we asked.
        url: Url,
        /// The status.
        status: StatusCode,
    },
}

/// What speaks HTTP to `base`.
pub(super) fn http_to(base: &Url) -> ClientBuilder {
    // Already installed is as good as installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Http::builder().redirect(redirect::Policy::none());
    // Without TLS it does not matter that a small container image has no certificates of its own.
    if base.scheme() == "http" { http.tls_certs_only([]) } else { http }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let unusable = |cause: String| ClientError::Authorities { path: path.to_owned(), cause };
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(chain(&error)))?;
    if found.is_empty() {
        return Err(unusable("it holds no certificate in PEM".to_owned()));
    }
    Ok(found)
}

// === impl Client ===

impl Client {
    pub(super) fn new(remote: &Remote) -> Result<Self, ClientError> {
        let malformed = |cause: String| ClientError::Url { url: remote.url.clone(), cause };
        let base = Url::parse(&remote.url).map_err(|error| malformed(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(malformed("it is neither http:// nor https://".to_owned()));
        }
        let token = match &remote.token_file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| ClientError::TokenFile { path: path.clone(), cause })?,
            None => std::env::var("FEDGATE_TOKEN").unwrap_or_default(),
        };
        let token = match token.trim() {
            "" => return Err(ClientError::NoToken),
            token => token.to_owned(),
        };
        let http = match &remote.ca {
            Some(path) => http_to(&base).tls_certs_only(authorities(path)?),
            None => http_to(&base),
        };
        let http = http
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| ClientError::Unreachable { url: base.clone(), cause: chain(&error) })?;
        Ok(Self { http, base, token })
    }

    /// One request to a path of unescaped segments; the answer's JSON, null where there is none.
    pub(super) async fn call(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, ClientError> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let away = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.clone(),
            cause: chain(&error),
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let body = response.bytes().await.map_err(away)?;
        let strange = || ClientError::Strange { url: self.base.clone(), status };
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body: Value = serde_json::from_slice(&body).map_err(|_| strange())?;
        if status.is_success() {
            return Ok(body);
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Unauthorized { url: self.base.clone() });
        }
        match body.get("detail").and_then(Value::as_str) {
            Some(detail) => Err(ClientError::Refused { status, detail: detail.to_owned() }),
            None => Err(strange()),
        }
    }
}

/// An error with its causes; the innermost says most.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
