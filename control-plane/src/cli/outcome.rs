//! What a write comes to, in words.

use serde_json::{Value, json};

use super::print;
use crate::contract::{Access, ChangedDomain, Outcome};

/// The most domains that are named of those of one kind, where that is not what was asked for.
const NAMED: usize = 20;

/// All of it, where it was only asked about; or in short, where it is done.
pub(super) fn tell(outcome: &Outcome) -> std::io::Result<()> {
    lines(outcome).iter().try_for_each(print::line)
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let Outcome { dry_run, added, changed, removed, unchanged, strategy, gain_access, lose_access } =
        outcome;
    let mut lines = Vec::new();
    let is_nothing = added.is_empty() && changed.is_empty() && removed.is_empty() && strategy.is_none();
    if *dry_run {
        let would =
            if is_nothing { "nothing would change" } else { "nothing is changed; it would be so:" };
        lines.push(would.to_owned());
        lines.extend(added.iter().map(|domain| line("add", domain.as_str())));
        lines.extend(changed.iter().map(|it| line("change", &difference(it))));
        lines.extend(removed.iter().map(|domain| line("remove", domain.as_str())));
    } else {
        let counts = [
            (added.len(), "added"),
            (changed.len(), "changed"),
            (removed.len(), "removed"),
            (*unchanged, "as they were"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        lines.push(if counts.is_empty() { "nothing to change".to_owned() } else { counts.join(", ") });
    }
    lines.extend(
        strategy
            .as_ref()
            .map(|it| line("strategy", &format!("{} -> {}", it.before.name(), it.after.name()))),
    );
    let most = if *dry_run { usize::MAX } else { NAMED };
    lines.extend(access(gain_access, most).map(|who| line("gain access", &who)));
    lines.extend(access(lose_access, most).map(|who| line("lose access", &who)));
    lines
}

fn line(name: &str, text: &str) -> String {
    format!("{name:<13}{text}")
}

/// Whose access changes, if anybody's does.
fn access(of: &Access, most: usize) -> Option<String> {
    let mut named: Vec<_> = of.domains.iter().take(most).map(|it| it.as_str().to_owned()).collect();
    let others = of.count.saturating_sub(named.len());
    named.extend((others > 0).then(|| format!("and {others} more")));
    named.extend(of.unlisted.then(|| "every domain that is not listed".to_owned()));
    (!named.is_empty()).then(|| named.join(", "))
}

/// What changes of a domain's terms.
fn difference(ChangedDomain { domain, before, after }: &ChangedDomain) -> String {
    let (before, after) = (json!(before), json!(after));
    let members = after.as_object().into_iter().flatten();
    let members: Vec<_> = members
        .map(|(name, after)| {
            let before = before.get(name).unwrap_or(&Value::Null);
            format!("{name} {before} -> {after}")
        })
        .collect();
    format!("{domain}: {}", members.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(dry_run: bool, rest: &Value) -> Outcome {
        let nobody = json!({"count": 0, "domains": [], "unlisted": false});
        let mut all = json!({"dry_run": dry_run, "added": [], "changed": [], "removed": [], "unchanged": 0,
            "gain_access": nobody, "lose_access": nobody});
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn what_would_be_is_told_whole_and_what_was_done_in_short() {
        let rest = json!({
            "added": ["a.com"], "removed": ["c.com"], "unchanged": 2,
            "changed": [{"domain": "b.com", "before": {"note": "x", "expires_at": null},
                "after": {"note": "y", "expires_at": "2030-01-31T12:00:00Z"}}],
            "strategy": {"before": "allowAll", "after": "allowDynamic"},
            "gain_access": {"count": 1, "domains": ["a.com"], "unlisted": false},
            "lose_access": {"count": 3, "domains": ["c.com"], "unlisted": true},
        });
        let would = "\
nothing is changed; it would be so:
add          a.com
change       b.com: expires_at null -> \"2030-01-31T12:00:00Z\", note \"x\" -> \"y\"
remove       c.com
strategy     allowAll -> allowDynamic
gain access  a.com
lose access  c.com, and 2 more, every domain that is not listed";
        assert_eq!(lines(&outcome(true, &rest)).join("\n"), would);
        let was = "\
1 added, 1 changed, 1 removed, 2 as they were
strategy     allowAll -> allowDynamic
gain access  a.com
lose access  c.com, and 2 more, every domain that is not listed";
        assert_eq!(lines(&outcome(false, &rest)).join("\n"), was);
        assert_eq!(lines(&outcome(true, &json!({"unchanged": 1}))), ["nothing would change"]);
        assert_eq!(lines(&outcome(false, &json!({}))), ["nothing to change"]);
    }
}
