//! Envoy itself: who can tell it what to do, and whether it has taken what it was told.

use super::codes;
use super::door::{host, is_local};
use super::findings::Findings;
use super::shape::{has, shown};
use super::view::View;
use crate::ledger::Ledger;

/// Looks at all of it.
pub(super) fn lint(view: &View<'_>, ledger: &mut Ledger<'_>) {
    let admin = view.bootstrap.and_then(|bootstrap| bootstrap.get("admin"));
    let mut found = Findings::default();
    let address = admin.map(host).unwrap_or_default();
    found.add_if(!is_local(address), &codes::ADMIN_OPEN, format!("it listens on {address}"));
    let seen = match (admin.is_some_and(|admin| has(admin, "address")), address) {
        (false, _) => "it has none",
        (true, "") => "a socket in the file system",
        (true, address) => address,
    };
    found.tell(ledger, "only this machine reaches the admin interface", seen);
    let claim = "Envoy has taken what it was sent";
    if view.secrets.is_none() {
        return ledger.not_looked_at(claim, "only a dump of a running Envoy shows it");
    }
    let mut found = Findings::default();
    for (name, why) in &view.rejected {
        found.add(&codes::REJECTED, format!("{name}: {}", shown(why)));
    }
    for name in &view.warming {
        found.add(&codes::WARMING, format!("{name} is not in use yet"));
    }
    found.tell(ledger, claim, "nothing is rejected, nothing waits");
}
