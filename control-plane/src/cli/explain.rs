//! `fedgate explain`: what would become of a request, and why, step by step.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::store::FileError;
use super::{Error, OneDomain, print, table};
use crate::contract::{DecisionBody, Direction, Explain, Explained, Judged, StepBody, StepState};
use crate::pem;

pub(super) const HELP: &str = "\
Examples:
  fedgate explain company-a.com                       would a request from there pass, with a good certificate?
  fedgate explain company-a.com --cert partner.pem    and with this one? The first of the file counts
  fedgate explain company-a.com --cert partner.pem --origin 'Company-A.com,b.com'
  fedgate explain company-a.com --outgoing            may our own services call it, and where?

Marks: ok, no (it refuses), shadow (it would refuse, and passes), - (not looked at, and why).
Exit codes: 0 it would pass, or the certificate decides and none was given; 1 it would be refused,
or not even begin, or lead nowhere; 2 wrong use.";

/// What is to be explained.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    which: OneDomain,
    /// The client certificate, in PEM or DER. Of PEM the first is sent, and never a key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["outgoing", "anonymous"])]
    cert: Option<PathBuf>,
    /// The caller shows no certificate
    #[arg(long, conflicts_with = "outgoing")]
    anonymous: bool,
    /// The value of Wire-Origin-Domain, as it is sent; empty for none. Without this, the domain
    #[arg(long, value_name = "VALUE", conflicts_with = "outgoing")]
    origin: Option<String>,
    /// Explain a call of our own services to the domain
    #[arg(long)]
    outgoing: bool,
}

/// Explains.
pub(super) async fn run(args: &ExplainArgs, json: bool) -> Result<(), Error> {
    let OneDomain { domain, remote } = &args.which;
    let asked = Explain {
        domain: domain.to_string(),
        direction: if args.outgoing { Direction::Outgoing } else { Direction::Incoming },
        certificate: args.cert.as_ref().map(read).transpose()?,
        anonymous: args.anonymous,
        trusted: None,
        origin: args.origin.clone(),
    };
    let client = Client::new(remote)?;
    let answer = client.send(client.request(Method::POST, &["explain"], &[]).json(&asked)).await?;
    let explained: Explained = answer.read()?;
    if json {
        print::json(&answer.json()?)?;
    } else {
        lines(&explained, table::width()).iter().try_for_each(print::line)?;
    }
    match explained.decision.outcome {
        Judged::Permit if explained.decision.unreachable => {
            Err(Error::Refused(format!("{}: no target can be reached", explained.domain)))
        }
        Judged::Permit | Judged::Open => Ok(()),
        Judged::NoRequest => Err(Error::Refused(format!("{}: no handshake", explained.domain))),
        Judged::Refusal => {
            let label = explained.decision.label.unwrap_or_default();
            Err(Error::Refused(format!("{}: {label}", explained.domain)))
        }
    }
}

fn read(path: &PathBuf) -> Result<String, Error> {
    let unusable = |cause: String| Error::File(FileError::Unusable { path: path.clone(), cause });
    let file = std::fs::File::open(path).map_err(|error| unusable(error.to_string()))?;
    let mut octets = Vec::new();
    // One more than may be, which is an error then.
    let most = u64::try_from(pem::LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut octets).map_err(|error| unusable(error.to_string()))?;
    pem::of_file(&octets).map_err(unusable)
}

/// One line for each step, and below it what led there; then the answer.
fn lines(explained: &Explained, room: Option<usize>) -> Vec<String> {
    let mut rows: Vec<[String; 3]> = explained.steps.iter().flat_map(step).collect();
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            rows.push([String::new(), name.to_owned(), text.to_owned()]);
        }
    };
    let decision = &explained.decision;
    row("filters", &explained.filters.text);
    for detail in &explained.filters.details {
        row("", &format!("  {detail}"));
    }
    row("answer", &answer(decision));
    row("body", &decision.body.as_ref().map(ToString::to_string).unwrap_or_default());
    row("cure", decision.cure.as_deref().unwrap_or_default());
    row("see", decision.see.as_deref().unwrap_or_default());
    table::lines(&rows, room)
}

fn step(step: &StepBody) -> Vec<[String; 3]> {
    let mark = match step.state {
        StepState::Ok => "ok",
        StepState::No => "no",
        StepState::Shadow => "shadow",
        StepState::NotLookedAt => "-",
    };
    let text = match step.state {
        StepState::NotLookedAt => format!("not looked at, {}", step.text),
        StepState::Ok | StepState::No | StepState::Shadow => step.text.clone(),
    };
    let below = step.details.iter().map(|it| [String::new(), String::new(), format!("  {it}")]);
    [[mark.to_owned(), step.name.clone(), text]].into_iter().chain(below).collect()
}

fn answer(decision: &DecisionBody) -> String {
    let refused = || {
        let DecisionBody { status, label, message, .. } = decision;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{} {}: {}", status.unwrap_or_default(), text(label), text(message))
    };
    match (decision.outcome, decision.spared) {
        (Judged::Permit, _) if decision.unreachable => {
            "it may be made, but no target can be reached".to_owned()
        }
        (Judged::Permit, false) => "it passes".to_owned(),
        (Judged::NoRequest, _) => decision.message.clone().unwrap_or_default(),
        (Judged::Permit, true) => format!("it passes, in shadow; else {}", refused()),
        (Judged::Refusal, _) => refused(),
        (Judged::Open, false) => "the certificate decides, and none was given".to_owned(),
        (Judged::Open, true) => {
            format!("the certificate decides, and none was given; in shadow, else {}", refused())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn explained(decision: &serde_json::Value) -> Explained {
        let step = |name: &str, state: &str, details: &[&str]| json!({"row": 1, "name": name, "state": state, "text": "so", "details": details});
        serde_json::from_value(json!({
            "domain": "a.com", "direction": "incoming", "decision": decision,
            "steps": [step("certificate", "ok", &[]), step("chain", "not-looked-at", &[]), step("names", "no", &["x\u{202e}"])],
            "strategy": "allowDynamic", "entry": null, "discovery": null, "certificate": null,
            "filters": {"verdict": null, "waiting": 0, "reporting": 0, "differs": false, "text": "nothing"},
        }))
        .unwrap()
    }

    #[test]
    fn each_step_is_a_line_with_a_mark_and_nothing_is_shown_that_is_not_seen() {
        let refused = json!({
            "outcome": "refusal", "status": 403, "label": "l", "message": "m", "spared": false, "unreachable": false,
            "body": {"code": 403}, "cure": "c", "see": "s",
        });
        assert_eq!(
            lines(&explained(&refused), None).join("\n"),
            "ok  certificate  so\n\
             -   chain        not looked at, so\n\
             no  names        so\n                   x\\u{202e}\n    \
                 filters      nothing\n    \
                 answer       403 l: m\n    \
                 body         {\"code\":403}\n    \
                 cure         c\n    \
                 see          s"
        );
    }

    #[test]
    fn what_is_open_or_spared_says_so() {
        for (outcome, spared, expected) in [
            ("no-request", false, "m"),
            ("permit", false, "it passes"),
            ("permit", true, "it passes, in shadow; else 403 l: m"),
            ("refusal", false, "403 l: m"),
            ("open", false, "the certificate decides, and none was given"),
        ] {
            let decision = json!({
                "outcome": outcome, "status": 403, "label": "l", "message": "m", "spared": spared,
                "unreachable": false,
            });
            assert_eq!(answer(&explained(&decision).decision), expected);
        }
    }
}
