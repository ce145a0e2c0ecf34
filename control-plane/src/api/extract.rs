//! What a request carries, parsed; whatever does not parse is a problem, never a default.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use fedgate_allow_list::{Author, Condition, WriteError};
use fedgate_policy::Domain;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::number::Number;
use super::problem::Problem;
use super::{Api, json};
use crate::auth::Caller;
use crate::contract::Kind;
use crate::plain::Plain;
use crate::spelling;

/// The longest body that is read, in bytes, and the time for it.
const BODY: Bounds = Bounds { bytes: 64 << 10, time: Duration::from_secs(10) };
/// The same where a body holds a certificate, of which Envoy takes 100 KiB: as text, with line feeds escaped.
const CERTIFICATE_BODY: Bounds = Bounds { bytes: 512 << 10, time: Duration::from_secs(10) };
/// The same where a body holds a whole list: 100,000 plain domains need some 4 MiB.
const LARGE_BODY: Bounds = Bounds { bytes: 32 << 20, time: Duration::from_secs(25) };

/// The same for a report of a filter: a thousand lines, with certificates.
const REPORT: Bounds = Bounds { bytes: 1 << 20, time: Duration::from_secs(10) };

/// How much of a body that is too long is read and dropped, in bytes.
const EXCESS: usize = 8 << 20;

/// What a body may cost.
#[derive(Clone, Copy)]
struct Bounds {
    bytes: usize,
    time: Duration,
}

/// The `{domain}` of the path.
pub(crate) struct DomainName(pub(crate) Domain);

/// The query, whose members are `T`'s and no others.
pub(crate) struct Query<T>(pub(crate) T);

/// Whether a write is only asked about.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRun {
    /// Whether to say only what would change, and to write nothing.
    #[serde(default)]
    #[param(required = false)]
    pub(crate) dry_run: bool,
}

/// The JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// The JSON body, or its default where there is none, or null.
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// Who makes the request, when, and by which number.
pub(crate) struct By(pub(crate) Author);

/// What stands for the name of a caller who needs no token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nameless(pub(super) &'static str);

/// A JSON body in which a certificate may stand.
pub(crate) struct CertificateJson<T>(pub(crate) T);

/// A JSON body that may be large.
pub(crate) struct LargeJson<T>(pub(crate) T);

/// A JSON body of the size of a report.
pub(crate) struct ReportJson<T>(pub(crate) T);

/// `If-Match` and `If-None-Match` of a write.
pub(crate) struct When {
    pub(crate) condition: Condition,
    /// Whether there is none, and has to be where there is anything to change.
    is_missing: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for DomainName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        spelling::domain(&text).map(Self).map_err(|misspelt| {
            let text = Plain(text);
            Problem::bad_request(format!("'{text}' is not a backend domain: it {misspelt}"))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match AxumQuery::from_request_parts(parts, state).await {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = read_body(request, BODY).await?.ok_or_else(no_body)?;
        json::read(&body).map(Self).map_err(|error| misread(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ReportJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = read_body(request, REPORT).await?.ok_or_else(no_body)?;
        json::read(&body).map(Self).map_err(|error| misread(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for CertificateJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = read_body(request, CERTIFICATE_BODY).await?.ok_or_else(no_body)?;
        json::read(&body).map(Self).map_err(|error| misread(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for LargeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = read_body(request, LARGE_BODY).await?.ok_or_else(no_body)?;
        // This takes its time, for which no thread is to be kept from others.
        let read = tokio::task::spawn_blocking(move || json::read(&body)).await;
        let read = read.map_err(|error| Problem::new(Kind::TimedOut, error.to_string()))?;
        read.map(Self).map_err(|error| misread(&error))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let Some(body) = read_body(request, BODY).await? else { return Ok(Self(T::default())) };
        let read: Option<T> = json::read(&body).map_err(|error| misread(&error))?;
        Ok(Self(read.unwrap_or_default()))
    }
}

/// A body that is declared as JSON, if there is one.
async fn read_body(request: Request, bounds: Bounds) -> Result<Option<Vec<u8>>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(bounds.time, read_whole(body, bounds.bytes));
    let late = |_| {
        let detail = format!("the body was not here after {} seconds", bounds.time.as_secs());
        Problem::new(Kind::RequestTimeout, detail)
    };
    let bytes = bytes.await.map_err(late)??;
    if bytes.is_empty() {
        return Ok(None);
    }
    if !is_json(&parts.headers) {
        let detail = "the body is not declared as JSON: `Content-Type: application/json`";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    Ok(Some(bytes))
}

/// The body to its end, if that is within `limit` bytes. What follows is read too, up to [`EXCESS`], and dropped:
/// whoever is cut off in the midst of sending sees a broken connection, not our answer.
pub(crate) async fn read_whole(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let (mut pieces, mut bytes, mut length) = (body.into_data_stream(), Vec::new(), 0);
    while length <= limit + EXCESS
        && let Some(piece) = pieces.next().await
    {
        let piece =
            piece.map_err(|error| Problem::bad_request(format!("the body broke off: {error}")))?;
        length += piece.len();
        if length <= limit {
            bytes.extend_from_slice(&piece);
        }
    }
    if length > limit {
        let detail = format!("the body is longer than {limit} bytes");
        return Err(Problem::new(Kind::ContentTooLarge, detail));
    }
    Ok(bytes)
}

fn no_body() -> Problem {
    Problem::bad_request("this needs a JSON body")
}

fn misread(error: &serde_json::Error) -> Problem {
    let kind = match error.classify() {
        Category::Data => Kind::UnprocessableContent,
        Category::Syntax | Category::Eof | Category::Io => Kind::BadRequest,
    };
    Problem::new(kind, format!("the body is not what this takes: {error}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // The guard lets nobody past whom it does not name.
        let named = parts.extensions.get::<Caller>().map(|it| it.0.clone());
        let nameless = parts.extensions.get::<Nameless>().map_or("nobody", |it| it.0);
        let by = named.unwrap_or_else(|| nameless.into());
        let request_id = parts.extensions.get::<Number>().map(|it| it.0.clone());
        Ok(Self(Author { by, at: SystemTime::now(), request_id }))
    }
}

impl FromRequestParts<Api> for When {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let header = |name| joined(&parts.headers, &name);
        let condition = match (header(header::IF_MATCH)?, header(header::IF_NONE_MATCH)?.as_deref()) {
            // Then only what is not there yet may be written: nobody can have read it.
            (None, None) if api.require_match => {
                return Ok(Self { condition: Condition::Absent, is_missing: true });
            }
            (None, None) => Condition::None,
            (None, Some("*")) => Condition::Absent,
            (Some(tags), None) if tags == "*" => Condition::Exists,
            // A tag that is not one of ours matches nothing, and nor does a weak one (RFC 9110 §13.1.1).
            (Some(tags), None) => Condition::Revision(tags.split(',').filter_map(revision).collect()),
            (_, Some(_)) => {
                return Err(Problem::bad_request(
                    "we know `If-None-Match: *` only, and not with `If-Match`",
                ));
            }
        };
        Ok(Self { condition, is_missing: false })
    }
}

impl When {
    /// A write that names what it rests on.
    pub(crate) fn demanding(condition: Condition) -> Self {
        Self { condition, is_missing: false }
    }

    /// Takes the condition out, and leaves the word for a write that failed.
    pub(crate) fn demand(self) -> (Condition, impl FnOnce(WriteError) -> Problem) {
        let explain = move |error| {
            if self.is_missing && matches!(error, WriteError::Precondition) {
                let detail = "this control plane takes a change of what is there only with a condition: read it \
                              first, and send its ETag back as If-Match; or `If-Match: *`";
                return Problem::new(Kind::PreconditionRequired, detail);
            }
            error.into()
        };
        (self.condition, explain)
    }
}

/// All values of a header as one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let values: Result<Vec<_>, _> =
        headers.get_all(name).iter().map(|value| value.to_str().map(str::trim)).collect();
    let values =
        values.map_err(|_| Problem::bad_request(format!("the header {name} is not ASCII text")))?;
    Ok((!values.is_empty()).then(|| values.join(",")))
}

/// The entity tag of a revision.
pub(crate) fn entity_tag(revision: i64) -> (HeaderName, String) {
    (header::ETAG, format!("\"{revision}\""))
}

fn revision(tag: &str) -> Option<i64> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}
