//! How it stands with all of it, for one screen.

use std::collections::BTreeMap;

use fedgate_policy::Domain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DomainText;

/// How it stands with all of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusBody {
    /// The control plane's.
    #[schema(example = "0.1.0")]
    pub(crate) version: String,
    /// When it was started. RFC 3339, as all moments.
    #[schema(example = "2030-01-31T12:00:00Z")]
    pub(crate) started_at: String,
    /// What needs somebody, worst first; of each code 20 at most.
    pub(crate) findings: Vec<StatusFinding>,
    pub(crate) store: StatusOfStore,
    pub(crate) list: StatusOfList,
    pub(crate) dns: StatusOfDns,
    pub(crate) envoys: StatusOfEnvoys,
    /// How many partners are in which state.
    #[schema(example = json!({"ok": 12, "refused": 1}))]
    pub(crate) partners: BTreeMap<String, usize>,
    /// Domains that are not listed, and were refused for that: the last 20.
    pub(crate) knocking: Vec<Knock>,
    /// What ends within 30 days, or has ended; the first 100.
    pub(crate) ends: Vec<StatusOfEnd>,
    /// Calls to us without a right token, within the last ten minutes: by the last 20 sources.
    pub(crate) refused_calls: Vec<RefusedCalls>,
    /// Null where there is no brig to be in step with.
    pub(crate) brig: Option<StatusOfBrig>,
}

/// Something that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusFinding {
    /// What it is, for programs.
    #[schema(example = "partner-refused")]
    pub(crate) code: String,
    /// `trouble`, or `warning`: it is none yet, or perhaps meant to be so.
    #[schema(example = "trouble")]
    pub(crate) severity: String,
    /// The domain that it is about, if it is about one.
    #[schema(value_type = Option<DomainText>)]
    pub(crate) domain: Option<Domain>,
    /// In a sentence.
    pub(crate) text: String,
    /// The command to go on with.
    #[schema(example = "fedgate explain a.com")]
    pub(crate) next: String,
}

/// How it stands with the store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfStore {
    /// Where it is.
    #[schema(example = "/var/lib/fedgate/fedgate.db")]
    pub(crate) place: String,
    /// How large it is, in octets.
    pub(crate) octets: u64,
    /// The version of its schema.
    pub(crate) schema: usize,
    /// Whether it was just written to.
    pub(crate) writable: bool,
    /// Why not.
    pub(crate) cause: Option<String>,
}

/// How it stands with the list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfList {
    #[schema(example = "allowDynamic")]
    pub(crate) strategy: String,
    pub(crate) revision: i64,
    /// Entries that allow.
    pub(crate) allowed: usize,
    /// Those of them that are in mode `shadow`.
    pub(crate) shadowed: usize,
    /// Entries that block.
    pub(crate) blocked: usize,
    /// Entries that have come to their end.
    pub(crate) expired: usize,
    /// The file that it is kept in step with; null where there is none.
    pub(crate) file: Option<StatusOfFile>,
}

/// How it stands with the file that the list is kept in step with.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfFile {
    /// Where it is.
    #[schema(example = "/etc/fedgate/list/domains.toml")]
    pub(crate) path: String,
    /// How many entries it names.
    pub(crate) entries: usize,
    /// Entries of others who say something else than it; the first 20.
    pub(crate) conflicts: Vec<Conflict>,
    /// How many there are.
    pub(crate) conflict_count: usize,
    /// Since when it is not kept in step with, if so.
    pub(crate) failing_since: Option<String>,
    /// Why.
    pub(crate) cause: Option<String>,
}

/// A domain of which the list's file and the list say different things: the list counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Conflict {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    /// Who wrote the entry.
    pub(crate) by: String,
}

/// How it stands with DNS as a whole.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfDns {
    /// Since when nothing is answered, if so.
    pub(crate) failing_since: Option<String>,
    /// What the last lookup came to.
    pub(crate) cause: Option<String>,
}

/// Who of the Envoys is there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfEnvoys {
    /// Streams of xDS; at most 100 are told.
    pub(crate) streams: Vec<EnvoyStream>,
    /// How many there are.
    pub(crate) stream_count: usize,
    /// Whether any Envoy is there: it has a stream, or a filter of it asks for news.
    pub(crate) connected: bool,
    /// How many filters wait for changes of the feed.
    pub(crate) polls: usize,
    /// The filters that report, by Envoy and role; at most 100.
    pub(crate) filters: Vec<FilterOfEnvoy>,
}

/// A stream of xDS.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EnvoyStream {
    /// The name of its token.
    #[schema(example = "envoy-1")]
    pub(crate) by: String,
    #[schema(example = "192.0.2.10:41234")]
    pub(crate) address: Option<String>,
    /// In its own words.
    #[schema(example = "envoy-1, envoy 1.40.0")]
    pub(crate) node: Option<String>,
    pub(crate) since: String,
}

/// The filter of one Envoy, in one role.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FilterOfEnvoy {
    /// The name of its token.
    #[schema(example = "envoy-1")]
    pub(crate) by: String,
    #[schema(example = "192.0.2.10")]
    pub(crate) address: Option<String>,
    /// `ingress` or `egress`.
    #[schema(example = "ingress")]
    pub(crate) role: String,
    /// The versions of the module, more than one while it is replaced.
    pub(crate) versions: Vec<String>,
    pub(crate) workers: usize,
    /// Workers that said nothing for 90 s.
    pub(crate) silent: usize,
    /// Workers that say that they do not hear us, or do not hold the whole list.
    pub(crate) behind: usize,
    /// When the one was heard that has been silent longest.
    pub(crate) last: String,
    /// How old what they know was then, at most, in milliseconds; null where one knew nothing.
    pub(crate) age_ms: Option<u64>,
}

/// A domain that is not listed, and wants in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Knock {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    /// How often it was refused, since the control plane's start.
    pub(crate) count: u64,
    pub(crate) last: String,
    /// The names of the certificate that it presented then.
    #[schema(example = "DNS:infra.c.com")]
    pub(crate) presented: Option<String>,
    /// Whether an entry blocks it, or has come to its end.
    pub(crate) listed: bool,
}

/// Something that ends.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfEnd {
    /// `partner-certificate`, `entry`, `token` or `listener-certificate`.
    #[schema(example = "partner-certificate")]
    pub(crate) kind: String,
    /// Of whom.
    #[schema(example = "a.com")]
    pub(crate) name: String,
    #[schema(example = "2030-04-30T12:00:00Z")]
    pub(crate) at: String,
    /// Whether that is over.
    pub(crate) ended: bool,
}

/// Calls that were refused.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefusedCalls {
    #[schema(example = "192.0.2.66")]
    pub(crate) network: String,
    #[schema(example = "verdicts")]
    pub(crate) listener: String,
    #[schema(example = "we do not know this token")]
    pub(crate) reason: String,
    pub(crate) times: u32,
    pub(crate) last: String,
}

/// How our list stands to brig's; `GET /v1/brig` says more.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatusOfBrig {
    #[schema(example = "push")]
    pub(crate) mode: String,
    pub(crate) in_step: bool,
    /// How many domains differ.
    pub(crate) differing: usize,
    /// Since when brig does not answer, if so.
    pub(crate) failing_since: Option<String>,
    /// Why not.
    pub(crate) cause: Option<String>,
}
