//! Asks the control plane what it says of a request that the filter has answered. The two are to agree on status,
//! label and message, whatever a test is about; [`crate::witness`] says when they are asked.

use serde_json::{Value, json};

use crate::http2::{Answer, Header};
use crate::pki::Identity;
use crate::process::http;

/// The header that carries the claim.
const ORIGIN: &str = "wire-origin-domain";

/// Where one of these is in a value, it is no header, or more than one.
const CONTROL: [char; 3] = ['\0', '\r', '\n'];

/// How the filter's decision ends that is no permit. Other labels are of what came of a permitted call, or of the
/// backend; and `verdict-unavailable`, of a filter that could not ask, says nothing of the domain.
const DECIDED: [&str; 10] = [
    "no-client-certificate",
    "untrusted-certificate",
    "certificate-parse-error",
    "certificate-expired",
    "no-origin-domain",
    "domain-parse-error",
    "federation-denied",
    "invalid-domain",
    "discovery-failure",
    "authentication-failure",
];

/// How the egress tells what came of a call that it let pass.
const WENT_OUT: &str = "federation-";

/// What a decision comes to: status, label and message; none where it is a permit.
type Decision = Option<(u64, String, String)>;

/// What the filter was asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// A request from outside, by who shows this certificate.
    Incoming(Option<&'a Identity>, &'a [Header<'a>]),
    /// The same, where an authority issued it that the listener does not trust, as the test has it.
    Untrusted(&'a Identity, &'a [Header<'a>]),
    /// A call of our own services, by its path.
    Outgoing(&'a str),
}

/// What is to be asked to compare this answer, if it can be.
///
/// Left out is what no control plane can know: a value that is no text, or has control characters or spaces around it,
/// an answer that is not known to be the filter's decision, and a filter that cannot ask.
pub fn inquiry(question: Question<'_>, answer: &Answer) -> Option<Value> {
    seen(question, answer)?;
    match question {
        Question::Incoming(identity, headers) => incoming(identity, headers, false),
        Question::Untrusted(identity, headers) => incoming(Some(identity), headers, true),
        Question::Outgoing(path) => {
            let domain = path.strip_prefix("/rpc/")?.split('/').next()?;
            Some(json!({"domain": domain, "direction": "outgoing"}))
        }
    }
}

/// How the answer differs from what the admin API at `url` says of such a request; nothing where it does not.
/// Whoever is not answered at all is told why.
pub fn difference(
    url: &str,
    token: &str,
    question: Question<'_>,
    answer: &Answer,
) -> Result<Option<String>, String> {
    let (Some(seen), Some(asked)) = (seen(question, answer), inquiry(question, answer)) else {
        return Ok(None);
    };
    let said = ask(url, token, &asked)?;
    let explained = decision(&said["decision"]);
    let differ = told(explained.as_ref()) != told(seen.as_ref());
    Ok(differ.then(|| format!("the filter says {seen:?}, and `explain` {said:#}, when asked {asked}")))
}

/// What the filter decided; nothing where it is not known to be the filter's word, or not one on the request.
fn seen(question: Question<'_>, answer: &Answer) -> Option<Decision> {
    if answer.status == 200 {
        return Some(None);
    }
    let body = answer.json();
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let (label, message) = (text("label")?, text("message")?);
    let is_call = matches!(question, Question::Outgoing(_));
    if DECIDED.contains(&&*label) {
        // Only the filter says what kind of error it is.
        text("error").map(|_| Some((answer.status.into(), label, message)))
    } else {
        (is_call && label.starts_with(WENT_OUT)).then_some(None)
    }
}

/// The same facts, as the API takes them.
fn incoming(identity: Option<&Identity>, headers: &[Header<'_>], is_untrusted: bool) -> Option<Value> {
    let named = |name: &'static str| headers.iter().filter(move |it| it.0.eq_ignore_ascii_case(name));
    // What `Connection` names does not pass (RFC 9110 §7.6.1).
    let is_dropped = named("connection").any(|it| it.1.eq_ignore_ascii_case(ORIGIN.as_bytes()));
    let origins = named(ORIGIN).filter(|_| !is_dropped);
    // Spaces around a value are taken away from it over HTTP/1.1, and not over HTTP/2.
    let is_plain = |text: &&str| !text.contains(CONTROL) && text.trim_matches(' ') == *text;
    let origins: Option<Vec<_>> = origins.map(|it| str::from_utf8(it.1).ok().filter(is_plain)).collect();
    let mut asked = json!({
        "domain": "a.com",
        "origin": origins?.join(","),
        "certificate": identity.map(|it| it.chain.as_str()),
        "anonymous": identity.is_none(),
    });
    // What Envoy thinks of a chain, it alone knows; else it is to be foretold.
    if is_untrusted {
        asked["trusted"] = json!(false);
    }
    Some(asked)
}

fn ask(url: &str, token: &str, asked: &Value) -> Result<Value, String> {
    let request = http()
        .post(format!("{url}/v1/explain"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    let answer = request.send(asked.to_string()).map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("{status} to {asked}: {text}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
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
