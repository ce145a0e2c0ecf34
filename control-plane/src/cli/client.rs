//! The admin API, from its other end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use fedgate_store::rights;
use reqwest::header::{self, HeaderValue};
use reqwest::{
    Certificate, Client as Http, ClientBuilder, Method, Proxy, RequestBuilder, Response, StatusCode,
    Url, redirect,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, Remote};
use crate::contract::{Details, Kind};

/// Longer than the server's own limit, so that it is the server who explains.
const TIMEOUT: Duration = Duration::from_secs(35);
/// For what may be long.
const LONG_TIMEOUT: Duration = Duration::from_secs(3600);
/// How often a request is made anew that was refused because our token calls too often.
const TRIES: u32 = 5;
/// The longest wait before that.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Speaks to the admin API.
pub(super) struct Client {
    http: Http,
    base: Url,
    token: String,
}

/// What the control plane answers.
pub(super) struct Answer {
    body: Bytes,
    status: StatusCode,
    url: Url,
    tag: Option<HeaderValue>,
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
        /// What the system says, and what to do about it.
        cause: String,
    },
    /// What was given for a token. It is not repeated.
    #[error(
        "{holder} holds no token: a token is one word of letters, digits and the like, as `fedgate token new` prints it"
    )]
    NoWord {
        /// The variable or file that it is from.
        holder: String,
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
    #[error("'{url}' is not the URL of {what}; write e.g. http://127.0.0.1:{port}")]
    Url {
        /// What was given.
        url: String,
        /// What it is to be the URL of, and what is wrong with it.
        what: String,
        /// The port of an example.
        port: u16,
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
        "{url} does not accept the token: {detail}: have one made with `fedgate token make`, or put its sha256 into the configuration of `fedgate serve`"
    )]
    Unauthorized {
        /// Where we asked.
        url: Url,
        /// What it says.
        detail: String,
    },
    /// It says no.
    #[error("{}{}", .0.detail, listed(&.0.errors))]
    Refused(Box<Details>),
    /// It is something else.
    #[error(
        "{url} answers with status {status}, and not as a control plane of this version does: is the URL right?"
    )]
    Strange {
        /// Where we asked.
        url: Url,
        /// The status.
        status: StatusCode,
    },
}

/// What speaks HTTP to `base`, by no proxy, whatever the environment says: what we send is a token.
pub(super) fn http_to(base: &Url) -> ClientBuilder {
    // Already installed is as good as installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Http::builder().redirect(redirect::Policy::none()).no_proxy();
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
        let base = url(&remote.url, "an admin API", 8600)?;
        if !base.username().is_empty() || base.password().is_some() {
            // Neither is repeated.
            let what = "an admin API: it has a user's name or password, and a token is what counts";
            let host = base.host_str().unwrap_or_default().to_owned();
            return Err(ClientError::Url { url: host, what: what.to_owned(), port: 8600 });
        }
        let token = token(remote.token_file.as_ref())?;
        let mut http = http_to(&base).timeout(TIMEOUT);
        if let Some(proxy) = &remote.proxy {
            let proxy = url(proxy, "a proxy", 3128)?;
            if proxy.scheme() == "https" {
                http = Http::builder().redirect(redirect::Policy::none()).timeout(TIMEOUT);
            }
            http = http.proxy(Proxy::all(proxy).map_err(|error| unreachable(&base, &error))?);
        }
        if let Some(path) = &remote.ca {
            http = http.tls_certs_only(authorities(path)?);
        }
        let http = http.build().map_err(|error| unreachable(&base, &error))?;
        Ok(Self { http, base, token })
    }

    /// A request to a path of unescaped segments; it is for [`Self::send`] to send.
    pub(super) fn request(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// A request to what stands beside the API: `/metrics` and the like.
    pub(super) fn beside(&self, name: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name);
        }
        self.http.get(url).bearer_auth(&self.token)
    }

    /// Sends a request of ours; the answer, if it is yes.
    pub(super) async fn send(&self, mut request: RequestBuilder) -> Result<Answer, ClientError> {
        for _ in 0..TRIES {
            let again = request.try_clone();
            let response = request.send().await.map_err(|error| unreachable(&self.base, &error))?;
            match (too_often(&response), again) {
                (Some(wait), Some(again)) => {
                    tokio::time::sleep(wait).await;
                    request = again;
                }
                (None, _) | (_, None) => return self.answer(response).await,
            }
        }
        self.answer(request.send().await.map_err(|error| unreachable(&self.base, &error))?).await
    }

    /// Sends a request of ours, and hands over the answer piece after piece, if it is yes.
    pub(super) async fn download(
        &self,
        request: RequestBuilder,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let away = |error: reqwest::Error| unreachable(&self.base, &error);
        let mut response = request.timeout(LONG_TIMEOUT).send().await.map_err(away)?;
        if !response.status().is_success() {
            self.answer(response).await?;
            return Ok(());
        }
        while let Some(piece) = response.chunk().await.map_err(away)? {
            take(&piece)?;
        }
        Ok(())
    }

    async fn answer(&self, response: Response) -> Result<Answer, ClientError> {
        let away = |error: reqwest::Error| unreachable(&self.base, &error);
        let (status, url) = (response.status(), self.base.clone());
        let tag = response.headers().get(header::ETAG).cloned();
        let answer = Answer { body: response.bytes().await.map_err(away)?, status, url, tag };
        if status.is_success() {
            return Ok(answer);
        }
        if status == StatusCode::UNAUTHORIZED {
            let Details { detail, .. } = answer.read()?;
            return Err(ClientError::Unauthorized { url: answer.url, detail });
        }
        Err(ClientError::Refused(Box::new(answer.read()?)))
    }

    /// What stands at a path of unescaped segments.
    pub(super) async fn get(&self, segments: &[&str]) -> Result<Answer, ClientError> {
        self.send(self.request(Method::GET, segments, &[])).await
    }
}

// === impl ClientError ===

impl ClientError {
    /// Whether a condition that we made does not hold.
    pub(super) fn is_unmet(&self) -> bool {
        matches!(self, Self::Refused(details) if details.status == Kind::PreconditionFailed.status())
    }
}

// === impl Answer ===

impl Answer {
    /// What it says; members that we do not know are passed over.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| ClientError::Strange { url: self.url.clone(), status: self.status })
    }

    /// All of it, as it came.
    pub(super) fn octets(&self) -> Bytes {
        self.body.clone()
    }

    /// The revision of what it tells, if it has one.
    pub(super) fn revision(&self) -> Option<u64> {
        self.tag.as_ref()?.to_str().ok()?.trim_matches('"').parse().ok()
    }

    /// A request that is to be done only if nobody changes what this tells meanwhile.
    pub(super) fn if_unchanged(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.tag {
            Some(tag) => request.header(header::IF_MATCH, tag),
            None => request,
        }
    }

    /// All of it, whether we know it or not.
    pub(super) fn json(&self) -> Result<Value, ClientError> {
        self.read()
    }
}

/// After how long to come again, where the control plane says that our token calls too often.
fn too_often(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

/// Each on a line of its own, below what is said.
pub(super) fn listed(errors: &[String]) -> String {
    errors.iter().flat_map(|error| ["\n  - ", error]).collect()
}

fn url(text: &str, what: &str, port: u16) -> Result<Url, ClientError> {
    let malformed = |cause: &str| {
        let (url, what) = (text.to_owned(), format!("{what}: {cause}"));
        ClientError::Url { url, what, port }
    };
    let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(malformed("it is neither http:// nor https://"));
    }
    Ok(url)
}

/// The token in this file, or else in the environment.
fn token(file: Option<&PathBuf>) -> Result<String, ClientError> {
    let (text, holder) = match file {
        None => (std::env::var("FEDGATE_TOKEN").unwrap_or_default(), "FEDGATE_TOKEN".to_owned()),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| ClientError::TokenFile {
                path: path.clone(),
                cause: rights::unreadable(path, &error),
            })?;
            (text, path.display().to_string())
        }
    };
    match text.trim() {
        "" if file.is_none() => Err(ClientError::NoToken),
        word if !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()) => Ok(word.to_owned()),
        _ => Err(ClientError::NoWord { holder }),
    }
}

fn unreachable(base: &Url, error: &reqwest::Error) -> ClientError {
    ClientError::Unreachable { url: base.clone(), cause: chain(error) }
}

/// An error with its causes; the innermost says most.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
