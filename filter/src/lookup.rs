//! Asking the control plane for one verdict: what is sent, and what an answer means.

use std::fmt;

use fedgate_policy::{Domain, Verdict};

use crate::config::ControlPlane;
use crate::host::{self, Answer};

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
    /// The answer is of another type than JSON: somebody else answers there.
    ContentType(String),
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
    let answer = host::answer(body_size).ok_or(LookupError::NoAnswer)?;
    interpret(domain, &answer)
}

fn interpret(domain: &Domain, answer: &Answer) -> Result<Verdict, LookupError> {
    match answer.status.as_slice() {
        b"200" => {}
        b"503" | b"504" => return Err(LookupError::NoAnswer),
        other => return Err(LookupError::Status(other.escape_ascii().to_string())),
    }
    if answer.content_type != b"application/json" {
        return Err(LookupError::ContentType(answer.content_type.escape_ascii().to_string()));
    }
    let verdict: Verdict = serde_json::from_slice(&answer.body)
        .map_err(|error| LookupError::Malformed(error.to_string()))?;
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
            Self::ContentType(other) => {
                write!(
                    f,
                    "the control plane answered with content-type {other:?}; does something else answer there?"
                )
            }
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

    fn read(status: &[u8], content_type: &[u8], body: &[u8]) -> Result<Verdict, LookupError> {
        let (status, content_type, body) = (status.to_vec(), content_type.to_vec(), body.to_vec());
        interpret(&"a.com".parse().unwrap(), &Answer { status, content_type, body })
    }

    #[test]
    fn only_a_whole_verdict_on_the_very_domain_counts() {
        const JSON: &[u8] = b"application/json";
        let good = br#"{"domain":"a.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
        assert_eq!(read(b"200", JSON, good).unwrap().domain.as_str(), "a.com");

        let other = br#"{"domain":"b.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
        assert_eq!(read(b"200", JSON, other), Err(LookupError::OtherDomain("b.com".parse().unwrap())));
        for status in [&b"201"[..], b"204", b"301", b"401", b"404", b"500", b"", b"2000", b"\xff"] {
            assert!(matches!(read(status, JSON, good), Err(LookupError::Status(_))));
        }
        for status in [b"503", b"504"] {
            assert_eq!(read(status, JSON, good), Err(LookupError::NoAnswer));
        }
        for content_type in [&b""[..], b"text/html", b"application/problem+json", b"\xff"] {
            assert!(matches!(read(b"200", content_type, good), Err(LookupError::ContentType(_))));
        }
        for body in [&b""[..], b"<html>", b"\xff\xfe", &good[..good.len() - 1], b"[]", b"null"] {
            assert!(matches!(read(b"200", JSON, body), Err(LookupError::Malformed(_))));
        }
    }

    #[test]
    fn json_nested_without_end_is_an_error_and_no_crash() {
        let deep = "[".repeat(MAX_ANSWER);
        for body in [deep.clone(), format!(r#"{{"x":{deep}"#)] {
            let result = read(b"200", b"application/json", body.as_bytes());
            assert!(matches!(result, Err(LookupError::Malformed(_))));
        }
    }
}
