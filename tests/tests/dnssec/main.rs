//! DNSSEC, compared: what Fedgate makes of many situations, honest and forged, and what two validating
//! resolvers make of them, unbound and BIND.
//!
//! ```text
//!  Fedgate (opportunistic, require) ─┐
//!  unbound                          ─┼─► Path (passes on, or forges) ─► BIND with all zones
//!  BIND as a resolver               ─┘
//! ```
//!
//! Nothing is believed that one of the two refuses; under `require` nothing that neither finds to be
//! secure. What differs, on the safe side also, is named with its reason in [`judge`], or fails.
//!
//! A sample is always tried; `scripts/test dnssec` tries all, and prints what differs.

mod forger;
mod judge;
mod path;
mod resolvers;
mod zones;

use std::fs;
use std::sync::Mutex;

use fedgate_tests::address::Address;
use fedgate_tests::process::Process;
use tempfile::TempDir;

use forger::{CHANGED, DENIED, ENDS, Forgery, LOST, WILDCARDS};
use judge::Judgement;
use path::Path;
use resolvers::Resolvers;
use zones::Zones;

/// Ways to be signed that the sample has.
const SAMPLE: &[&str] =
    &["nsec", "nsec3", "optout", "unsigned", "expired", "altered", "otherkey", "ed448"];

#[test]
fn a_sample_is_believed_only_where_unbound_and_bind_believe_it() {
    Comparison::of(SAMPLE).check(true, &[ENDS, WILDCARDS]);
}

#[test]
#[ignore = "part of `scripts/test dnssec`"]
fn honest_answers_are_judged_as_unbound_and_bind_do() {
    Comparison::of(&[]).check(true, &[]);
}

#[test]
#[ignore = "part of `scripts/test dnssec`"]
fn what_is_lost_or_changed_is_believed_only_where_unbound_and_bind_believe_it() {
    Comparison::of(&[]).check(false, &[LOST, CHANGED]);
}

#[test]
#[ignore = "part of `scripts/test dnssec`"]
fn what_is_denied_is_believed_only_where_unbound_and_bind_believe_it() {
    Comparison::of(&[]).check(false, &[DENIED]);
}

#[test]
#[ignore = "part of `scripts/test dnssec`"]
fn the_end_of_a_zone_and_wildcards_are_believed_only_where_unbound_and_bind_believe_them() {
    Comparison::of(&[]).check(false, &[ENDS, WILDCARDS]);
}

/// Zones that are served, and the path to them.
struct Comparison {
    path: Path,
    _bind: Process,
    _address: Address,
    zones: Zones,
    dir: TempDir,
}

impl Comparison {
    fn of(only: &'static [&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let zones = Zones::sign(dir.path(), only);
        let address = Address::claim();
        let bind = zones.serve(address.dns());
        Self { path: Path::to(address.dns()), _bind: bind, _address: address, zones, dir }
    }

    /// Compares what all say, over an honest path and one that forges in these ways.
    #[allow(clippy::print_stderr, reason = "what differs is what one runs it for")]
    fn check(&self, honest: bool, forgeries: &[&'static [Forgery]]) {
        let mut judgement = Judgement::default();
        if honest {
            self.compare(&mut judgement, None, &self.zones.honest());
        }
        let forged = self.zones.forged();
        for forgery in forgeries.iter().copied().flatten() {
            self.compare(&mut judgement, Some(forgery), &forged);
        }
        eprintln!("{judgement}");
        assert!(judgement.unexplained.is_empty(), "there are differences that are not meant");
    }

    /// All are asked for all of these domains, from empty caches.
    fn compare(&self, judgement: &mut Judgement, forgery: Option<&'static Forgery>, domains: &[String]) {
        let name = forgery.map_or("", |forgery| forgery.name);
        let dir = self.dir.path().join(if name.is_empty() { "honest" } else { name });
        for mode in ["opportunistic", "require"] {
            fs::create_dir_all(dir.join(mode)).unwrap();
        }
        self.path.set(forgery);
        let resolvers = Resolvers::start(&dir, self.path.address, &self.zones.trust_anchor);
        let (left, judgement) = (Mutex::new(domains.iter()), Mutex::new(judgement));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    loop {
                        let next = left.lock().unwrap().next();
                        let Some(domain) = next else { break };
                        let said = resolvers.ask(domain);
                        judgement.lock().unwrap().add(name, domain, &said);
                    }
                });
            }
        });
    }
}
