use fedgate_policy::Strategy;

use super::*;
use crate::{Author, Condition, terms};

fn head(revision: i64) -> Head {
    Head {
        schema: 1,
        identity: "store".to_owned(),
        revision,
        strategy: Strategy::AllowDynamic,
        strategy_revision: 0,
        records: 1,
        tag: format!("tag{revision}"),
        parts: 0,
    }
}

fn put(name: &str, revision: i64) -> Event {
    let author = Author::system(SystemTime::UNIX_EPOCH);
    let state = State { revision: revision - 1, ..State::default() };
    let (domain, change) = (name.parse().unwrap(), terms::Change::default());
    let ((entry, _), _) = state.put(domain, change, &Condition::None, &author).unwrap();
    let value = row::write(&EntryRow::from(&entry)).unwrap();
    Event { key: format!("{}{name}", keys::DOMAIN), value: Some(value), at: 9 }
}

fn gone(key: &str) -> Event {
    Event { key: key.to_owned(), value: None, at: 9 }
}

#[test]
fn a_write_is_told_in_the_order_of_its_revisions_and_what_is_gone_has_one_of_those_left() {
    let events = [gone("list/domain/b.com"), put("c.com", 5), put("a.com", 4), gone("list/token/alice")];
    let changes = changes_of(&head(2), &head(6), &events).unwrap();
    let revisions: Vec<_> = changes.iter().filter_map(Change::revision).collect();
    assert_eq!(revisions, [3, 4, 5, 6]);
    assert_eq!(changes[0], Change::Remove("b.com".parse().unwrap(), 3));
    assert!(matches!(&changes[1], Change::Put(domain, _) if domain.as_str() == "a.com"));
    assert_eq!(changes[3], Change::Revoke("alice".into(), 6));
}

#[test]
fn a_strategy_is_told_by_the_head() {
    let after = Head { strategy: Strategy::AllowNone, strategy_revision: 3, ..head(3) };
    let changes = changes_of(&head(2), &after, &[]).unwrap();
    assert_eq!(changes, [Change::Strategy(Strategy::AllowNone, 3)]);
}

#[test]
fn what_means_nothing_is_an_error_that_names_it() {
    for (key, value) in [
        ("list/domain/b.com", "{}"),
        ("list/domain/b.com", "null"),
        ("list/domain/b.com", "\u{0}"),
        ("list/token/alice", "{}"),
    ] {
        let event = Event { key: key.to_owned(), value: Some(value.into()), at: 9 };
        assert!(
            matches!(changes_of(&head(2), &head(3), &[event]), Err(StoreError::Row { .. })),
            "{key}"
        );
    }
    let misnamed = Event { key: "list/domain/b..com".to_owned(), ..put("b.com", 3) };
    assert!(matches!(
        changes_of(&head(2), &head(3), &[misnamed]),
        Err(StoreError::Row { what: "domain", .. })
    ));
}

#[test]
fn a_head_of_a_later_version_is_refused_before_anything_of_it_is_read() {
    let later = br#"{"schema":2,"colour":"red"}"#;
    let error = Head::read(later).unwrap_err().to_string();
    assert!(error.contains("is of a later Fedgate"), "{error}");
    let known = row::write(&head(7)).unwrap();
    assert_eq!(Head::read(&known).unwrap(), head(7));
    for text in ["", "{}", "[]", r#"{"schema":1}"#, r#"{"schema":-1}"#] {
        assert!(Head::read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn what_a_majority_confirms_is_known_once_events_have_told_it() {
    let start = Instant::now();
    let at = |at: i64, ms: u64| {
        let heard = start + Duration::from_millis(ms);
        Sighting { head: head(at), at, heard }
    };
    let heard = |so_far: &mut SoFar, beat: Sighting| {
        let heard = so_far.hear(beat).map_err(|WentBack| "the store went back");
        heard.map(|it| it.map(|it| u64::try_from((it - start).as_millis()).unwrap()))
    };
    let mut so_far = SoFar { head: at(10, 0), since: start, behind: None };
    assert_eq!(heard(&mut so_far, at(10, 100)), Ok(Some(100)));
    assert_eq!(heard(&mut so_far, at(11, 200)), Ok(None), "events have not told it yet");
    so_far.head = at(11, 0);
    assert_eq!(heard(&mut so_far, at(12, 300)), Ok(Some(200)), "while others write all the time");
    so_far.head = at(13, 0);
    assert_eq!((heard(&mut so_far, at(13, 400)), so_far.lag()), (Ok(Some(400)), Duration::ZERO));
    // Asked before the last events came.
    so_far.since = start + Duration::from_millis(450);
    assert_eq!(heard(&mut so_far, at(12, 430)), Ok(Some(430)));
    assert_eq!(heard(&mut so_far, at(12, 460)), Err("the store went back"));
}
