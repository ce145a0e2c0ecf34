//! The memory as a value: what is known, and what of it is still to be written.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use fedgate_discovery::{Certainty, Discovered, Family};
use fedgate_policy::{Domain, HostName};

use super::finding::{Addresses, Finding, Found, Kept, Key, standing};
use super::when::When;

/// How far the clocks of those who share a store may differ.
const SKEW: Duration = Duration::from_secs(5);

/// What was found of a domain at an earlier time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// The domain.
    pub(crate) domain: Domain,
    /// What was found, with what remains of its life.
    pub(crate) found: Discovered,
    /// How long ago.
    pub(crate) age: Duration,
}

/// What is remembered.
pub(super) struct State {
    basis: String,
    longest: Duration,
    /// The domains, with their targets.
    domains: HashMap<Domain, BTreeSet<HostName>>,
    /// The targets of all of them, and of no others.
    hosts: HashMap<HostName, Host>,
    /// What is to be written; nothing in the place of what is to be removed.
    unwritten: HashMap<Key, Option<Kept>>,
}

#[derive(Default)]
struct Host {
    /// How many domains it is a target of.
    domains: usize,
    found: Option<(Addresses, When)>,
}

// === impl State ===

impl State {
    pub(super) fn new(basis: String, longest: Duration) -> Self {
        let (domains, hosts, unwritten) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { basis, longest, domains, hosts, unwritten }
    }

    /// Takes in what was kept. Returns what of it holds at `now` of listed domains, and what is wrong
    /// with findings that mean nothing. What is of no use any more is to be removed.
    pub(super) fn recall(
        &mut self,
        mut kept: Vec<(Key, Kept)>,
        lists: impl Fn(&Domain) -> bool,
        now: &When,
    ) -> (Vec<Recalled>, Vec<String>) {
        let (mut recalled, mut corrupt) = (Vec::new(), Vec::new());
        // Domains before hosts, which are worth nothing without.
        kept.sort_by(|(one, _), (other, _)| one.kind.cmp(&other.kind));
        for (key, kept) in kept {
            let standing = kept.standing(now, self.longest);
            let holds = standing.filter(|_| kept.basis == self.basis);
            match (Finding::read(&key, &kept.finding), holds) {
                (Ok(Finding::Domain(domain, found)), Some((age, ttl))) if lists(&domain) => {
                    recalled.push(self.take_in(domain, found, age, ttl));
                }
                (Ok(Finding::Host(name, addresses)), Some(_)) if self.hosts.contains_key(&name) => {
                    let host = self.hosts.entry(name).or_default();
                    host.found = Some((addresses, kept.found));
                }
                // It may hold again, when the clock or the settings are as they were.
                (Ok(_), None) if now.since(&kept.found).is_none_or(|age| age < kept.life) => {}
                (Ok(_), _) => drop(self.unwritten.insert(key, None)),
                (Err(reason), _) => {
                    corrupt.push(reason);
                    self.unwritten.insert(key, None);
                }
            }
        }
        (recalled, corrupt)
    }

    /// Takes in what others found; returns what of it is of listed domains, and holds. What is of no use here may be
    /// of use to others.
    pub(super) fn hear(
        &mut self,
        findings: Vec<(Key, Kept)>,
        lists: impl Fn(&Domain) -> bool,
        now: &When,
    ) -> Vec<Recalled> {
        let mut heard = Vec::new();
        for (key, mut kept) in findings {
            // It was found before now, whatever the clock of whoever found it says.
            if kept.found.wall > now.wall && kept.found.wall <= now.wall + SKEW {
                kept.found.wall = now.wall;
            }
            let standing = kept.standing(now, self.longest).filter(|_| kept.basis == self.basis);
            match (Finding::read(&key, &kept.finding), standing) {
                (Ok(Finding::Domain(domain, found)), Some((age, ttl))) if lists(&domain) => {
                    heard.push(self.take_in(domain, found, age, ttl));
                }
                (Ok(Finding::Host(name, addresses)), Some(_)) => {
                    if let Some(host) = self.hosts.get_mut(&name) {
                        host.found = Some((addresses, kept.found));
                    }
                }
                (Ok(_), _) => {}
                (Err(reason), _) => tracing::warn!(reason, "what was discovered means nothing to us"),
            }
        }
        heard
    }

    fn take_in(&mut self, domain: Domain, found: Found, age: Duration, ttl: Duration) -> Recalled {
        let Found { outcome, targets, passed_over, is_proven } = found;
        self.point(&domain, targets.iter().map(|target| target.host.clone()).collect());
        let certainty = Certainty::Answered;
        let found = Discovered { outcome, targets, passed_over, ttl, certainty, is_proven };
        Recalled { domain, found, age }
    }

    /// What DNS answered of a listed domain.
    pub(super) fn found(&mut self, domain: &Domain, found: &Discovered, now: When) {
        self.point(domain, found.targets.iter().map(|target| target.host.clone()).collect());
        let Discovered { outcome, targets, passed_over, ttl, is_proven, .. } = found.clone();
        let found = Found { outcome, targets, passed_over, is_proven };
        let finding = Finding::Domain(domain.clone(), found);
        self.keep(&finding, now, ttl);
    }

    /// What DNS answered of a target's addresses of one family.
    pub(super) fn resolved(&mut self, name: &HostName, family: Family, addresses: &[IpAddr], now: When) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let (found, found_at) = host.found.get_or_insert_with(|| (Addresses::default(), now.clone()));
        *found.of(family) = Some(addresses.to_vec());
        *found_at = now.clone();
        let finding = Finding::Host(name.clone(), found.clone());
        self.keep(&finding, now, self.longest);
    }

    /// The addresses that a host had when DNS last said so, unless that was too long ago.
    pub(super) fn addresses(&self, host: &HostName, family: Family, now: &When) -> Option<Vec<IpAddr>> {
        let (found, found_at) = self.hosts.get(host)?.found.as_ref()?;
        standing(found_at, self.longest, now)?;
        found.clone().of(family).take()
    }

    /// Forgets a domain, and the hosts that only it pointed at.
    pub(super) fn forget(&mut self, domain: &Domain) {
        self.point(domain, BTreeSet::new());
        self.domains.remove(domain);
        self.unwritten.insert(Key::domain(domain), None);
    }

    /// Takes up to `most` of what is to be written.
    pub(super) fn take(&mut self, most: usize) -> Vec<(Key, Option<Kept>)> {
        let keys: Vec<_> = self.unwritten.keys().take(most).cloned().collect();
        keys.into_iter().filter_map(|key| self.unwritten.remove_entry(&key)).collect()
    }

    /// Takes back what could not be written, but for what is newer by now.
    pub(super) fn give_back(&mut self, changes: &[(Key, Option<Kept>)]) {
        for (key, kept) in changes {
            self.unwritten.entry(key.clone()).or_insert_with(|| kept.clone());
        }
    }

    fn keep(&mut self, finding: &Finding, found: When, life: Duration) {
        let (key, finding) = finding.write();
        let kept = Kept { basis: self.basis.clone(), found, life, finding };
        self.unwritten.insert(key, Some(kept));
    }

    /// A domain's targets are these from now on.
    fn point(&mut self, domain: &Domain, targets: BTreeSet<HostName>) {
        for target in &targets {
            let host = self.hosts.entry(target.clone()).or_default();
            host.domains = host.domains.saturating_add(1);
        }
        for target in self.domains.insert(domain.clone(), targets).unwrap_or_default() {
            let Some(host) = self.hosts.get_mut(&target) else { continue };
            host.domains = host.domains.saturating_sub(1);
            if host.domains == 0 {
                self.hosts.remove(&target);
                self.unwritten.insert(Key::host(&target), None);
            }
        }
    }
}
