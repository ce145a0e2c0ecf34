//! The body of an error, as Wire's clients and services read it.

use serde::Serialize;

use crate::peer_error::PeerError;
use crate::request_id::RequestId;

/// The specification's name for a kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ErrorName {
    /// The peer could not be authenticated.
    AuthenticationFailure,
    /// The peer's claim does not hold.
    ValidationError,
    /// The claimed domain could not be discovered.
    DiscoveryFailure,
}

/// An error. What is absent is left out.
#[derive(Serialize)]
pub(crate) struct ErrorBody<'a> {
    pub(crate) code: u16,
    pub(crate) label: &'a str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ErrorName>,
    /// The call that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<CallData<'a>>,
    /// What the other backend said, if it said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inner: Option<&'a PeerError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a RequestId>,
}

/// The call that an error is about.
#[derive(Serialize)]
pub(crate) struct CallData<'a> {
    /// Always `federation`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) domain: &'a str,
    pub(crate) path: &'a str,
}

impl ErrorBody<'_> {
    pub(crate) fn to_json(&self) -> String {
        // Strings, numbers and unit variants: serde_json has no way to fail on these.
        serde_json::to_string(self).unwrap_or_default()
    }
}
