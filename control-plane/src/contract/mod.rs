//! The JSON of the admin API, once: what the server writes and the command line reads, and the other way round.
//!
//! The two may differ in version. Whoever reads an answer passes over members that he does not know; whoever reads
//! a request refuses them, so that nobody takes for done what was not understood.

mod audit;
mod brig;
mod configuration;
mod domains;
mod explain;
mod lookups;
mod partners;
mod problem;
mod remote;
mod reports;
mod status;
mod strategy;
mod text;
mod tokens;
mod verdict;
mod writes;

pub(crate) use audit::{AuditPage, RecordBody};
pub(crate) use brig::{BrigStatus, Drift, DriftCounts, Imported, ImportedDomain};
pub(crate) use configuration::{ConfigurationBody, KeyBody, Reloaded};
pub(crate) use domains::{DomainInList, DomainPage, ListedDomain, ShownDomain};
pub(crate) use explain::{
    CertificateBody, DecisionBody, Direction, DiscoveryBody, Explain, Explained, FiltersBody, NameBody,
    Outcome as Judged, StepBody, StepState,
};
pub(crate) use lookups::{Lookups, Refreshed, State, StateOfLookups, TargetBody};
pub(crate) use partners::{
    NOT_LISTED, PARTNER_STATES, PartnerInList, PartnerPage, Retried, SeenCertificate, SeenEnd,
    ShownPartner,
};
pub(crate) use problem::{Details, Kind};
pub(crate) use remote::{Policy, Remote, Remotes};
pub(crate) use reports::{ReportSchema, TakenSchema};
pub(crate) use status::{
    Conflict, EnvoyStream, FilterOfEnvoy, Knock, RefusedCalls, StatusBody, StatusFinding, StatusOfBrig,
    StatusOfDns, StatusOfEnd, StatusOfEnvoys, StatusOfFile, StatusOfList, StatusOfStore,
};
pub(crate) use strategy::{SetStrategy, StrategyBody, strategy_schema};
pub(crate) use text::DomainText;
pub(crate) use tokens::{MadeToken, MakeToken, TokenBody, TokenPage, TokenSource};
pub(crate) use verdict::{FailureSchema, VerdictSchema};
pub(crate) use writes::{
    Access, ChangedDomain, ChangedStrategy, Outcome, PutAnswer, PutDomain, PutDomains, StrategyAnswer,
};
