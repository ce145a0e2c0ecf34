//! Records of the audit, in words.

use std::collections::BTreeSet;

use fedgate_allow_list::{Deed, Terms};
use serde_json::{Value, json};

use crate::contract::RecordBody;

/// A record on one line: when, who, what, and what that changed.
pub(crate) fn line(record: &RecordBody) -> String {
    let RecordBody { at, by, action, domain, request_id, .. } = record;
    let at = humantime::format_rfc3339_seconds(at.0);
    let domain = domain.as_ref().map(ToString::to_string);
    let request = request_id.as_ref().map(|id| format!("(request {id})"));
    let what = Some(what(record)).filter(|what| !what.is_empty());
    let rest: Vec<_> = [domain, what, request].into_iter().flatten().collect();
    format!("{at}  {by:<12}  {action:<14}  {}", rest.join("  ")).trim_end().to_owned()
}

/// What was changed by it, in words; empty where that says itself.
pub(crate) fn what(record: &RecordBody) -> String {
    let null = Value::Null;
    let (before, after) = (record.before.as_ref(), record.after.as_ref());
    let (before, after) = (before.unwrap_or(&null), after.unwrap_or(&null));
    match record.action {
        Deed::DomainAdded => members(&json!(Terms::default()), after),
        Deed::DomainChanged => changes(before, after),
        Deed::DomainRemoved | Deed::DomainExpired => {
            let was = members(&json!(Terms::default()), before);
            if was.is_empty() { was } else { format!("was: {was}") }
        }
        Deed::StrategySet => format!("{} → {}", text(before), text(after)),
        Deed::TokenMade => token(after),
        Deed::TokenRevoked => token(before),
        Deed::CallsRefused => refused(after),
        Deed::StoreCopied => members(&Value::Null, after),
    }
}

/// What differs between two objects, as `member before → after`.
fn changes(before: &Value, after: &Value) -> String {
    let differing = differing(before, after);
    let change = |key: &&String| {
        let of = |value: &Value| value.get(key.as_str()).map_or_else(|| "none".to_owned(), text);
        format!("{key} {} → {}", of(before), of(after))
    };
    differing.iter().map(change).collect::<Vec<_>>().join(", ")
}

/// What an object says that is not said by default, as `member value`.
fn members(default: &Value, object: &Value) -> String {
    let differing = differing(default, object);
    let said = differing.iter().filter_map(|key| Some((key, object.get(key.as_str())?)));
    let said = said.filter(|(_, value)| !value.is_null());
    said.map(|(key, value)| format!("{key} {}", text(value))).collect::<Vec<_>>().join(", ")
}

fn differing<'a>(one: &'a Value, other: &'a Value) -> BTreeSet<&'a String> {
    let keys = [one, other].into_iter().filter_map(Value::as_object).flat_map(|it| it.keys());
    keys.filter(|key| one.get(key.as_str()) != other.get(key.as_str())).collect()
}

fn token(token: &Value) -> String {
    let of = |key| token.get(key).filter(|value| !value.is_null()).map(text);
    let end = of("expires_at").map(|end| format!(", until {end}")).unwrap_or_default();
    format!("{}, role {}{end}", of("name").unwrap_or_default(), of("role").unwrap_or_default())
}

fn refused(calls: &Value) -> String {
    let of = |key| calls.get(key).and_then(Value::as_str);
    let number = calls.get("calls").map(text).unwrap_or_default();
    let from = of("network").zip(of("listener"));
    let from = from.map(|(network, listener)| format!(" from {network} on {listener}"));
    format!("{number}{}: {}", from.unwrap_or_default(), of("reason").unwrap_or_default())
}

/// A value: words that need none are without quotes.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(word) if !word.is_empty() && !word.contains([' ', '"', ',']) => word.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" "))
        }
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_deed_changed_and_no_more() {
        let terms = |change: Value| {
            let mut terms = json!(Terms::default());
            terms.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            terms
        };
        let noted = terms(json!({"note": "contract 17"}));
        let pinned = terms(json!({"note": "contract 18", "pinned_hosts": ["f.a.com", "g.a.com"]}));
        let until = terms(json!({"expires_at": "2030-02-01T00:00:00Z", "dnssec": "require"}));
        let token = json!({"name": "bob", "role": "viewer", "expires_at": null});
        let calls = json!({"network": "192.0.2.7", "listener": "admin", "calls": 214,
            "reason": "we do not know this token"});
        for (action, domain, before, after, expected) in [
            ("domain-added", Some("a.com"), Value::Null, terms(json!({})), "domain-added    a.com"),
            (
                "domain-added",
                Some("a.com"),
                Value::Null,
                noted.clone(),
                r#"domain-added    a.com  note "contract 17""#,
            ),
            (
                "domain-changed",
                Some("a.com"),
                noted.clone(),
                pinned,
                r#"domain-changed  a.com  note "contract 17" → "contract 18", pinned_hosts [] → [f.a.com g.a.com]"#,
            ),
            (
                "domain-changed",
                Some("a.com"),
                terms(json!({})),
                until,
                "domain-changed  a.com  dnssec inherit → require, expires_at none → 2030-02-01T00:00:00Z",
            ),
            (
                "domain-removed",
                Some("a.com"),
                noted,
                Value::Null,
                r#"domain-removed  a.com  was: note "contract 17""#,
            ),
            ("domain-expired", Some("a.com"), terms(json!({})), Value::Null, "domain-expired  a.com"),
            (
                "strategy-set",
                None,
                json!("allowDynamic"),
                json!("allowAll"),
                "strategy-set    allowDynamic → allowAll",
            ),
            ("token-made", None, Value::Null, token.clone(), "token-made      bob, role viewer"),
            ("token-revoked", None, token, Value::Null, "token-revoked   bob, role viewer"),
            (
                "calls-refused",
                None,
                Value::Null,
                calls,
                "calls-refused   214 from 192.0.2.7 on admin: we do not know this token",
            ),
            (
                "calls-refused",
                None,
                Value::Null,
                json!({"reason": "others", "calls": 7}),
                "calls-refused   7: others",
            ),
        ] {
            let mut record = json!({"id": 1, "at": "2030-01-31T12:00:00.123Z", "by": "alice",
                "action": action, "domain": domain, "before": before, "after": after});
            let read = |record: &Value| serde_json::from_value::<RecordBody>(record.clone()).unwrap();
            let expected = format!("2030-01-31T12:00:00Z  alice         {expected}");
            assert_eq!(line(&read(&record)), expected);
            record["request_id"] = json!("r1");
            assert_eq!(line(&read(&record)), format!("{expected}  (request r1)"));
        }
    }
}
