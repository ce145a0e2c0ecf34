use std::time::{Duration, SystemTime};

use super::*;

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn change(json: &str) -> terms::Change {
    serde_json::from_str(json).unwrap()
}

/// A list of one entry of each kind.
fn state(strategy: Strategy) -> State {
    let mut state = State { strategy, ..State::default() };
    for (name, json) in [
        ("allowed.com", "{}"),
        ("blocked.com", r#"{"action":"block"}"#),
        ("over.com", r#"{"expires_at":"1970-01-01T00:00:01Z"}"#),
    ] {
        let write = Write::Put(domain(name), change(json));
        let (_, changes) = state.decide(write, &Condition::None, &author()).unwrap();
        for change in changes {
            state.apply(change);
        }
    }
    state
}

fn author() -> Author {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    Author { by: "alice".into(), at, request_id: None }
}

#[test]
fn who_gains_and_who_loses_is_told_of_every_write() {
    use Strategy::{AllowAll, AllowDynamic, AllowNone};
    let put = |name: &str, json: &str| Write::Put(domain(name), change(json));
    let block = r#"{"action":"block"}"#;
    for (strategy, write, gained, lost) in [
        (AllowDynamic, put("new.com", "{}"), "new.com", ""),
        (AllowNone, put("new.com", "{}"), "", ""),
        (AllowAll, put("new.com", "{}"), "", ""),
        (AllowAll, put("new.com", block), "", "new.com"),
        (AllowDynamic, put("new.com", block), "", ""),
        (AllowDynamic, put("allowed.com", block), "", "allowed.com"),
        (AllowDynamic, put("allowed.com", r#"{"note":"n"}"#), "", ""),
        (AllowDynamic, put("blocked.com", r#"{"action":"allow"}"#), "blocked.com", ""),
        (AllowDynamic, put("over.com", r#"{"expires_at":null}"#), "over.com", ""),
        (AllowAll, put("over.com", block), "", ""),
        (
            AllowDynamic,
            put("allowed.com", r#"{"expires_at":"1970-01-01T00:00:00Z"}"#),
            "",
            "allowed.com",
        ),
        (AllowDynamic, Write::Remove(domain("allowed.com")), "", "allowed.com"),
        (AllowDynamic, Write::Remove(domain("over.com")), "", ""),
        (AllowAll, Write::Remove(domain("allowed.com")), "", ""),
        (AllowAll, Write::Remove(domain("blocked.com")), "blocked.com", ""),
        (AllowAll, Write::SetStrategy(AllowNone), "", "allowed.com over.com +"),
        (AllowAll, Write::SetStrategy(AllowDynamic), "", "over.com +"),
        (AllowDynamic, Write::SetStrategy(AllowNone), "", "allowed.com"),
        (AllowNone, Write::SetStrategy(AllowAll), "allowed.com over.com +", ""),
        (AllowAll, Write::SetStrategy(AllowAll), "", ""),
    ] {
        let told = format!("{write:?} under {}", strategy.name());
        let (outcome, _) = state(strategy).decide(write, &Condition::None, &author()).unwrap();
        for (access, expected) in [(&outcome.gained, gained), (&outcome.lost, lost)] {
            let mut names: Vec<_> = access.domains.iter().map(Domain::as_str).collect();
            assert_eq!(names.len(), access.count);
            names.extend(access.unlisted.then_some("+"));
            assert_eq!(names.join(" "), expected, "{told}");
        }
    }
}

#[test]
fn a_write_of_many_says_of_each_what_becomes_of_it() {
    let state = state(Strategy::AllowDynamic);
    let wanted = vec![
        (domain("new.com"), change("{}")),
        (domain("allowed.com"), change(r#"{"note":"n"}"#)),
        (domain("over.com"), change("{}")),
    ];
    let write = |prune| Write::PutAll { wanted: wanted.clone(), prune, strategy: None };
    let (outcome, changes) = state.decide(write(true), &Condition::None, &author()).unwrap();
    let names = |of: &[(Domain, Arc<Terms>)]| of.iter().map(|it| it.0.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (names(&outcome.added), names(&outcome.removed)),
        (vec!["new.com".to_owned()], vec!["blocked.com".to_owned()])
    );
    let (name, before, since) = &outcome.changed[0];
    assert_eq!((name.as_str(), before.note.as_str(), since.note.as_str()), ("allowed.com", "", "n"));
    assert_eq!((outcome.changed.len(), outcome.unchanged, outcome.revision), (1, 1, 6));
    assert_eq!(changes.len(), 3);
    let (outcome, _) = state.decide(write(false), &Condition::None, &author()).unwrap();
    assert!(outcome.removed.is_empty());
}

#[test]
fn of_very_many_the_first_are_named() {
    let wanted = (0..1500).map(|n| (domain(&format!("d{n:04}.com")), change("{}"))).collect();
    let write = Write::PutAll { wanted, prune: false, strategy: None };
    let (outcome, _) = state(Strategy::AllowDynamic).decide(write, &Condition::None, &author()).unwrap();
    assert_eq!((outcome.gained.domains.len(), outcome.gained.count), (MAX_NAMED, 1500));
    assert_eq!(outcome.added.len(), 1500);
}

#[test]
fn a_write_of_many_may_set_the_strategy_with_them() {
    let state = state(Strategy::AllowDynamic);
    let wanted = vec![(domain("new.com"), change("{}")), (domain("blocked.com"), change("{}"))];
    let write =
        |strategy| Write::PutAll { wanted: wanted.clone(), prune: true, strategy: Some(strategy) };
    let decide = |write| state.decide(write, &Condition::None, &author()).unwrap();
    let names =
        |access: &Access| access.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let (outcome, changes) = decide(write(Strategy::AllowAll));
    assert_eq!(outcome.strategy, Some((Strategy::AllowDynamic, Strategy::AllowAll)));
    // allowed.com is taken off the list, and may federate all the same; over.com counted as absent.
    assert_eq!(
        (names(&outcome.gained), names(&outcome.lost)),
        ("new.com over.com".to_owned(), String::new())
    );
    assert!(outcome.gained.unlisted);
    let mut after = state.clone();
    for change in changes {
        after.apply(change);
    }
    assert_eq!((after.revision, after.strategy), (outcome.revision, Strategy::AllowAll));
    assert_eq!(after.strategy_revision, after.revision);
    let (outcome, _) = decide(write(Strategy::AllowNone));
    assert_eq!(
        (names(&outcome.gained), names(&outcome.lost)),
        (String::new(), "allowed.com".to_owned())
    );
    assert_eq!(decide(write(Strategy::AllowDynamic)).0.strategy, None);
}
