//! The words of an account, for facts of all kinds.

use std::time::{Duration, Instant};

use fedgate_policy::{
    Account, CertificateError, Facts, Failure, FailureLabel, Handshake, Judgement, Looked, NameError,
    Peer, Refusal, RemoteCall, Row, Strategy, UnixTime, Verdict,
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::account::{self, Seen};
use crate::contract::{Direction, DiscoveryBody, Explained, ListedDomain, StepState};
use crate::partners::{Home, Side, Worker};
use crate::verdicts::{Said, Told};

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
    Told { said: Said::Unlisted, since: Instant::now(), waiting: 1 }
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
    let facts = Facts {
        peer: peer.as_ref(),
        handshake: Some(&Handshake::Fit),
        origin_header: origin,
        now: now(),
    };
    said(&facts.account(Some(verdict)), der, verdict, told, Direction::Incoming)
}

fn said(
    account: &Account,
    certificate: Option<&[u8]>,
    verdict: &Verdict,
    told: Told,
    direction: Direction,
) -> Explained {
    let seen = Seen { direction, certificate, ..seen(verdict, told) };
    seen.explain(account, account::body(account, |refusal| refusal.to_json(None)))
}

/// What was seen of a.com, and no more than that.
fn seen(verdict: &Verdict, told: Told) -> Seen<'_> {
    Seen {
        domain: "a.com".parse().unwrap(),
        direction: Direction::Incoming,
        strategy: Strategy::AllowDynamic,
        entry: None,
        discovery: None,
        certificate: None,
        handshake: &Handshake::Fit,
        verdict,
        told,
        workers: vec![],
        is_shared: false,
        servers: "192.0.2.53:53, 192.0.2.54:53",
        list_file: None,
        origin: None,
        at: Instant::now(),
    }
}

/// The account of a request without a certificate.
fn foreseen(verdict: &Verdict) -> Account {
    let facts = Facts { peer: None, handshake: None, origin_header: Some(b"a.com"), now: now() };
    facts.account(Some(verdict))
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
    assert_eq!(certificate.names[0].stands_for, ["n99.a.com"], "none that matches is left out");
    let details = &explained.steps.last().unwrap().details;
    assert_eq!(details.last().unwrap(), "and 36 more names");
}

#[test]
fn what_filters_hold_is_told_as_the_same_or_as_something_else() {
    let known = hosts(&["infra.a.com"]);
    let since = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
    let told = |verdict: Verdict| Told { said: Said::Verdict(verdict), since, waiting: 2 };
    let asks = Told { said: Said::Ask, since, waiting: 2 };
    for (told, differs, part) in [
        (unlisted(), false, "which domains are listed, and this is none: a filter whose table is whole"),
        (told(known.clone()), false, "they were told the same"),
        (told(known.clone()), false, "2 wait for changes"),
        (told(hosts(&["old.a.com"])), true, "something else"),
        (told(hosts(&["old.a.com"])), true, "served by old.a.com"),
        (told(failure("invalid-domain")), true, "why"),
        (told(Verdict { shadow: true, ..known.clone() }), true, "something else"),
        (asks, false, "to ask when a request comes; an earlier answer counts until it ends"),
    ] {
        let filters = explained(None, &known, told).filters;
        assert_eq!(filters.differs, differs, "{}", filters.text);
        assert!(filters.text.contains(part), "{part}: {}", filters.text);
    }
    let by_strategy = |strategy, told| {
        let account = foreseen(&known);
        let seen = Seen { strategy, ..seen(&known, told) };
        seen.explain(&account, None).filters
    };
    let denied = by_strategy(Strategy::AllowNone, told(known.clone()));
    assert!(denied.text.contains("strategy allowNone") && !denied.differs, "{}", denied.text);
    let open = by_strategy(Strategy::AllowAll, unlisted());
    assert!(open.text.contains("they ask when a request comes"), "{}", open.text);
    assert!(open.text.contains("of this, 90 s are left"), "{}", open.text);
}

/// A worker of one Envoy that said so long ago that it had heard us so long ago.
fn worker(said: u64, heard: Option<u64>) -> (Home, Worker) {
    let (now, home) = (
        Instant::now(),
        Home { by: "n1".into(), address: Some([10, 0, 0, 5].into()), side: Side::Ingress },
    );
    let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
    (home, Worker::of(heard.map(ago), ago(said)))
}

#[test]
fn filters_that_have_not_heard_us_since_the_answer_changed_are_named() {
    let known = hosts(&["infra.a.com"]);
    let changed = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
    let good = || worker(10, Some(12));
    let before = || worker(130, Some(140));
    for (workers, waiting, expected) in [
        (vec![], 0, Some("nobody is known to have heard it")),
        (vec![], 1, None),
        (vec![good(), good()], 0, None),
        // It hears nothing, and says so.
        (
            vec![good(), worker(10, Some(400))],
            2,
            Some("Envoy n1 ingress at 10.0.0.5: 1 of 2 workers heard us last"),
        ),
        (vec![worker(10, None)], 0, Some("1 of 1 workers have not heard us")),
        // It has said nothing since: whoever waits has heard all.
        (vec![good(), before()], 2, None),
        (vec![good(), before()], 1, Some("1 of 2 workers heard us last")),
        (vec![before(), before()], 0, Some("they decide by what they were told before")),
    ] {
        let told = Told { said: Said::Verdict(known.clone()), since: changed, waiting };
        let seen = Seen { workers: workers.clone(), ..seen(&known, told) };
        let filters = seen.explain(&foreseen(&known), None).filters;
        let details = filters.details.join("\n");
        assert_eq!(filters.reporting, workers.len());
        assert_eq!(filters.differs, expected.is_some() && !workers.is_empty(), "{details}");
        match expected {
            Some(part) => assert!(details.contains(part), "{part}: {details}"),
            None => assert_eq!(details, ""),
        }
    }
    let alone = Told { said: Said::Verdict(known.clone()), since: changed, waiting: 1 };
    let shared = Seen { is_shared: true, ..seen(&known, alone) };
    let details = shared.explain(&foreseen(&known), None).filters.details;
    assert!(details[0].contains("other control planes"), "{details:?}");
}

fn listed(members: &Value) -> ListedDomain {
    let mut all = json!({
        "domain": "a.com", "action": "allow", "note": "", "expires_at": null, "pinned_hosts": [],
        "dnssec": "inherit", "mode": "enforce", "search_policy": "exact_handle_search",
        "restriction": {"tag": "allow_all"}, "expired": false, "created_at": "", "created_by": "",
        "updated_at": "", "updated_by": "", "owner": "operators",
    });
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn found_hosts(hosts: &[&str]) -> DiscoveryBody {
    let found = json!({
        "question": "_wire-server-federator._tcp.a.com", "servers": "192.0.2.53:53", "asked_at": "then",
        "tried_at": "later", "stands_until": "", "ttl_s": 9, "dnssec": "off", "proven": false,
        "hosts": hosts, "targets": [], "passed_over": [],
    });
    serde_json::from_value(found).unwrap()
}

/// Strategy, entry, hosts that DNS names, refusal, a part of the cure, and the commands in it.
type Cured<'a> =
    (Strategy, Option<ListedDomain>, Option<&'a [&'a str]>, &'a str, &'a str, &'a [&'a str]);

#[test]
fn each_cure_does_something_about_what_denies_the_domain_and_its_commands_are_such() {
    const FILE: &str = "/etc/list.toml";
    const DELV: &str = "delv @192.0.2.53 SRV _wire-server-federator._tcp.a.com";
    const REFRESH: &str = "fedgate domain refresh a.com";
    const STRATEGY: &str = "fedgate strategy set allowDynamic";
    let (none, dynamic) = (Strategy::AllowNone, Strategy::AllowDynamic);
    let blocked = json!({"action": "block"});
    let expired = json!({"expired": true, "expires_at": "2020-01-31T12:00:00Z"});
    let of_file = |it: &Value| {
        let mut it = it.clone();
        it["owner"] = json!("file");
        Some(listed(&it))
    };
    let entry = |it: &Value| Some(listed(it));
    let nothing: Option<&[&str]> = Some(&[]);
    let found: Option<&[&str]> = Some(&["one.a.com", "two.a.com"]);
    let pinned = json!({"pinned_hosts": ["old.a.com"]});
    let require = json!({"dnssec": "require"});
    let denied = "federation-denied";
    let failing = "discovery-failure";
    let table: &[Cured<'_>] = &[
        (dynamic, None, None, denied, "", &["fedgate domain add a.com"]),
        (none, None, None, denied, "", &["fedgate domain add a.com", STRATEGY]),
        (none, entry(&json!({})), None, denied, "", &[STRATEGY]),
        (dynamic, entry(&blocked), None, denied, "", &["fedgate domain set a.com --allow"]),
        (none, entry(&blocked), None, denied, "", &["fedgate domain set a.com --allow", STRATEGY]),
        (dynamic, entry(&expired), None, denied, "", &["fedgate domain set a.com --expires never"]),
        (dynamic, of_file(&blocked), None, denied, FILE, &[]),
        (dynamic, of_file(&expired), None, denied, FILE, &[]),
        (dynamic, entry(&json!({})), None, denied, "ask again", &[]),
        (
            dynamic,
            entry(&pinned),
            found,
            failing,
            "whether they moved",
            &["fedgate domain set a.com --pin one.a.com --pin two.a.com"],
        ),
        (dynamic, of_file(&pinned), found, failing, FILE, &[]),
        (
            dynamic,
            entry(&json!({})),
            nothing,
            failing,
            "",
            &["dig @192.0.2.53 SRV _wire-server-federator._tcp.a.com", REFRESH],
        ),
        (
            dynamic,
            entry(&require),
            nothing,
            "DNSSEC",
            "signed",
            &[DELV, REFRESH, "fedgate domain set a.com --dnssec inherit"],
        ),
        (dynamic, of_file(&require), nothing, "DNSSEC", FILE, &[DELV, REFRESH]),
        (dynamic, entry(&json!({})), nothing, "DNSSEC", "discovery.dnssec", &[DELV, REFRESH]),
        (dynamic, entry(&json!({})), nothing, "invalid-domain", "SRV record", &[REFRESH]),
    ];
    for (strategy, entry, discovery, why, part, commands) in table {
        let message = if *why == "DNSSEC" { "it has to be proven by DNSSEC" } else { "why" };
        let label = if *why == "DNSSEC" { failing } else { *why };
        let verdict = verdict(&json!({"failure": {"label": label, "message": message}}));
        let seen = Seen {
            strategy: *strategy,
            entry: entry.clone(),
            discovery: discovery.map(found_hosts),
            list_file: Some(FILE.to_owned()),
            ..seen(&verdict, unlisted())
        };
        let cure = seen.explain(&foreseen(&verdict), None).decision.cure.unwrap();
        assert!(cure.contains(part), "{part}: {cure}");
        let named: Vec<_> = cure.split('`').skip(1).step_by(2).collect();
        assert_eq!(&named, commands, "{cure}");
        for command in named.iter().filter(|it| it.starts_with("fedgate")) {
            crate::cli::takes(command).unwrap();
        }
    }
}

#[test]
fn the_strategy_is_told_first_and_a_denial_of_its_own_is_not_laid_to_the_list() {
    let verdict = failure("federation-denied");
    let seen = Seen {
        strategy: Strategy::AllowNone,
        entry: Some(listed(&json!({}))),
        ..seen(&verdict, unlisted())
    };
    let explained = seen.explain(&foreseen(&verdict), None);
    let row = &explained.steps[6];
    assert_eq!(row.text, "strategy allowNone allows nobody, listed or not");
    assert_eq!(row.details[0], "strategy allowNone: nobody may federate, listed or not");
}

#[test]
fn what_nobody_looked_at_is_not_told_as_ok_or_as_missing() {
    let verdict = failure("discovery-failure");
    let with = |mut found: DiscoveryBody, trouble: Option<&str>| {
        found.trouble = trouble.map(str::to_owned);
        let seen = Seen { discovery: Some(found), ..seen(&verdict, unlisted()) };
        seen.explain(&foreseen(&verdict), None).steps.remove(7)
    };
    let silent = with(found_hosts(&[]), Some("SERVFAIL"));
    assert_eq!((silent.state, &*silent.text), (StepState::NotLookedAt, "because DNS does not say"));
    let details = silent.details.join("\n");
    assert!(details.contains("DNSSEC: not looked at, because dnssec is off"), "{details}");
    assert!(details.contains("asked then of 192.0.2.53:53"), "{details}");
    assert!(details.contains("the last lookup, later, failed: SERVFAIL"), "{details}");
    assert_eq!(with(found_hosts(&["infra.a.com"]), Some("SERVFAIL")).state, StepState::Ok);
    let required = DiscoveryBody { dnssec: "require".to_owned(), ..found_hosts(&[]) };
    assert!(with(required, None).details.join("\n").contains("not proven by DNSSEC"));
}

#[test]
fn a_certificate_that_envoy_does_not_see_or_take_never_passes() {
    let (der, verdict) = (certificate(&["infra.a.com"]), hosts(&["infra.a.com"]));
    let said = |handshake: &Handshake| {
        let peer = Peer::new(Some(&der), true);
        let origin_header = Some(&b"a.com"[..]);
        let facts = Facts { peer: Some(&peer), handshake: Some(handshake), origin_header, now: now() };
        let account = facts.account(Some(&verdict));
        let seen = Seen { certificate: Some(&der), handshake, ..seen(&verdict, unlisted()) };
        seen.explain(&account, account::body(&account, |refusal| refusal.to_json(None)))
    };
    let withheld = said(&Handshake::Withheld("on P-521".to_owned()));
    assert_eq!(withheld.decision.label.as_deref(), Some("no-client-certificate"));
    assert_eq!(withheld.steps[0].state, StepState::No);
    assert!(withheld.steps[0].text.contains("its key is on P-521"), "{}", withheld.steps[0].text);
    let ended = said(&Handshake::Ended("its extendedKeyUsage lacks clientAuth"));
    assert_eq!(ended.decision.outcome, crate::contract::Judged::NoRequest);
    assert_eq!(ended.steps[1].state, StepState::No);
    assert!(ended.steps[1].text.contains("lacks clientAuth"), "{}", ended.steps[1].text);
    assert!(ended.decision.status.is_none() && ended.decision.body.is_none());
    let see = ended.decision.see.unwrap();
    assert_eq!(see, "docs/errors.md#handshakes-that-fail");
    assert!(include_str!("../../../docs/errors.md").contains("## Handshakes that fail"));
}

#[test]
fn a_call_that_may_be_made_and_leads_nowhere_says_so() {
    let call = RemoteCall::parse(b"POST", b"/rpc/a.com/brig/api-version").unwrap();
    let verdict = hosts(&["infra.a.com"]);
    let account = Account::of_call(&call, Some(&verdict));
    let mut found = found_hosts(&["infra.a.com"]);
    for (addresses, unreachable) in [(vec![], true), (vec!["192.0.2.1"], false)] {
        let target = json!({"host": "infra.a.com", "port": 443, "priority": 1, "weight": 1,
            "addresses": addresses, "problems": []});
        found.targets = vec![serde_json::from_value(target).unwrap()];
        let discovery = serde_json::from_value(json!(found)).unwrap();
        let seen = Seen { direction: Direction::Outgoing, discovery, ..seen(&verdict, unlisted()) };
        let decision = seen.explain(&account, None).decision;
        assert_eq!((decision.unreachable, decision.cure.is_some()), (unreachable, unreachable));
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
