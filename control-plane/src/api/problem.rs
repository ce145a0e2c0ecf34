//! Every error of the API, as problem details (RFC 9457). The one place that maps errors to HTTP.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::{StoreError, WriteError};
use serde::Serialize;

use crate::plain::Plain;

/// An error as it is sent.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    errors: Box<[String]>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// Problem details (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    /// Always `about:blank`: `title` and `detail` say all there is.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The status, as in the response's head.
    #[schema(example = 404)]
    status: u16,
    /// What is wrong with this very request.
    #[schema(example = "a.com is not on the allow list")]
    detail: String,
    /// All that is wrong, where that may be more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

// === impl Problem ===

impl Problem {
    /// A problem of this status; `detail` is one sentence for whoever made the request.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Box::default(), header: None }
    }

    /// 400: the request means nothing.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 422, with each thing that is wrong.
    pub(crate) fn unprocessable(detail: impl Into<String>, errors: Vec<String>) -> Self {
        Self { errors: errors.into(), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// 401: the request has no token that we know.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        let header = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Self { header: Some(header), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let status = match &error {
            WriteError::NotListed(_) | WriteError::NoToken(_) => StatusCode::NOT_FOUND,
            WriteError::Twice(_) | WriteError::Terms(..) => StatusCode::UNPROCESSABLE_ENTITY,
            WriteError::TokenExists(_) | WriteError::SameToken(_) => StatusCode::CONFLICT,
            WriteError::Precondition => StatusCode::PRECONDITION_FAILED,
            WriteError::Store(StoreError::Full(_)) => StatusCode::INSUFFICIENT_STORAGE,
            WriteError::Store(
                StoreError::Open { .. } | StoreError::Row { .. } | StoreError::Failed(_),
            ) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if let WriteError::Store(error) = &error {
            tracing::error!(%error, "write not stored");
        }
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: Plain(self.detail).to_string(),
            errors: self.errors.into_vec(),
        };
        let mut response = (self.status, Json(details)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().extend(self.header);
        response
    }
}
