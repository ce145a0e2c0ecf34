//! Asks the control plane what it says of a request that the filter has answered. The two are to agree on status,
//! label and message, whatever a test is about.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::control_plane::VIEWER_TOKEN;
use crate::http2::{Answer, Header};
use crate::pki::Identity;
use crate::process::{http, pause};

/// How long the two may take to agree: what is known may change between the one answer and the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The header that carries the claim.
const ORIGIN: &str = "wire-origin-domain";

/// Where one of these is in a value, it is no header, or more than one.
const CONTROL: [char; 3] = ['\0', '\r', '\n'];

/// Comparisons that were made in this process.
static COMPARED: AtomicUsize = AtomicUsize::new(0);

/// What a decision comes to: status, label and message; none where it is a permit.
type Decision = Option<(u64, String, String)>;

/// How many comparisons were made in this process.
pub fn compared() -> usize {
    COMPARED.load(Ordering::Relaxed)
}

/// Compares an answer of the filter's with the account of a control plane, whose admin API is at `url`.
///
/// Left out is what no control plane can know: a value that is no text, or has control characters or spaces around it,
/// and a filter that cannot ask.
pub fn compare(url: &str, identity: Option<&Identity>, headers: &[Header<'_>], answer: &Answer) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(difference) = difference(url, identity, headers, answer) {
        assert!(Instant::now() < deadline, "{difference}");
        pause();
    }
}

/// How the two differ, if they do.
pub fn difference(
    url: &str,
    identity: Option<&Identity>,
    headers: &[Header<'_>],
    answer: &Answer,
) -> Option<String> {
    let seen = seen(answer)?;
    let asked = question(identity, headers, seen.as_ref())?;
    let said = match ask(url, &asked) {
        (200, said) => said,
        (status, said) => return Some(format!("{status} to {asked}: {said}")),
    };
    COMPARED.fetch_add(1, Ordering::Relaxed);
    let explained = decision(&said["decision"]);
    let differ = told(explained.as_ref()) != told(seen.as_ref());
    differ.then(|| format!("the filter says {seen:?}, and `explain` {said:#}, when asked {asked}"))
}

/// What the filter decided; nothing where it is not known to be the filter's word, or not one on the request.
fn seen(answer: &Answer) -> Option<Decision> {
    if answer.status == 200 {
        return Some(None);
    }
    let body = answer.json();
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    match (text("label"), text("message"), text("error")) {
        (Some(label), Some(message), Some(_)) if label != "verdict-unavailable" => {
            Some(Some((answer.status.into(), label, message)))
        }
        _ => None,
    }
}

/// The same facts, as the API takes them.
fn question(
    identity: Option<&Identity>,
    headers: &[Header<'_>],
    seen: Option<&(u64, String, String)>,
) -> Option<Value> {
    let named = |name: &'static str| headers.iter().filter(move |it| it.0.eq_ignore_ascii_case(name));
    // What `Connection` names does not pass (RFC 9110 §7.6.1).
    let is_dropped = named("connection").any(|it| it.1.eq_ignore_ascii_case(ORIGIN.as_bytes()));
    let origins = named(ORIGIN).filter(|_| !is_dropped);
    // Spaces around a value are taken away from it over HTTP/1.1, and not over HTTP/2.
    let is_plain = |text: &&str| !text.contains(CONTROL) && text.trim_matches(' ') == *text;
    let origins: Option<Vec<_>> = origins.map(|it| str::from_utf8(it.1).ok().filter(is_plain)).collect();
    let label = seen.map(|(_, label, _)| label.as_str());
    // A certificate whose kind of key Envoy does not ask for is not shown; and what it thinks of a chain, it alone knows.
    let identity = identity.filter(|_| label != Some("no-client-certificate"));
    let trusted = label != Some("untrusted-certificate");
    Some(json!({
        "domain": "a.com",
        "origin": origins?.join(","),
        "certificate": identity.map(|it| it.chain.as_str()),
        "anonymous": identity.is_none(),
        "trusted": trusted,
    }))
}

fn ask(url: &str, asked: &Value) -> (u16, Value) {
    let request = http()
        .post(format!("{url}/v1/explain"))
        .header("authorization", format!("Bearer {VIEWER_TOKEN}"))
        .header("content-type", "application/json");
    let answer = request.send(asked.to_string()).expect("an account");
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().expect("an account");
    (status, serde_json::from_str(&text).expect("JSON"))
}

fn decision(body: &Value) -> Decision {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (body["outcome"] != "permit")
        .then(|| (body["status"].as_u64().unwrap_or_default(), text("label"), text("message")))
}

/// What can be compared of it. The time at which each of the two decided is in one message, at its end.
fn told(decision: Option<&(u64, String, String)>) -> Option<(u64, &str, &str)> {
    let (status, label, message) = decision?;
    let message = message.split_once(", now ").map_or(message.as_str(), |(rest, _)| rest);
    Some((*status, label, message))
}
