//! What a request carries, parsed; whatever does not parse is a problem, never a default.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use fedgate_allow_list::{Author, Condition};
use fedgate_policy::Domain;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::number::Number;
use super::problem::Problem;
use crate::auth::Caller;
use crate::contract::Kind;
use crate::plain::Plain;
use crate::spelling;

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 64 << 10;
/// The time for it.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The `{domain}` of the path.
pub(crate) struct DomainName(pub(crate) Domain);

/// The query, whose members are `T`'s and no others.
pub(crate) struct Query<T>(pub(crate) T);

/// The JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// The JSON body, or its default where there is none.
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// Who makes the request, when, and by which number.
pub(crate) struct By(pub(crate) Author);

/// `If-Match` and `If-None-Match` of a write.
pub(crate) struct When(pub(crate) Condition);

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
        match read_json(request).await? {
            Some(value) => Ok(Self(value)),
            None => Err(Problem::bad_request("this needs a JSON body")),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(read_json(request).await?.unwrap_or_default()))
    }
}

async fn read_json<T: DeserializeOwned>(request: Request) -> Result<Option<T>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY));
    let late = |_| {
        let detail = format!("the body was not here after {} seconds", BODY_TIME.as_secs());
        Problem::new(Kind::RequestTimeout, detail)
    };
    let bytes = bytes.await.map_err(late)?.map_err(|_| {
        let detail = format!("the body broke off, or is longer than {MAX_BODY} bytes");
        Problem::new(Kind::ContentTooLarge, detail)
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if !is_json(&parts.headers) {
        let detail = "the body is not declared as JSON: `Content-Type: application/json`";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let kind = match error.classify() {
            Category::Data => Kind::UnprocessableContent,
            Category::Syntax | Category::Eof | Category::Io => Kind::BadRequest,
        };
        Problem::new(kind, format!("the body is not what this takes: {error}"))
    })
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
        let by = parts.extensions.get::<Caller>().map_or_else(|| "nobody".into(), |it| it.0.clone());
        let request_id = parts.extensions.get::<Number>().map(|it| it.0.clone());
        Ok(Self(Author { by, at: SystemTime::now(), request_id }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for When {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let header = |name| joined(&parts.headers, &name);
        Ok(Self(match (header(header::IF_MATCH)?, header(header::IF_NONE_MATCH)?.as_deref()) {
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
        }))
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
