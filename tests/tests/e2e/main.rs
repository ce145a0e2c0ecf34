//! End to end: claims about the border, each tried on real Envoy, BIND, TLS and control plane.
//!
//! A test that changes nothing shares a world with those that run beside it; a test that kills,
//! changes or configures something has a world of its own.

mod addresses;
mod allow_list;
mod answers;
mod api;
mod ask;
mod audit;
mod backup;
mod balancer;
mod brig;
mod check_envoy;
mod check_own;
mod check_peer;
mod claim;
mod client_certificate;
mod clock;
mod command_line;
mod control_plane;
mod debug;
mod discovery;
mod disk_full;
mod dnssec;
mod egress;
mod endings;
mod examples;
mod explain;
mod fairness;
mod federator;
mod feed;
mod flow;
mod forged;
mod ha;
mod keys;
mod life_cycle;
mod line;
mod list_file;
mod listener;
mod lobby;
mod log_lines;
mod lookups;
mod manifest;
mod memory;
mod metrics;
mod nights;
mod origin_header;
mod others_files;
mod partners;
mod portable;
mod reference;
mod reload;
mod reports;
mod site;
mod slips;
mod startup;
mod store;
mod strangers;
mod targets;
mod telemetry;
mod terms;
mod tls;
mod tokens;
mod traces;
mod trouble;
mod two_stores;
mod wire;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use fedgate_tests::World;

/// The world of the tests that change nothing. It lives for as long as one of them holds it, so
/// that it is gone when the last of them is through.
fn shared() -> Arc<World> {
    static WORLD: Mutex<Weak<World>> = Mutex::new(Weak::new());
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    world.upgrade().unwrap_or_else(|| {
        let records = discovery::records();
        let allowed = discovery::allowed();
        let started = Arc::new(World::builder().records(records).allow(&allowed).start());
        *world = Arc::downgrade(&started);
        started
    })
}
