//! Fedgate in Envoy: a proxy-wasm filter that lets a federated request pass, or says why not.
//!
//! ```text
//!  request ──► ingress ── facts ──► policy: identify ── judge ──► permit: on to the router
//!     call ──► egress ─────────────► policy: parse ────── ▲      refusal: a JSON answer
//!                 │                            table ◄────┴ feed ──┐
//!                 └─ nothing known? pause ── lookups ──────────────┴── control plane
//! ```
//!
//! The filter gathers facts and acts; right and wrong is decided by `fedgate-policy` alone.
//! [`ingress`] is the life of one request from outside, [`egress`] that of one call of our own services
//! ([`reply`] says what became of it), [`connection`] what is known of who calls. The [`lobby`] closes
//! connections from outside on which nothing is permitted. [`gate`] is what a
//! worker remembers and how it learns:
//! [`table`] holds the listed domains, kept by the [`feed`], and what [`lookups`] brought
//! ([`verdict_cache`]); [`speakers`] knows who answers. [`control_plane`] knows what is asked, and what an
//! answer means; [`config`] reads the plugin's configuration; [`metrics`] counts, by domain in [`partners`],
//! and tells on the [`board`] how the table stands; [`reports`] tell the control plane what
//! was seen ([`tallies`]); [`weighed`] bounds what others make us remember;
//! [`host`] holds every hostcall.

#![allow(missing_docs, reason = "the only export is the entry point that the SDK's macro writes")]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod board;
mod config;
mod connection;
mod control_plane;
mod egress;
mod feed;
mod gate;
mod host;
mod ingress;
mod listing;
mod lobby;
mod lookups;
mod metrics;
mod partners;
mod plugin;
mod reply;
mod reports;
mod speakers;
mod table;
mod tallies;
#[cfg(test)]
mod time_tests;
mod verdict_cache;
mod weighed;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    // Envoy's own log level decides what is written; below `info` nothing is worth the hostcall.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(plugin::Plugin::new(id)));
}}
