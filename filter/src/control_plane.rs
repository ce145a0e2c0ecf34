//! Asking the control plane: what is sent, and what an answer means.

use std::fmt;
use std::time::Duration;

use fedgate_policy::report::{Report, Taken};
use fedgate_policy::{Answer, Domain, FeedPage, MAX_PAGE, RequestId, Speaker};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::config::ControlPlane;
use crate::host::{self, Call, Response};
use crate::lookups::Question;

/// The longest that the feed's answer is held back where nothing changes, in seconds.
const MAX_WAIT_S: u64 = 30;
/// How much later than that an answer may come.
const SLACK: Duration = Duration::from_secs(5);
/// The age of a list that counts always: that of one whose store has just chosen another leader.
pub(crate) const SHORTEST_STALENESS: Duration = Duration::from_secs(5);

/// Why the control plane gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskError {
    /// Envoy did not send it: most often there is no such cluster.
    NotSent,
    /// No answer, or one from Envoy itself: 503 no connection, 504 time out.
    NoAnswer,
    /// The control plane answered something other than 200.
    Status(String),
    /// The answer is of another type than JSON: somebody else answers there.
    ContentType(String),
    /// The answer is larger than it may be.
    TooLarge(usize),
    /// The answer is not what was asked for.
    Malformed(String),
    /// The answer is about another domain.
    OtherDomain(Domain),
    /// It rests on a list that may be this old, in seconds.
    Stale(u64),
}

/// Asks for the verdict on a domain.
pub(crate) fn ask_verdict(
    control_plane: &ControlPlane,
    question: &Question,
    request_id: Option<&RequestId>,
) -> Result<Call, AskError> {
    let (path, asker) = (format!("/v1/verdicts/{}", question.domain), question.asker.to_string());
    let request_id = request_id.map(|id| ("x-request-id", id.as_str()));
    let headers = [Some(("x-fedgate-asker", asker.as_str())), request_id];
    ask(control_plane, &path, headers.into_iter().flatten(), None, control_plane.timeout)
}

/// Asks for what has changed since `cursor`; the answer is held until something has, but no longer
/// than `wait`.
pub(crate) fn ask_feed(
    control_plane: &ControlPlane,
    cursor: Option<&str>,
    wait: Duration,
) -> Result<Call, AskError> {
    let wait = wait.as_secs().min(MAX_WAIT_S);
    let cursor = cursor
        .map(|cursor| format!("&cursor={}", utf8_percent_encode(cursor, NON_ALPHANUMERIC)))
        .unwrap_or_default();
    let timeout = Duration::from_secs(wait).saturating_add(SLACK);
    ask(control_plane, &format!("/v1/verdicts?wait={wait}{cursor}"), None, None, timeout)
}

/// Tells what was seen.
pub(crate) fn tell(control_plane: &ControlPlane, report: &Report) -> Result<Call, AskError> {
    let json = serde_json::to_string(report).map_err(|error| AskError::Malformed(error.to_string()))?;
    ask(control_plane, "/v1/reports", None, Some(&json), control_plane.timeout)
}

fn ask<'a>(
    control_plane: &'a ControlPlane,
    path: &'a str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    json: Option<&str>,
    timeout: Duration,
) -> Result<Call, AskError> {
    host::send(&control_plane.cluster, path, control_plane.bearer(), headers, json, timeout)
        .map_err(|_| AskError::NotSent)
}

/// Reads the verdict that has come, and who gives it.
pub(crate) fn verdict(domain: &Domain, body_size: usize) -> Result<Answer, AskError> {
    about(domain, received(body_size).and_then(|response| interpret(&response))?)
}

/// Reads the page of the feed that has come.
pub(crate) fn page(body_size: usize) -> Result<FeedPage, AskError> {
    received(body_size).and_then(|response| interpret(&response))
}

/// Whether what was told was taken, and by whom.
pub(crate) fn taken(body_size: usize) -> Result<Speaker, AskError> {
    received(body_size).and_then(|response| interpret::<Taken>(&response)).map(Speaker::from)
}

fn received(body_size: usize) -> Result<Response, AskError> {
    if body_size > MAX_PAGE {
        return Err(AskError::TooLarge(body_size));
    }
    host::response(body_size).ok_or(AskError::NoAnswer)
}

fn interpret<T: DeserializeOwned>(response: &Response) -> Result<T, AskError> {
    if response.status != b"200" {
        return Err(AskError::of_status(&response.status));
    }
    if response.content_type != b"application/json" {
        return Err(AskError::ContentType(response.content_type.escape_ascii().to_string()));
    }
    serde_json::from_slice(&response.body).map_err(|error| AskError::Malformed(error.to_string()))
}

fn about(domain: &Domain, answer: Answer) -> Result<Answer, AskError> {
    let told = &answer.verdict.domain;
    if told == domain { Ok(answer) } else { Err(AskError::OtherDomain(told.clone())) }
}

/// What a control plane says of a list that may be this old counts for `longest`, and where that is less, for
/// [`SHORTEST_STALENESS`]: no list is newer than its store lets it be.
pub(crate) fn fresh(answer: Answer, longest: Duration) -> Result<Answer, AskError> {
    let age = Duration::from_millis(answer.age_ms.unwrap_or(0));
    if age > longest.max(SHORTEST_STALENESS) { Err(AskError::Stale(age.as_secs())) } else { Ok(answer) }
}

// === impl AskError ===

impl AskError {
    /// What a status says that is not the one that was hoped for.
    fn of_status(status: &[u8]) -> Self {
        match status {
            b"503" | b"504" => Self::NoAnswer,
            other => Self::Status(other.escape_ascii().to_string()),
        }
    }
}

/// What is wrong, and where to look.
impl fmt::Display for AskError {
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
                write!(f, "the control plane answered with {size} bytes, more than {MAX_PAGE}")
            }
            Self::Malformed(error) => {
                write!(f, "the control plane's answer is not what it should be: {error}")
            }
            Self::Stale(age) => write!(
                f,
                "the control plane has not heard from its store for {age} s (max_staleness_s): see its log"
            ),
            Self::OtherDomain(domain) => {
                write!(f, "the control plane's answer is about another domain, {domain}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: &[u8], content_type: &[u8], body: &[u8]) -> Result<Answer, AskError> {
        let (status, content_type, body) = (status.to_vec(), content_type.to_vec(), body.to_vec());
        about(&"a.com".parse().unwrap(), interpret(&Response { status, content_type, body })?)
    }

    #[test]
    fn only_a_whole_verdict_on_the_very_domain_counts() {
        const JSON: &[u8] = b"application/json";
        let good = br#"{"domain":"a.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
        assert_eq!(read(b"200", JSON, good).unwrap().verdict.domain.as_str(), "a.com");

        let other = br#"{"domain":"b.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
        assert_eq!(read(b"200", JSON, other), Err(AskError::OtherDomain("b.com".parse().unwrap())));
        for status in [&b"201"[..], b"204", b"301", b"401", b"404", b"500", b"", b"2000", b"\xff"] {
            assert!(matches!(read(status, JSON, good), Err(AskError::Status(_))));
        }
        for status in [b"503", b"504"] {
            assert_eq!(read(status, JSON, good), Err(AskError::NoAnswer));
        }
        for content_type in [&b""[..], b"text/html", b"application/problem+json", b"\xff"] {
            assert!(matches!(read(b"200", content_type, good), Err(AskError::ContentType(_))));
        }
        for body in [&b""[..], b"<html>", b"\xff\xfe", &good[..good.len() - 1], b"[]", b"null"] {
            assert!(matches!(read(b"200", JSON, body), Err(AskError::Malformed(_))));
        }
    }

    #[test]
    fn what_rests_on_a_list_that_is_too_old_is_no_answer() {
        for (age_ms, longest, is_good) in [
            (None, 0, true),
            (Some(5_000), 0, true),
            (Some(5_001), 0, false),
            (Some(900_000), 900, true),
            (Some(900_001), 900, false),
            (Some(u64::MAX), 86_400, false),
        ] {
            let json = br#"{"domain":"a.com","hosts":["fed.a.com"],"ttl_ms":1}"#;
            let answer = Answer { age_ms, ..read(b"200", b"application/json", json).unwrap() };
            let longest = Duration::from_secs(longest);
            assert_eq!(fresh(answer, longest).is_ok(), is_good, "{age_ms:?} {longest:?}");
        }
    }

    #[test]
    fn json_nested_without_end_is_an_error_and_no_crash() {
        let deep = "[".repeat(MAX_PAGE);
        for body in [deep.clone(), format!(r#"{{"x":{deep}"#)] {
            let result = read(b"200", b"application/json", body.as_bytes());
            assert!(matches!(result, Err(AskError::Malformed(_))));
        }
    }
}
