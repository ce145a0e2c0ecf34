//! What every store of the allow list does, whether that is a file or a cluster: all claims are made of both.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedgate_allow_list::audit::{Order, Query, Retention};
use fedgate_allow_list::etcd::EtcdList;
use fedgate_allow_list::sqlite::Sqlite;
use fedgate_allow_list::{
    Author, Change, Deed, Entry, Record, Role, Stamp, State, Store, StoreError, Terms, Token,
};
use fedgate_policy::{Domain, Strategy};
use fedgate_store::etcd::{Access, Etcd};
use fedgate_store::sqlite::Database;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where a store is.
enum Place {
    File(PathBuf),
    Cluster(String),
}

impl Place {
    /// Opens it once more; nobody else has it open, where it is a file.
    fn open(&self) -> Box<dyn Store> {
        match self {
            Self::File(path) => Box::new(Sqlite(Database::open(path).unwrap())),
            Self::Cluster(url) => {
                Box::new(EtcdList::new(Etcd::new(url.parse().unwrap(), Access::default())))
            }
        }
    }
}

/// Makes a claim of two empty stores of each kind.
fn of_both(claim: impl Fn([Place; 2])) {
    let runtime = Runtime::new().unwrap();
    let _guard = runtime.enter();
    let dir = TempDir::new().unwrap();
    claim(["one", "two"].map(|name| Place::File(dir.path().join(name))));
    let etcd: Arc<fedgate_tests::etcd::Etcd> = fedgate_tests::etcd::Etcd::shared();
    claim([etcd.url(), etcd.url()].map(Place::Cluster));
}

/// The list alone: how it came about is each store's own.
fn load(store: &mut dyn Store) -> State {
    let state = store.load().unwrap();
    State { seal: "".into(), past: Vec::new(), ..state }
}

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_234_567_890_123)
}

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn entry(revision: i64, note: &str) -> Entry {
    on(revision, Terms { note: note.to_owned(), ..Terms::default() })
}

fn on(revision: i64, terms: Terms) -> Entry {
    let stamp = |by: &str| Stamp { at: moment(), by: by.into() };
    let (created, updated) = (stamp("alice"), stamp("bob"));
    Entry { terms: Arc::new(terms), revision, created, updated, lapsed: false }
}

fn token(name: &str, digest: u8, expires_at: Option<SystemTime>, revision: i64) -> Token {
    Token {
        name: name.into(),
        role: Role::Viewer,
        sha256: [digest; 32],
        created_at: moment(),
        created_by: "alice".into(),
        expires_at,
        last_used_at: None,
        revision,
    }
}

/// One change of each kind, and of each part of an entry.
fn changes() -> Vec<Change> {
    let terms = r#"{"action":"block","expires_at":"2030-01-31T12:00:00.250Z","pinned_hosts":["h.a.com"],
        "dnssec":"require","search_policy":"full_search",
        "restriction":{"tag":"restrict_by_team","value":["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]}}"#;
    vec![
        Change::Put(domain("a.com"), entry(1, "")),
        Change::Put(domain("b.com"), entry(2, "'); DROP TABLE domain; --")),
        Change::Put(domain("a.com"), entry(3, "München")),
        Change::Strategy(Strategy::AllowAll, 4),
        Change::Put(domain("c.com"), entry(5, "")),
        Change::Remove(domain("c.com"), 6),
        Change::Put(domain("d.com"), on(7, serde_json::from_str(terms).unwrap())),
        Change::Token(token("one", 1, Some(moment()), 8)),
        Change::Token(token("two", 2, None, 9)),
        Change::Revoke("one".into(), 10),
    ]
}

/// Keeps changes, one after the other.
fn keep(store: &mut dyn Store, changes: Vec<Change>) -> State {
    let mut state = load(store);
    for change in changes {
        store.keep(state.revision, std::slice::from_ref(&change), &records(1)).unwrap();
        state.apply(change);
    }
    state
}

fn records(number: u64) -> Vec<Record> {
    let record = |n: u64| {
        let at = moment() + Duration::from_secs(n);
        let author =
            Author { by: if n.is_multiple_of(2) { "even" } else { "odd" }.into(), at, request_id: None };
        let domain = n.is_multiple_of(3).then(|| domain("a.com"));
        Record { domain, ..author.did(Deed::CallsRefused, json!({ "n": n })) }
    };
    (0..number).map(record).collect()
}

#[test]
fn a_new_store_allows_nobody_and_has_a_name_which_it_keeps() {
    of_both(|[one, two]| {
        let mut store = one.open();
        assert_eq!(load(&mut *store), State::default());
        let name = store.identity().unwrap();
        drop(store);
        assert_eq!(one.open().identity().unwrap(), name);
        assert_ne!(two.open().identity().unwrap(), name);
    });
}

#[test]
fn what_is_kept_is_there_after_reopening() {
    of_both(|[place, _]| {
        let mut store = place.open();
        let expected = keep(&mut *store, changes());
        assert_eq!(load(&mut *store), expected);
        // Dropped, not closed, as by a crash.
        drop(store);
        let mut store = place.open();
        assert_eq!(load(&mut *store), expected);
        assert!(store.check().is_ok());
        assert!(store.health().trouble.is_none());
        store.close().unwrap();
        assert_eq!(load(&mut *place.open()), expected);
    });
}

#[test]
fn many_changes_are_kept_as_one() {
    of_both(|[place, _]| {
        let mut store = place.open();
        let mut expected = load(&mut *store);
        let many: Vec<_> =
            (1..=3_000).map(|n| Change::Put(domain(&format!("d{n}.com")), entry(n, "n"))).collect();
        store.keep(0, &many, &records(3_000)).unwrap();
        for change in many {
            expected.apply(change);
        }
        assert_eq!(load(&mut *store), expected);
        let query = Query { limit: 5_000, ..Query::default() };
        assert_eq!(store.audit(&query).unwrap().len(), 3_000);
        drop(store);
        assert_eq!(load(&mut *place.open()), expected);
    });
}

#[test]
fn records_are_found_by_what_is_asked_for_in_either_order() {
    of_both(|[place, _]| {
        let mut store = place.open();
        load(&mut *store);
        let all = records(10);
        store.keep(0, &[], &all).unwrap();
        let everything = Query { limit: 100, ..Query::default() };
        let mut found = |query: Query| -> Vec<i64> {
            store.audit(&query).unwrap().into_iter().map(|(id, _)| id - 1).collect()
        };
        let at = |n| Some(moment() + Duration::from_secs(n));
        for (query, expected) in [
            (Query { limit: 3, ..everything.clone() }, vec![9, 8, 7]),
            (Query { before: Some(8), limit: 3, ..everything.clone() }, vec![6, 5, 4]),
            (Query { order: Order::Oldest, limit: 2, ..everything.clone() }, vec![0, 1]),
            (Query { after: Some(9), order: Order::Oldest, ..everything.clone() }, vec![9]),
            (Query { after: Some(2), before: Some(5), ..everything.clone() }, vec![3, 2]),
            (Query { after: Some(10), ..everything.clone() }, vec![]),
            (Query { by: Some("odd".to_owned()), since: at(4), ..everything.clone() }, vec![9, 7, 5]),
            (Query { domain: Some(domain("a.com")), until: at(6), ..everything.clone() }, vec![3, 0]),
            (Query { deeds: vec![Deed::DomainAdded, Deed::TokenMade], ..everything.clone() }, vec![]),
            (Query { deeds: vec![Deed::CallsRefused], limit: 1, ..everything.clone() }, vec![9]),
            (Query { by: Some("'; DROP TABLE audit; --".to_owned()), ..everything.clone() }, vec![]),
        ] {
            assert_eq!(found(query.clone()), expected, "{query:?}");
        }
        let read = store.audit(&Query { order: Order::Oldest, ..everything }).unwrap();
        assert_eq!(read.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), all);
    });
}

#[test]
fn records_go_by_age_and_by_number_and_their_numbers_never_come_again() {
    of_both(|[place, _]| {
        let mut store = place.open();
        load(&mut *store);
        store.keep(0, &[], &records(10)).unwrap();
        let mut trimmed = |age, count, now| {
            let keep = Retention { age: Duration::from_secs(age), count };
            store.trim_audit(keep, moment() + Duration::from_secs(now)).unwrap()
        };
        assert_eq!(trimmed(100, 100, 10), 0);
        assert_eq!(trimmed(7, 100, 10), 3);
        assert_eq!(trimmed(100, 5, 10), 2);
        assert_eq!(trimmed(0, 100, 99), 5);
        store.keep(0, &[], &records(1)).unwrap();
        let query = Query { limit: 9, ..Query::default() };
        assert_eq!(store.audit(&query).unwrap().first().map(|(id, _)| *id), Some(11));
        store.keep(0, &[], &records(1_001)).unwrap();
        let keep = Retention { age: Duration::MAX, count: 0 };
        let trimmed: Vec<_> = (0..3).map(|_| store.trim_audit(keep, moment()).unwrap()).collect();
        assert_eq!(trimmed, [1000, 2, 0], "piece by piece");
    });
}

#[test]
fn when_a_token_was_used_only_moves_on() {
    of_both(|[place, _]| {
        let mut store = place.open();
        keep(&mut *store, vec![Change::Token(token("one", 1, None, 1))]);
        let used = |seconds| moment() + Duration::from_secs(seconds);
        for (at, expected) in [(5, 5), (3, 5), (9, 9)] {
            store.used(&[("one".into(), used(at)), ("gone".into(), used(at))]).unwrap();
            assert_eq!(load(&mut *store).tokens["one"].last_used_at, Some(used(expected)));
        }
    });
}

#[test]
fn a_store_becomes_what_another_is_and_only_where_it_is_empty() {
    of_both(|[one, two]| {
        let (mut one, mut two) = (one.open(), two.open());
        let expected = keep(&mut *one, changes());
        one.keep(expected.revision, &[], &records(5)).unwrap();
        let whole = one.whole().unwrap();
        two.fill(&whole).unwrap();
        assert_eq!(load(&mut *two), expected);
        let again = two.whole().unwrap();
        assert_eq!((&again.identity, &again.records), (&whole.identity, &whole.records));
        let more = vec![Change::Put(domain("e.com"), entry(expected.revision + 1, "later"))];
        let later = keep(&mut *two, more);
        assert!(two.fill(&whole).is_err(), "nothing is lost");
        assert_eq!(load(&mut *two), later);
    });
}

#[test]
fn of_a_cluster_two_have_one_list_and_whoever_was_overtaken_writes_nothing() {
    of_both(|[place, _]| {
        if let Place::File(_) = place {
            return;
        }
        let (mut one, mut two) = (place.open(), place.open());
        assert_eq!((load(&mut *one), load(&mut *two)), (State::default(), State::default()));
        let put = |name: &str| [Change::Put(domain(name), entry(1, name))];
        one.keep(0, &put("a.com"), &records(1)).unwrap();
        let overtaken = two.keep(0, &put("b.com"), &records(1));
        assert!(matches!(overtaken, Err(StoreError::Overtaken)), "{overtaken:?}");
        assert!(matches!(two.confirm(0), Err(StoreError::Overtaken)));
        two.confirm(1).unwrap();
        assert_eq!(load(&mut *two).domains.keys().collect::<Vec<_>>(), [&domain("a.com")]);
        assert_eq!(two.audit(&Query { limit: 9, ..Query::default() }).unwrap().len(), 1);
    });
}
