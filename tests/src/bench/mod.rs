//! The parts of the benchmark.
//!
//! ```text
//!  load ──mTLS, HTTP/2──► proxy (Envoy, one per variant) ── fedgate ──► site: control plane, BIND
//!  └─ client's core ─┘    └──────────────── servers' core ─────────────────────────────────────┘
//! ```
//!
//! [`variants`], [`revocation`] and [`discovery`] are the sections; each starts a [`site`] of its own,
//! and gives a [`report::Report`].

pub(crate) mod cores;
pub(crate) mod discovery;
pub(crate) mod filters;
pub(crate) mod load;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod revocation;
pub(crate) mod site;
pub(crate) mod variants;
