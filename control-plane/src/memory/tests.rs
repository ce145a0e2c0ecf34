use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use fedgate_discovery::Target;
use fedgate_policy::{Failure, FailureLabel, Outcome};
use fedgate_store::sqlite::Database;

use super::sqlite::Sqlite;
use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn at(minutes: u32) -> When {
    When { wall: UNIX_EPOCH + DAY + minutes * MINUTE, boot: "".into(), booted_ms: 0 }
}

/// A minute before all of that.
fn before() -> When {
    When { wall: UNIX_EPOCH + DAY - MINUTE, ..at(0) }
}

/// What lives for ten minutes: that these hosts speak for a domain, or that none does.
fn found(hosts: &[&str]) -> Discovered {
    let targets =
        |port| hosts.iter().map(move |it| Target { priority: 1, host: host(it), port, weight: 1 });
    let outcome = if hosts.is_empty() {
        let failure = Failure { label: FailureLabel::InvalidDomain, message: "none".to_owned() };
        Outcome::Failure(failure)
    } else {
        Outcome::Hosts(hosts.iter().map(|it| host(it)).collect())
    };
    let targets = targets(443).collect();
    let (passed_over, certainty) = (Vec::new(), Certainty::Answered);
    Discovered { outcome, targets, passed_over, ttl: 10 * MINUTE, certainty, is_proven: false }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn state() -> State {
    State::new("these settings".to_owned(), DAY)
}

/// What a process remembers that was restarted at `now`, with this list.
fn restarted(kept: Vec<(Key, Kept)>, listed: &[&str], now: &When) -> (State, Vec<Recalled>) {
    let mut state = state();
    let lists = |domain: &Domain| listed.contains(&domain.as_str());
    let (recalled, corrupt) = state.recall(kept, lists, now);
    assert!(corrupt.is_empty(), "{corrupt:?}");
    (state, recalled)
}

fn written(state: &mut State) -> Vec<(Key, Kept)> {
    state.take(usize::MAX).into_iter().filter_map(|(key, kept)| Some((key, kept?))).collect()
}

fn removed(state: &mut State) -> Vec<String> {
    let changes = state.take(usize::MAX).into_iter();
    let mut names: Vec<_> =
        changes.filter(|(_, kept)| kept.is_none()).map(|(key, _)| key.name).collect();
    names.sort();
    names
}

/// Of `a.com`, at minute 0, with its host's addresses.
fn kept() -> Vec<(Key, Kept)> {
    let mut state = state();
    state.found(&domain("a.com"), &found(&["fed.a.com"]), at(0));
    state.resolved(&host("fed.a.com"), Family::V4, &addresses(&["192.0.2.1"]), at(0));
    written(&mut state)
}

#[test]
fn what_was_found_is_recalled_with_what_remains_of_its_life() {
    let (mut state, recalled) = restarted(kept(), &["a.com"], &at(4));
    let found = Discovered { ttl: 6 * MINUTE, ..found(&["fed.a.com"]) };
    assert_eq!(recalled, [Recalled { domain: domain("a.com"), found, age: 4 * MINUTE }]);
    let name = host("fed.a.com");
    assert_eq!(state.addresses(&name, Family::V4, &at(4)), Some(addresses(&["192.0.2.1"])));
    assert_eq!(state.addresses(&name, Family::V6, &at(4)), None, "of which DNS said nothing");
    assert!(state.take(1).is_empty(), "all of it stays as it is kept");

    let mut none = self::state();
    none.found(&domain("a.com"), &self::found(&[]), at(0));
    let (_, recalled) = restarted(written(&mut none), &["a.com"], &at(1));
    assert_eq!(recalled[0].found.outcome, self::found(&[]).outcome, "that there is none, is known too");
}

#[test]
fn what_does_not_hold_is_not_recalled() {
    let other = |mut kept: Vec<(Key, Kept)>| {
        for (_, kept) in &mut kept {
            kept.basis = "other settings".to_owned();
        }
        kept
    };
    for (what, kept, listed, now, gone) in [
        ("its life is over", kept(), vec!["a.com"], at(10), vec!["a.com"]),
        ("even addresses are too old", kept(), vec!["a.com"], at(1440), vec!["a.com", "fed.a.com"]),
        ("the clock was set back", kept(), vec!["a.com"], before(), vec![]),
        ("it rests on something else", other(kept()), vec!["a.com"], at(1), vec![]),
        ("its domain was removed", kept(), vec!["b.com"], at(1), vec!["a.com", "fed.a.com"]),
    ] {
        let (mut state, recalled) = restarted(kept, &listed, &now);
        assert_eq!(recalled, [], "{what}");
        assert_eq!(state.addresses(&host("fed.a.com"), Family::V4, &now), None, "{what}");
        let removed = removed(&mut state);
        assert!(gone.iter().all(|gone| removed.iter().any(|it| it == gone)), "{what}: {removed:?}");
        assert!(!gone.is_empty() || removed.is_empty(), "{what}: it may hold again");
    }
}

#[test]
fn a_finding_that_means_nothing_is_passed_over_and_removed() {
    let mut all = kept();
    let mut bad = all[0].clone();
    bad.0.name = "b.com".to_owned();
    bad.1.finding = "}".to_owned();
    all.insert(0, bad);
    let mut state = state();
    let (recalled, corrupt) = state.recall(all, |_| true, &at(1));
    assert_eq!((recalled.len(), corrupt.len()), (1, 1));
    assert!(corrupt[0].contains("b.com"), "{corrupt:?}");
    assert_eq!(removed(&mut state), ["b.com"]);
}

#[test]
fn addresses_stand_beyond_their_ttl_while_dns_does_not_answer() {
    let mut state = state();
    state.found(&domain("a.com"), &found(&["fed.a.com"]), at(0));
    let name = host("fed.a.com");
    let one = addresses(&["192.0.2.1"]);
    state.resolved(&name, Family::V4, &one, at(0));
    state.resolved(&name, Family::V6, &[], at(1));
    let v4 = |state: &State, now: When| state.addresses(&name, Family::V4, &now);
    assert_eq!(v4(&state, at(1440)), Some(one));
    assert_eq!(v4(&state, at(1441)), None, "but for no longer than anything");
    assert_eq!(v4(&state, before()), None, "nor where the clock was set back");
    assert_eq!(state.addresses(&name, Family::V6, &at(2)), Some(vec![]));
    state.resolved(&name, Family::V4, &[], at(3));
    assert_eq!(v4(&state, at(3)), Some(vec![]), "an answer takes them away");
}

#[test]
fn only_targets_of_remembered_domains_take_room() {
    let mut state = state();
    state.resolved(&host("fed.a.com"), Family::V4, &addresses(&["192.0.2.1"]), at(0));
    assert!(state.take(1).is_empty(), "nobody that we remember points at it");
    for name in ["a.com", "b.com"] {
        state.found(&domain(name), &found(&["fed.a.com"]), at(0));
    }
    state.resolved(&host("fed.a.com"), Family::V4, &addresses(&["192.0.2.1"]), at(0));
    assert_eq!(written(&mut state).len(), 3);
    state.found(&domain("a.com"), &found(&["new.a.com"]), at(1));
    let v4 = |state: &State| state.addresses(&host("fed.a.com"), Family::V4, &at(1));
    assert!(v4(&state).is_some(), "b.com still points at it");
    state.forget(&domain("b.com"));
    assert_eq!(v4(&state), None);
    assert_eq!(removed(&mut state), ["b.com", "fed.a.com"]);
}

#[test]
fn what_could_not_be_written_is_tried_again_unless_it_is_outdated() {
    let mut state = state();
    for name in ["a.com", "b.com"] {
        state.found(&domain(name), &found(&[]), at(0));
    }
    let taken = state.take(usize::MAX);
    state.found(&domain("a.com"), &found(&[]), at(1));
    state.give_back(&taken);
    let mut again = written(&mut state);
    again.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    assert_eq!(again.iter().map(|(_, kept)| kept.found.clone()).collect::<Vec<_>>(), [at(1), at(0)]);
}

fn open(path: &Path, basis: &str) -> (Database, Arc<Memory>) {
    let database = Database::open(path).unwrap();
    let store = Box::new(Sqlite(database.clone()));
    let lists = |domain: &Domain| domain.as_str() != "unlisted.com";
    (database, Memory::new(store, basis.to_owned(), DAY, lists))
}

#[tokio::test]
async fn what_is_written_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fedgate.db");
    let (database, memory) = open(&path, "x");
    assert_eq!(memory.recall(), []);
    let trouble = Discovered::transient("SERVFAIL".to_owned());
    for (name, found) in [
        ("a.com", found(&["fed.a.com"])),
        ("b.com", found(&["fed.a.com"])),
        ("trouble.com", trouble),
        ("unlisted.com", found(&["fed.a.com"])),
    ] {
        memory.found(&domain(name), &found);
    }
    memory.forget(&domain("b.com"));
    memory.write().await;
    // Dropped, not closed, as by a crash.
    drop((database, memory));

    let (database, memory) = open(&path, "x");
    let recalled = memory.recall();
    assert_eq!(recalled.len(), 1, "{recalled:?}");
    assert_eq!(
        (&recalled[0].domain, &recalled[0].found.targets),
        (&domain("a.com"), &found(&["fed.a.com"]).targets)
    );
    assert!(recalled[0].found.ttl <= 10 * MINUTE && recalled[0].found.ttl > 9 * MINUTE);
    drop((database, memory));
    assert_eq!(open(&path, "y").1.recall(), [], "it rests on something else");

    // A row that somebody spoilt hinders nothing, and is gone once it was seen.
    let (database, memory) = open(&path, "x");
    let count = |database: &Database| {
        let count = "SELECT count(*) FROM finding WHERE finding = 'x'";
        database.with(|it| Ok(it.query_row(count, [], |row| row.get::<_, u32>(0))?)).unwrap()
    };
    database.with(|it| Ok(it.execute("UPDATE finding SET finding = 'x'", [])?)).unwrap();
    assert_eq!((memory.recall(), count(&database)), (vec![], 1));
    memory.write().await;
    assert_eq!(count(&database), 0);
}

/// A store that is full, or is not.
struct Disk(Arc<AtomicBool>, Arc<Mutex<Vec<String>>>);

impl Keep for Disk {
    fn recall(&mut self) -> Result<Vec<(Key, Kept)>, StoreError> {
        Err(StoreError::Failed("it cannot be read".to_owned()))
    }

    fn write(&mut self, changes: &[(Key, Option<Kept>)]) -> Result<(), StoreError> {
        if self.0.load(Ordering::SeqCst) {
            return Err(StoreError::Full(None));
        }
        self.1.lock().unwrap().extend(changes.iter().map(|(key, _)| key.name.clone()));
        Ok(())
    }

    fn step(&mut self, _: &When) -> Result<(), StoreError> {
        Ok(())
    }

    fn sweep(&mut self, _: &When) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_costs_nothing_that_is_known_and_is_caught_up_with() {
    let (full, names) = (Arc::new(AtomicBool::new(true)), Arc::<Mutex<Vec<_>>>::default());
    let memory = Memory::new(Box::new(Disk(full.clone(), names.clone())), "x".to_owned(), DAY, |_| true);
    assert_eq!(memory.recall(), [], "what cannot be read is as if it were not there");
    memory.found(&domain("a.com"), &found(&[]));
    memory.write().await;
    assert!(memory.failing.load(Ordering::SeqCst) && names.lock().unwrap().is_empty());
    memory.found(&domain("b.com"), &found(&[]));
    memory.write().await;
    full.store(false, Ordering::SeqCst);
    memory.write().await;
    assert!(!memory.failing.load(Ordering::SeqCst));
    let mut names = names.lock().unwrap().clone();
    names.sort();
    assert_eq!(names, ["a.com", "b.com"]);
}
