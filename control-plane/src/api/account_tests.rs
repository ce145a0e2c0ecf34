//! The words of an account, for facts of all kinds.

use std::time::{Duration, Instant};

use fedgate_policy::{
    Account, CertificateError, Facts, Failure, FailureLabel, Judgement, Looked, NameError, Peer,
    Refusal, RemoteCall, Row, Strategy, UnixTime, Verdict,
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::account::{self, Seen};
use crate::contract::{Direction, Explained, StepState};
use crate::verdicts::Told;

fn verdict(members: &Value) -> Verdict {
    let mut all = json!({"domain": "a.com", "ttl_ms": 90_000});
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn hosts(hosts: &[&str]) -> Verdict {
    verdict(&json!({ "hosts": hosts }))
}

fn failure(label: &str) -> Verdict {
    verdict(&json!({"failure": {"label": label, "message": "why"}}))
}

fn unlisted() -> Told {
    Told { verdict: None, waiting: 0 }
}

/// A certificate with these names, in DER.
fn certificate(names: &[&str]) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let params = CertificateParams::new(names).unwrap();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn now() -> UnixTime {
    UnixTime(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap())
}

/// What is said of a request in the name of a.com, with this certificate or none.
fn explained(der: Option<&[u8]>, verdict: &Verdict, told: Told) -> Explained {
    let peer = der.map(|der| Peer::new(Some(der), true));
    let origin = Some(&b"a.com"[..]);
    let facts = Facts { peer: peer.as_ref(), is_trust_assumed: true, origin_header: origin, now: now() };
    said(&facts.account(Some(verdict)), der, verdict, told, Direction::Incoming)
}

fn said(
    account: &Account,
    certificate: Option<&[u8]>,
    verdict: &Verdict,
    told: Told,
    direction: Direction,
) -> Explained {
    let seen = Seen {
        domain: "a.com".parse().unwrap(),
        direction,
        strategy: Strategy::AllowDynamic,
        entry: None,
        discovery: None,
        certificate,
        verdict,
        told,
        origin: None,
        at: Instant::now(),
    };
    seen.explain(account, account::body(account, |refusal| refusal.to_json(None)))
}

fn states(explained: &Explained) -> Vec<(u8, StepState)> {
    explained.steps.iter().map(|step| (step.row, step.state)).collect()
}

#[test]
fn each_refusal_leads_to_its_place_in_the_documents_and_to_a_cure() {
    let documents = include_str!("../../../docs/errors.md");
    let failed = |label| Refusal::Failure(Failure { label, message: "why".to_owned() });
    let domain = || "a.com".parse().unwrap();
    for refusal in [
        Refusal::NoClientCertificate,
        Refusal::UntrustedCertificate,
        Refusal::CertificateParseError(CertificateError::Pem),
        Refusal::CertificateExpired { validity: (UnixTime(0), UnixTime(1)), now: UnixTime(2) },
        Refusal::NoOriginDomain,
        Refusal::DomainParseError { header: "x".to_owned(), reason: NameError::Empty },
        failed(FailureLabel::FederationDenied),
        failed(FailureLabel::InvalidDomain),
        failed(FailureLabel::DiscoveryFailure),
        Refusal::AuthenticationFailure {
            origin: domain(),
            expected: "infra.a.com".to_owned(),
            presented: "DNS:b.com".to_owned(),
        },
        Refusal::VerdictUnavailable(domain()),
        Refusal::TooManyQuestions { domain: domain(), own: 1 },
        Refusal::InvalidEndpoint,
    ] {
        let rows = Row::ALL.map(|row| (row, Looked::Passed));
        let account = Account { judgement: Judgement::Refusal(refusal.clone()), rows };
        let decision =
            said(&account, None, &hosts(&["infra.a.com"]), unlisted(), Direction::Incoming).decision;
        let label = decision.label.unwrap();
        assert_eq!(label, refusal.label());
        assert_eq!(decision.see.unwrap(), format!("docs/errors.md#{label}"));
        let anchor = format!("<a id=\"{label}\"></a>`{label}`");
        assert_eq!(documents.matches(&anchor).count(), 1, "{anchor}");
        assert!(decision.cure.is_some_and(|cure| !cure.is_empty()), "{label}");
        let body = decision.body.unwrap();
        assert_eq!((&body["label"], &body["code"]), (&json!(label), &json!(refusal.status())));
    }
}

#[test]
fn a_permit_has_passed_each_row_but_that_of_the_tls_layer_and_has_nothing_to_mend() {
    let der = certificate(&["infra.a.com"]);
    let explained = explained(Some(&der), &hosts(&["infra.a.com"]), unlisted());
    let expected: Vec<_> = (1..=10)
        .map(|row| (row, if row == 2 { StepState::NotLookedAt } else { StepState::Ok }))
        .collect();
    assert_eq!(states(&explained), expected);
    let decision = explained.decision;
    assert!(decision.label.is_none() && decision.body.is_none() && decision.see.is_none());
    assert!(decision.cure.is_none() && !decision.spared);
}

#[test]
fn what_comes_after_the_row_that_refuses_is_not_looked_at_and_says_so() {
    let der = certificate(&["infra.a.com"]);
    let explained = explained(Some(&der), &failure("federation-denied"), unlisted());
    let step = |row: usize| &explained.steps[row - 1];
    assert_eq!((step(7).state, step(7).text.as_str()), (StepState::No, "why"));
    for row in 8..=10 {
        assert_eq!(step(row).state, StepState::NotLookedAt);
        assert!(step(row).text.contains("row 7"), "{}", step(row).text);
    }
}

#[test]
fn what_passes_in_shadow_has_the_words_of_its_refusal_and_is_a_permit() {
    let der = certificate(&["elsewhere.a.com"]);
    let shadow = verdict(&json!({"hosts": ["infra.a.com"], "shadow": true}));
    let explained = explained(Some(&der), &shadow, unlisted());
    let last = explained.steps.last().unwrap();
    assert_eq!(last.state, StepState::Shadow);
    assert!(last.text.ends_with("; it passes, in shadow"), "{}", last.text);
    assert!(explained.decision.spared);
    assert_eq!(explained.decision.label.as_deref(), Some("authentication-failure"));
    assert_eq!(explained.decision.outcome, crate::contract::Judged::Permit);
}

#[test]
fn each_name_of_a_certificate_says_whom_it_stands_for_or_why_not() {
    let der = certificate(&["infra.a.com", "*.a.com", "*.infra.a.com", "b.com"]);
    let explained = explained(Some(&der), &hosts(&["infra.a.com", "x.infra.a.com"]), unlisted());
    let names = explained.certificate.unwrap().names;
    let told: Vec<_> = names.iter().map(|it| (it.name.as_str(), it.stands_for.join(" "))).collect();
    let expected = [
        ("DNS:infra.a.com", "infra.a.com"),
        ("DNS:*.a.com", "infra.a.com"),
        ("DNS:*.infra.a.com", "x.infra.a.com"),
        ("DNS:b.com", ""),
    ];
    assert_eq!(told, expected.map(|(name, host)| (name, host.to_owned())));
    for name in &names {
        assert_eq!(name.why_not.is_some(), name.stands_for.is_empty(), "{name:?}");
    }
    let details = &explained.steps.last().unwrap().details;
    assert!(details.contains(&"DNS:*.a.com stands for infra.a.com".to_owned()), "{details:?}");
}

#[test]
fn no_more_than_sixty_four_names_are_shown_and_the_rest_is_counted() {
    let names: Vec<_> = (0..100).map(|n| format!("n{n}.a.com")).collect();
    let der = certificate(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let explained = explained(Some(&der), &hosts(&["n99.a.com"]), unlisted());
    let certificate = explained.certificate.as_ref().unwrap();
    assert_eq!((certificate.names.len(), certificate.names_in_all), (64, 100));
    let details = &explained.steps.last().unwrap().details;
    assert_eq!(details.last().unwrap(), "and 36 more names");
}

#[test]
fn what_filters_hold_is_told_as_the_same_or_as_something_else() {
    let known = hosts(&["infra.a.com"]);
    let since = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
    let told = |verdict: Verdict| Told { verdict: Some((verdict, since)), waiting: 2 };
    let silent = Verdict { ttl_ms: 0, ..known.clone() };
    for (told, differs, part) in [
        (unlisted(), false, "they are told nothing, because it is not listed"),
        (unlisted(), false, "of this, 90 s are left"),
        (told(known.clone()), false, "they were told the same"),
        (told(known.clone()), false, "2 wait for changes"),
        (told(hosts(&["old.a.com"])), true, "something else"),
        (told(hosts(&["old.a.com"])), true, "served by old.a.com"),
        (told(failure("invalid-domain")), true, "why"),
        (told(Verdict { shadow: true, ..known.clone() }), true, "something else"),
        // A verdict without a life has them ask, whatever it says.
        (told(silent.clone()), false, "to ask when a request comes"),
        (told(Verdict { ttl_ms: 0, ..failure("invalid-domain") }), false, "to ask when a request comes"),
    ] {
        let filters = explained(None, &known, told).filters;
        assert_eq!(filters.differs, differs, "{}", filters.text);
        assert!(filters.text.contains(part), "{part}: {}", filters.text);
    }
}

#[test]
fn a_call_of_our_own_has_three_rows() {
    let call = RemoteCall::parse(b"POST", b"/rpc/a.com/brig/api-version").unwrap();
    let verdict = failure("invalid-domain");
    let account = Account::of_call(&call, Some(&verdict));
    let explained = said(&account, None, &verdict, unlisted(), Direction::Outgoing);
    let expected = [(7, StepState::Ok), (8, StepState::No), (9, StepState::NotLookedAt)];
    assert_eq!(states(&explained), expected);
}
