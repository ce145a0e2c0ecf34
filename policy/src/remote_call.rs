//! What our own services ask of another backend, `POST /rpc/{domain}/{component}/{rpc}`, and how it
//! fails.

use std::fmt::{self, Display};

use crate::decision::spare;
use crate::error_body::{CallData, ErrorBody, ErrorName};
use crate::name::Domain;
use crate::peer_error::PeerError;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::verdict::{Failure, Outcome, Verdict};

/// Wire's services that take calls from other backends.
const COMPONENTS: [&str; 3] = ["brig", "galley", "cargohold"];
/// A call to a backend of which only its domain is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCall {
    domain: Domain,
    path: String,
}

/// Why a call that was allowed came to nothing: the other backend's side of it, or the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteFailure {
    /// No target took a connection, or there was none to try.
    ConnectionRefused(Way),
    /// The other side did not prove to be the one that discovery named.
    Tls(Way),
    /// The connection broke, or no answer came in time; the call may have been carried out.
    Http2(Way),
    /// The other backend answered, but not with success.
    RemoteError {
        /// Its HTTP status.
        status: u16,
        /// What it said.
        inner: PeerError,
    },
}

/// Where a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The target that was called last; none where there was none to call.
    pub target: Option<Target>,
    /// What went wrong, in Envoy's words.
    pub cause: String,
}

/// Who was called: `infra.b.com at 192.0.2.1:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The target of an SRV record; empty where that is not known.
    pub host: String,
    /// IP address and port.
    pub address: String,
}

// === impl RemoteCall ===

impl RemoteCall {
    /// Reads a request line; `path` is the raw `:path`. A query is no part of a call.
    pub fn parse(method: &[u8], path: &[u8]) -> Result<Self, Refusal> {
        Self::read(method, path).ok_or(Refusal::InvalidEndpoint)
    }

    fn read(method: &[u8], path: &[u8]) -> Option<Self> {
        let path = str::from_utf8(path).ok().filter(|_| method == b"POST")?;
        let (domain, endpoint) = path.strip_prefix("/rpc/")?.split_once('/')?;
        let (component, rpc) = endpoint.split_once('/')?;
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !COMPONENTS.contains(&component) || rpc.is_empty() || !rpc.bytes().all(is_name) {
            return None;
        }
        let domain = Domain::parse(domain.as_bytes()).ok()?;
        Some(Self { domain, path: format!("/federation/{endpoint}") })
    }

    /// The backend that is called.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Where the other backend takes the call: `/federation/{component}/{rpc}`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the call may be made; and the refusal that this would be, if the verdict were not in shadow.
    pub fn judge(&self, verdict: Option<&Verdict>) -> Result<Option<Refusal>, Refusal> {
        let Some(verdict) = verdict.filter(|verdict| verdict.domain == self.domain) else {
            return Err(Refusal::VerdictUnavailable(self.domain.clone()));
        };
        let refusal = match &verdict.outcome {
            Outcome::Hosts(_) => None,
            Outcome::Failure(failure) => {
                // The same words, but for the side that we are on.
                let message = match failure.message.strip_prefix("origin ") {
                    Some(rest) => format!("target {rest}"),
                    None => failure.message.clone(),
                };
                Some(Refusal::Failure(Failure { label: failure.label, message }))
            }
        };
        spare(refusal, verdict)
    }

    /// The answer's body where the call was refused.
    pub fn refusal_json(&self, refusal: &Refusal, request_id: Option<&RequestId>) -> String {
        ErrorBody { data: Some(self.data()), request_id, ..refusal.into() }.to_json()
    }

    /// The answer's body where the call failed on its way.
    pub fn failure_json(&self, failure: &RemoteFailure, request_id: Option<&RequestId>) -> String {
        let message = format!("{}: {failure}", self.domain);
        let (code, label, error) = (failure.status(), failure.label(), failure.error());
        let (data, inner) = (Some(self.data()), failure.inner());
        ErrorBody { code, label, message, error, data, inner, request_id }.to_json()
    }

    fn data(&self) -> CallData<'_> {
        CallData { kind: "federation", domain: self.domain.as_str(), path: &self.path }
    }
}

// === impl RemoteFailure ===

impl RemoteFailure {
    /// The HTTP status, as Wire's services know it.
    pub fn status(&self) -> u16 {
        match self {
            Self::ConnectionRefused(_) => 521,
            Self::Tls(_) => 525,
            Self::Http2(_) | Self::RemoteError { .. } => 533,
        }
    }

    /// Wire's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ConnectionRefused(_) => "federation-connection-refused",
            Self::Tls(_) => "federation-tls-error",
            Self::Http2(_) => "federation-http2-error",
            Self::RemoteError { .. } => "federation-remote-error",
        }
    }

    /// The specification names only the failure to authenticate.
    fn error(&self) -> Option<ErrorName> {
        match self {
            Self::Tls(_) => Some(ErrorName::AuthenticationFailure),
            Self::ConnectionRefused(_) | Self::Http2(_) | Self::RemoteError { .. } => None,
        }
    }

    fn inner(&self) -> Option<&PeerError> {
        match self {
            Self::RemoteError { inner, .. } => Some(inner),
            Self::ConnectionRefused(_) | Self::Tls(_) | Self::Http2(_) => None,
        }
    }
}

/// One sentence for whoever has to mend it.
impl Display for RemoteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionRefused(way) => {
                write!(f, "none of its infrastructure domains can be reached: {way}")
            }
            Self::Tls(way) => write!(f, "the TLS handshake failed: {way}"),
            Self::Http2(way) => {
                write!(f, "the call broke off, and may or may not have been carried out: {way}")
            }
            Self::RemoteError { status, inner } => {
                write!(f, "the backend answered with status {status}: {inner}")
            }
        }
    }
}

impl Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{target}: {}", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str() {
            "" => f.write_str(&self.address),
            host => write!(f, "{host} at {}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Result<RemoteCall, Refusal> {
        RemoteCall::parse(method.as_bytes(), path.as_bytes())
    }

    fn call() -> RemoteCall {
        read("POST", "/rpc/b.com/brig/search-users").unwrap()
    }

    fn verdict(json: &str) -> Verdict {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_call_names_domain_component_and_procedure() {
        for (path, domain, federation) in [
            ("/rpc/b.com/brig/search-users", "b.com", "/federation/brig/search-users"),
            (
                "/rpc/B.Com/galley/on-conversation-updated",
                "b.com",
                "/federation/galley/on-conversation-updated",
            ),
            ("/rpc/localhost/cargohold/get-asset2", "localhost", "/federation/cargohold/get-asset2"),
        ] {
            let call = read("POST", path).unwrap();
            assert_eq!((call.domain().as_str(), call.path()), (domain, federation));
        }
    }

    #[test]
    fn anything_else_is_an_invalid_endpoint() {
        for (method, path) in [
            ("GET", "/rpc/b.com/brig/x"),
            ("post", "/rpc/b.com/brig/x"),
            ("", "/rpc/b.com/brig/x"),
            ("POST", ""),
            ("POST", "/"),
            ("POST", "rpc/b.com/brig/x"),
            ("POST", "/rpc"),
            ("POST", "/rpc/b.com/brig"),
            ("POST", "/rpc/b.com/brig/"),
            ("POST", "/rpc/b.com//x"),
            ("POST", "/rpc//brig/x"),
            ("POST", "/rpc/b.com/brig/x/"),
            ("POST", "/rpc/b.com/brig/x/y"),
            ("POST", "/rpc/b.com/brig/x?y"),
            ("POST", "/rpc/b.com/brig/x#y"),
            ("POST", "/rpc/b.com/brig/x%2e"),
            ("POST", "/rpc/b.com/brig/.."),
            ("POST", "/rpc/b.com/brig/X"),
            ("POST", "/rpc/b.com/gundeck/x"),
            ("POST", "/rpc/b.com/Brig/x"),
            ("POST", "/rpc/b.com./brig/x"),
            ("POST", "/rpc/b.com:443/brig/x"),
            ("POST", "/rpc/192.0.2.1/brig/x"),
            ("POST", "/rpc/b_c.com/brig/x"),
            ("POST", "/rpc/b%2ecom/brig/x"),
            ("POST", "/RPC/b.com/brig/x"),
            ("POST", "/federation/brig/x"),
            ("POST", "//rpc/b.com/brig/x"),
        ] {
            assert_eq!(read(method, path), Err(Refusal::InvalidEndpoint), "{method} {path}");
        }
        assert_eq!(RemoteCall::parse(b"POST", b"/rpc/b.com/brig/\xff"), Err(Refusal::InvalidEndpoint));
    }

    #[test]
    fn a_discovered_domain_may_be_called_and_no_other() {
        let discovered = verdict(r#"{"domain":"b.com","hosts":["infra.b.com"],"ttl_ms":1}"#);
        assert_eq!(call().judge(Some(&discovered)), Ok(None));
        let other = verdict(r#"{"domain":"c.com","hosts":["infra.b.com"],"ttl_ms":1}"#);
        for none in [None, Some(&other)] {
            assert_eq!(call().judge(none).unwrap_err().label(), "verdict-unavailable");
        }
        for (label, status) in
            [("federation-denied", 400), ("invalid-domain", 422), ("discovery-failure", 400)]
        {
            let failure = format!(
                r#"{{"domain":"b.com","failure":{{"label":"{label}","message":"why"}},"ttl_ms":1}}"#
            );
            let refusal = call().judge(Some(&verdict(&failure))).unwrap_err();
            assert_eq!((refusal.label(), refusal.status()), (label, status));
        }
    }

    #[test]
    fn an_error_names_the_call_that_it_is_about() {
        let denied = Verdict::denied("b.com".parse().unwrap(), 0);
        let refusal = call().judge(Some(&denied)).unwrap_err();
        assert_eq!(
            call().refusal_json(&refusal, RequestId::of(b"r1").as_ref()),
            r#"{"code":400,"label":"federation-denied","message":"target domain [b.com] not in the federation allow list","error":"ValidationError","data":{"type":"federation","domain":"b.com","path":"/federation/brig/search-users"},"request_id":"r1"}"#
        );
        let target = Target { host: "infra.b.com".to_owned(), address: "192.0.2.1:443".to_owned() };
        let tls = RemoteFailure::Tls(Way { target: Some(target), cause: "no".to_owned() });
        assert_eq!(
            call().failure_json(&tls, None),
            r#"{"code":525,"label":"federation-tls-error","message":"b.com: the TLS handshake failed: infra.b.com at 192.0.2.1:443: no","error":"AuthenticationFailure","data":{"type":"federation","domain":"b.com","path":"/federation/brig/search-users"}}"#
        );
        let refused = RemoteFailure::ConnectionRefused(Way { target: None, cause: "no".to_owned() });
        assert_eq!((refused.status(), refused.label()), (521, "federation-connection-refused"));
        assert!(!call().failure_json(&refused, None).contains("\"error\""));
    }
}
