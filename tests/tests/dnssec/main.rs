//! DNSSEC, compared: what Fedgate makes of a few hundred situations, honest and forged, and what two
//! validating resolvers make of them, unbound and BIND.
//!
//! ```text
//!  Fedgate (opportunistic, require) ─┐
//!  unbound                          ─┼─► Path (passes on, or forges) ─► BIND with all zones
//!  BIND as a resolver               ─┘
//! ```
//!
//! The rule that has to hold: under `opportunistic` nothing is believed that one of the resolvers
//! refuses; under `require` nothing that they do not find to be secure. All
//! other differences go to the file that is named at the end.

mod forger;
mod resolvers;
mod zones;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use fedgate_tests::address::Address;

use forger::FORGERIES;
use resolvers::{AllSaid, Resolvers, Said};
use zones::{FEW, MANY, PARENTS, Zones};

/// What must not be.
const WORST: &str = "believed, though both refuse";

#[test]
fn nothing_is_believed_that_unbound_or_bind_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let zones = Zones::sign(dir.path());
    let address = Address::claim();
    let _bind = zones.serve(address.dns());
    let path = forger::Path::to(address.dns());
    let mut honest = Vec::new();
    let mut forged = Vec::new();
    for (parent, _) in PARENTS {
        for kind in MANY {
            let zone = format!("{}.{parent}", kind.name);
            honest.extend(zones::domains(&zone, true));
            for prefix in
                ["", "absent.", "empty.", "x.wild.", "there.wild.", "alias.", "moved.", "lower.", "ent."]
            {
                forged.push(format!("{prefix}{zone}"));
            }
        }
        for kind in FEW {
            honest.extend(zones::domains(&format!("{}.{parent}", kind.name), false));
        }
    }
    let mut differences: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut count = 0;
    let situations = [None].into_iter().chain(FORGERIES.iter().map(Some));
    for forgery in situations {
        let domains = if forgery.is_some() { &forged } else { &honest };
        path.set(forgery);
        let only = std::env::var("FEDGATE_FORGERIES").unwrap_or_default();
        if !forgery.map_or("honest", |forgery| forgery.name).contains(&only) {
            continue;
        }
        let began = std::time::Instant::now();
        let name = forgery.map_or("honest", |forgery| forgery.name);
        let found = compare(dir.path(), &zones, &path, domains, name);
        count += domains.len();
        eprintln!("{name} {:?}", began.elapsed());
        for (domain, all) in found {
            for what in differ(&all) {
                let detail = format!("{domain}: {all:?}");
                differences.entry((name.to_owned(), what.to_owned())).or_default().push(detail);
            }
        }
        let mut report = String::new();
        for ((name, what), details) in &differences {
            report += &format!("== {name}: {what} ({})\n", details.len());
            for detail in details {
                report += &format!("    {detail}\n");
            }
        }
        fs::write(std::env::temp_dir().join("fedgate-dnssec-differences"), &report).unwrap();
    }
    eprintln!("{count} situations");
    let worst: Vec<_> = differences.iter().filter(|((_, what), _)| what == WORST).collect();
    assert!(worst.is_empty(), "{worst:#?}");
}

/// What all say of these domains, each asked by all, from empty caches.
fn compare(
    dir: &Path,
    zones: &Zones,
    path: &forger::Path,
    domains: &[String],
    name: &str,
) -> BTreeMap<String, AllSaid> {
    let dir = dir.join(name);
    fs::create_dir_all(dir.join("opportunistic")).unwrap();
    fs::create_dir_all(dir.join("require")).unwrap();
    let resolvers = Resolvers::start(&dir, path.address, &zones.trust_anchor);
    let (left, found) = (Mutex::new(domains.iter()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().next();
                    let Some(domain) = next else { break };
                    let said = resolvers.ask(domain);
                    found.lock().unwrap().insert(domain.clone(), said);
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// How what we say differs from what they do.
fn differ(all: &AllSaid) -> Vec<&'static str> {
    let AllSaid { opportunistic, require, unbound, bind } = all;
    let refused = |said: &Said| matches!(said, Said::Refused(_));
    let mut found = Vec::new();
    if !refused(opportunistic) && refused(&unbound.0) && refused(&bind.0) {
        found.push(WORST);
    }
    if !refused(opportunistic) {
        for (theirs, name) in [(&unbound.0, "unbound"), (&bind.0, "BIND")] {
            if refused(theirs) {
                found.push(if name == "unbound" {
                    "BELIEVED, unbound refuses"
                } else {
                    "BELIEVED, BIND refuses"
                });
            } else if theirs != opportunistic {
                found.push(if name == "unbound" { "other than unbound" } else { "other than BIND" });
            }
        }
    } else if !refused(&unbound.0) && !refused(&bind.0) {
        found.push("refused, both believe");
    }
    if !refused(require) {
        if require != opportunistic {
            found.push("REQUIRE believes more than opportunistic");
        }
        if !unbound.1 {
            found.push("REQUIRED, unbound finds it insecure");
        }
        if !bind.1 {
            found.push("REQUIRED, BIND finds it insecure");
        }
    } else if unbound.1 && bind.1 {
        found.push("not required, both find it secure");
    }
    found
}
