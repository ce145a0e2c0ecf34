use std::time::Duration;

use serde_json::json;

use super::*;
use crate::audit::record;
use crate::{Deed, Role, TermsError};

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn given(json: &str) -> terms::Change {
    serde_json::from_str(json).unwrap()
}

fn by(name: &str) -> Author {
    Author { by: name.into(), at: SystemTime::UNIX_EPOCH + Duration::from_secs(1), request_id: None }
}

fn put(
    state: &State,
    name: &str,
    json: &str,
    condition: &Condition,
) -> Result<((Entry, Effect), Option<Change>), WriteError> {
    state.put(domain(name), given(json), condition, &by("alice"))
}

fn listed(names: &[&str]) -> State {
    let mut state = State::default();
    for name in names {
        let (_, change) = put(&state, name, "{}", &Condition::None).unwrap();
        state.apply(change.unwrap());
    }
    state
}

#[test]
fn an_empty_list_allows_nobody() {
    assert!(!State::default().allows(&domain("a.com")));
}

#[test]
fn strategy_and_entry_decide_together_and_a_block_always_wins() {
    let mut state = listed(&["a.com", "blocked.com", "over.com", "block-over.com"]);
    let lapsed = r#"{"expires_at":"1970-01-01T00:00:01Z"}"#;
    let lapsed_block = r#"{"expires_at":"1970-01-01T00:00:01Z","action":"block"}"#;
    for (name, json) in [
        ("blocked.com", r#"{"action":"block"}"#),
        ("over.com", lapsed),
        ("block-over.com", lapsed_block),
    ] {
        let (_, change) = put(&state, name, json, &Condition::None).unwrap();
        state.apply(change.unwrap());
    }
    for (strategy, allowed) in [
        (Strategy::AllowNone, [false, false, false, false, false]),
        (Strategy::AllowDynamic, [true, false, false, false, false]),
        (Strategy::AllowAll, [true, false, true, true, true]),
    ] {
        state.strategy = strategy;
        let names = ["a.com", "blocked.com", "over.com", "block-over.com", "unlisted.com"];
        assert_eq!(names.map(|name| state.allows(&domain(name))), allowed, "{strategy:?}");
    }
    let lists = ["a.com", "blocked.com", "over.com", "unlisted.com"];
    assert_eq!(lists.map(|name| state.lists(&domain(name))), [true, false, false, false]);
}

#[test]
fn a_listed_domain_does_not_list_those_below_or_above_it() {
    let state = listed(&["a.com"]);
    assert!(!state.allows(&domain("x.a.com")));
    assert!(!listed(&["x.a.com"]).allows(&domain("a.com")));
}

#[test]
fn the_same_put_twice_changes_nothing() {
    let state = listed(&["a.com"]);
    let ((entry, effect), change) = put(&state, "a.com", "{}", &Condition::None).unwrap();
    assert_eq!((entry.revision, effect, change), (1, Effect::Same, None));
}

#[test]
fn what_a_put_leaves_out_stays() {
    let mut state = listed(&["a.com"]);
    let json = r#"{"note":"hello","dnssec":"require"}"#;
    let (_, change) = state.put(domain("a.com"), given(json), &Condition::None, &by("bob")).unwrap();
    state.apply(change.unwrap());
    let ((entry, effect), _) = put(&state, "a.com", "{}", &Condition::None).unwrap();
    assert_eq!((entry.terms.note.as_str(), entry.revision, effect), ("hello", 2, Effect::Same));
    assert_eq!((&*entry.created.by, &*entry.updated.by), ("alice", "bob"));
}

#[test]
fn terms_that_cannot_be_used_are_no_change() {
    let state = listed(&["a.com"]);
    let refused = put(&state, "a.com", r#"{"action":"block","mode":"shadow"}"#, &Condition::None);
    assert!(matches!(refused, Err(WriteError::Terms(_, TermsError::BlockInShadow))));
}

#[test]
fn a_revision_never_comes_twice_even_when_a_domain_goes_and_returns() {
    let mut state = listed(&["a.com"]);
    let ((), change) = state.remove(domain("a.com"), &Condition::None).unwrap();
    state.apply(change.unwrap());
    let ((entry, effect), _) = put(&state, "a.com", "{}", &Condition::None).unwrap();
    assert_eq!((entry.revision, effect), (3, Effect::Created));
}

#[test]
fn many_are_put_together_with_a_revision_for_each_change() {
    let state = listed(&["a.com", "b.com", "c.com"]);
    let wanted = || {
        [("d.com", "{}"), ("b.com", r#"{"note":"n"}"#), ("a.com", "{}")]
            .map(|(name, json)| (domain(name), given(json)))
            .to_vec()
    };
    let effects = |effects: &[(Domain, Effect)]| {
        effects.iter().map(|(it, effect)| format!("{it} {effect:?}")).collect::<Vec<_>>().join(", ")
    };
    for (prune, expected, revisions) in [
        (false, "a.com Same, b.com Changed, d.com Created", vec![4, 5]),
        (true, "a.com Same, b.com Changed, c.com Removed, d.com Created", vec![4, 5, 6]),
    ] {
        let (done, changes) =
            state.put_all(wanted(), prune, &Condition::Revision(vec![3]), &by("alice")).unwrap();
        assert_eq!(effects(&done), expected);
        let mut after = state.clone();
        let given = changes.iter().map(|change| {
            after.apply(change.clone());
            after.revision
        });
        assert_eq!(given.collect::<Vec<_>>(), revisions);
        assert_eq!(after.lists(&domain("c.com")), !prune);
    }
    let twice = vec![(domain("a.com"), given("{}")), (domain("a.com"), given("{}"))];
    let refused = state.put_all(twice, false, &Condition::None, &by("alice"));
    assert!(matches!(refused, Err(WriteError::Twice(_))));
    let refused = state.put_all(wanted(), false, &Condition::Revision(vec![2]), &by("alice"));
    assert!(matches!(refused, Err(WriteError::Precondition)));
}

#[test]
fn a_condition_that_does_not_hold_stops_the_write() {
    use Condition::{Absent, Exists, None, Revision};
    let state = listed(&["a.com", "b.com"]);
    for (name, condition, holds) in [
        ("a.com", None, true),
        ("a.com", Exists, true),
        ("a.com", Absent, false),
        ("a.com", Revision(vec![1]), true),
        ("a.com", Revision(vec![7, 1]), true),
        ("a.com", Revision(vec![2]), false),
        ("a.com", Revision(vec![]), false),
        ("c.com", None, true),
        ("c.com", Exists, false),
        ("c.com", Absent, true),
        ("c.com", Revision(vec![1]), false),
    ] {
        assert_eq!(put(&state, name, "{}", &condition).is_ok(), holds, "{name} {condition:?}");
    }
    assert!(matches!(state.remove(domain("c.com"), &None), Err(WriteError::NotListed(_))));
    assert!(matches!(state.remove(domain("c.com"), &Exists), Err(WriteError::Precondition)));
    assert!(state.set_strategy(Strategy::AllowAll, &Revision(vec![1])).is_err());
    assert!(state.set_strategy(Strategy::AllowAll, &Revision(vec![0])).is_ok());
}

fn token(name: &str, digest: u8) -> Token {
    Token {
        name: name.into(),
        role: Role::Admin,
        sha256: [digest; 32],
        created_at: SystemTime::UNIX_EPOCH,
        created_by: "alice".into(),
        expires_at: None,
        last_used_at: None,
        revision: 0,
    }
}

#[test]
fn no_two_tokens_have_the_same_name_or_digest() {
    let mut state = listed(&["a.com"]);
    let ((), change) = state.make_token(token("one", 1)).unwrap();
    state.apply(change.unwrap());
    assert_eq!((state.revision, state.tokens["one"].revision), (2, 2));
    assert!(matches!(state.make_token(token("one", 2)), Err(WriteError::TokenExists(_))));
    assert!(matches!(state.make_token(token("two", 1)), Err(WriteError::SameToken(_))));
    assert!(matches!(state.revoke_token("two"), Err(WriteError::NoToken(_))));
    let ((), change) = state.revoke_token("one").unwrap();
    state.apply(change.unwrap());
    assert!(state.tokens.is_empty() && state.revision == 3);
}

#[test]
fn a_record_has_what_was_there_before_and_what_is_there_since() {
    let mut state = listed(&["a.com"]);
    let alice = by("alice");
    let done = |change: Option<Change>, state: &mut State| {
        let change = change.unwrap();
        let record = record(state, &change, &alice).unwrap();
        state.apply(change);
        (record.deed, record.revision, record.before, record.after)
    };
    let note = |note: &str| json!(Terms { note: note.to_owned(), ..Terms::default() });
    let change = put(&state, "b.com", r#"{"note":"n"}"#, &Condition::None).unwrap().1;
    assert_eq!(done(change, &mut state), (Deed::DomainAdded, Some(2), None, Some(note("n"))));
    let change = put(&state, "b.com", r#"{"note":"m"}"#, &Condition::None).unwrap().1;
    let expected = (Deed::DomainChanged, Some(3), Some(note("n")), Some(note("m")));
    assert_eq!(done(change, &mut state), expected);
    let change = Some(Change::Lapse(domain("b.com")));
    assert_eq!(done(change, &mut state), (Deed::DomainExpired, None, Some(note("m")), None));
    let change = state.remove(domain("b.com"), &Condition::None).unwrap().1;
    assert_eq!(done(change, &mut state), (Deed::DomainRemoved, Some(4), Some(note("m")), None));
    let change = state.set_strategy(Strategy::AllowAll, &Condition::None).unwrap().1;
    let expected = (Deed::StrategySet, Some(5), Some(json!("allowDynamic")), Some(json!("allowAll")));
    assert_eq!(done(change, &mut state), expected);
    let change = state.make_token(token("one", 7)).unwrap().1;
    let shown = json!({"name": "one", "role": "admin", "expires_at": null});
    assert_eq!(done(change, &mut state), (Deed::TokenMade, Some(6), None, Some(shown.clone())));
    let change = state.revoke_token("one").unwrap().1;
    assert_eq!(done(change, &mut state), (Deed::TokenRevoked, Some(7), Some(shown), None));
}
