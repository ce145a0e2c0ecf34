//! Asking the control plane for one verdict: what is sent, and what an answer means.

use std::fmt;

use fedgate_policy::{Domain, Verdict};

use crate::config::ControlPlane;
use crate::host;

/// The most bytes of an answer that are read; a verdict of 64 hosts has some 17,000.
const MAX_ANSWER: usize = 64 * 1024;

/// Why a lookup gave no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// Envoy did not send it: most often there is no such cluster.
    NotSent,
    /// No answer, or one from Envoy itself: 503 no connection, 504 time out.
    NoAnswer,
    /// The control plane answered something other than 200.
    Status(String),
    /// The answer is larger than any verdict.
    TooLarge(usize),
    /// The answer is no verdict.
    Malformed(String),
    /// The answer is about another domain.
    OtherDomain(Domain),
}

/// Sends the question.
pub(crate) fn send(control_plane: &ControlPlane, domain: &Domain) -> Result<(), LookupError> {
    let path = format!("/v1/verdicts/{domain}");
    host::get(&control_plane.cluster, &path, control_plane.bearer(), control_plane.timeout)
        .map_err(|_| LookupError::NotSent)
}

/// Reads the answer that has come.
pub(crate) fn receive(domain: &Domain, body_size: usize) -> Result<Verdict, LookupError> {
    if body_size > MAX_ANSWER {
        return Err(LookupError::TooLarge(body_size));
    }
    let (status, body) = host::answer(body_size).ok_or(LookupError::NoAnswer)?;
    interpret(domain, &status, &body)
}

fn interpret(domain: &Domain, status: &[u8], body: &[u8]) -> Result<Verdict, LookupError> {
    match status {
        b"200" => {}
        b"503" | b"504" => return Err(LookupError::NoAnswer),
        other => return Err(LookupError::Status(other.escape_ascii().to_string())),
    }
    let verdict: Verdict =
        serde_json::from_slice(body).map_err(|error| LookupError::Malformed(error.to_string()))?;
    if verdict.domain == *domain { Ok(verdict) } else { Err(LookupError::OtherDomain(verdict.domain)) }
}

// === impl LookupError ===

/// What is wrong, and where to look.
impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent => {
                f.write_str("Envoy has no cluster of the name given in control_plane.cluster")
            }
            Self::NoAnswer => f.write_str("the control plane cannot be reached, or answers too slowly"),
            Self::Status(status) if status == "401" || status == "403" => {
                write!(
                    f,
                    "the control plane refuses the filter's token ({status}); it needs one of role filter"
                )
            }
            Self::Status(status) => write!(f, "the control plane answered with status {status}"),
            Self::TooLarge(size) => {
                write!(f, "the control plane answered with {size} bytes, more than {MAX_ANSWER}")
            }
            Self::Malformed(error) => write!(f, "the control plane's answer is no verdict: {error}"),
            Self::OtherDomain(domain) => {
                write!(f, "the control plane's answer is about another domain, {domain}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_verdict_on_the_very_domain_counts() {
        let domain: Domain = "a.com".parse().unwrap();
        let good = br#"{"domain":"a.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
        assert_eq!(interpret(&domain, b"200", good).unwrap().domain, domain);

        let other = br#"{"domain":"b.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
        assert_eq!(
            interpret(&domain, b"200", other),
            Err(LookupError::OtherDomain("b.com".parse().unwrap()))
        );
        for status in [&b"201"[..], b"204", b"301", b"401", b"404", b"500", b"", b"2000", b"\xff"] {
            assert!(matches!(interpret(&domain, status, good), Err(LookupError::Status(_))));
        }
        for status in [b"503", b"504"] {
            assert_eq!(interpret(&domain, status, good), Err(LookupError::NoAnswer));
        }
        for body in [&b""[..], b"<html>", b"\xff\xfe", &good[..good.len() - 1], b"[]", b"null"] {
            assert!(matches!(interpret(&domain, b"200", body), Err(LookupError::Malformed(_))));
        }
    }

    #[test]
    fn json_nested_without_end_is_an_error_and_no_crash() {
        let domain: Domain = "a.com".parse().unwrap();
        let deep = "[".repeat(MAX_ANSWER);
        assert!(matches!(interpret(&domain, b"200", deep.as_bytes()), Err(LookupError::Malformed(_))));
        let deep = format!(r#"{{"x":{deep}"#);
        assert!(matches!(interpret(&domain, b"200", deep.as_bytes()), Err(LookupError::Malformed(_))));
    }
}
