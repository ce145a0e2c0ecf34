//! What is said of the lookups of a domain: how they stand, and what one came to.

use fedgate_policy::Verdict;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::verdict::VerdictSchema;

/// How it stands with the lookups of a domain, in a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Its federators are known, and the last lookup was answered.
    Ok,
    /// DNS says that it has none.
    NoFederator,
    /// It has SRV records, and none of them names a host.
    NoTarget,
    /// The last lookup came to nothing; what an earlier one found still stands.
    Stale,
    /// The last lookup came to nothing, and nothing stands.
    Failing,
    /// Nothing is known.
    NotLookedUp,
    /// A word of a later version.
    #[serde(untagged)]
    Other(String),
}

/// How it stands with the lookups of a domain.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct StateOfLookups {
    #[schema(schema_with = state_schema)]
    pub(crate) state: State,
    /// Since when lookups fail, where the last one did. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2030-01-31T12:00:00Z")]
    pub(crate) failing_since: Option<String>,
    /// Until when that stands which was found last, if anything stands. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2030-01-31T12:00:00Z")]
    pub(crate) stands_until: Option<String>,
}

/// The same, and what led to it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Lookups {
    #[serde(flatten)]
    pub(crate) state: StateOfLookups,
    /// Why the last lookup failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "DNS error: _wire-server-federator._tcp.a.com: SERVFAIL")]
    pub(crate) cause: Option<String>,
    /// When DNS answered last. RFC 3339, as the following.
    pub(crate) last_success: Option<String>,
    /// When the last lookup ended.
    pub(crate) last_try: Option<String>,
    /// When the next one is due.
    pub(crate) next_try: Option<String>,
    /// Where the domain is to be reached, by what stands.
    pub(crate) targets: Vec<TargetBody>,
    /// SRV records beside the targets that are none, and why: at most 8.
    #[schema(example = json!(["the SRV target '192.0.2.1' is an IP address"]))]
    pub(crate) passed_over: Vec<String>,
}

/// One SRV record.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Target)]
pub(crate) struct TargetBody {
    #[schema(example = "federator.infra.a.com")]
    pub(crate) host: String,
    #[schema(example = 443)]
    pub(crate) port: u16,
    /// Lower is tried first.
    pub(crate) priority: u16,
    /// Its share among those of its priority.
    pub(crate) weight: u16,
    /// The addresses that we connect to, of both families.
    #[schema(example = json!(["192.0.2.1", "2001:db8::1"]))]
    pub(crate) addresses: Vec<String>,
    /// What is wrong with it.
    #[schema(example = json!(["AAAA records: SERVFAIL"]))]
    pub(crate) problems: Vec<String>,
}

/// What a lookup came to: as a verdict, if it were for this lookup alone.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Refreshed {
    #[serde(flatten)]
    #[schema(value_type = VerdictSchema)]
    pub(crate) attempt: Verdict,
    /// Whether DNS had an answer; that there is no such record is one.
    pub(crate) answered: bool,
    /// Where it had none: what an earlier lookup found, and still stands; null where nothing does.
    #[schema(value_type = Option<VerdictSchema>)]
    pub(crate) stands: Option<Verdict>,
    /// Until when. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2030-01-31T12:00:00Z")]
    pub(crate) stands_until: Option<String>,
}

// === impl State ===

impl State {
    /// Those that there are.
    pub(crate) const ALL: [Self; 6] =
        [Self::Ok, Self::NoFederator, Self::NoTarget, Self::Stale, Self::Failing, Self::NotLookedUp];

    /// As it is written.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ok => "ok",
            Self::NoFederator => "no-federator",
            Self::NoTarget => "no-target",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::NotLookedUp => "not-looked-up",
            Self::Other(name) => name,
        }
    }
}

fn state_schema() -> Object {
    let description = "`ok`; `no-federator`: DNS says that there is none; `no-target`: no SRV record names a host; \
        `stale`: the last lookup failed, and what was found before stands; `failing`: it failed, and nothing \
        stands; `not-looked-up`.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(State::ALL.each_ref().map(State::name)))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written_and_those_of_a_later_version_too() {
        for state in State::ALL.into_iter().chain([State::Other("asleep".to_owned())]) {
            let json = serde_json::json!(state);
            assert_eq!(json, state.name());
            assert_eq!(serde_json::from_value::<State>(json).unwrap(), state);
        }
    }
}
