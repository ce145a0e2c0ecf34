//! Problem details (RFC 9457), and the kinds of problem that there are.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// What kind of problem it is: fixes status, title and type. Each has a heading of its name in docs/api.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The request means nothing.
    BadRequest,
    /// It has no token that we know.
    Unauthorized,
    /// Its token is not for this.
    Forbidden,
    /// There is no such resource.
    NoSuchResource,
    /// The domain is not on the list.
    NotListed,
    /// The domain may not federate, so it is not looked up.
    NotAllowed,
    /// There is no such token.
    NoSuchToken,
    /// The resource does not know the method.
    MethodNotAllowed,
    /// The body was not here in time.
    RequestTimeout,
    /// What is asked for goes against what there is.
    Conflict,
    /// The entry is the file's, which alone changes it.
    OwnedByFile,
    /// Brig does not do what it was asked.
    BrigFailed,
    /// The condition does not hold.
    PreconditionFailed,
    /// The body is too long.
    ContentTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The body is JSON, and not what this takes.
    UnprocessableContent,
    /// The configuration cannot be used.
    InvalidConfiguration,
    /// The write needs a condition.
    PreconditionRequired,
    /// The token's bearer calls too often.
    TooManyRequests,
    /// The store failed.
    StoreFailed,
    /// It took too long.
    TimedOut,
    /// We are of no use now.
    NotReady,
    /// The store's disk is full.
    StoreFull,
}

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    #[schema(schema_with = type_schema)]
    pub(crate) r#type: String,
    /// The type in words.
    #[schema(example = "The domain is not listed")]
    pub(crate) title: String,
    /// The status, as in the response's head.
    #[schema(example = 404)]
    pub(crate) status: u16,
    /// What is wrong with this very request.
    #[schema(example = "a.com is not on the allow list")]
    pub(crate) detail: String,
    /// The number of the request, as in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "7e4f265b-73de-49fa-bc66-5af32f77f0bd")]
    pub(crate) request_id: Option<String>,
    /// All that is wrong, where that may be more than one thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<String>,
}

// === impl Kind ===

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 23] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NoSuchResource,
        Self::NotListed,
        Self::NotAllowed,
        Self::NoSuchToken,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::OwnedByFile,
        Self::PreconditionFailed,
        Self::ContentTooLarge,
        Self::UnsupportedMediaType,
        Self::UnprocessableContent,
        Self::InvalidConfiguration,
        Self::PreconditionRequired,
        Self::TooManyRequests,
        Self::BrigFailed,
        Self::StoreFailed,
        Self::TimedOut,
        Self::NotReady,
        Self::StoreFull,
    ];

    /// Status, name and title.
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad-request", "The request means nothing"),
            Self::Unauthorized => (401, "unauthorized", "The request has no token that is known"),
            Self::Forbidden => (403, "forbidden", "The token is not for this"),
            Self::NoSuchResource => (404, "no-such-resource", "There is no such resource"),
            Self::NotListed => (404, "not-listed", "The domain is not listed"),
            Self::NotAllowed => (404, "not-allowed", "The domain is not allowed"),
            Self::NoSuchToken => (404, "no-such-token", "There is no such token"),
            Self::MethodNotAllowed => {
                (405, "method-not-allowed", "The resource does not know the method")
            }
            Self::RequestTimeout => (408, "request-timeout", "The body was not here in time"),
            Self::Conflict => (409, "conflict", "The request goes against what there is"),
            Self::OwnedByFile => (409, "owned-by-file", "The entry is of the file, and changed there"),
            Self::BrigFailed => (502, "brig-failed", "Brig does not answer as it should"),
            Self::PreconditionFailed => (412, "precondition-failed", "The condition does not hold"),
            Self::ContentTooLarge => (413, "content-too-large", "The body is too long"),
            Self::UnsupportedMediaType => {
                (415, "unsupported-media-type", "The body is not declared as JSON")
            }
            Self::UnprocessableContent => {
                (422, "unprocessable-content", "The body is not what this takes")
            }
            Self::InvalidConfiguration => {
                (422, "invalid-configuration", "The configuration cannot be used")
            }
            Self::PreconditionRequired => (428, "precondition-required", "The write needs a condition"),
            Self::TooManyRequests => (429, "too-many-requests", "The token calls too often"),
            Self::StoreFailed => (503, "store-failed", "The store failed"),
            Self::TimedOut => (503, "timed-out", "It took too long"),
            Self::NotReady => (503, "not-ready", "The control plane is not ready"),
            Self::StoreFull => (507, "store-full", "The store's disk is full"),
        }
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> u16 {
        self.parts().0
    }

    /// The same for every problem of the kind, in words.
    pub(crate) fn title(self) -> &'static str {
        self.parts().2
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.parts().1
    }

    /// The URN by which programs know it.
    pub(crate) fn urn(self) -> String {
        format!("urn:fedgate:problem:{}", self.name())
    }
}

fn type_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("What kind of problem it is; never changes."))
        .enum_values(Some(Kind::ALL.map(Kind::urn)))
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The headings of docs/api.md that name problems: `#### 404 not-listed`.
    fn documented() -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        let page = std::fs::read_to_string(path).unwrap();
        let headings = page.lines().filter_map(|line| line.strip_prefix("#### "));
        let of_a_problem = headings.filter(|it| it.starts_with(|c: char| c.is_ascii_digit()));
        of_a_problem.map(str::to_owned).collect()
    }

    #[test]
    fn each_kind_of_problem_is_a_heading_of_the_documents_and_each_heading_a_kind() {
        let kinds = Kind::ALL.map(|kind| format!("{} {}", kind.status(), kind.parts().1));
        assert_eq!(documented(), kinds);
        let urns: BTreeSet<_> = Kind::ALL.map(Kind::urn).into();
        assert_eq!(urns.len(), Kind::ALL.len());
    }
}
