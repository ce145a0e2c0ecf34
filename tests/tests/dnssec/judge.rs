//! The judge: how what Fedgate says differs from what unbound and BIND say, and which differences are meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::resolvers::{AllSaid, Said};

/// A kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// Fedgate finds hosts, or that there are none, where one of them refuses.
    Believed,
    /// All believe, and not the same.
    Other,
    /// `require` believes what neither finds to be secure, or what `opportunistic` does not.
    Unproven,
    /// Fedgate refuses what both believe; or `require` what both find to be secure.
    Stricter,
}
use Difference::{Believed, Other, Stricter, Unproven};

/// A difference that is meant: in these zones, while these ways to forge are tried (all, where none is
/// named; `""` is none), if this holds as well; and why.
struct Meant(Difference, Names, Names, fn(&AllSaid) -> bool, &'static str);

type Names = &'static [&'static str];

const SIGNED: Names = &["nsec", "nsec3", "salted", "optout", "rounds"];
const UNSIGNED: Names = &["unsigned", "island", "open"];
const LEFT_OPEN: Names = &["unsigned", "island", "open", "optout"];
const ALWAYS: fn(&AllSaid) -> bool = |_| true;

#[rustfmt::skip]
const MEANT: &[Meant] = &[
    Meant(Believed, SIGNED, &["a_wildcard_denied_by_the_zone_above", "a_wildcard_denied_by_another_zone"],
        |all| all.opportunistic == all.require && all.bind == (all.require.clone(), true),
        "the records are signed, secure to BIND too; unbound refuses them for what else is in the message"),
    Meant(Unproven, &["rounds"], &[], |all| [&all.opportunistic, &all.unbound.0, &all.bind.0] == [&all.require; 3],
        "NSEC3 of 151 to 500 iterations is verified; they take it for insecure"),
    Meant(Stricter, &["rounds"], &[], ALWAYS,
        "NSEC3 of 151 to 500 iterations is verified; they take it for insecure, and a forger may write what he will"),
    Meant(Stricter, &["rounds501"], &[""], ALWAYS, "NSEC3 of more than 500 iterations is bogus; they take it for insecure"),
    Meant(Stricter, &["ed448"], &[""], ALWAYS, "Ed448 cannot be verified here; they can"),
    Meant(Stricter, SIGNED, &["no_authority", "no_denial", "other_kinds_in_denials"], ALWAYS,
        "that no zone begins between the zone and the name has to be proven; they ask only where a signature is missing"),
    Meant(Stricter, &[], &["another_alias", "a_dname_above"], ALWAYS,
        "an alias that is not what the DNAME record above says; they make it anew from that record"),
    Meant(Stricter, UNSIGNED, &["an_alias_beside_records"], ALWAYS, "an alias beside records, in a zone that is not signed"),
    Meant(Stricter, LEFT_OPEN, &["nxdomain_by_another_zone", "nxdomain_by_the_zone_above", "nxdomain_as_another_name",
        "nodata_as_the_apex", "nodata_with_the_zones_soa",
        "a_wildcard_denied_by_another_zone", "a_wildcard_denied_by_the_zone_above"],
        |all| !all.unbound.1 && !all.bind.1,
        "where nothing need be signed, what claims to be said by another zone has to be right; they do not look"),
];

/// What was compared so far.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    situations: usize,
    meant: BTreeMap<(Difference, &'static str), usize>,
    /// The other differences, with what was said.
    pub(crate) unexplained: Vec<String>,
}

// === impl Judgement ===

impl Judgement {
    /// Adds what was said of a domain, while it was forged in this way; `""` if not at all.
    pub(crate) fn add(&mut self, forgery: &str, domain: &str, all: &AllSaid) {
        self.situations += 1;
        let zone = if domain.split('.').any(|label| label == "open") {
            "open"
        } else {
            domain.rsplit('.').nth(1).unwrap()
        };
        for difference in differences(all) {
            let meant = MEANT.iter().find(|Meant(kind, zones, forgeries, holds, _)| {
                let named = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
                *kind == difference && named(zones, zone) && named(forgeries, forgery) && holds(all)
            });
            if let Some(Meant(.., why)) = meant {
                *self.meant.entry((difference, why)).or_default() += 1;
            } else {
                self.unexplained.push(format!("{difference:?}: {forgery} {domain}: {all:?}"));
            }
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} situations", self.situations)?;
        for ((difference, why), count) in &self.meant {
            writeln!(f, "{count:>6} {difference:?}: {why}")?;
        }
        writeln!(f, "{:>6} unexplained", self.unexplained.len())?;
        self.unexplained.iter().try_for_each(|what| writeln!(f, "       {what}"))
    }
}

fn differences(all: &AllSaid) -> BTreeSet<Difference> {
    let AllSaid { opportunistic, require, unbound, bind } = all;
    let refused = |said: &Said| matches!(said, Said::Refused(_));
    let secure = |(said, secure): &(Said, bool)| *secure && !refused(said);
    let mut found = BTreeSet::new();
    for said in [opportunistic, require].into_iter().filter(|said| !refused(said)) {
        if refused(&unbound.0) || refused(&bind.0) {
            found.insert(Believed);
        } else if *said != unbound.0 || *said != bind.0 {
            found.insert(Other);
        }
    }
    if !refused(require) && (require != opportunistic || !(secure(unbound) || secure(bind))) {
        found.insert(Unproven);
    }
    let both_believe = !refused(&unbound.0) && !refused(&bind.0);
    if refused(opportunistic) && both_believe || refused(require) && secure(unbound) && secure(bind) {
        found.insert(Stricter);
    }
    found
}
