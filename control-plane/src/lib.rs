//! Fedgate's control plane: who may federate with us, and which hosts speak for them.
//!
//! ```text
//!  people, tools ── fedgate domain, strategy ──► admin API ──► allow list ──► SQLite
//!                                                                 │ allowed?
//!  filters in Envoy ─────────────────────────► verdict API ──► verdicts ◄── xDS ◄── Envoy (egress)
//!                                                                 │ who speaks for it, and where?
//!                                                              discovery ──► DNS (SRV, A, AAAA)
//! ```
//!
//! `fedgate serve` runs all of it; the other commands are clients of the admin API, so there is one
//! way in. A domain that is not allowed is never looked up; one that is listed is looked up ahead of
//! time; and however many wait for an answer, DNS is asked once.
//!
//! Modules depend one way: `cli → serve → {api, xds} → partners → verdicts → {allow_list, discovery}`; and the JSON of the
//! admin API stands once: `cli → contract ← api`. What
//! discovery finds is kept in the store, beside the list, by `memory`, which only `serve` knows.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api;
mod auth;
mod backend;
mod brig;
mod cli;
mod config;
mod contract;
mod deeds;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod list_file;
mod listener;
mod logging;
mod measured;
mod memory;
mod moment;
mod page;
mod partners;
mod pem;
mod plain;
mod portable;
mod reload;
mod seldom;
mod serve;
mod signals;
mod spelling;
mod startup;
mod telemetry;
mod traces;
mod upkeep;
mod verdicts;
mod xds;

/// The program `fedgate`: reads the command line, and does what it says.
pub fn run() -> std::process::ExitCode {
    cli::run()
}
