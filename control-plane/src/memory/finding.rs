//! A finding as the store keeps it: a value, in two words of its own, and for how long it holds.

use std::net::IpAddr;
use std::time::Duration;

use fedgate_discovery::{Family, Target};
use fedgate_policy::{Domain, HostName, Outcome, Verdict};
use serde::{Deserialize, Serialize};

use super::when::When;

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// `domain` or `host`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
}

/// A finding, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What it rests on.
    pub(crate) basis: String,
    /// When it was made.
    pub(crate) found: When,
    /// How long it lives from then on.
    pub(crate) life: Duration,
    /// JSON.
    pub(crate) finding: String,
}

/// A finding, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Domain(Domain, Found),
    Host(HostName, Addresses),
}

/// What was found of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) outcome: Outcome,
    pub(super) targets: Vec<Target>,
    pub(super) passed_over: Vec<String>,
    pub(super) is_proven: bool,
}

/// A host's addresses; none of a family of which DNS has said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Addresses {
    v4: Option<Vec<IpAddr>>,
    v6: Option<Vec<IpAddr>>,
}

/// [`Found`], as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Discovery {
    /// Its life stands beside it.
    verdict: Verdict,
    /// Priority, host, port, weight.
    targets: Vec<(u16, HostName, u16, u16)>,
    passed_over: Vec<String>,
    /// Whether DNSSEC proved it, where it had to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    proven: bool,
}

const DOMAIN: &str = "domain";
pub(super) const HOST: &str = "host";

// === impl Addresses ===

impl Addresses {
    pub(super) fn of(&mut self, family: Family) -> &mut Option<Vec<IpAddr>> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

// === impl Key ===

impl Key {
    pub(super) fn domain(domain: &Domain) -> Self {
        Self { kind: DOMAIN.to_owned(), name: domain.to_string() }
    }

    pub(super) fn host(host: &HostName) -> Self {
        Self { kind: HOST.to_owned(), name: host.to_string() }
    }
}

// === impl Kept ===

impl Kept {
    /// How long ago the finding was made, and how long it still holds; none where it does not, or nobody
    /// knows how much time has passed.
    pub(super) fn standing(&self, now: &When, longest: Duration) -> Option<(Duration, Duration)> {
        standing(&self.found, self.life.min(longest), now)
    }
}

/// See [`Kept::standing`].
pub(super) fn standing(found: &When, life: Duration, now: &When) -> Option<(Duration, Duration)> {
    let age = now.since(found)?;
    let left = life.checked_sub(age).filter(|left| !left.is_zero())?;
    Some((age, left))
}

// === impl Finding ===

impl Finding {
    /// Reads what is kept, or says why it means nothing.
    pub(super) fn read(key: &Key, finding: &str) -> Result<Self, String> {
        let wrong = |reason: &dyn std::fmt::Display| format!("{} '{}': {reason}", key.kind, key.name);
        match key.kind.as_str() {
            DOMAIN => {
                let Discovery { verdict, targets, passed_over, proven: is_proven } =
                    serde_json::from_str(finding).map_err(|error| wrong(&error))?;
                if verdict.domain.as_str() != key.name {
                    return Err(wrong(&"it is about another"));
                }
                let target = |(priority, host, port, weight)| Target { priority, host, port, weight };
                let targets = targets.into_iter().map(target).collect();
                let outcome = verdict.outcome;
                Ok(Self::Domain(verdict.domain, Found { outcome, targets, passed_over, is_proven }))
            }
            HOST => {
                let host = HostName::parse(key.name.as_bytes()).map_err(|error| wrong(&error))?;
                serde_json::from_str(finding)
                    .map(|addresses| Self::Host(host, addresses))
                    .map_err(|error| wrong(&error))
            }
            _ => Err(wrong(&"findings are about a domain or a host")),
        }
    }

    /// As it is kept.
    pub(super) fn write(&self) -> (Key, String) {
        let (key, json) = match self {
            Self::Domain(domain, found) => {
                let outcome = found.outcome.clone();
                let verdict = Verdict { domain: domain.clone(), outcome, ttl_ms: 0, shadow: false };
                let target = |it: &Target| (it.priority, it.host.clone(), it.port, it.weight);
                let targets = found.targets.iter().map(target).collect();
                let passed_over = found.passed_over.clone();
                let proven = found.is_proven;
                let json = serde_json::to_string(&Discovery { verdict, targets, passed_over, proven });
                (Key::domain(domain), json)
            }
            Self::Host(host, addresses) => (Key::host(host), serde_json::to_string(addresses)),
        };
        // Neither has what JSON cannot say; and if so, it would be passed over when it is read.
        (key, json.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// A moment of which only the wall clock tells.
    fn wall(since_epoch: Duration) -> When {
        When { wall: UNIX_EPOCH + since_epoch, boot: "".into(), booted_ms: 0 }
    }

    fn domain(name: &str) -> Finding {
        let outcome = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
        let target = Target { priority: 10, host: "fed.a.com".parse().unwrap(), port: 443, weight: 5 };
        let (targets, passed_over) = (vec![target], vec!["a target that is none".to_owned()]);
        let is_proven = true;
        Finding::Domain(name.parse().unwrap(), Found { outcome, targets, passed_over, is_proven })
    }

    #[test]
    fn a_finding_holds_from_when_it_was_made_until_it_ends() {
        let at = |seconds: u64| wall(Duration::from_secs(1_000_000 + seconds));
        let life = Duration::from_secs(600);
        let hour = Duration::from_secs(3600);
        for (what, now, longest, expected) in [
            ("at once", at(10), hour, Some((0, 600))),
            ("later", at(310), hour, Some((300, 300))),
            ("its last second", at(609), hour, Some((599, 1))),
            ("ended", at(610), hour, None),
            ("long ended", at(999_999), hour, None),
            ("the clock was set back", at(9), hour, None),
            ("the clock knows nothing", wall(Duration::ZERO), hour, None),
            ("it may live for less now", at(20), Duration::from_secs(60), Some((10, 50))),
            ("it may have lived for less now", at(70), Duration::from_secs(60), None),
            ("it may live for ever", at(20), Duration::MAX, Some((10, 590))),
            ("no life is allowed", at(10), Duration::ZERO, None),
        ] {
            let kept = Kept { basis: String::new(), found: at(10), life, finding: String::new() };
            let standing = kept.standing(&now, longest);
            assert_eq!(standing.map(|(age, left)| (age.as_secs(), left.as_secs())), expected, "{what}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let v4 = Some(vec!["192.0.2.1".parse().unwrap()]);
        let v6 = Some(vec![]);
        for finding in [
            domain("a.com"),
            Finding::Host("fed.a.com".parse().unwrap(), Addresses { v4, v6 }),
            Finding::Host("fed.a.com".parse().unwrap(), Addresses::default()),
        ] {
            let (key, text) = finding.write();
            assert_eq!(Finding::read(&key, &text), Ok(finding), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_told() {
        let (good, text) = domain("a.com").write();
        let key = |kind: &str, name: &str| Key { kind: kind.to_owned(), name: name.to_owned() };
        for (key, text) in [
            (good.clone(), ""),
            (good.clone(), "null"),
            (good.clone(), "\u{0}\u{ff}"),
            (
                good.clone(),
                r#"{"verdict":{"domain":"a.com","hosts":[],"ttl_ms":0},"targets":[],"passed_over":[]}"#,
            ),
            (
                good.clone(),
                r#"{"verdict":{"domain":"a.com","hosts":["*.a.com"],"ttl_ms":0},"targets":[],"passed_over":[]}"#,
            ),
            (
                good,
                r#"{"verdict":{"domain":"a.com","hosts":["a.com"],"ttl_ms":0},"targets":[[1]],"passed_over":[]}"#,
            ),
            (key("domain", "b.com"), text.as_str()),
            (key("domain", "not a domain"), text.as_str()),
            (key("host", "a.com"), text.as_str()),
            (key("host", "*"), r#"{"v4":[],"v6":[]}"#),
            (key("host", "a.com"), r#"{"v4":["not an address"],"v6":[]}"#),
            (key("", ""), ""),
        ] {
            let error = Finding::read(&key, text).unwrap_err();
            assert!(error.starts_with(&format!("{} '{}': ", key.kind, key.name)), "{error}");
        }
    }
}
