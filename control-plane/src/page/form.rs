//! An entry as a form: what it shows, and what comes back.

use std::collections::BTreeSet;

use fedgate_allow_list::terms::{Change, Restriction};
use fedgate_allow_list::{Condition, Moment, Terms};
use fedgate_policy::HostName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plain;

/// The members of the form. All is text, as browsers send it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Form {
    pub(super) action: String,
    pub(super) note: String,
    pub(super) expires_at: String,
    pub(super) pinned_hosts: String,
    pub(super) dnssec: String,
    pub(super) mode: String,
    pub(super) search_policy: String,
    /// `allow_all` or `restrict_by_team`.
    pub(super) restriction: String,
    pub(super) teams: String,
    /// On which revision of the entry that rests; empty: that there is none.
    pub(super) revision: String,
}

/// What is wrong with a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) member: &'static str,
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// A choice, for a template.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) text: &'static str,
    pub(super) is_chosen: bool,
}

// === impl Form ===

impl Form {
    /// What an entry says.
    pub(super) fn of(terms: &Terms, revision: Option<i64>) -> Self {
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let (restriction, of_teams) = match &terms.restriction {
            Restriction::AllowAll => ("allow_all", String::new()),
            Restriction::RestrictByTeam(some) => ("restrict_by_team", lines(some)),
        };
        Self {
            action: word(serde_json::json!(terms.action)),
            note: terms.note.clone(),
            expires_at: terms.expires_at.map(|it| it.to_string()).unwrap_or_default(),
            pinned_hosts: lines(&terms.pinned_hosts),
            dnssec: word(serde_json::json!(terms.dnssec)),
            mode: word(serde_json::json!(terms.mode)),
            search_policy: word(serde_json::json!(terms.search_policy)),
            restriction: restriction.to_owned(),
            teams: of_teams,
            revision: revision.map(|it| it.to_string()).unwrap_or_default(),
        }
    }

    /// What a write of it rests on.
    pub(super) fn condition(&self) -> Condition {
        if self.revision.is_empty() {
            return Condition::Absent;
        }
        Condition::Revision(self.revision.parse().into_iter().collect())
    }

    /// What it asks for, all of it; or everything that is wrong with it. `before` is what was shown.
    pub(super) fn read(&self, before: &Terms) -> Result<Change, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut bad = |member, name, text: String| wrong.push(Wrong { member, name, text });
        // What is not seen was shown as an escape; whoever leaves it as it was leaves it as it is.
        let shown = plain::page(before.note.clone());
        let note = if self.note == shown { before.note.clone() } else { self.note.trim().to_owned() };
        let expires_at = match moment(&self.expires_at) {
            Ok(at) => at,
            Err(text) => {
                bad("expires_at", "Expires", text);
                None
            }
        };
        let mut pinned_hosts = BTreeSet::new();
        for text in items(&self.pinned_hosts) {
            match text.parse::<HostName>() {
                Ok(host) => {
                    pinned_hosts.insert(host);
                }
                Err(error) => {
                    bad("pinned_hosts", "Pinned hosts", format!("'{text}' is no host: it {error}"));
                }
            }
        }
        let mut teams = BTreeSet::new();
        for text in items(&self.teams) {
            match text.parse() {
                Ok(team) => {
                    teams.insert(team);
                }
                Err(_) => bad("teams", "Teams", format!("'{text}' is no UUID of a team")),
            }
        }
        let restriction = match &*self.restriction {
            "restrict_by_team" => Restriction::RestrictByTeam(teams),
            "" if teams.is_empty() => before.restriction.clone(),
            "allow_all" if teams.is_empty() => Restriction::AllowAll,
            "" | "allow_all" => {
                let text =
                    "teams are named, and all are chosen: choose \u{2018}only these teams\u{2019}";
                bad("restriction", "Their teams", text.to_owned());
                Restriction::AllowAll
            }
            other => {
                bad("restriction", "Their teams", unknown(other));
                Restriction::AllowAll
            }
        };
        let action = word("action", "Action", &self.action, before.action, &mut bad);
        let dnssec = word("dnssec", "DNSSEC", &self.dnssec, before.dnssec, &mut bad);
        let mode = word("mode", "Mode", &self.mode, before.mode, &mut bad);
        let of = &self.search_policy;
        let search_policy = word("search_policy", "Whom they find", of, before.search_policy, &mut bad);
        let asked =
            Terms { action, note, expires_at, pinned_hosts, dnssec, mode, search_policy, restriction };
        if let Err(error) = asked.check() {
            use fedgate_allow_list::TermsError;
            let (member, name) = match error {
                TermsError::Note => ("note", "Note"),
                TermsError::Hosts(_) => ("pinned_hosts", "Pinned hosts"),
                TermsError::Teams(_) => ("teams", "Teams"),
                TermsError::BlockInShadow => ("mode", "Mode"),
            };
            bad(member, name, error.to_string());
        }
        if wrong.is_empty() { Ok(asked.into()) } else { Err(wrong) }
    }

    pub(super) fn actions(&self) -> [Choice; 2] {
        choices(&self.action, [("allow", "Allow"), ("block", "Block, under every strategy")])
    }

    pub(super) fn proofs(&self) -> [Choice; 2] {
        choices(&self.dnssec, [("inherit", "As discovery is set"), ("require", "Require a proof")])
    }

    pub(super) fn modes(&self) -> [Choice; 2] {
        let shadow = "Shadow: what would be refused is told, and passes";
        choices(&self.mode, [("enforce", "Enforce"), ("shadow", shadow)])
    }

    pub(super) fn searches(&self) -> [Choice; 3] {
        let all = [
            ("exact_handle_search", "Those whose handle they know"),
            ("no_search", "Nobody"),
            ("full_search", "Everybody"),
        ];
        choices(&self.search_policy, all)
    }

    pub(super) fn restrictions(&self) -> [Choice; 2] {
        let all = [("allow_all", "All of their teams"), ("restrict_by_team", "Only these teams")];
        choices(&self.restriction, all)
    }
}

fn choices<const N: usize>(chosen: &str, all: [(&'static str, &'static str); N]) -> [Choice; N] {
    let is_known = all.iter().any(|(value, _)| *value == chosen);
    let first = all.first().map(|(value, _)| *value);
    all.map(|(value, text)| Choice {
        value,
        text,
        is_chosen: value == chosen || !is_known && Some(value) == first,
    })
}

/// A choice. What a form leaves out stays as it was; what there is not is never taken for something else.
fn word<T: DeserializeOwned>(
    member: &'static str,
    name: &'static str,
    text: &str,
    before: T,
    bad: &mut impl FnMut(&'static str, &'static str, String),
) -> T {
    if text.is_empty() {
        return before;
    }
    serde_json::from_value(Value::String(text.to_owned())).unwrap_or_else(|_| {
        bad(member, name, unknown(text));
        before
    })
}

fn unknown(text: &str) -> String {
    format!("'{text}' is none of the choices")
}

fn lines<T: ToString>(items: &BTreeSet<T>) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n', '\r', ' ', '\t']).filter(|it| !it.is_empty())
}

/// A moment in UTC: a day, or a day and a time, as people and browsers write it.
pub(super) fn moment(text: &str) -> Result<Option<Moment>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{}:00Z", text.replace(' ', "T")),
        _ => text.replace(' ', "T"),
    };
    whole.parse().map(Some).map_err(|error| format!("'{text}' {error}; or 2030-01-31"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_is_sent_as_it_was_shown_changes_nothing() {
        for json in [
            r"{}",
            r#"{"action":"block","note":"a\u202eb","expires_at":"2030-01-31T12:00:00Z"}"#,
            r#"{"pinned_hosts":["f.a.com","g.a.com"],"dnssec":"require","mode":"shadow"}"#,
            r#"{"restriction":{"tag":"restrict_by_team","value":["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]},"search_policy":"no_search"}"#,
            r#"{"restriction":{"tag":"restrict_by_team","value":[]},"note":"<b>\"&'"}"#,
        ] {
            let terms: Terms = serde_json::from_str(json).unwrap();
            let mut form = Form::of(&terms, Some(7));
            form.note = plain::page(form.note);
            let change = form.read(&terms).unwrap();
            assert_eq!(terms.clone().with(change), terms, "{json}");
            assert!(matches!(form.condition(), Condition::Revision(at) if at == [7]));
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let form = Form {
            note: "x".repeat(501),
            expires_at: "tomorrow".to_owned(),
            pinned_hosts: "f.a.com, *.a.com".to_owned(),
            teams: "red".to_owned(),
            ..Form::default()
        };
        let wrong = form.read(&Terms::default()).unwrap_err();
        let members: Vec<_> = wrong.iter().map(|it| it.member).collect();
        assert_eq!(members, ["expires_at", "pinned_hosts", "teams", "note"]);
    }

    #[test]
    fn what_a_form_leaves_out_stays_and_what_there_is_not_is_refused() {
        let json = r#"{"action":"block","dnssec":"require","search_policy":"no_search",
            "restriction":{"tag":"restrict_by_team","value":[]}}"#;
        let before: Terms = serde_json::from_str(json).unwrap();
        let change = Form::default().read(&before).unwrap();
        assert_eq!(before.clone().with(change), before);
        let x = || "x".to_owned();
        let form = Form {
            action: x(),
            dnssec: x(),
            mode: x(),
            search_policy: x(),
            restriction: x(),
            ..Form::default()
        };
        let wrong = form.read(&before).unwrap_err();
        let members: Vec<_> = wrong.iter().map(|it| it.member).collect();
        assert_eq!(members, ["restriction", "action", "dnssec", "mode", "search_policy"]);
    }

    #[test]
    fn a_moment_is_read_as_people_and_browsers_write_it() {
        for (text, expected) in [
            ("2030-01-31", "2030-01-31T00:00:00Z"),
            ("2030-01-31T12:30", "2030-01-31T12:30:00Z"),
            ("2030-01-31 12:30", "2030-01-31T12:30:00Z"),
            ("2030-01-31T12:30:05Z", "2030-01-31T12:30:05Z"),
        ] {
            assert_eq!(moment(text).unwrap().unwrap().to_string(), expected);
        }
        assert_eq!(moment(" "), Ok(None));
        assert!(moment("31.1.2030").is_err());
    }
}
