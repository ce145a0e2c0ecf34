use std::time::Duration;

use fedgate_discovery::Certainty;
use fedgate_policy::{Failure, MAX_HOSTS, MAX_PAGE};

use super::super::cursor::Shared;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn numbered(number: usize) -> Domain {
    domain(&format!("backend-{number:06}.example.com"))
}

fn hosts(host: &str) -> Outcome {
    Outcome::Hosts(vec![host.parse().unwrap()])
}

fn trouble(message: &str) -> Outcome {
    let failure = Failure { label: FailureLabel::DiscoveryFailure, message: message.to_owned() };
    Outcome::Failure(failure)
}

fn known(outcome: Outcome, tried_at: Instant, life: Duration) -> Arc<Known> {
    Arc::new(Known::answered(outcome, tried_at, life))
}

fn listing(names: &[&str]) -> Log {
    let mut log = Log::new(7, Instant::now());
    let names: Vec<_> = names.iter().map(|name| domain(name)).collect();
    log.fill(Strategy::AllowDynamic, names.iter().map(|name| (name, None)), Instant::now());
    log
}

/// What a filter makes of the pages.
#[derive(Default)]
struct Filter {
    cursor: String,
    table: BTreeMap<Domain, Verdict>,
}

impl Filter {
    /// Applies the next page; whether another is ready.
    fn turn(&mut self, log: &Log, now: Instant) -> bool {
        let page = log.page(&self.cursor, now);
        let bytes = serde_json::to_string(&page).unwrap().len();
        assert!(bytes <= PAGE || page.verdicts.len() == 1 && bytes <= MAX_PAGE, "{bytes}");
        if page.reset {
            self.table.clear();
        }
        for gone in &page.removed {
            self.table.remove(gone);
        }
        self.table.extend(page.verdicts.into_iter().map(|verdict| (verdict.domain.clone(), verdict)));
        self.cursor = page.cursor;
        page.more
    }

    fn catch_up(&mut self, log: &Log, now: Instant) {
        while self.turn(log, now) {}
    }

    fn names(&self) -> Vec<&str> {
        self.table.keys().map(Domain::as_str).collect()
    }
}

#[test]
fn a_new_filter_gets_the_whole_table_and_then_only_what_changes() {
    let now = Instant::now();
    let mut log = listing(&["a.com", "b.com"]);
    let first = log.page("", now);
    assert!(first.reset && !first.more);
    assert_eq!(first.verdicts.len(), 2);
    assert_eq!(log.awaits(&first.cursor), Some(2));
    let second = log.page(&first.cursor, now);
    let nothing = FeedPage { reset: false, verdicts: vec![], ..first };
    assert_eq!(second, nothing);

    log.put(&domain("c.com"), None, Instant::now());
    log.remove(&domain("a.com"), Instant::now());
    let third = log.page(&second.cursor, now);
    assert_eq!((third.verdicts.len(), &third.removed), (1, &vec![domain("a.com")]));
    assert_eq!(third.verdicts[0].domain, domain("c.com"));
}

#[test]
fn an_empty_table_is_one_page() {
    let page = Log::new(7, Instant::now()).page("", Instant::now());
    assert!(page.reset && !page.more && page.verdicts.is_empty() && page.removed.is_empty());
}

#[test]
fn only_the_last_word_on_a_domain_is_told() {
    let now = Instant::now();
    let mut log = listing(&["a.com"]);
    let cursor = log.page("", now).cursor;
    assert!(log.remove(&domain("a.com"), Instant::now()));
    assert!(log.put(&domain("a.com"), None, Instant::now()));
    assert!(!log.put(&domain("a.com"), None, Instant::now()), "it is listed already");
    let page = log.page(&cursor, now);
    assert_eq!((page.verdicts.len(), page.removed.len()), (1, 0));
    log.remove(&domain("a.com"), Instant::now());
    assert!(!log.remove(&domain("a.com"), Instant::now()), "it has gone already");
    assert!(!log.remove(&domain("b.com"), Instant::now()), "it never was there");
    let page = log.page(&cursor, now);
    assert_eq!((page.verdicts.len(), page.removed.len()), (0, 1));
    assert_eq!(log.page("", now).removed, [], "a new table needs no removals");
}

#[test]
fn a_change_of_strategy_is_a_page_without_domains() {
    let now = Instant::now();
    let mut log = listing(&["a.com"]);
    let before = log.page("", now);
    assert!(log.set_strategy(Strategy::AllowNone, Instant::now()));
    assert!(!log.set_strategy(Strategy::AllowNone, Instant::now()));
    let after = log.page(&before.cursor, now);
    assert_eq!((after.strategy, after.reset), (Strategy::AllowNone, false));
    assert!(after.cursor != before.cursor && after.verdicts.is_empty());
}

#[test]
fn a_life_counts_down_and_one_that_is_over_asks_for_a_lookup() {
    let start = Instant::now();
    let mut log = listing(&["a.com"]);
    let verdict = |log: &Log, now| log.page("", now).verdicts.remove(0);
    assert_eq!(verdict(&log, start).ttl_ms, 0);
    log.learn(&domain("a.com"), &known(hosts("fed.a.com"), start, 10 * SECOND), start);
    assert_eq!(verdict(&log, start + SECOND).ttl_ms, 9000);
    assert_eq!(verdict(&log, start + SECOND).outcome, hosts("fed.a.com"));
    for late in [Duration::from_micros(9_999_500), 10 * SECOND, 99 * SECOND] {
        let over = verdict(&log, start + late);
        assert_eq!((over.outcome, over.ttl_ms), (trouble("nothing is known of it at the moment"), 0));
    }
    log.learn(&domain("a.com"), &known(hosts("fed.a.com"), start + 99 * SECOND, SECOND), start);
    assert_eq!(verdict(&log, start + 99 * SECOND).ttl_ms, 1000);
}

#[test]
fn what_takes_away_is_urgent_and_what_only_adds_can_wait() {
    let old = Instant::now();
    let start = old + SECOND;
    let first = || known(hosts("fed.a.com"), start, 10 * SECOND);
    for (what, next, at, urgency) in [
        ("longer", known(hosts("fed.a.com"), start + SECOND, 10 * SECOND), 1, Urgency::Soon),
        ("the same end", known(hosts("fed.a.com"), start + SECOND, 9 * SECOND), 1, Urgency::None),
        ("shorter", known(hosts("fed.a.com"), start + SECOND, SECOND), 1, Urgency::Now),
        ("another", known(hosts("new.a.com"), start + SECOND, 10 * SECOND), 1, Urgency::Now),
        ("failed", known(trouble("no"), start + SECOND, 2 * SECOND), 1, Urgency::Now),
        ("another, late", known(hosts("new.a.com"), start + 11 * SECOND, SECOND), 11, Urgency::Soon),
        ("of old", known(hosts("old.a.com"), old, 99 * SECOND), 1, Urgency::None),
    ] {
        let mut log = listing(&["a.com"]);
        assert_eq!(log.learn(&domain("a.com"), &first(), start), Urgency::Soon, "{what}");
        assert_eq!(log.learn(&domain("a.com"), &first(), start), Urgency::None, "{what}");
        let before = log.sequence();
        assert_eq!(log.learn(&domain("a.com"), &next, start + at * SECOND), urgency, "{what}");
        assert_eq!(log.sequence() > before, urgency != Urgency::None, "{what}");
    }
}

#[test]
fn that_a_lookup_failed_is_not_told_as_a_verdict() {
    let start = Instant::now();
    let mut log = listing(&["a.com"]);
    let failed = |at| {
        let known = known(trouble("SERVFAIL"), at, 2 * SECOND);
        Arc::new(Known { certainty: Certainty::Transient, ..(*known).clone() })
    };
    assert_eq!(log.learn(&domain("a.com"), &failed(start), start), Urgency::None);
    let nothing = log.page("", start).verdicts.remove(0);
    assert_eq!((nothing.ttl_ms, nothing.outcome), (0, trouble("nothing is known of it at the moment")));
    let at = start + SECOND;
    assert_eq!(log.learn(&domain("a.com"), &failed(at), at), Urgency::None);
    let at = start + 2 * SECOND;
    assert_eq!(log.learn(&domain("a.com"), &known(hosts("fed.a.com"), at, SECOND), at), Urgency::Soon);
    let at = start + 4 * SECOND;
    log.learn(&domain("a.com"), &failed(at), at);
    assert_eq!(log.page("", at).verdicts.remove(0).ttl_ms, 0);

    // What DNS did answer is one, however useless.
    let at = start + 5 * SECOND;
    assert_eq!(log.learn(&domain("a.com"), &known(trouble("no host"), at, SECOND), at), Urgency::Soon);
    assert_eq!(log.page("", at).verdicts.remove(0).outcome, trouble("no host"));
}

#[test]
fn what_is_learned_of_a_domain_that_has_gone_is_passed_over() {
    let now = Instant::now();
    let mut log = listing(&["a.com"]);
    log.remove(&domain("a.com"), Instant::now());
    for name in ["a.com", "b.com"] {
        assert_eq!(log.learn(&domain(name), &known(hosts("x.com"), now, SECOND), now), Urgency::None);
    }
    assert!(log.page("", now).verdicts.is_empty());
    log.put(&domain("a.com"), None, Instant::now());
    assert_eq!(log.page("", now).verdicts[0].ttl_ms, 0, "listed anew, it is looked up anew");
}

#[test]
fn a_cursor_of_another_log_begins_anew() {
    let now = Instant::now();
    let log = listing(&["a.com"]);
    let other = Log::new(8, Instant::now()).page("", now).cursor;
    for cursor in ["", "x", "0000000000000007.2", "0000000000000007.0.2", &other] {
        assert_eq!(log.awaits(cursor), None, "nobody waits to hear that");
        assert!(log.page(cursor, now).reset, "{cursor}");
    }
}

#[test]
fn who_has_missed_a_forgotten_removal_begins_anew() {
    let now = Instant::now();
    let mut log = listing(&["a.com"]);
    let early = log.page("", now).cursor;
    log.remove(&domain("a.com"), Instant::now());
    let late = log.page("", now).cursor;
    for number in 0..REMOVALS {
        assert!(log.awaits(&early).is_some(), "{number}");
        log.put(&numbered(number), None, Instant::now());
        log.remove(&numbered(number), Instant::now());
    }
    assert!(log.page(&early, now).reset);
    assert!(!log.page(&late, now).reset);
    assert_eq!((log.entries.len(), log.order.len(), log.removals.len()), (REMOVALS, REMOVALS, REMOVALS));
    let mut filter = Filter { cursor: early, table: BTreeMap::new() };
    filter.catch_up(&log, now);
    assert!(filter.table.is_empty());
}

#[test]
fn a_table_in_pages_is_whole_whatever_changes_between_them() {
    let now = Instant::now();
    let mut log = Log::new(7, Instant::now());
    let names: Vec<_> = (0..2000).map(numbered).collect();
    log.fill(Strategy::AllowDynamic, names.iter().map(|name| (name, None)), Instant::now());
    log.remove(&names[1999], Instant::now());
    let mut filter = Filter::default();
    let mut turn = 0;
    while filter.turn(&log, now) {
        // One that it has, one that it has not yet, one that is removed and returns, and news.
        log.remove(&names[turn], Instant::now());
        log.remove(&names[1998 - turn], Instant::now());
        log.remove(&names[900 + turn], Instant::now());
        log.put(&names[900 + turn], None, Instant::now());
        log.learn(&names[20 + turn], &known(hosts("fed.a.com"), now, SECOND), now);
        log.put(&numbered(3000 + turn), None, Instant::now());
        turn += 1;
    }
    assert!(turn > 10, "{turn}");
    let expected = log.entries.iter().filter(|(_, entry)| matches!(entry.standing, Standing::Listed(_)));
    let mut expected: Vec<_> = expected.map(|(domain, _)| domain.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(filter.names(), expected);
    assert_eq!(filter.table[&names[20 + turn - 1]].ttl_ms, 1000);

    // One that comes back after a long time gets its pages too, and the removals with them.
    let away = filter.cursor.clone();
    assert!(names[..1000].iter().filter(|name| log.remove(name, Instant::now())).count() > 900);
    assert!((4000..5000).all(|number| log.put(&numbered(number), None, Instant::now())));
    assert!(!log.page(&away, now).reset);
    assert!(filter.turn(&log, now));
    assert_eq!(log.awaits(&filter.cursor), None, "more is ready, so nobody waits");
    filter.catch_up(&log, now);
    assert!(filter.table.keys().all(|name| !names[..1000].contains(name)));
    assert!(filter.table.contains_key(&numbered(4999)));
}

#[test]
fn no_page_is_longer_than_it_may_be() {
    let now = Instant::now();
    let mut log = Log::new(7, Instant::now());
    let names: Vec<_> = (0..300).map(numbered).collect();
    log.fill(Strategy::AllowDynamic, names.iter().map(|name| (name, None)), Instant::now());
    let longest = format!("{}.example", ["x".repeat(60).as_str(); 4].join("."));
    for (number, name) in names.iter().enumerate() {
        let outcome = match number % 3 {
            0 => trouble(&"\u{1}\"\\ü".repeat(100)),
            1 => Outcome::Hosts(vec![longest.parse().unwrap(); MAX_HOSTS]),
            _ => hosts("fed.a.com"),
        };
        log.learn(name, &known(outcome, now, SECOND), now);
    }
    let mut filter = Filter::default();
    filter.catch_up(&log, now);
    assert_eq!(filter.table.len(), 300);
}

#[test]
fn the_weight_of_a_verdict_is_never_below_its_json() {
    for outcome in [hosts("fed.a.com"), trouble(""), trouble("\u{0}\u{1f}\n\"\\\u{7f}ü")] {
        let label = FailureLabel::FederationDenied;
        let denied = Outcome::Failure(Failure { label, message: String::new() });
        for outcome in [outcome, denied] {
            let verdict =
                Verdict { domain: domain("a.com"), outcome, ttl_ms: 9_999_999_999, shadow: true };
            let bytes = serde_json::to_string(&verdict).unwrap().len();
            assert!((bytes + 1..bytes + 99).contains(&weigh(&verdict)), "{verdict:?}");
        }
    }
}

/// A log of one of several control planes that share a store, which has this list at a write of this name.
fn sharing(epoch: u64, names: &[&str], revision: i64, seal: &str, now: Instant) -> Log {
    let mut log = Log::new(epoch, Instant::now());
    let names: Vec<Domain> = names.iter().map(|name| domain(name)).collect();
    log.fill(Strategy::AllowDynamic, names.iter().map(|name| (name, None)), now);
    log.at(revision);
    log.mark(0, now);
    log.seal(seal, now);
    log
}

#[test]
fn a_filter_goes_on_with_another_control_plane_of_the_same_store() {
    let start = Instant::now();
    let names = ["a.com", "b.com", "c.com"];
    let (mut one, mut other) = (sharing(1, &names, 3, "x", start), sharing(2, &names, 3, "x", start));
    let first = known(hosts("fed.a.com"), start, 600 * SECOND);
    for log in [&mut one, &mut other] {
        log.learn(&domain("a.com"), &first, start);
        log.mark(10, start);
    }
    let cursor = one.page("", start).cursor;
    let later = start + 60 * SECOND;
    other.mark(11, later);
    let moved = other.page(&cursor, later);
    assert_eq!(
        (moved.reset, moved.verdicts.len(), moved.removed.len()),
        (false, 1, 0),
        "what may be under way"
    );
    let settled = {
        one.mark(11, later);
        one.page(&cursor, later).cursor
    };
    let moved = other.page(&settled, later);
    assert_eq!((moved.reset, moved.verdicts.len()), (false, 0), "what both have long had");

    other.remove(&domain("b.com"), later);
    other.at(4);
    other.seal("y", later);
    let moved = other.page(&settled, later);
    assert_eq!((moved.reset, &moved.removed, moved.verdicts.len()), (false, &vec![domain("b.com")], 0));
    assert!(one.is_behind(&moved.cursor) && !other.is_behind(&settled));
    assert_eq!(one.nothing_new(&moved.cursor).cursor, moved.cursor, "nothing is taken back");
    assert_eq!(one.awaits(&moved.cursor), None);

    let stranger = sharing(3, &names, 4, "z", start);
    assert!(
        stranger.page(&moved.cursor, later).reset,
        "a write of the same number, and of another history"
    );
    assert!(!stranger.is_behind(&moved.cursor));
    let begun = Cursor { began: Some(0), ..settled.parse().unwrap() };
    assert!(other.page(&begun.to_string(), later).reset, "half a table of another");
}

fn past(revision: i64, seal: &str, names: &[&str]) -> Past {
    Past { revision, seal: seal.into(), domains: names.iter().map(|name| domain(name)).collect() }
}

/// A log that began at the second revision, and one that begins anew on what was made of that.
fn before_and_after(now: Instant) -> [Log; 2] {
    let [mut before, mut after] = [listing(&["a.com", "b.com"]), listing(&["a.com", "c.com"])];
    before.at(2);
    before.mark(0, now);
    before.seal("two", now);
    after.epoch = 8;
    after.at(5);
    after.mark(0, now);
    let writes =
        [("two", &["a.com"][..]), ("three", &["c.com"]), ("four", &["b.com"]), ("five", &["a.com"])];
    let writes: Vec<_> =
        (2..).zip(writes).map(|(revision, (seal, names))| past(revision, seal, names)).collect();
    after.recall(&writes, now);
    after.seal("five", now);
    [before, after]
}

#[test]
fn whoever_has_missed_the_writes_before_a_start_is_told_of_these_alone() {
    let now = Instant::now();
    let [before, after] = before_and_after(now);
    let mut filter = Filter::default();
    while filter.turn(&before, now) {}
    let page = after.page(&filter.cursor, now);
    let told: Vec<_> = page.verdicts.iter().map(|verdict| verdict.domain.as_str()).collect();
    assert_eq!(
        (page.reset, told, &page.removed[..]),
        (false, vec!["c.com", "a.com"], &[domain("b.com")][..])
    );
    filter.turn(&after, now);
    assert_eq!(filter.table.keys().map(Domain::as_str).collect::<Vec<_>>(), ["a.com", "c.com"]);
    let page = after.page(&filter.cursor, now);
    assert_eq!((page.reset, page.verdicts.len(), page.removed.len()), (false, 0, 0), "and once");
    let mut other = listing(&["a.com"]);
    other.at(2);
    other.mark(0, now);
    other.seal("another two", now);
    filter.cursor.clear();
    while filter.turn(&other, now) {}
    assert!(after.page(&filter.cursor, now).reset, "of another history nobody knows");
}

#[test]
fn a_finding_tells_nobody_of_a_domain_that_he_has_not_heard_is_listed() {
    let now = Instant::now();
    let [before, mut after] = before_and_after(now);
    let mut filter = Filter::default();
    while filter.turn(&before, now) {}
    // He has heard of what was found, and was told nothing of a domain that was not listed there.
    let cursor: Cursor = filter.cursor.parse().unwrap();
    let shared = cursor.shared.clone().map(|shared| Shared { heard: 100, ..shared });
    let cursor = Cursor { shared, ..cursor }.to_string();
    after.learn(&domain("c.com"), &known(hosts("fed.c.com"), now, SECOND), now);
    after.mark(100, now);
    let told = |page: &FeedPage| page.verdicts.iter().any(|verdict| verdict.domain == domain("c.com"));
    let page = after.page(&cursor, now);
    assert!(!page.reset && told(&page), "{page:?}");
}

#[test]
fn since_when_is_since_the_answer_changed_and_not_since_it_was_looked_up_again() {
    let start = Instant::now();
    let at = |seconds: u32| start + seconds * SECOND;
    let mut log = Log::new(7, start);
    let a_com = domain("a.com");
    log.fill(Strategy::AllowDynamic, [(&a_com, None)].into_iter(), start);
    let since = |log: &Log, now| (log.told(&a_com, now).1 - start).as_secs();
    log.learn(&a_com, &known(hosts("one.a.com"), at(10), 60 * SECOND), at(10));
    assert_eq!(since(&log, at(11)), 10);
    log.learn(&a_com, &known(hosts("one.a.com"), at(50), 60 * SECOND), at(50));
    assert_eq!(since(&log, at(51)), 10, "it was only looked up again");
    log.learn(&a_com, &known(hosts("two.a.com"), at(60), 60 * SECOND), at(60));
    assert_eq!(since(&log, at(61)), 60, "the hosts are others");
    assert_eq!(log.told(&a_com, at(130)), (Said::Ask, at(120)), "it has ended by itself");
    log.learn(&a_com, &known(hosts("two.a.com"), at(140), 600 * SECOND), at(140));
    assert_eq!(since(&log, at(141)), 140, "and is found again");
    log.set_strategy(Strategy::AllowAll, at(150));
    assert_eq!(since(&log, at(151)), 140, "listed domains may federate as before");
    assert_eq!(log.told(&domain("b.com"), at(151)), (Said::Unlisted, at(150)), "others may since then");
    log.set_strategy(Strategy::AllowNone, at(160));
    assert_eq!(since(&log, at(161)), 160);
    log.remove(&a_com, at(170));
    assert_eq!(log.told(&a_com, at(171)), (Said::Unlisted, at(170)));
}

#[test]
fn terms_under_which_nothing_is_known_have_filters_ask() {
    let now = Instant::now();
    let mut log = Log::new(7, now);
    let pinned = serde_json::from_str(r#"{"pinned_hosts":["one.a.com"]}"#).unwrap();
    let binding = Binding::of(&Arc::new(pinned), now, std::time::SystemTime::now());
    log.fill(Strategy::AllowDynamic, [(&domain("a.com"), binding)].into_iter(), now);
    assert_eq!(log.told(&domain("a.com"), now).0, Said::Ask);
    assert_eq!(log.page("", now).verdicts[0].ttl_ms, 1, "which takes away what they hold");
}
