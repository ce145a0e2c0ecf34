//! Who may federate with us: the decision, and nothing else.
//!
//! ```text
//!  connection ──► Peer ──┐
//!  Wire-Origin-Domain ───┼─ identify ─► Claim ── judge ─► Permit | Refusal
//!  now ──────────────────┘                        ▲
//!  control plane ───────────────► Verdict ────────┘
//! ```
//!
//! A caller gathers facts, [`identify`] says who claims to speak (authentication, and the shape of
//! the claim), [`Claim::judge`] says whether a [`Verdict`] bears the claim out (authorization and
//! discovery). Nothing here reads a clock, a file, a socket or a host: the filter in Envoy, the
//! control plane and the tests all call the same functions with their own facts.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![deny(clippy::arithmetic_side_effects, clippy::string_slice)]

// Not in the filter: that another calls them, too, would make functions bigger that it has inlined.
#[cfg(not(target_family = "wasm"))]
mod account;
mod asker;
mod certificate;
mod decision;
mod error_body;
mod feed;
mod forwarded;
mod legible;
mod name;
mod peer_error;
mod refusal;
mod remote_call;
pub mod report;
mod request_id;
mod san;
mod verdict;

#[cfg(not(target_family = "wasm"))]
pub use account::{Account, Facts, Judgement, Looked, Row, Unseen};
pub use asker::{Asker, Room};
pub use certificate::{Certificate, CertificateError, ExtendedKeyUsage, Portrait, UnixTime};
#[cfg(not(target_family = "wasm"))]
pub use certificate::{Handshake, ShownName};
pub use decision::{Claim, Peer, Permit, identify};
pub use error_body::ErrorName;
pub use feed::{FeedPage, MAX_PAGE, Speaker, Strategy, UnknownStrategy};
pub use forwarded::forwarded_certificate;
pub use legible::legible;
pub use name::{Domain, HostName, NameError};
pub use peer_error::PeerError;
pub use refusal::Refusal;
pub use remote_call::{RemoteCall, RemoteFailure, Target, Way};
pub use request_id::RequestId;
pub use san::PresentedIdentifier;
pub use verdict::{Answer, Failure, FailureLabel, MAX_HOSTS, Outcome, Verdict, VerdictError};
