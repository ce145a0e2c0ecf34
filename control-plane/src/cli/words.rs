//! What the admin API says of domains, in words.

use serde_json::Value;

/// How it stands with the lookups of a domain, as one line of a list has it.
pub(super) fn state(domain: &Value) -> String {
    match text(domain, "state") {
        "no-federator" => "no federator".to_owned(),
        "no-target" => "no usable target".to_owned(),
        "stale" => format!("stale until {}", text(domain, "stands_until")),
        "failing" => format!("failing since {}", text(domain, "failing_since")),
        "not-looked-up" => "not looked up yet".to_owned(),
        other => other.to_owned(),
    }
}

/// All that is known of a domain, line by line.
pub(super) fn shown(domain: &Value) -> Vec<String> {
    let mut lines = vec![line("domain", text(domain, "domain"))];
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let note = some(text(domain, "note"));
    lines.extend(note.map(|note| line("note", &note)));
    lines.push(line("listed", text(domain, "created_at")));
    lines.push(line("changed", text(domain, "updated_at")));
    let since = match text(domain, "state") {
        "stale" => format!(", failing since {}", text(domain, "failing_since")),
        _ => String::new(),
    };
    lines.push(line("state", &format!("{}{since}", state(domain))));
    lines.extend(some(text(domain, "cause")).map(|cause| line("cause", &cause)));
    for (key, name) in
        [("last_success", "answered"), ("last_try", "looked up"), ("next_try", "next lookup")]
    {
        lines.extend(some(text(domain, key)).map(|moment| line(name, &moment)));
    }
    lines.push(finding(domain.get("verdict").unwrap_or(&Value::Null)));
    lines.extend(items(domain, "targets").flat_map(target));
    lines.extend(
        items(domain, "passed_over").filter_map(Value::as_str).map(|it| line("passed over", it)),
    );
    lines
}

/// A target of an SRV record, and on lines of their own what is wrong with it.
fn target(target: &Value) -> Vec<String> {
    let number = |key| target.get(key).and_then(Value::as_u64).unwrap_or_default();
    let addresses: Vec<_> = items(target, "addresses").filter_map(Value::as_str).collect();
    let (host, port) = (text(target, "host"), number("port"));
    let (priority, weight) = (number("priority"), number("weight"));
    let named = format!("{host}:{port} priority {priority} weight {weight}: {}", addresses.join(" "));
    let mut lines = vec![line("target", named.trim_end_matches(": "))];
    lines.extend(
        items(target, "problems").filter_map(Value::as_str).map(|it| line("", &format!("! {it}"))),
    );
    lines
}

/// A verdict, or none.
pub(super) fn finding(verdict: &Value) -> String {
    if let Some(found) = hosts(verdict) {
        return line("discovered", &found);
    }
    match verdict.get("failure") {
        Some(failure) => {
            line("refused", &format!("{}: {}", text(failure, "label"), text(failure, "message")))
        }
        None => line("discovered", "not looked up yet"),
    }
}

/// What reading the configuration anew came to.
pub(super) fn reloaded(reloaded: &Value) -> Vec<String> {
    let named = |key| items(reloaded, key).filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let (applied, restart) = (named("applied"), named("needs_restart"));
    let applied =
        if applied.is_empty() { "nothing has changed that can be".to_owned() } else { applied };
    let mut lines = vec![line("applied", &applied)];
    lines.extend((!restart.is_empty()).then(|| line("restart for", &restart)));
    lines
}

/// Why a lookup that was asked for came to nothing, if it did, and what stands nevertheless.
pub(super) fn failed_lookup(refreshed: &Value) -> Option<String> {
    if refreshed.get("answered").and_then(Value::as_bool) != Some(false) {
        return None;
    }
    let cause = refreshed.get("failure").map_or("", |failure| text(failure, "message"));
    let stands = refreshed.get("stands").unwrap_or(&Value::Null);
    let until = text(refreshed, "stands_until");
    let stands = match (hosts(stands), stands.get("failure")) {
        (Some(found), _) => format!("what was found before stands until {until}: {found}"),
        (None, Some(failure)) => {
            format!("what was found before stands until {until}: {}", text(failure, "message"))
        }
        (None, None) => "nothing stands that was found before".to_owned(),
    };
    Some(format!("the lookup failed: {cause}; {stands}"))
}

fn hosts(verdict: &Value) -> Option<String> {
    let hosts: Vec<_> = verdict.get("hosts")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let seconds = verdict.get("ttl_ms").and_then(Value::as_u64).unwrap_or_default() / 1000;
    Some(format!("{} (for {seconds} s more)", hosts.join(", ")))
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<12}{text}")
}

/// A member that is text, or none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
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
            (json!({}), ""),
        ] {
            assert_eq!(state(&domain), expected);
        }
    }

    #[test]
    fn all_of_a_domain_is_shown() {
        let domain = json!({
            "domain": "a.com", "note": "contract 18",
            "created_at": "2030-01-01T00:00:00.000Z", "updated_at": "2030-01-02T00:00:00.000Z",
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
listed      2030-01-01T00:00:00.000Z
changed     2030-01-02T00:00:00.000Z
state       stale until 2030-01-31T12:08:00Z, failing since 2030-01-31T11:58:00Z
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
        assert_eq!(shown(&domain).join("\n"), expected);
    }

    #[test]
    fn a_failed_lookup_is_told_with_what_stands() {
        let failure = json!({"label": "discovery-failure", "message": "SERVFAIL"});
        let hosts = json!({"domain": "a.com", "hosts": ["infra.a.com"], "ttl_ms": 20_000});
        let absent = json!({"failure": {"label": "invalid-domain", "message": "no record"}});
        for (refreshed, expected) in [
            (json!({"answered": true, "hosts": ["infra.a.com"], "stands": null}), None),
            (json!({"hosts": ["infra.a.com"]}), None),
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
            assert_eq!(failed_lookup(&refreshed).as_deref(), expected);
        }
    }
}
