//! What became of a call that went out: Envoy's account of a response, in Wire's terms.

use fedgate_policy::RemoteFailure;
use serde_json::Value;

/// How much is repeated of what the other backend, or Envoy, said.
const MAX_TEXT: usize = 300;

/// Who made a response, by Envoy's `RESPONSE_CODE_DETAILS`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The other backend.
    Backend,
    /// Envoy, because the other backend could not be reached, or did not answer.
    Failure(RemoteFailure),
    /// Envoy, because of the caller: a request that is too large, say.
    Caller,
}

/// Reads the details of a response.
pub(crate) fn origin(details: &[u8]) -> Origin {
    let details = String::from_utf8_lossy(details);
    let text = || brief(&details);
    let is_any = |parts: &[&str]| parts.iter().any(|part| details.contains(part));
    if details == "via_upstream" {
        Origin::Backend
    } else if is_any(&["TLS_error", "tls_error"]) {
        Origin::Failure(RemoteFailure::Tls(text()))
    } else if is_any(&[
        "connection_failure",
        "connection_timeout",
        "no_healthy_upstream",
        "cluster_not_found",
        "overflow",
    ]) {
        Origin::Failure(RemoteFailure::ConnectionRefused(text()))
    } else if details.starts_with("upstream") || is_any(&["response_timeout", "per_try_timeout"]) {
        Origin::Failure(RemoteFailure::Http2(text()))
    } else {
        Origin::Caller
    }
}

/// The failure that an answer of the other backend is, unless it is a success.
pub(crate) fn remote_error(status: u16, body: &[u8]) -> RemoteFailure {
    RemoteFailure::RemoteError { status, said: said(body) }
}

/// What an error's body says: label and message where it is one of Wire's or ours, else its text.
fn said(body: &[u8]) -> String {
    let Ok(Value::Object(error)) = serde_json::from_slice(body) else {
        return brief(&String::from_utf8_lossy(body));
    };
    let text = |key| error.get(key).and_then(Value::as_str);
    match (text("label"), text("message")) {
        (Some(label), Some(message)) => brief(&format!("{label}: {message}")),
        (Some(text), None) | (None, Some(text)) => brief(text),
        (None, None) => brief(&String::from_utf8_lossy(body)),
    }
}

/// The beginning of a text, on one line.
fn brief(text: &str) -> String {
    let shown: String =
        text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_TEXT).is_some() { format!("{shown}…") } else { shown.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_has_its_status() {
        for (details, status) in [
            (
                "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
                521,
            ),
            ("upstream_reset_before_response_started{connection_timeout}", 521),
            ("no_healthy_upstream", 521),
            ("cluster_not_found", 521),
            ("upstream_reset_before_response_started{overflow}", 521),
            (
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end}",
                525,
            ),
            ("upstream_reset_before_response_started{connection_termination}", 533),
            ("upstream_reset_before_response_started{remote_reset}", 533),
            ("upstream_reset_after_response_started{protocol_error}", 533),
            ("upstream_response_timeout", 533),
            ("upstream_per_try_timeout", 533),
        ] {
            match origin(details.as_bytes()) {
                Origin::Failure(failure) => assert_eq!(failure.status(), status, "{details}"),
                other @ (Origin::Backend | Origin::Caller) => panic!("{details}: {other:?}"),
            }
        }
        assert_eq!(origin(b"via_upstream"), Origin::Backend);
        for details in ["request_payload_too_large", "downstream_remote_disconnect", "", "\u{fffd}"] {
            assert_eq!(origin(details.as_bytes()), Origin::Caller);
        }
    }

    #[test]
    fn what_the_other_backend_said_is_repeated_in_short() {
        for (body, expected) in [
            (r#"{"code":400,"label":"federation-denied","message":"no"}"#, "federation-denied: no"),
            (r#"{"message":"no"}"#, "no"),
            (r#"{"other":1}"#, r#"{"other":1}"#),
            ("[1]", "[1]"),
            ("bad\r\ngateway\n", "bad  gateway"),
            ("", ""),
        ] {
            let said = expected.to_owned();
            assert_eq!(
                remote_error(500, body.as_bytes()),
                RemoteFailure::RemoteError { status: 500, said }
            );
        }
        assert_eq!(said(&[0xff; 4000]).chars().count(), MAX_TEXT + 1);
    }
}
