//! The parts of the benchmark.
//!
//! ```text
//!  load ──mTLS, HTTP/2──► proxy (Envoy, one per variant) ── fedgate ──► site: control plane, BIND
//!  └─ client's core ─┘    └──────────────── servers' core ─────────────────────────────────────┘
//! ```
//!
//! [`variants`], [`fresh`], [`egress`], [`revocation`], [`discovery`], [`scale`], [`page`], [`watchers`], [`strangers`],
//! [`ha`] and [`many`] are the sections; each starts a [`site`] of its own or several (`egress`, `strangers`: whole worlds,
//! as the end-to-end tests do), and
//! gives a [`report::Report`].

pub(crate) mod cores;
pub(crate) mod discovery;
pub(crate) mod egress;
pub(crate) mod event_loop;
pub(crate) mod feed;
pub(crate) mod filters;
pub(crate) mod fresh;
pub(crate) mod ha;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod many;
pub(crate) mod page;
pub(crate) mod proxy;
pub(crate) mod race;
pub(crate) mod report;
pub(crate) mod revocation;
pub(crate) mod scale;
pub(crate) mod site;
pub(crate) mod strangers;
pub(crate) mod usage;
pub(crate) mod variants;
pub(crate) mod watchers;
