//! What became of a call that went out: Envoy's account of a response, in Wire's terms.

use fedgate_policy::{RemoteFailure, Target, Way};

/// How much is repeated of what Envoy said.
const MAX_TEXT: usize = 300;

/// What Envoy says where a cluster has no endpoint, or none that may be tried again.
const NO_ENDPOINT: &str = "no_healthy_upstream";

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

/// Reads the details of a response; `target` says who was called last.
pub(crate) fn origin(details: &[u8], target: impl Fn() -> Option<Target>) -> Origin {
    let details = String::from_utf8_lossy(details);
    let way = || Way { target: target(), cause: brief(&details) };
    let is_any = |parts: &[&str]| parts.iter().any(|part| details.contains(part));
    if details == "via_upstream" {
        Origin::Backend
    } else if is_any(&["TLS_error", "tls_error"]) {
        Origin::Failure(RemoteFailure::Tls(way()))
    } else if details == NO_ENDPOINT && target().is_none() {
        let cause = format!("no address of theirs is known; `fedgate domain show` says why ({details})");
        Origin::Failure(RemoteFailure::ConnectionRefused(Way { target: None, cause }))
    } else if is_any(&[
        "connection_failure",
        "connection_timeout",
        NO_ENDPOINT,
        "cluster_not_found",
        "overflow",
    ]) {
        Origin::Failure(RemoteFailure::ConnectionRefused(way()))
    } else if details.starts_with("upstream")
        || is_any(&["response_timeout", "per_try_timeout", "max_duration"])
    {
        Origin::Failure(RemoteFailure::Http2(way()))
    } else {
        Origin::Caller
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
            match origin(details.as_bytes(), || None) {
                Origin::Failure(failure) => assert_eq!(failure.status(), status, "{details}"),
                other @ (Origin::Backend | Origin::Caller) => panic!("{details}: {other:?}"),
            }
        }
        assert_eq!(origin(b"via_upstream", || None), Origin::Backend);
        let target = Target { host: "infra.b.com".to_owned(), address: "192.0.2.1:443".to_owned() };
        for (target, expected) in [
            (None, "no address of theirs is known; `fedgate domain show` says why"),
            (Some(target), "infra.b.com at 192.0.2.1:443: no_healthy_upstream"),
        ] {
            let Origin::Failure(failure) = origin(b"no_healthy_upstream", || target.clone()) else {
                panic!()
            };
            assert!(failure.to_string().contains(expected), "{failure}");
        }
        for details in ["request_payload_too_large", "downstream_remote_disconnect", "", "\u{fffd}"] {
            assert_eq!(origin(details.as_bytes(), || None), Origin::Caller);
        }
    }
}
