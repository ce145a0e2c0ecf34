//! Brig's list API, from its other end. Nothing that it answers, or does not, is believed to be well.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fedgate_policy::Domain;
use reqwest::{
    Certificate, Client as Http, Method, RequestBuilder, Response, StatusCode, Url, redirect,
};
use serde::Deserialize;

use super::plan::Write;
use super::seen::Seen;
use crate::contract::{Policy, Remote};
use crate::traces;

/// The longest answer that is read, in octets: 10,000 rows with some teams each.
const MAX_LIST: usize = 32 << 20;
/// The same for an answer of which only the error counts.
const MAX_ERROR: usize = 64 << 10;
/// The longest text of an error that is told, in characters.
const MAX_TEXT: usize = 300;
/// With this status brig wraps its errors.
const WRAPPED: u16 = 533;

/// Where brig is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Its URL.
    pub(crate) url: Url,
    /// The longest that one call may take.
    pub(crate) timeout: Duration,
    /// The authorities that are trusted, alone; the system's without it.
    pub(crate) ca: Option<Authorities>,
}

/// Certificate authorities, and the file that they are from.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    file: PathBuf,
    certificates: Vec<Certificate>,
}

/// Speaks to brig.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    url: Url,
}

/// Why brig did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// It cannot be asked at all.
    #[error("brig does not answer: {0}")]
    Away(String),
    /// What answers is not brig, or brig is not well.
    #[error("what answers is not brig's list, or is not well: {0}")]
    Strange(String),
    /// It will not have this row.
    #[error("{0}")]
    Refused(String),
}

/// An error of brig's.
#[derive(Deserialize)]
struct Explained {
    label: String,
    message: String,
}

// === impl Client ===

impl Client {
    /// Fails where the system has no authorities to trust.
    pub(super) fn new(address: &Address) -> Result<Self, String> {
        // Already installed is as good as installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Http::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(address.timeout)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(Authorities { certificates, .. }) = &address.ca {
            http = http.tls_certs_only(certificates.iter().cloned());
        } else if address.url.scheme() == "http" {
            // A small container image has none of its own.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|error| innermost(&error))?;
        Ok(Self { http, url: address.url.clone() })
    }

    /// All of brig's list.
    pub(super) async fn list(&self) -> Result<Seen, CallError> {
        let answer = send(self.request(Method::GET, None)).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(CallError::Strange(error_text(answer).await));
        }
        let body = read(answer, MAX_LIST).await?;
        Seen::parse(&body)
            .ok_or_else(|| CallError::Strange("200, with something else than its list".to_owned()))
    }

    /// Writes one row.
    pub(super) async fn write(&self, write: &Write) -> Result<(), CallError> {
        let Write { domain, policy, exists } = write;
        let (method, at) = if *exists { (Method::PUT, Some(domain)) } else { (Method::POST, None) };
        let row = Remote { domain: domain.clone(), policy: Policy::clone(policy) };
        let answer = send(self.request(method, at).json(&row)).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = error_text(answer).await;
        if status.is_client_error() || status.as_u16() == WRAPPED {
            return Err(CallError::Refused(text));
        }
        Err(CallError::Strange(text))
    }

    fn request(&self, method: Method, domain: Option<&Domain>) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["i", "federation", "remotes"]);
            path.extend(domain.map(Domain::as_str));
        }
        self.http.request(method, url)
    }
}

async fn send(request: RequestBuilder) -> Result<Response, CallError> {
    request.headers(traces::onward()).send().await.map_err(|error| CallError::Away(innermost(&error)))
}

/// The body, if it is no longer than `limit`.
async fn read(mut answer: Response, limit: usize) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| CallError::Away(innermost(&error)))? {
        if body.len().saturating_add(piece.len()) > limit {
            return Err(CallError::Strange(format!("its answer is longer than {limit} octets")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// An answer that is an error, for people: brig's own words where it has any.
async fn error_text(answer: Response) -> String {
    let status = answer.status().as_u16();
    let body = read(answer, MAX_ERROR).await.unwrap_or_default();
    match serde_json::from_slice::<Explained>(&body) {
        Ok(Explained { label, message }) => {
            let text = format!("status {status}, {label}: {message}");
            text.chars().take(MAX_TEXT).collect()
        }
        Err(_) => format!("status {status}"),
    }
}

/// An error with its causes; the innermost says most.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

// === impl Authorities ===

impl Authorities {
    /// Reads a file in PEM.
    pub(crate) fn load(file: PathBuf) -> Result<Self, String> {
        let unusable = |cause: &str| format!("cannot use {}: {cause}", file.display());
        let pem = std::fs::read(&file)
            .map_err(|error| unusable(&fedgate_store::rights::unreadable(&file, &error)))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&innermost(&error)))?;
        if certificates.is_empty() {
            return Err(unusable("it holds no certificate in PEM"));
        }
        Ok(Self { file, certificates })
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

/// The same file; what is in it is read at start.
impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for Authorities {}
