//! The tester: is the other side set up right, and are we? It asks for itself, and needs no control plane.
//!
//! ```text
//! a probe ──► Ledger: one Check after another, told as it ends ──► Report: for people, JSON, JUnit
//!               └─ a Check: passed, not looked at, or Findings, each with its Code
//! ```
//!
//! A [`Code`] is the kind of a [`Finding`]: its name stays the same from release to release, and is a heading in
//! docs/check.md.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod certificate;
mod code;
pub mod envoy;
mod ledger;
#[cfg(test)]
mod page;
pub mod peer;
pub mod probe;
mod report;

pub use code::{Code, Severity};
pub use ledger::{Check, Finding, Ledger, Outcome, Progress};
pub use report::Report;
