//! The terms of an entry, as flags and in a few words.

use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fedgate_allow_list::terms::{Action, Change, Mode, Moment, Proof, Restriction, SearchPolicy, Terms};
use fedgate_policy::HostName;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::Error;

/// Terms of which some are given; the others stay as they are.
#[derive(Clone, Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "they are flags")]
#[command(next_help_heading = "Terms (what is not named stays as it is)")]
pub(super) struct TermsArgs {
    /// What to note about it, up to 500 characters; '' takes it away
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Forbid it, under every strategy
    #[arg(long, conflicts_with = "allow")]
    block: bool,
    /// Take a block back
    #[arg(long)]
    allow: bool,
    /// Until when the entry counts: 2030-01-31T12:00:00Z, or from now on, e.g. 90d or 12h; or `never` to end
    #[arg(long, value_name = "WHEN", value_parser = End::read)]
    expires: Option<End>,
    /// The only hosts that DNS may name; give it once for each, and all of them
    #[arg(long = "pin", value_name = "HOST", conflicts_with = "no_pins")]
    pins: Vec<HostName>,
    /// Any host that DNS names
    #[arg(long)]
    no_pins: bool,
    /// Whether DNS has to prove its answer; `inherit`: as the configuration says
    #[arg(long, value_name = "WHETHER", value_parser = named::<Proof>(&["inherit", "require"]))]
    dnssec: Option<Proof>,
    /// Let pass, and tell, what discovery, pins or names would refuse
    #[arg(long, conflicts_with = "enforce")]
    shadow: bool,
    /// Refuse it again
    #[arg(long)]
    enforce: bool,
    /// Wire's: who of ours their users find
    #[arg(long, value_name = "POLICY", value_parser = named::<SearchPolicy>(&["no_search", "exact_handle_search", "full_search"]))]
    search_policy: Option<SearchPolicy>,
    /// Wire's: the only teams of theirs with which ours may talk; give it once for each, and all of them
    #[arg(long = "team", value_name = "UUID", conflicts_with = "all_teams")]
    teams: Vec<Uuid>,
    /// Wire's: every team
    #[arg(long)]
    all_teams: bool,
}

/// When an entry comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Never,
    At(Moment),
    In(Duration),
}

/// A value that JSON has as text, by the names that it may have.
fn named<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    names: &'static [&'static str],
) -> impl TypedValueParser<Value = T> {
    let read = |name: String| serde_json::from_value::<T>(Value::String(name));
    PossibleValuesParser::new(names).try_map(read)
}

// === impl End ===

impl End {
    fn read(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(moment) = text.parse() {
            return Ok(Self::At(moment));
        }
        humantime::parse_duration(text).map(Self::In).map_err(|_| {
            "it is neither a moment in UTC (2030-01-31T12:00:00Z), nor a time from now on (90d), nor `never`"
                .to_owned()
        })
    }

    fn moment(self, now: SystemTime) -> Option<Moment> {
        match self {
            Self::Never => None,
            Self::At(moment) => Some(moment),
            // What is too far away never comes.
            Self::In(time) => now.checked_add(time).map(Moment::of),
        }
    }
}

// === impl TermsArgs ===

impl TermsArgs {
    /// Has them forbid the domain, unless they say otherwise; and end shadow mode, in which nothing is refused.
    pub(super) fn block(&mut self) -> Result<(), Error> {
        if self.allow {
            return Err(Error::Use("to block with --allow goes against itself".to_owned()));
        }
        self.block = true;
        self.enforce = !self.shadow;
        Ok(())
    }

    /// As the API takes them.
    pub(super) fn change(self, now: SystemTime) -> Change {
        let either = |one: bool, other: bool| one || other;
        Change {
            action: either(self.block, self.allow).then_some(if self.block {
                Action::Block
            } else {
                Action::Allow
            }),
            note: self.note,
            expires_at: self.expires.map(|end| end.moment(now)),
            pinned_hosts: either(self.no_pins, !self.pins.is_empty())
                .then(|| self.pins.into_iter().collect()),
            dnssec: self.dnssec,
            mode: either(self.shadow, self.enforce).then_some(if self.shadow {
                Mode::Shadow
            } else {
                Mode::Enforce
            }),
            search_policy: self.search_policy,
            restriction: match (self.all_teams, self.teams.is_empty()) {
                (true, _) => Some(Restriction::AllowAll),
                (false, false) => Some(Restriction::RestrictByTeam(self.teams.into_iter().collect())),
                (false, true) => None,
            },
        }
    }
}

/// What is not as usual, but for the note, in a few words.
pub(super) fn in_brief(terms: &Terms) -> String {
    let Terms { action, note: _, expires_at, pinned_hosts, dnssec, mode, search_policy, restriction } =
        terms;
    let mut said = Vec::new();
    said.extend((*action == Action::Block).then(|| "blocked".to_owned()));
    said.extend(expires_at.map(|end| format!("until {end}")));
    said.extend(match pinned_hosts.len() {
        0 => None,
        1 => pinned_hosts.first().map(|host| format!("pinned to {host}")),
        hosts => Some(format!("pinned to {hosts} hosts")),
    });
    said.extend((*dnssec == Proof::Require).then(|| "DNSSEC".to_owned()));
    said.extend((*mode == Mode::Shadow).then(|| "shadow".to_owned()));
    said.extend(match search_policy {
        SearchPolicy::NoSearch => Some("no search".to_owned()),
        SearchPolicy::ExactHandleSearch => None,
        SearchPolicy::FullSearch => Some("full search".to_owned()),
    });
    said.extend(match restriction {
        Restriction::AllowAll => None,
        Restriction::RestrictByTeam(these) if these.len() == 1 => Some("1 team".to_owned()),
        Restriction::RestrictByTeam(these) => Some(format!("{} teams", these.len())),
    });
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        terms: TermsArgs,
    }

    fn change(words: &[&str]) -> Result<Value, String> {
        let words = [&["set"], words].concat();
        let parsed = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let now = humantime::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
        Ok(json!(parsed.terms.change(now)))
    }

    #[test]
    fn each_term_can_be_given_and_taken_back() {
        let team = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        let teams = json!({"restriction": {"tag": "restrict_by_team", "value": [team]}});
        let table: &[(&[&str], Value)] = &[
            (&[], json!({})),
            (&["--note", "n"], json!({"note": "n"})),
            (&["--note="], json!({"note": ""})),
            (&["--block"], json!({"action": "block"})),
            (&["--allow"], json!({"action": "allow"})),
            (&["--expires", "2030-01-31T12:00:00Z"], json!({"expires_at": "2030-01-31T12:00:00Z"})),
            (&["--expires", "90d"], json!({"expires_at": "2030-04-01T00:00:00Z"})),
            (&["--expires", "never"], json!({"expires_at": null})),
            (&["--pin", "b.a.com", "--pin", "a.a.com"], json!({"pinned_hosts": ["a.a.com", "b.a.com"]})),
            (&["--no-pins"], json!({"pinned_hosts": []})),
            (&["--dnssec", "require"], json!({"dnssec": "require"})),
            (&["--dnssec", "inherit"], json!({"dnssec": "inherit"})),
            (&["--shadow"], json!({"mode": "shadow"})),
            (&["--enforce"], json!({"mode": "enforce"})),
            (&["--search-policy", "full_search"], json!({"search_policy": "full_search"})),
            (&["--team", team], teams),
            (&["--all-teams"], json!({"restriction": {"tag": "allow_all"}})),
        ];
        for (words, expected) in table {
            assert_eq!(&change(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn what_goes_against_itself_or_means_nothing_is_refused() {
        let table: &[&[&str]] = &[
            &["--block", "--allow"],
            &["--shadow", "--enforce"],
            &["--pin", "a.a.com", "--no-pins"],
            &["--pin", "192.0.2.1"],
            &["--team", "x"],
            &["--expires", "tomorrow"],
            &["--dnssec", "maybe"],
            &["--search-policy", "all"],
        ];
        for words in table {
            assert!(change(words).is_err(), "{words:?}");
        }
        assert!(change(&["--expires", "tomorrow"]).unwrap_err().contains("90d"));
    }

    #[test]
    fn only_what_is_unusual_is_said() {
        let terms = |value: Value| serde_json::from_value::<Terms>(value).unwrap();
        let team = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        for (value, expected) in [
            (json!({"note": "n"}), ""),
            (
                json!({"action": "block", "expires_at": "2030-01-31T12:00:00Z"}),
                "blocked, until 2030-01-31T12:00:00Z",
            ),
            (
                json!({"pinned_hosts": ["f.a.com"], "dnssec": "require", "mode": "shadow"}),
                "pinned to f.a.com, DNSSEC, shadow",
            ),
            (
                json!({"pinned_hosts": ["f.a.com", "g.a.com"], "search_policy": "no_search",
                    "restriction": {"tag": "restrict_by_team", "value": [team]}}),
                "pinned to 2 hosts, no search, 1 team",
            ),
        ] {
            assert_eq!(in_brief(&terms(value)), expected);
        }
    }
}
