//! What the admin API says of domains, in words.

use fedgate_allow_list::terms::{Action, Mode, Proof, Restriction, SearchPolicy};
use fedgate_allow_list::{Owner, Terms};
use fedgate_policy::{HostName, Outcome, Verdict};

use super::terms::in_brief;
use crate::contract::{
    DomainInList, ListedDomain, Lookups, Refreshed, Reloaded, ShownDomain, State, StateOfLookups,
    TargetBody,
};

/// A domain, as one line of the list: its name, how it stands, what is unusual beyond that, and its note.
pub(super) fn row(DomainInList { listed, lookups }: &DomainInList) -> [String; 4] {
    let terms = Terms { action: Action::Allow, mode: Mode::Enforce, ..listed.terms.clone() };
    let (name, note) = (listed.domain.as_str().to_owned(), listed.terms.note.clone());
    let owner = if listed.owner == Owner::File { "of the file" } else { "" };
    let brief = in_brief(&terms);
    let unusual = [owner, &brief].into_iter().filter(|it| !it.is_empty());
    let unusual = unusual.collect::<Vec<_>>().join(", ");
    [name, standing(listed, lookups), unusual, note]
}

/// How it stands with a domain: what its entry says comes first.
fn standing(listed: &ListedDomain, lookups: &StateOfLookups) -> String {
    let (terms, state) = (&listed.terms, state(lookups));
    match (listed.expired, terms.action, terms.mode) {
        (true, _, _) => "expired".to_owned(),
        (false, Action::Block, _) => "blocked".to_owned(),
        (false, Action::Allow, Mode::Enforce) => state,
        (false, Action::Allow, Mode::Shadow) => format!("{state}, in shadow"),
    }
}

/// How it stands with the lookups of a domain, as one line of a list has it.
fn state(lookups: &StateOfLookups) -> String {
    let moment = |at: &Option<String>| at.clone().unwrap_or_default();
    match &lookups.state {
        State::Ok => "ok".to_owned(),
        State::NoFederator => "no federator".to_owned(),
        State::NoTarget => "no usable target".to_owned(),
        State::Stale => format!("stale until {}", moment(&lookups.stands_until)),
        State::Failing => format!("failing since {}", moment(&lookups.failing_since)),
        State::NotLookedUp => "not looked up yet".to_owned(),
        State::Other(other) => other.clone(),
    }
}

/// All that is known of a domain, line by line.
pub(super) fn shown(ShownDomain { listed, lookups, verdict }: &ShownDomain) -> Vec<String> {
    let mut lines = vec![line("domain", listed.domain.as_str())];
    lines.extend(entry(listed));
    let since = match (&lookups.state.state, &lookups.state.failing_since) {
        (State::Stale, Some(since)) => format!(", failing since {since}"),
        _ => String::new(),
    };
    lines.push(line("state", &format!("{}{since}", standing(listed, &lookups.state))));
    let [tries, targets] = looked_up(lookups);
    lines.extend(tries);
    lines.push(finding(verdict.as_ref()));
    lines.extend(targets);
    lines
}

/// What an entry says, but for its domain, line by line.
pub(super) fn entry(listed: &ListedDomain) -> Vec<String> {
    let mut lines = Vec::new();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    lines.extend(some(&listed.terms.note).map(|note| line("note", &note)));
    lines.extend(terms(&listed.terms));
    let by = |at: &str, by: &str| if by.is_empty() { at.to_owned() } else { format!("{at} by {by}") };
    lines.push(line("listed", &by(&listed.created_at, &listed.created_by)));
    lines.push(line("changed", &by(&listed.updated_at, &listed.updated_by)));
    if listed.owner == Owner::File {
        lines.push(line("owner", "file: it is changed there, and nowhere else"));
    }
    lines
}

/// The last lookup and the next, and the targets that were found, line by line.
pub(super) fn looked_up(lookups: &Lookups) -> [Vec<String>; 2] {
    let mut lines = Vec::new();
    for (name, text) in [
        ("cause", &lookups.cause),
        ("answered", &lookups.last_success),
        ("looked up", &lookups.last_try),
        ("next lookup", &lookups.next_try),
    ] {
        lines.extend(text.as_ref().map(|text| line(name, text)));
    }
    let mut targets: Vec<_> = lookups.targets.iter().flat_map(target).collect();
    targets.extend(lookups.passed_over.iter().map(|it| line("passed over", it)));
    [lines, targets]
}

/// What an entry says beyond that the domain may federate, line by line.
fn terms(terms: &Terms) -> Vec<String> {
    let mut lines = Vec::new();
    match terms.action {
        Action::Allow => {}
        Action::Block => lines.push(line("action", "block, whatever the strategy")),
    }
    lines.extend(terms.expires_at.map(|end| line("expires", &end.to_string())));
    if !terms.pinned_hosts.is_empty() {
        let hosts: Vec<_> = terms.pinned_hosts.iter().map(HostName::as_str).collect();
        lines.push(line("pinned to", &hosts.join(", ")));
    }
    match terms.dnssec {
        Proof::Inherit => {}
        Proof::Require => lines.push(line("dnssec", "required")),
    }
    match terms.mode {
        Mode::Enforce => {}
        Mode::Shadow => lines.push(line("mode", "shadow: what would be refused is told, and passes")),
    }
    match terms.search_policy {
        SearchPolicy::ExactHandleSearch => {}
        SearchPolicy::NoSearch => lines.push(line("search", "their users find nobody")),
        SearchPolicy::FullSearch => lines.push(line("search", "their users find everybody")),
    }
    match &terms.restriction {
        Restriction::AllowAll => {}
        Restriction::RestrictByTeam(some) => {
            let some: Vec<_> = some.iter().map(ToString::to_string).collect();
            let only = if some.is_empty() { "none of theirs".to_owned() } else { some.join(", ") };
            lines.push(line("teams", &only));
        }
    }
    lines
}

/// A target of an SRV record, and on lines of their own what is wrong with it.
fn target(target: &TargetBody) -> Vec<String> {
    let TargetBody { host, port, priority, weight, addresses, problems } = target;
    let named = format!("{host}:{port} priority {priority} weight {weight}: {}", addresses.join(" "));
    let mut lines = vec![line("target", named.trim_end_matches(": "))];
    lines.extend(problems.iter().map(|it| line("", &format!("! {it}"))));
    lines
}

/// A verdict, or none.
pub(super) fn finding(verdict: Option<&Verdict>) -> String {
    match verdict.map(|verdict| (&verdict.outcome, hosts(verdict))) {
        Some((Outcome::Hosts(_), found)) => line("discovered", &found),
        Some((Outcome::Failure(failure), _)) => {
            line("refused", &format!("{}: {}", failure.label.name(), failure.message))
        }
        None => line("discovered", "not looked up yet"),
    }
}

/// What reading the configuration anew came to.
pub(super) fn reloaded(Reloaded { applied, needs_restart }: &Reloaded) -> Vec<String> {
    let nothing = || "nothing has changed that can be".to_owned();
    let applied = if applied.is_empty() { nothing() } else { applied.join(", ") };
    let mut lines = vec![line("applied", &applied)];
    lines.extend((!needs_restart.is_empty()).then(|| line("restart for", &needs_restart.join(", "))));
    lines
}

/// Why a lookup that was asked for came to nothing, if it did, and what stands nevertheless.
pub(super) fn failed_lookup(refreshed: &Refreshed) -> Option<String> {
    if refreshed.answered {
        return None;
    }
    let cause = match &refreshed.attempt.outcome {
        Outcome::Hosts(_) => "",
        Outcome::Failure(failure) => &failure.message,
    };
    let until = refreshed.stands_until.as_deref().unwrap_or_default();
    let stands = match refreshed.stands.as_ref().map(|verdict| (&verdict.outcome, hosts(verdict))) {
        Some((Outcome::Hosts(_), found)) => {
            format!("what was found before stands until {until}: {found}")
        }
        Some((Outcome::Failure(failure), _)) => {
            format!("what was found before stands until {until}: {}", failure.message)
        }
        None => "nothing stands that was found before".to_owned(),
    };
    Some(format!("the lookup failed: {cause}; {stands}"))
}

/// The hosts of a verdict, if it has any, and for how long.
fn hosts(verdict: &Verdict) -> String {
    let hosts: Vec<_> = match &verdict.outcome {
        Outcome::Hosts(hosts) => hosts.iter().map(HostName::as_str).collect(),
        Outcome::Failure(_) => Vec::new(),
    };
    format!("{} (for {} s more)", hosts.join(", "), verdict.ttl_ms / 1000)
}

/// The columns that the name of a line has.
pub(super) const NAME: usize = 12;

/// A line of what is shown: what it is, and what it says.
pub(super) fn line(name: &str, text: &str) -> String {
    format!("{name:<NAME$}{text}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_a_few_words() {
        let at = "2030-01-31T12:00:00Z";
        for (domain, expected) in [
            (json!({"state": "ok"}), "ok"),
            (json!({"state": "ok", "stands_until": at}), "ok"),
            (json!({"state": "no-federator"}), "no federator"),
            (json!({"state": "no-target"}), "no usable target"),
            (
                json!({"state": "stale", "stands_until": at, "failing_since": "x"}),
                "stale until 2030-01-31T12:00:00Z",
            ),
            (json!({"state": "failing", "failing_since": at}), "failing since 2030-01-31T12:00:00Z"),
            (json!({"state": "not-looked-up"}), "not looked up yet"),
            (json!({"state": "of-a-later-version"}), "of-a-later-version"),
        ] {
            let lookups = serde_json::from_value(domain).unwrap();
            assert_eq!(state(&lookups), expected);
        }
    }

    #[test]
    fn all_of_a_domain_is_shown() {
        let domain = json!({
            "domain": "a.com", "note": "contract 18",
            "action": "block", "expires_at": "2030-03-01T00:00:00Z", "pinned_hosts": ["infra.a.com"],
            "dnssec": "require", "mode": "enforce", "search_policy": "no_search", "colour": "red",
            "restriction": {"tag": "restrict_by_team", "value": ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]},
            "expired": false,
            "created_at": "2030-01-01T00:00:00.000Z", "created_by": "",
            "updated_at": "2030-01-02T00:00:00.000Z", "updated_by": "alice",
            "state": "stale", "failing_since": "2030-01-31T11:58:00Z",
            "stands_until": "2030-01-31T12:08:00Z", "cause": "DNS error: SERVFAIL",
            "last_success": "2030-01-31T11:49:00Z", "last_try": "2030-01-31T11:59:00Z",
            "next_try": "2030-01-31T12:00:00Z",
            "verdict": {"domain": "a.com", "hosts": ["infra.a.com"], "ttl_ms": 480_000},
            "targets": [
                {"host": "infra.a.com", "port": 443, "priority": 10, "weight": 5,
                    "addresses": ["192.0.2.1", "2001:db8::1"], "problems": []},
                {"host": "other.a.com", "port": 0, "priority": 20, "weight": 5,
                    "addresses": [], "problems": ["port 0 is no port", "no address"]},
            ],
            "passed_over": ["the SRV target '192.0.2.1' is an IP address"],
        });
        let expected = "\
domain      a.com
note        contract 18
action      block, whatever the strategy
expires     2030-03-01T00:00:00Z
pinned to   infra.a.com
dnssec      required
search      their users find nobody
teams       f81d4fae-7dec-11d0-a765-00a0c91e6bf6
listed      2030-01-01T00:00:00.000Z
changed     2030-01-02T00:00:00.000Z by alice
state       blocked, failing since 2030-01-31T11:58:00Z
cause       DNS error: SERVFAIL
answered    2030-01-31T11:49:00Z
looked up   2030-01-31T11:59:00Z
next lookup 2030-01-31T12:00:00Z
discovered  infra.a.com (for 480 s more)
target      infra.a.com:443 priority 10 weight 5: 192.0.2.1 2001:db8::1
target      other.a.com:0 priority 20 weight 5
            ! port 0 is no port
            ! no address
passed over the SRV target '192.0.2.1' is an IP address";
        let domain = serde_json::from_value(domain).unwrap();
        assert_eq!(shown(&domain).join("\n"), expected);
    }

    #[test]
    fn a_failed_lookup_is_told_with_what_stands() {
        let failure = json!({"label": "discovery-failure", "message": "SERVFAIL"});
        let hosts = json!({"domain": "a.com", "hosts": ["infra.a.com"], "ttl_ms": 20_000});
        let absent = json!({"domain": "a.com", "ttl_ms": 1,
            "failure": {"label": "invalid-domain", "message": "no record"}});
        for (mut refreshed, expected) in [
            (json!({"answered": true, "hosts": ["infra.a.com"], "stands": null}), None),
            (
                json!({"answered": false, "failure": failure, "stands": null}),
                Some("the lookup failed: SERVFAIL; nothing stands that was found before"),
            ),
            (
                json!({"answered": false, "failure": failure, "stands": hosts, "stands_until": "12:00"}),
                Some(
                    "the lookup failed: SERVFAIL; what was found before stands until 12:00: infra.a.com (for 20 s more)",
                ),
            ),
            (
                json!({"answered": false, "failure": failure, "stands": absent, "stands_until": "12:00"}),
                Some("the lookup failed: SERVFAIL; what was found before stands until 12:00: no record"),
            ),
        ] {
            refreshed["domain"] = json!("a.com");
            refreshed["ttl_ms"] = json!(1);
            let refreshed = serde_json::from_value(refreshed).unwrap();
            assert_eq!(failed_lookup(&refreshed).as_deref(), expected);
        }
    }
}
