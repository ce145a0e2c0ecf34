//! What an operator says of a domain, and its JSON.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use fedgate_policy::{HostName, MAX_HOSTS};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::schema::{HostText, MomentText};

/// The longest note, in characters.
pub const MAX_NOTE: usize = 500;
/// The most teams that a restriction names.
pub const MAX_TEAMS: usize = 1000;

/// On what terms a domain is listed. The default is a plain entry: it is allowed, and that is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Whether the domain may federate, or may not under any strategy.
    pub action: Action,
    /// For people: at most 500 characters, none of them a control character.
    #[schema(example = "our friends at A", max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    pub note: String,
    /// From then on the entry counts as absent.
    #[schema(value_type = Option<MomentText>)]
    pub expires_at: Option<Moment>,
    /// The only hosts that discovery may yield, at most 64; empty: any.
    #[schema(value_type = Vec<HostText>, max_items = 64)]
    pub pinned_hosts: BTreeSet<HostName>,
    /// Whether the SRV answer has to be proven.
    pub dnssec: Proof,
    /// Whether refusals count, or are only told.
    pub mode: Mode,
    /// Wire's: who of ours is found by their users.
    pub search_policy: SearchPolicy,
    /// Wire's: with which of their teams ours may talk.
    pub restriction: Restriction,
}

/// What an entry does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Allows the domain, as far as the strategy allows what is listed.
    #[default]
    Allow,
    /// Forbids the domain, under every strategy.
    Block,
}

/// Whether the SRV answer on a domain has to be proven by DNSSEC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// As `discovery.dnssec` says.
    #[default]
    Inherit,
    /// It has to be, whatever `discovery.dnssec` says.
    Require,
}

/// Whether refusals count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// What discovery, pins or names would refuse is decided, counted and logged, and passes.
    Shadow,
}

/// Wire's search policy: who of ours the other backend's users find.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SearchPolicy {
    /// Nobody.
    NoSearch,
    /// Whose handle is given exactly.
    #[default]
    ExactHandleSearch,
    /// Everybody, by parts of name or handle.
    FullSearch,
}

/// Wire's restriction, in Wire's shape: `{"tag":"restrict_by_team","value":["…"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tag", content = "value", rename_all = "snake_case", deny_unknown_fields)]
pub enum Restriction {
    /// Every team of the other backend.
    #[default]
    AllowAll,
    /// These teams only, at most 1000.
    RestrictByTeam(BTreeSet<Uuid>),
}

/// A moment in UTC, to the millisecond, as RFC 3339 writes it: `2030-01-31T12:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub SystemTime);

/// Terms of which only some are given; the others stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`Terms::action`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(nullable = false)]
    pub action: Option<Action>,
    /// For people: at most 500 characters, none of them a control character.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(nullable = false, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    pub note: Option<String>,
    /// From then on the entry counts as absent; null: never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<MomentText>)]
    pub expires_at: Option<Option<Moment>>,
    /// The only hosts that discovery may yield, at most 64; empty: any.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Vec<HostText>, nullable = false, max_items = 64)]
    pub pinned_hosts: Option<BTreeSet<HostName>>,
    /// See [`Terms::dnssec`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(nullable = false)]
    pub dnssec: Option<Proof>,
    /// See [`Terms::mode`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(nullable = false)]
    pub mode: Option<Mode>,
    /// See [`Terms::search_policy`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(nullable = false)]
    pub search_policy: Option<SearchPolicy>,
    /// See [`Terms::restriction`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(nullable = false)]
    pub restriction: Option<Restriction>,
}

/// Why terms cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The note is too long, or not text for people.
    #[error("a note has at most {MAX_NOTE} characters, none of them a control character")]
    Note,
    /// Too many hosts.
    #[error("pinned_hosts has at most {MAX_HOSTS} hosts, not {0}")]
    Hosts(usize),
    /// Too many teams.
    #[error("a restriction names at most {MAX_TEAMS} teams, not {0}")]
    Teams(usize),
    /// A block that does not count.
    #[error("an entry that blocks is always enforced: leave `mode` at enforce, or `action` at allow")]
    BlockInShadow,
}

/// A text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no moment in UTC: write it as 2030-01-31T12:00:00Z (RFC 3339)")]
pub struct NoMoment;

// === impl Terms ===

impl Terms {
    /// Whether they can be used.
    pub fn check(&self) -> Result<(), TermsError> {
        if self.note.chars().count() > MAX_NOTE || self.note.chars().any(char::is_control) {
            return Err(TermsError::Note);
        }
        if self.pinned_hosts.len() > MAX_HOSTS {
            return Err(TermsError::Hosts(self.pinned_hosts.len()));
        }
        if let Restriction::RestrictByTeam(teams) = &self.restriction
            && teams.len() > MAX_TEAMS
        {
            return Err(TermsError::Teams(teams.len()));
        }
        match (self.action, self.mode) {
            (Action::Block, Mode::Shadow) => Err(TermsError::BlockInShadow),
            (Action::Allow, _) | (Action::Block, Mode::Enforce) => Ok(()),
        }
    }

    /// Whether the domain may speak by the mouth of this host.
    pub fn admits(&self, host: &HostName) -> bool {
        self.pinned_hosts.is_empty() || self.pinned_hosts.contains(host)
    }

    /// These terms, but for what is given.
    #[must_use]
    pub fn with(mut self, change: Change) -> Self {
        let Change { action, note, expires_at, pinned_hosts, dnssec, mode, search_policy, restriction } =
            change;
        set(&mut self.action, action);
        set(&mut self.note, note);
        set(&mut self.expires_at, expires_at);
        set(&mut self.pinned_hosts, pinned_hosts);
        set(&mut self.dnssec, dnssec);
        set(&mut self.mode, mode);
        set(&mut self.search_policy, search_policy);
        set(&mut self.restriction, restriction);
        self
    }
}

fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}

/// What is there was given, even if it is null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// All of them given.
impl From<Terms> for Change {
    fn from(terms: Terms) -> Self {
        Self {
            action: Some(terms.action),
            note: Some(terms.note),
            expires_at: Some(terms.expires_at),
            pinned_hosts: Some(terms.pinned_hosts),
            dnssec: Some(terms.dnssec),
            mode: Some(terms.mode),
            search_policy: Some(terms.search_policy),
            restriction: Some(terms.restriction),
        }
    }
}

// === impl Moment ===

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before 1970 there is no text.
        let at = self.0.max(SystemTime::UNIX_EPOCH);
        write!(f, "{}", humantime::format_rfc3339(at))
    }
}

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        humantime::parse_rfc3339(text).map(Self::of).map_err(|_| NoMoment)
    }
}

impl TryFrom<String> for Moment {
    type Error = NoMoment;

    fn try_from(text: String) -> Result<Self, NoMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl Moment {
    /// A moment, cut to the millisecond, which is what the store keeps.
    pub fn of(at: SystemTime) -> Self {
        Self(fedgate_store::sqlite::time(fedgate_store::sqlite::millis(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Terms, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn terms_are_written_and_read_as_documented() {
        let json = r#"{"action":"block","note":"n","expires_at":"2030-01-31T12:00:00Z","pinned_hosts":["fed.a.com"],"dnssec":"require","mode":"enforce","search_policy":"no_search","restriction":{"tag":"restrict_by_team","value":["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]}}"#;
        assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        let plain = r#"{"action":"allow","note":"","expires_at":null,"pinned_hosts":[],"dnssec":"inherit","mode":"enforce","search_policy":"exact_handle_search","restriction":{"tag":"allow_all"}}"#;
        assert_eq!(serde_json::to_string(&Terms::default()).unwrap(), plain);
        assert_eq!(read("{}").unwrap(), Terms::default());
    }

    #[test]
    fn a_restriction_is_read_as_brig_writes_it() {
        let everybody = r#"{"restriction":{"tag":"allow_all","value":null}}"#;
        assert_eq!(read(everybody).unwrap(), Terms::default());
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        for json in [
            r#"{"action":"maybe"}"#,
            r#"{"colour":"red"}"#,
            r#"{"expires_at":"tomorrow"}"#,
            r#"{"expires_at":"2030-01-31T12:00:00+01:00"}"#,
            r#"{"pinned_hosts":["*.a.com"]}"#,
            r#"{"pinned_hosts":["192.0.2.1"]}"#,
            r#"{"restriction":{"tag":"restrict_by_team","value":["x"]}}"#,
            r#"{"note":null}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        let hosts: Vec<_> = (0..65).map(|n| format!("h{n}.a.com")).collect();
        for (json, error) in [
            (serde_json::json!({"note": "x".repeat(501)}), TermsError::Note),
            (serde_json::json!({"note": "a\u{7}"}), TermsError::Note),
            (serde_json::json!({"pinned_hosts": hosts}), TermsError::Hosts(65)),
            (serde_json::json!({"action": "block", "mode": "shadow"}), TermsError::BlockInShadow),
        ] {
            assert_eq!(read(&json.to_string()).unwrap().check(), Err(error), "{json}");
        }
        assert_eq!(
            read(&serde_json::json!({"note": "ü".repeat(500)}).to_string()).unwrap().check(),
            Ok(())
        );
    }

    #[test]
    fn what_is_not_given_stays_and_null_takes_an_end_away() {
        let terms = read(r#"{"note":"n","expires_at":"2030-01-31T12:00:00Z","mode":"shadow"}"#).unwrap();
        let change = |json: &str| serde_json::from_str::<Change>(json).unwrap();
        assert_eq!(terms.clone().with(change("{}")), terms);
        let changed = terms.clone().with(change(r#"{"note":"m","expires_at":null}"#));
        assert_eq!((changed.note.as_str(), changed.expires_at), ("m", None));
        assert_eq!(changed.mode, Mode::Shadow);
        assert_eq!(Terms::default().with(terms.clone().into()), terms);
        for json in [r#"{"note":null}"#, r#"{"mode":null}"#, r#"{"pinned_hosts":null}"#] {
            assert!(serde_json::from_str::<Change>(json).is_err(), "{json}");
        }
    }
}
