//! Fedgate in Envoy: a proxy-wasm filter that lets a federated request pass, or says why not.
//!
//! ```text
//!  request ──► ingress ── facts ──► policy: identify ── judge ──► permit: on to the router
//!                 │                              ▲                refusal: a JSON answer
//!                 └─ no verdict held? pause ── lookup ──► control plane
//! ```
//!
//! The filter gathers facts and acts; right and wrong is decided by `fedgate-policy` alone.
//! [`host`] holds every hostcall, [`config`] reads the plugin's configuration, [`gate`] keeps what
//! a worker remembers ([`verdict_cache`], the peers of open connections), [`lookup`] asks the
//! control plane, [`ingress`] is the life of one request.

#![allow(missing_docs, reason = "the only export is the entry point that the SDK's macro writes")]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod config;
mod gate;
mod host;
mod ingress;
mod lookup;
mod plugin;
mod verdict_cache;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    // Envoy's own log level decides what is written; below `info` nothing is worth the hostcall.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(plugin::Plugin::default()));
}}
