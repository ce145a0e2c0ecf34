//! Every error of the API, as problem details (RFC 9457). The one place that maps errors to HTTP.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::{StoreError, TermsError, WriteError};

use crate::contract::{Details, Kind};
use crate::plain::Plain;

/// An error as it is sent; the number of the request is added to it on the way out ([`super::number`]).
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Box<[String]>,
    header: Option<(HeaderName, HeaderValue)>,
}

// === impl Problem ===

impl Problem {
    /// A problem of this kind; `detail` is one sentence for whoever made the request.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Box::default(), header: None }
    }

    /// 400: the request means nothing.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// What kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for whoever made the request.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Each thing that is wrong, where there are several.
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The header that goes with it.
    pub(crate) fn header(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.header.as_ref()
    }

    /// With each thing that is wrong.
    pub(crate) fn with_errors(self, errors: Vec<String>) -> Self {
        Self { errors: errors.into(), ..self }
    }

    /// With a header.
    pub(crate) fn with_header(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    /// The answer to the request of this number.
    pub(super) fn answer(self, request_id: Option<String>) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or_default();
        let details = Details {
            r#type: self.kind.urn(),
            title: self.kind.title().to_owned(),
            status: self.kind.status(),
            detail: Plain(&self.detail).to_string(),
            request_id,
            errors: self.errors.to_vec(),
        };
        let mut response = (status, Json(details)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().extend(self.header.clone());
        response.extensions_mut().insert(self);
        response
    }

    /// The same in the shape of Wire's errors, which know no 422.
    pub(super) fn answer_as_wire(self) -> Response {
        let code = match self.kind.status() {
            422 => 400,
            code => code,
        };
        let status = StatusCode::from_u16(code).unwrap_or_default();
        let message = Plain(&self.detail).to_string();
        let body =
            Json(serde_json::json!({"code": code, "label": self.kind.name(), "message": message}));
        let mut response = (status, body).into_response();
        response.headers_mut().extend(self.header);
        response
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::NotListed(_) => Kind::NotListed,
            WriteError::NoToken(_) => Kind::NoSuchToken,
            WriteError::Terms(_, TermsError::Note | TermsError::Hosts(_) | TermsError::Teams(_)) => {
                Kind::UnprocessableContent
            }
            WriteError::Twice(_)
            | WriteError::Terms(_, TermsError::BlockInShadow)
            | WriteError::TokenExists(_)
            | WriteError::SameToken(_) => Kind::Conflict,
            WriteError::OfFile(_) => Kind::OwnedByFile,
            WriteError::Precondition => Kind::PreconditionFailed,
            WriteError::Store(error) => return Self::from_store(error),
        };
        Self::new(kind, error.to_string())
    }
}

impl Problem {
    /// The store did not do what it was to do.
    pub(crate) fn from_store(error: &StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        let kind = match error {
            StoreError::Full(_) => Kind::StoreFull,
            StoreError::Open { .. }
            | StoreError::Row { .. }
            | StoreError::Away { .. }
            | StoreError::Overtaken
            | StoreError::Unknown
            | StoreError::Failed(_) => Kind::StoreFailed,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer(None)
    }
}
