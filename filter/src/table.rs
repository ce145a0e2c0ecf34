//! What a worker knows of backend domains: the feed's table, and beside it what was looked up.
//!
//! | the table is | when | what counts |
//! |---|---|---|
//! | warming | no whole table has come yet | what was looked up |
//! | fresh | the feed's last poll was answered, or still may be | strategy, list, what was looked up |
//! | stale | it failed, or what it tells is old; the control plane was heard within `max_staleness` | strategy, list, what was looked up |
//! | too stale | the control plane was not heard within `max_staleness` | what was looked up |
//!
//! While several control planes answer in turn ([`crate::speakers`]), the strictest counts: the strategy that
//! allows least, of the list what each whole table has told of, and a denial that any of them tells; and
//! without a whole table, nothing does.

use std::cell::Cell;
use std::time::Duration;

use fedgate_policy::report::FeedState;
use fedgate_policy::{Domain, FeedPage, Strategy, Verdict};

use crate::control_plane::SHORTEST_STALENESS;
use crate::host::Now;
use crate::listing::{Listed, Listing};
use crate::partners::Partner;
use crate::tallies::millis;
use crate::verdict_cache::{Held, VerdictCache};

/// The table of listed domains, kept by the feed, and the cache of looked-up verdicts.
pub(crate) struct Table {
    listed: Listing,
    looked_up: VerdictCache,
    strategy: Strategy,
    /// Counts the whole tables that were begun; an entry of an earlier one is no longer listed.
    generation: u32,
    /// The entries of this generation.
    current: usize,
    /// What the verdicts rest on, where the control plane tells.
    basis: Option<String>,
    /// The first generation whose verdicts rest on it.
    based_since: u32,
    heard: Option<Heard>,
    /// Whether the control plane was asked in vain since.
    missed: bool,
    dispute: Option<Dispute>,
    max_staleness: Duration,
}

/// Where two answer in turn, each tells of one whole table in so many.
const TABLES: u32 = 2;

/// What counts while control planes answer in turn.
#[derive(Clone, Copy)]
struct Dispute {
    /// A domain that this whole table, or one after it, has not told of, is not listed.
    since: u32,
    /// The strategy of all that were heard which allows least.
    strictest: Strategy,
}

/// When all was last told that there was to tell, once a whole table had come.
#[derive(Clone, Copy)]
struct Heard {
    at: Now,
    /// The oldest generation whose entries count: the one before, while a new table comes in.
    since: u32,
}

/// What the worker knows of a domain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known<'a> {
    /// This verdict is in force.
    Verdict(&'a Verdict),
    /// Strategy and list do not allow the domain.
    Denied,
    /// The control plane has to be asked.
    Nothing,
    /// There is nobody whose answer would count.
    Unavailable,
}

/// The state of the table, as metrics and log tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// No whole table has come yet.
    Warming,
    /// The control plane tells of each change.
    Fresh,
    /// The control plane does not answer; what it last said is in force.
    Stale,
    /// What it last said is too old to be in force.
    TooStale,
}

// === impl Table ===

impl Table {
    /// An empty table, which is in force for `max_staleness` after the control plane is heard.
    pub(crate) fn new(max_staleness: Duration) -> Self {
        Self {
            listed: Listing::new(),
            looked_up: VerdictCache::new(max_staleness),
            strategy: Strategy::AllowNone,
            generation: 0,
            current: 0,
            basis: None,
            based_since: 0,
            heard: None,
            missed: false,
            dispute: None,
            max_staleness,
        }
    }

    /// What is known of a domain at `now`; and, where it is listed, the note of its place among the counts.
    pub(crate) fn known(&mut self, domain: &Domain, now: Now) -> (Known<'_>, Option<&Cell<Partner>>) {
        let listed = self.listed.get(domain);
        let partner = listed.map(|listed| &listed.partner);
        if let Some(heard) = self.in_force(now) {
            let denied = |dispute: Dispute| {
                listed.is_some_and(|it| it.denied > dispute.since.saturating_sub(TABLES))
            };
            if self.dispute.is_some_and(denied) {
                return (Known::Denied, partner);
            }
            let listed = listed.filter(|listed| {
                listed.generation >= heard.since
                    && self.dispute.is_none_or(|dispute| listed.since <= dispute.since)
            });
            let strategy = self.dispute.map_or(self.strategy, |dispute| dispute.strictest);
            if !strategy.allows(listed.is_some()) {
                return (Known::Denied, partner);
            }
            if let Some(verdict) = listed.and_then(|listed| listed.held.valid_at(now)) {
                return (Known::Verdict(verdict), partner);
            }
        } else if self.dispute.is_some() && !self.max_staleness.is_zero() {
            return (Known::Unavailable, partner);
        }
        (self.looked_up.valid_at(domain, now).map_or(Known::Nothing, Known::Verdict), partner)
    }

    /// Keeps a verdict that was looked up.
    pub(crate) fn keep(&mut self, verdict: Verdict, now: Now) {
        self.looked_up.insert(verdict, now);
    }

    /// Whether control planes answer in turn from now on.
    pub(crate) fn dispute(&mut self, in_turn: bool) {
        let begun = Dispute { since: self.generation, strictest: self.strategy };
        self.dispute = in_turn.then(|| self.dispute.unwrap_or(begun));
    }

    /// Applies a page of the feed.
    pub(crate) fn apply(&mut self, page: FeedPage, now: Now) {
        if page.reset {
            self.generation = self.generation.wrapping_add(1);
            self.current = 0;
            if page.basis.is_none() || page.basis != self.basis {
                self.based_since = self.generation;
                self.looked_up.clear();
            }
            self.basis = page.basis;
        }
        if self.strategy != page.strategy {
            self.strategy = page.strategy;
            self.looked_up.clear();
        }
        if let Some(dispute) = &mut self.dispute {
            dispute.strictest = dispute.strictest.min(page.strategy);
        }
        for domain in &page.removed {
            self.looked_up.remove(domain);
            if self.listed.remove(domain).is_some_and(|listed| listed.generation == self.generation) {
                self.current = self.current.saturating_sub(1);
            }
        }
        for verdict in page.verdicts {
            self.list(verdict, now);
        }
        let whole = !page.more;
        if whole && self.current != self.listed.len() {
            // Rare: a new table, of another control plane, that has fewer domains than the one before.
            self.listed.retain(self.generation);
        }
        if whole {
            // What another control plane of the store told before may be newer.
            let before = self.heard.filter(|heard| heard.since == self.generation);
            let at = now.before(Duration::from_millis(page.age_ms.unwrap_or(0)));
            let at = before.map_or(at, |before| before.at.max(at));
            self.heard = Some(Heard { at, since: self.generation });
        } else if page.reset && self.dispute.is_some() {
            // What follows may never come: the next to be asked is another.
            self.heard = None;
        }
        // The control plane may be heard while its store is not.
        self.missed = self.age(now) > SHORTEST_STALENESS;
    }

    /// Lists a domain. Where nothing is known of it at the moment, that is no verdict, and takes nothing
    /// away from the one that is held, as long as that rests on the same.
    fn list(&mut self, verdict: Verdict, now: Now) {
        let (says, generation, denied) = (verdict.ttl_ms > 0, self.generation, verdict.is_denial());
        if says {
            self.looked_up.remove(&verdict.domain);
        }
        let held = Held::new(verdict, now, Duration::MAX);
        let before = if let Some(listed) = self.listed.get_mut(held.domain()) {
            let before = std::mem::replace(&mut listed.generation, generation);
            if generation.wrapping_sub(before) > 1 {
                listed.since = generation;
            }
            if says || before < self.based_since {
                listed.held = held;
            }
            if denied {
                listed.denied = generation;
            }
            Some(before)
        } else {
            let (since, partner) = (generation, Cell::default());
            let denied = if denied { generation } else { 0 };
            self.listed.insert(Listed { held, generation, since, denied, partner });
            None
        };
        if before != Some(generation) {
            self.current = self.current.saturating_add(1);
        }
    }

    /// The feed's poll failed: from now on there may be changes that we do not hear of.
    pub(crate) fn miss(&mut self) {
        self.missed = true;
    }

    /// How the table stands at `now`.
    pub(crate) fn freshness(&self, now: Now) -> Freshness {
        match self.heard {
            None => Freshness::Warming,
            Some(heard) if now.since(heard.at) > self.max_staleness => Freshness::TooStale,
            Some(_) if self.missed => Freshness::Stale,
            Some(_) => Freshness::Fresh,
        }
    }

    /// How long ago the control plane was heard; nothing where it never was.
    pub(crate) fn age(&self, now: Now) -> Duration {
        self.heard.map(|heard| now.since(heard.at)).unwrap_or_default()
    }

    /// The same, as it is reported.
    pub(crate) fn state(&self, now: Now) -> FeedState {
        let heard_ms = self.heard.map(|heard| millis(now.since(heard.at)));
        let whole = self.in_force(now).is_some();
        FeedState { heard_ms, whole, entries: u32::try_from(self.len()).unwrap_or(u32::MAX) }
    }

    /// How many domains are listed.
    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    fn in_force(&self, now: Now) -> Option<Heard> {
        match self.freshness(now) {
            Freshness::Fresh | Freshness::Stale => self.heard,
            Freshness::Warming | Freshness::TooStale => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now::from_epoch(Duration::from_millis(1_000_000 + ms))
    }

    fn domain(name: &str) -> Domain {
        name.parse().unwrap()
    }

    fn verdict(name: &str, ttl_ms: u64) -> Verdict {
        let json = serde_json::json!({"domain": name, "hosts": ["fed.a.com"], "ttl_ms": ttl_ms});
        serde_json::from_value(json).unwrap()
    }

    fn page(strategy: Strategy, names: &[&str]) -> FeedPage {
        FeedPage {
            cursor: "x".to_owned(),
            basis: Some("y".to_owned()),
            store: None,
            control_plane: None,
            age_ms: None,
            reset: false,
            more: false,
            strategy,
            verdicts: names.iter().map(|name| verdict(name, 60_000)).collect(),
            removed: vec![],
        }
    }

    fn whole(strategy: Strategy, names: &[&str]) -> FeedPage {
        FeedPage { reset: true, ..page(strategy, names) }
    }

    fn table() -> Table {
        Table::new(Duration::from_secs(900))
    }

    #[track_caller]
    fn assert_known(table: &mut Table, name: &str, now: Now, expected: &str) {
        let known = match table.known(&domain(name), now).0 {
            Known::Verdict(_) => "verdict",
            Known::Denied => "denied",
            Known::Nothing => "nothing",
            Known::Unavailable => "unavailable",
        };
        assert_eq!(known, expected, "{name}");
    }

    #[test]
    fn before_the_first_whole_table_only_what_was_looked_up_counts() {
        let mut table = table();
        assert_known(&mut table, "a.com", at(0), "nothing");
        table.apply(FeedPage { more: true, ..whole(Strategy::AllowDynamic, &["a.com"]) }, at(0));
        assert_eq!(table.freshness(at(0)), Freshness::Warming);
        assert_known(&mut table, "a.com", at(0), "nothing");
        table.keep(verdict("a.com", 1_000), at(0));
        assert_known(&mut table, "a.com", at(0), "verdict");
        table.apply(page(Strategy::AllowDynamic, &["b.com"]), at(1));
        assert_eq!(table.freshness(at(1)), Freshness::Fresh);
        assert_known(&mut table, "a.com", at(1), "verdict");
        assert_known(&mut table, "b.com", at(1), "verdict");
        assert_known(&mut table, "c.com", at(1), "denied");
    }

    #[test]
    fn a_strategy_says_what_being_listed_means() {
        for (strategy, listed, other) in [
            (Strategy::AllowNone, "denied", "denied"),
            (Strategy::AllowDynamic, "verdict", "denied"),
            (Strategy::AllowAll, "verdict", "nothing"),
        ] {
            let mut table = table();
            table.apply(whole(strategy, &["a.com"]), at(0));
            assert_known(&mut table, "a.com", at(0), listed);
            assert_known(&mut table, "b.com", at(0), other);
        }
    }

    #[test]
    fn a_removed_domain_is_denied_at_once_even_where_it_was_looked_up() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(0));
        table.keep(verdict("a.com", 60_000), at(1));
        let removed = vec![domain("a.com")];
        table.apply(FeedPage { removed, ..page(Strategy::AllowDynamic, &[]) }, at(2));
        assert_known(&mut table, "a.com", at(2), "denied");
        table.apply(page(Strategy::AllowAll, &[]), at(3));
        assert_known(&mut table, "a.com", at(3), "nothing");
    }

    #[test]
    fn a_strategy_that_changes_ends_what_was_looked_up_under_the_one_before() {
        let mut table = table();
        table.apply(whole(Strategy::AllowAll, &[]), at(0));
        table.keep(verdict("a.com", 60_000), at(0));
        assert_known(&mut table, "a.com", at(1), "verdict");
        table.apply(page(Strategy::AllowDynamic, &[]), at(2));
        assert_known(&mut table, "a.com", at(2), "denied");
        table.apply(page(Strategy::AllowAll, &[]), at(3));
        assert_known(&mut table, "a.com", at(3), "nothing");
    }

    #[test]
    fn a_listed_domain_whose_verdict_has_ended_is_looked_up() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(0));
        assert_known(&mut table, "a.com", at(60_000), "nothing");
        table.keep(verdict("a.com", 1_000), at(60_000));
        assert_known(&mut table, "a.com", at(60_000), "verdict");
    }

    #[test]
    fn a_list_is_as_old_as_the_control_plane_says() {
        let mut table = table();
        let aged = |age_ms, reset, ms: u64| {
            let page = FeedPage { age_ms: Some(age_ms), ..page(Strategy::AllowDynamic, &["a.com"]) };
            (FeedPage { reset, ..page }, at(ms))
        };
        for (age_ms, reset, ms, freshness, age) in [
            (100, true, 1_000, Freshness::Fresh, 100),
            (6_000, false, 2_000, Freshness::Fresh, 1_100),
            (7_000, false, 8_000, Freshness::Stale, 7_000),
            (10_000, true, 9_000, Freshness::Stale, 10_000),
            (900_001, true, 910_000, Freshness::TooStale, 900_001),
            (0, false, 910_001, Freshness::Fresh, 0),
        ] {
            let (page, now) = aged(age_ms, reset, ms);
            table.apply(page, now);
            let found = (table.freshness(now), table.age(now));
            assert_eq!(found, (freshness, Duration::from_millis(age)), "{age_ms} at {ms}");
        }
    }

    #[test]
    fn a_table_that_is_too_stale_decides_nothing() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(0));
        table.apply(
            FeedPage {
                verdicts: vec![verdict("b.com", 10_000_000)],
                ..page(Strategy::AllowDynamic, &[])
            },
            at(0),
        );
        assert_known(&mut table, "b.com", at(900_000), "verdict");
        assert_known(&mut table, "b.com", at(900_001), "nothing");
        assert_known(&mut table, "c.com", at(900_001), "nothing");
        table.apply(page(Strategy::AllowDynamic, &[]), at(900_002));
        assert_known(&mut table, "b.com", at(900_002), "verdict");
    }

    #[test]
    fn it_is_fresh_while_polls_are_answered_and_stale_from_the_first_that_is_not() {
        let mut table = table();
        let mut standings = vec![];
        let mut stands = |table: &Table, ms: u64| standings.push((ms, table.freshness(at(ms))));
        stands(&table, 0);
        table.miss();
        stands(&table, 1);
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(2));
        stands(&table, 30_000);
        table.miss();
        stands(&table, 30_001);
        assert_known(&mut table, "a.com", at(30_001), "verdict");
        assert_known(&mut table, "b.com", at(30_001), "denied");
        stands(&table, 900_002);
        stands(&table, 900_003);
        assert_eq!(table.age(at(900_003)), Duration::from_millis(900_001));
        table.apply(page(Strategy::AllowDynamic, &[]), at(900_004));
        stands(&table, 900_005);
        assert_eq!(
            standings,
            [
                (0, Freshness::Warming),
                (1, Freshness::Warming),
                (30_000, Freshness::Fresh),
                (30_001, Freshness::Stale),
                (900_002, Freshness::Stale),
                (900_003, Freshness::TooStale),
                (900_005, Freshness::Fresh),
            ]
        );
    }

    #[test]
    fn a_new_table_ends_the_one_before_when_it_is_whole() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com", "b.com"]), at(0));
        table.apply(FeedPage { more: true, ..whole(Strategy::AllowDynamic, &["c.com"]) }, at(1));
        assert_known(&mut table, "a.com", at(1), "verdict");
        assert_known(&mut table, "c.com", at(1), "verdict");
        table.apply(page(Strategy::AllowDynamic, &["b.com"]), at(2));
        assert_known(&mut table, "a.com", at(2), "denied");
        assert_known(&mut table, "b.com", at(2), "verdict");
        assert_eq!(table.len(), 2);
        table.apply(whole(Strategy::AllowDynamic, &[]), at(3));
        assert_known(&mut table, "b.com", at(3), "denied");
        assert_eq!(table.len(), 0);
    }

    /// Says of these domains that they are listed, and no more.
    fn silent(names: &[&str]) -> Vec<Verdict> {
        names.iter().map(|name| verdict(name, 0)).collect()
    }

    #[test]
    fn a_new_table_that_knows_nothing_of_a_domain_leaves_what_still_holds() {
        for basis in [Some("y"), Some("z"), None] {
            let mut table = table();
            table.apply(whole(Strategy::AllowDynamic, &["a.com", "b.com"]), at(0));
            let basis = basis.map(str::to_owned);
            let kept = if basis.as_deref() == Some("y") { "verdict" } else { "nothing" };
            let first = FeedPage {
                verdicts: silent(&["a.com", "c.com"]),
                more: true,
                basis: basis.clone(),
                ..whole(Strategy::AllowDynamic, &[])
            };
            table.apply(first, at(1));
            assert_known(&mut table, "a.com", at(1), kept);
            table.apply(FeedPage { basis, ..page(Strategy::AllowDynamic, &[]) }, at(2));
            assert_known(&mut table, "a.com", at(59_999), kept);
            assert_known(&mut table, "a.com", at(60_000), "nothing");
            assert_known(&mut table, "b.com", at(2), "denied");
            assert_known(&mut table, "c.com", at(2), "nothing");
            assert_eq!(table.len(), 2);
        }
    }

    #[test]
    fn a_table_on_another_basis_that_breaks_off_leaves_nothing_to_the_next() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com", "b.com"]), at(0));
        let basis = Some("z".to_owned());
        let first =
            FeedPage { more: true, basis: basis.clone(), ..whole(Strategy::AllowDynamic, &["b.com"]) };
        table.apply(first, at(1));
        let verdicts = silent(&["a.com", "b.com"]);
        table.apply(FeedPage { verdicts, basis, ..whole(Strategy::AllowDynamic, &[]) }, at(2));
        assert_known(&mut table, "a.com", at(2), "nothing");
        assert_known(&mut table, "b.com", at(2), "verdict");
    }

    #[test]
    fn trouble_with_dns_takes_no_verdict_away_but_a_strategy_and_a_removal_do() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(0));
        let verdicts = silent(&["a.com"]);
        table.apply(FeedPage { verdicts, ..page(Strategy::AllowDynamic, &[]) }, at(1));
        assert_known(&mut table, "a.com", at(1), "verdict");
        table.apply(page(Strategy::AllowNone, &[]), at(2));
        assert_known(&mut table, "a.com", at(2), "denied");
        let removed = vec![domain("a.com")];
        table.apply(FeedPage { removed, ..page(Strategy::AllowDynamic, &[]) }, at(3));
        assert_known(&mut table, "a.com", at(3), "denied");
        let verdicts = silent(&["a.com"]);
        table.apply(FeedPage { verdicts, ..page(Strategy::AllowDynamic, &[]) }, at(4));
        assert_known(&mut table, "a.com", at(4), "nothing");
    }

    #[test]
    fn what_was_looked_up_outlives_a_new_table_on_the_same_basis_only() {
        for (basis, strategy, expected) in [
            (Some("y"), Strategy::AllowAll, "verdict"),
            (Some("z"), Strategy::AllowAll, "nothing"),
            (None, Strategy::AllowAll, "nothing"),
            (Some("y"), Strategy::AllowDynamic, "denied"),
            (Some("y"), Strategy::AllowNone, "denied"),
        ] {
            let mut table = table();
            table.apply(whole(Strategy::AllowAll, &[]), at(0));
            table.keep(verdict("a.com", 60_000), at(0));
            let basis = basis.map(str::to_owned);
            table.apply(FeedPage { basis, ..whole(strategy, &[]) }, at(1));
            assert_known(&mut table, "a.com", at(1), expected);
        }
    }

    #[test]
    fn a_table_that_never_becomes_whole_does_not_keep_the_one_before_in_force() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(0));
        for ms in [300_000, 600_000, 900_000] {
            table.apply(FeedPage { more: true, ..whole(Strategy::AllowDynamic, &["b.com"]) }, at(ms));
            assert_known(&mut table, "c.com", at(ms), "denied");
        }
        assert_eq!(table.freshness(at(900_001)), Freshness::TooStale);
    }

    #[test]
    fn in_a_dispute_only_what_each_table_tells_of_is_listed() {
        let mut table = table();
        let both = Strategy::AllowDynamic;
        table.apply(whole(both, &["a.com", "one.com"]), at(0));
        table.apply(whole(both, &["a.com", "two.com"]), at(1));
        assert_known(&mut table, "two.com", at(1), "verdict");
        table.dispute(true);
        for (ms, other) in [(2, "one.com"), (3, "two.com"), (4, "one.com")] {
            table.apply(whole(both, &["a.com", other]), at(ms));
            assert_known(&mut table, "a.com", at(ms), "verdict");
            assert_known(&mut table, "one.com", at(ms), "denied");
            assert_known(&mut table, "two.com", at(ms), "denied");
        }
        table.apply(FeedPage { removed: vec![domain("a.com")], ..page(both, &[]) }, at(5));
        table.apply(whole(both, &["a.com"]), at(6));
        assert_known(&mut table, "a.com", at(6), "denied");
        table.dispute(false);
        assert_known(&mut table, "a.com", at(6), "verdict");
    }

    #[test]
    fn in_a_dispute_the_strictest_strategy_counts() {
        let mut table = table();
        table.apply(whole(Strategy::AllowAll, &["a.com"]), at(0));
        table.dispute(true);
        table.apply(whole(Strategy::AllowNone, &["a.com"]), at(1));
        table.apply(whole(Strategy::AllowAll, &["a.com"]), at(2));
        assert_known(&mut table, "a.com", at(2), "denied");
        table.dispute(true);
        assert_known(&mut table, "a.com", at(2), "denied");
        table.dispute(false);
        assert_known(&mut table, "a.com", at(2), "verdict");
    }

    #[test]
    fn in_a_dispute_a_denial_by_one_counts() {
        let denied = || Verdict::blocked(domain("a.com"), 60_000);
        for strategy in [Strategy::AllowDynamic, Strategy::AllowAll] {
            let mut table = table();
            let blocking = || FeedPage { verdicts: vec![denied()], ..whole(strategy, &[]) };
            table.apply(blocking(), at(0));
            table.apply(whole(strategy, &["a.com", "b.com"]), at(1));
            assert_known(&mut table, "a.com", at(1), "verdict");
            table.dispute(true);
            assert_known(&mut table, "a.com", at(1), "denied");
            for turn in 2..9 {
                table.apply(blocking(), at(turn));
                assert_known(&mut table, "a.com", at(turn), "denied");
                table.apply(whole(strategy, &["a.com"]), at(turn));
                assert_known(&mut table, "a.com", at(turn), "denied");
            }
            table.dispute(false);
            assert_known(&mut table, "a.com", at(9), "verdict");
        }
    }

    #[test]
    fn in_a_dispute_nothing_counts_without_a_whole_table() {
        let mut table = table();
        table.apply(whole(Strategy::AllowDynamic, &["a.com"]), at(0));
        table.keep(verdict("a.com", 60_000), at(0));
        table.dispute(true);
        assert_known(&mut table, "a.com", at(0), "verdict");
        table.apply(FeedPage { more: true, ..whole(Strategy::AllowDynamic, &["a.com"]) }, at(1));
        assert_known(&mut table, "a.com", at(1), "unavailable");
        table.apply(page(Strategy::AllowDynamic, &[]), at(2));
        assert_known(&mut table, "a.com", at(2), "verdict");
        assert_known(&mut table, "a.com", at(900_003), "unavailable");
        table.dispute(false);
        assert_known(&mut table, "a.com", at(900_003), "nothing");
    }
}
