//! What is wrong with an Envoy's configuration.
//!
//! ```text
//! octets ──► Configuration ──► View: listeners, clusters, secrets by name ──► Doors: connection managers
//!             (dump or file)                                                    ├─ gate: is the filter there, on, first?
//!                                                                               ├─ ingress: tls, http, gate::routes
//!                                                                               └─ egress, clusters
//! ```
//!
//! Nothing in it is trusted to have a shape: what is not there reads as not there, and is found as that.

mod clusters;
mod codes;
mod door;
mod egress;
mod findings;
mod gate;
mod http;
mod plugin;
mod read;
mod server;
mod shape;
#[cfg(test)]
mod tests;
mod tls;
mod view;
mod yaml;

use std::collections::BTreeSet;

use fedgate_policy::UnixTime;

pub use codes::CODES;
pub use read::{Configuration, MAX_SIZE, Unreadable};

use crate::ledger::Ledger;
use door::Door;
use plugin::Role;
use read::Form;
use view::View;

/// Looks at a configuration, as it is to be `now`.
pub fn lint(configuration: &Configuration, now: UnixTime, ledger: &mut Ledger<'_>) {
    let view = match configuration.form {
        Form::Dump => View::of_dump(&configuration.whole),
        Form::Bootstrap => View::of_bootstrap(&configuration.whole),
    };
    let doors = Door::all(&view);
    for door in &doors {
        let Some((.., plugin)) = door.gate() else { continue };
        ledger.section(&door.place);
        gate::lint(&view, door, ledger);
        match gate::side(door).or(plugin.role()) {
            Some(Role::Ingress) => {
                tls::lint(&view, door.chain, now, ledger);
                http::lint(&view, door, ledger);
                gate::routes(door, ledger);
            }
            Some(Role::Egress) => {
                egress::lint(door, ledger);
                clusters::xds(&view, ledger);
            }
            None => {}
        }
    }
    ledger.section("Envoy");
    gate::ways_around(&view, &doors, ledger);
    let asked: BTreeSet<_> =
        gate::plugins(&doors).map(|plugin| plugin.word("control_plane/cluster")).collect();
    for cluster in asked.into_iter().filter(|name| !name.is_empty()) {
        clusters::verdicts(&view, cluster, ledger);
    }
    server::lint(&view, ledger);
}
