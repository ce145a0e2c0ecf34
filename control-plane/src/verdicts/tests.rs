use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fedgate_allow_list::Condition;
use fedgate_allow_list::testing::{in_memory, listing, us};
use fedgate_discovery::{Addresses, Certainty, Discovered, Discovering, Family, Resolving, Target};
use fedgate_policy::{Failure, FailureLabel, HostName, Outcome, Strategy};
use tokio::sync::Semaphore;

use super::*;

/// Discovery that answers what it is told to, when it is told to, and counts.
pub(crate) struct Told {
    answer: Mutex<Discovered>,
    started: AtomicUsize,
    gate: Semaphore,
}

impl Told {
    /// Answers `answer` at once.
    pub(crate) fn at_once(answer: Discovered) -> Arc<Self> {
        Self::with_permits(answer, Semaphore::MAX_PERMITS)
    }

    /// Answers `answer` as often as it is let.
    fn held(answer: Discovered) -> Arc<Self> {
        Self::with_permits(answer, 0)
    }

    fn with_permits(answer: Discovered, permits: usize) -> Arc<Self> {
        let gate = Semaphore::new(permits);
        Arc::new(Self { answer: Mutex::new(answer), started: AtomicUsize::new(0), gate })
    }

    pub(crate) fn tell(&self, answer: Discovered) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn asked(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    async fn until_asked(&self, times: usize) {
        while self.asked() < times {
            tokio::task::yield_now().await;
        }
    }
}

impl Discover for Told {
    fn discover<'a>(&'a self, _: &'a Domain, _: Proof) -> Discovering<'a> {
        Box::pin(async move {
            self.started.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.answer.lock().unwrap().clone()
        })
    }

    fn servers(&self) -> String {
        "192.0.2.53:53".to_owned()
    }
}

/// Every host has the address 1.1.1.1, but for those named `silent`, of which nothing is known.
impl Resolve for Told {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        let trouble = host.as_str().starts_with("silent").then(|| "no answer".to_owned());
        let is_known = trouble.is_none() && family == Family::V4;
        let usable = is_known.then(|| [1, 1, 1, 1].into()).into_iter().collect();
        let (private, ttl) = (Vec::new(), Duration::from_secs(600));
        Box::pin(std::future::ready(Addresses { usable, private, ttl, trouble }))
    }
}

pub(crate) fn found(host: &str) -> Discovered {
    let host: HostName = host.parse().unwrap();
    let outcome = Outcome::Hosts(vec![host.clone()]);
    let targets = vec![Target { priority: 10, host, port: 443, weight: 5 }];
    let (ttl, certainty) = (Duration::from_secs(600), Certainty::Answered);
    Discovered { outcome, targets, passed_over: Vec::new(), ttl, certainty, is_proven: false }
}

fn absent() -> Discovered {
    let failure = Failure { label: FailureLabel::InvalidDomain, message: String::new() };
    Discovered { outcome: Outcome::Failure(failure), targets: Vec::new(), ..found("x") }
}

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn hosts(verdict: &Verdict) -> Vec<&str> {
    match &verdict.outcome {
        Outcome::Hosts(hosts) => hosts.iter().map(HostName::as_str).collect(),
        Outcome::Failure(failure) => panic!("{failure:?}"),
    }
}

fn label(verdict: &Verdict) -> FailureLabel {
    match &verdict.outcome {
        Outcome::Failure(failure) => failure.label,
        Outcome::Hosts(hosts) => panic!("{hosts:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_hears_in_time_and_the_lookup_goes_on() {
    let told = Told::held(found("infra.a.com"));
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    let begun = tokio::time::Instant::now();
    let late = verdicts.verdict(domain("a.com"), Asker::Ours).await;
    assert_eq!(begun.elapsed().as_secs(), 4);
    let Outcome::Failure(failure) = late.outcome else { panic!() };
    assert_eq!(failure.label, FailureLabel::DiscoveryFailure);
    assert_eq!(
        failure.message,
        "DNS error: _wire-server-federator._tcp.a.com: no answer after 4 s; it is still being asked"
    );
    told.gate.add_permits(1);
    assert_eq!(hosts(&verdicts.verdict(domain("a.com"), Asker::Ours).await), ["infra.a.com"]);
    assert_eq!(told.asked(), 1);
}

#[tokio::test]
async fn a_domain_that_is_not_allowed_is_never_looked_up() {
    let told = Told::at_once(found("fed.a.com"));
    let list = listing(&["a.com"]).await;
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let verdict = verdicts.verdict(domain("b.com"), Asker::Ours).await;
    assert_eq!(verdict, Verdict::denied(domain("b.com"), DENIAL_TTL_MS));
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(
        json,
        r#"{"domain":"b.com","failure":{"label":"federation-denied","message":"origin domain [b.com] not in the federation allow list"},"ttl_ms":1000}"#
    );
    assert_eq!(verdicts.refresh(&domain("b.com")).await, None);
    list.set_strategy(Strategy::AllowNone, Condition::None, us()).await.unwrap();
    assert_eq!(
        label(&verdicts.verdict(domain("a.com"), Asker::Ours).await),
        FailureLabel::FederationDenied
    );
    assert_eq!(told.asked(), 0);
}

#[tokio::test]
async fn a_thousand_who_wait_cost_one_lookup() {
    for name in ["a.com", "unlisted.com"] {
        let told = Told::held(found("fed.a.com"));
        let list = listing(&["a.com"]).await;
        list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
        let verdicts = Verdicts::new(list, told.clone(), 1, "store");
        let mut waiters = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let verdicts = verdicts.clone();
            waiters.spawn(async move { verdicts.verdict(domain(name), Asker::Ours).await });
        }
        told.until_asked(1).await;
        told.gate.add_permits(1000);
        while let Some(verdict) = waiters.join_next().await {
            assert_eq!(hosts(&verdict.unwrap()), ["fed.a.com"]);
        }
        assert_eq!(told.asked(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_removed_domain_is_refused_even_while_its_lookup_waits() {
    let told = Told::held(found("fed.a.com"));
    let list = listing(&["a.com"]).await;
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let waiter = tokio::spawn({
        let verdicts = verdicts.clone();
        async move { verdicts.verdict(domain("a.com"), Asker::Ours).await }
    });
    told.until_asked(1).await;
    list.remove(domain("a.com"), Condition::None, us()).await.unwrap();
    told.gate.add_permits(1);
    assert_eq!(label(&waiter.await.unwrap()), FailureLabel::FederationDenied);
}

#[tokio::test]
async fn a_waiter_that_goes_away_does_not_end_the_lookup() {
    let told = Told::held(found("fed.a.com"));
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    let first = tokio::spawn({
        let verdicts = verdicts.clone();
        async move { verdicts.verdict(domain("a.com"), Asker::Ours).await }
    });
    told.until_asked(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    told.gate.add_permits(1);
    assert_eq!(hosts(&verdicts.verdict(domain("a.com"), Asker::Ours).await), ["fed.a.com"]);
    assert_eq!(told.asked(), 1);
}

#[tokio::test]
async fn a_refresh_asks_anew_and_a_verdict_does_not() {
    let told = Told::at_once(found("old.a.com"));
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    assert_eq!(verdicts.known(domain("a.com")).await, None);
    verdicts.verdict(domain("a.com"), Asker::Ours).await;
    told.tell(found("new.a.com"));
    assert_eq!(hosts(&verdicts.verdict(domain("a.com"), Asker::Ours).await), ["old.a.com"]);
    assert_eq!(hosts(&verdicts.refresh(&domain("a.com")).await.unwrap().verdict), ["new.a.com"]);
    assert_eq!(hosts(&verdicts.known(domain("a.com")).await.unwrap()), ["new.a.com"]);
    assert_eq!(told.asked(), 2);
}

#[tokio::test]
async fn an_answer_outlives_trouble_but_not_another_answer() {
    let told = Told::at_once(found("fed.a.com"));
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    let before = verdicts.verdict(domain("a.com"), Asker::Ours).await;
    told.tell(Discovered::transient("SERVFAIL".to_owned()));
    let attempt = verdicts.refresh(&domain("a.com")).await.unwrap();
    assert_eq!(label(&attempt.verdict), FailureLabel::DiscoveryFailure);
    let after = attempt.stands.unwrap();
    assert_eq!(hosts(&after), ["fed.a.com"]);
    assert!(after.ttl_ms <= before.ttl_ms, "its life is not prolonged");
    told.tell(absent());
    let gone = verdicts.refresh(&domain("a.com")).await.unwrap();
    assert_eq!((label(&gone.verdict), gone.answered), (FailureLabel::InvalidDomain, true));
}

#[tokio::test]
async fn trouble_ends_after_two_seconds() {
    let told = Told::at_once(Discovered::transient("SERVFAIL".to_owned()));
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    let verdict = verdicts.verdict(domain("a.com"), Asker::Ours).await;
    assert_eq!(label(&verdict), FailureLabel::DiscoveryFailure);
    assert!((1..=2000).contains(&verdict.ttl_ms));
}

/// Everybody is allowed, and `a.com` is listed.
async fn open_to_all(told: &Arc<Told>) -> Verdicts {
    let list = listing(&["a.com"]).await;
    list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
    Verdicts::new(list, told.clone(), 1, "store")
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unlisted_domains_shuts_out_neither_other_peers_nor_us_nor_the_listed() {
    let told = Told::held(found("fed.a.com"));
    let verdicts = open_to_all(&told).await;
    let (flooding, other) = (Asker::Peer(1), Asker::Peer(2));
    let mut waiters = tokio::task::JoinSet::new();
    for number in 0..1200 {
        let verdicts = verdicts.clone();
        let domain = domain(&format!("d{number}.com"));
        waiters.spawn(async move { verdicts.verdict(domain, flooding).await });
    }
    let share = 39;
    told.until_asked(share).await;
    for (more, (name, asker)) in
        (1..).zip([("other.com", other), ("ours.com", Asker::Ours), ("a.com", other)])
    {
        let verdicts = verdicts.clone();
        waiters.spawn(async move { verdicts.verdict(domain(name), asker).await });
        told.until_asked(share + more).await;
    }
    let mut refused = 0;
    while let Some(verdict) = waiters.join_next().await {
        let Verdict { outcome: Outcome::Failure(failure), ttl_ms, .. } = verdict.unwrap() else {
            panic!("DNS is silent");
        };
        assert_eq!(failure.label, FailureLabel::DiscoveryFailure);
        let crowded = failure.message.contains("too many lookups");
        assert_eq!(ttl_ms == 0, crowded, "that there was no room is for nobody else");
        refused += usize::from(crowded);
    }
    assert_eq!(refused, 1200 - share);
    assert_eq!(told.asked(), share + 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_is_refused_another_learns() {
    let told = Told::held(found("fed.a.com"));
    let verdicts = open_to_all(&told).await;
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..39 {
        let verdicts = verdicts.clone();
        let domain = domain(&format!("d{number}.com"));
        flood.spawn(async move { verdicts.verdict(domain, Asker::Peer(1)).await });
    }
    told.until_asked(39).await;
    let refused = verdicts.verdict(domain("other.com"), Asker::Peer(1)).await;
    assert_eq!((label(&refused), refused.ttl_ms), (FailureLabel::DiscoveryFailure, 0));
    told.gate.add_permits(100);
    assert_eq!(hosts(&verdicts.verdict(domain("other.com"), Asker::Peer(2)).await), ["fed.a.com"]);
}

#[tokio::test]
async fn the_refresher_looks_up_what_is_listed_and_forgets_what_is_not() {
    let told = Told::at_once(found("fed.a.com"));
    let list = in_memory();
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let refresher = tokio::spawn(refresher::keep_fresh(verdicts.clone(), || 0.0));
    let put = |name| list.put(domain(name), terms::Change::default(), Condition::None, us());
    put("a.com").await.unwrap();
    told.until_asked(1).await;
    // Shared with the refresher's lookup, or served from what that found.
    assert_eq!(hosts(&verdicts.verdict(domain("a.com"), Asker::Ours).await), ["fed.a.com"]);
    assert_eq!(told.asked(), 1);
    list.remove(domain("a.com"), Condition::None, us()).await.unwrap();
    put("b.com").await.unwrap();
    told.until_asked(2).await;
    put("a.com").await.unwrap();
    told.until_asked(3).await;
    assert!(!refresher.is_finished());
    refresher.abort();
}

#[tokio::test]
async fn every_lookup_of_a_listed_domain_reaches_the_feed() {
    let told = Told::at_once(found("one.a.com"));
    let list = listing(&["a.com"]).await;
    list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let page = async || verdicts.changes("", Duration::ZERO).await;
    assert_eq!((page().await.verdicts.len(), page().await.verdicts[0].ttl_ms), (1, 0));
    verdicts.verdict(domain("a.com"), Asker::Ours).await;
    verdicts.verdict(domain("unlisted.com"), Asker::Ours).await;
    assert_eq!(page().await.verdicts.len(), 1);
    assert_eq!(hosts(&page().await.verdicts[0]), ["one.a.com"]);
    told.tell(found("two.a.com"));
    verdicts.refresh(&domain("a.com")).await;
    assert_eq!(hosts(&page().await.verdicts[0]), ["two.a.com"]);

    // Listed anew, the cache may still know it; the feed then learns it when it is asked for.
    list.remove(domain("a.com"), Condition::None, us()).await.unwrap();
    list.put(domain("a.com"), terms::Change::default(), Condition::None, us()).await.unwrap();
    assert_eq!(page().await.verdicts[0].ttl_ms, 0);
    verdicts.verdict(domain("a.com"), Asker::Ours).await;
    assert_eq!((hosts(&page().await.verdicts[0]), told.asked()), (vec!["two.a.com"], 3));
}

#[tokio::test]
async fn another_port_or_weight_is_known_and_is_no_news_for_the_feed() {
    let before = found("fed.a.com");
    let told = Told::at_once(before.clone());
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    verdicts.verdict(domain("a.com"), Asker::Ours).await;
    let cursor = verdicts.changes("", Duration::ZERO).await.cursor;
    let mut after = before;
    after.targets[0].port = 8443;
    told.tell(after);
    let ahead = verdicts.refresh(&domain("a.com")).await.unwrap();
    let known = verdicts.cache.peek(&domain("a.com"), true).await.unwrap();
    assert_eq!((known.targets[0].port, hosts(&ahead.verdict)), (8443, vec!["fed.a.com"]));
    // The longer life is told, gathered with others'; at once nothing is.
    let page = verdicts.changes(&cursor, Duration::ZERO).await;
    assert!(page.verdicts.iter().all(|verdict| hosts(verdict) == ["fed.a.com"]));
}

#[tokio::test]
async fn the_refresher_fills_the_feed() {
    let told = Told::at_once(found("fed.a.com"));
    let list = listing(&["a.com", "b.com"]).await;
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let refresher = tokio::spawn(refresher::keep_fresh(verdicts.clone(), || 0.0));
    let (mut cursor, mut known) = (String::new(), std::collections::BTreeSet::new());
    while known.len() < 2 {
        let page = verdicts.changes(&cursor, Duration::from_secs(60)).await;
        known.extend(page.verdicts.into_iter().filter(|it| it.ttl_ms > 0).map(|it| it.domain));
        cursor = page.cursor;
    }
    list.remove(domain("a.com"), Condition::None, us()).await.unwrap();
    list.put(domain("a.com"), terms::Change::default(), Condition::None, us()).await.unwrap();
    told.until_asked(3).await;
    refresher.abort();
}

#[tokio::test]
async fn under_allow_none_the_refresher_rests() {
    let told = Told::at_once(found("fed.a.com"));
    let list = listing(&["a.com"]).await;
    list.set_strategy(Strategy::AllowNone, Condition::None, us()).await.unwrap();
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let refresher = tokio::spawn(refresher::keep_fresh(verdicts.clone(), || 0.0));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told.asked(), 0);
    list.set_strategy(Strategy::AllowDynamic, Condition::None, us()).await.unwrap();
    told.until_asked(1).await;
    refresher.abort();
}

#[tokio::test]
async fn what_is_recalled_serves_before_dns_is_asked_and_is_looked_up_anew() {
    let told = Told::held(found("new.a.com"));
    let list = listing(&["a.com"]).await;
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    verdicts.recall(domain("a.com"), found("old.a.com"), Duration::from_secs(100)).await;
    let page = verdicts.changes("", Duration::ZERO).await;
    assert_eq!((hosts(&page.verdicts[0]), told.asked()), (vec!["old.a.com"], 0));
    let refresher = tokio::spawn(refresher::keep_fresh(verdicts.clone(), || 0.0));
    told.until_asked(1).await;
    let verdict = verdicts.verdict(domain("a.com"), Asker::Ours).await;
    assert_eq!(hosts(&verdict), ["old.a.com"], "whoever asks does not wait for DNS");
    assert!((590_000..=600_000).contains(&verdict.ttl_ms), "{}", verdict.ttl_ms);
    told.gate.add_permits(1);
    while hosts(&verdicts.known(domain("a.com")).await.unwrap()) != ["new.a.com"] {
        tokio::task::yield_now().await;
    }
    refresher.abort();
}

#[tokio::test]
async fn what_is_recalled_outlives_trouble_and_not_its_own_end() {
    let told = Told::at_once(Discovered::transient("SERVFAIL".to_owned()));
    let verdicts = Verdicts::new(listing(&["a.com", "b.com"]).await, told.clone(), 1, "store");
    let short = Discovered { ttl: Duration::from_millis(20), ..found("fed.b.com") };
    verdicts.recall(domain("a.com"), found("fed.a.com"), Duration::MAX).await;
    verdicts.recall(domain("b.com"), short, Duration::ZERO).await;
    let refreshed = verdicts.refresh(&domain("a.com")).await.unwrap();
    assert_eq!(hosts(&refreshed.stands.unwrap()), ["fed.a.com"]);
    while verdicts.known(domain("b.com")).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        label(&verdicts.verdict(domain("b.com"), Asker::Ours).await),
        FailureLabel::DiscoveryFailure
    );
}

#[tokio::test]
async fn what_another_found_counts_against_a_lookup_of_ours_that_failed_since() {
    let told = Told::at_once(Discovered::transient("SERVFAIL".to_owned()));
    let verdicts = Verdicts::new(listing(&["a.com"]).await, told.clone(), 1, "store");
    let refused = verdicts.verdict(domain("a.com"), Asker::Ours).await;
    assert_eq!(label(&refused), FailureLabel::DiscoveryFailure);
    let page = verdicts.changes("", Duration::ZERO).await;
    verdicts.share(domain("a.com"), found("fed.a.com"), Duration::from_secs(100)).await;
    assert_eq!(hosts(&verdicts.verdict(domain("a.com"), Asker::Ours).await), ["fed.a.com"]);
    let page = verdicts.changes(&page.cursor, Duration::from_secs(10)).await;
    assert_eq!(hosts(&page.verdicts[0]), ["fed.a.com"], "filters hear of it");

    told.tell(found("new.a.com"));
    verdicts.refresh(&domain("a.com")).await.unwrap();
    verdicts.share(domain("a.com"), found("fed.a.com"), Duration::from_secs(50)).await;
    assert_eq!(
        hosts(&verdicts.known(domain("a.com")).await.unwrap()),
        ["new.a.com"],
        "what is older does not"
    );
}

#[tokio::test]
async fn a_strategy_that_allows_nobody_forgets_nothing() {
    let told = Told::at_once(found("fed.a.com"));
    let list = listing(&["a.com", "b.com"]).await;
    let verdicts = Verdicts::new(list.clone(), told.clone(), 1, "store");
    let refresher = tokio::spawn(refresher::keep_fresh(verdicts.clone(), || 0.0));
    told.until_asked(2).await;
    for name in ["a.com", "b.com"] {
        verdicts.verdict(domain(name), Asker::Ours).await;
    }
    told.tell(Discovered::transient("SERVFAIL".to_owned()));
    list.set_strategy(Strategy::AllowNone, Condition::None, us()).await.unwrap();
    list.remove(domain("b.com"), Condition::None, us()).await.unwrap();
    while verdicts.cache.peek(&domain("b.com"), true).await.is_some() {
        tokio::task::yield_now().await;
    }
    list.set_strategy(Strategy::AllowDynamic, Condition::None, us()).await.unwrap();
    assert_eq!(hosts(&verdicts.verdict(domain("a.com"), Asker::Ours).await), ["fed.a.com"]);
    refresher.abort();
}
