//! What the control plane says to filters, against its JSON as a tree.

use fedgate_policy::{FeedPage, MAX_HOSTS, Outcome, Verdict};
use serde_json::Value;

/// A page of the feed, or a verdict.
pub fn feed(octets: &[u8]) -> bool {
    if let Ok(verdict) = serde_json::from_slice::<Verdict>(octets) {
        if let Some(tree) = tree(octets) {
            check(&verdict, &tree);
        }
        let json = serde_json::to_vec(&verdict).expect("JSON");
        assert_eq!(serde_json::from_slice::<Verdict>(&json).ok(), Some(verdict));
        return true;
    }
    let Ok(page) = serde_json::from_slice::<FeedPage>(octets) else { return false };
    if let Some(tree) = tree(octets) {
        check_page(&page, &tree);
    }
    let json = serde_json::to_vec(&page).expect("JSON");
    assert_eq!(serde_json::from_slice::<FeedPage>(&json).ok(), Some(page));
    true
}

fn check_page(page: &FeedPage, tree: &Value) {
    let member = |name, position| member(tree, name, position);
    assert_eq!(member("cursor", 0), page.cursor.as_str());
    assert_eq!((member("reset", 4), member("more", 5)), (&page.reset.into(), &page.more.into()));
    assert_eq!(member("strategy", 6), page.strategy.name());
    let verdicts = member("verdicts", 7).as_array().expect("verdicts");
    assert_eq!(verdicts.len(), page.verdicts.len());
    page.verdicts.iter().zip(verdicts).for_each(|(verdict, tree)| check(verdict, tree));
    let removed: Vec<_> = page.removed.iter().map(|domain| domain.as_str().to_owned()).collect();
    assert_eq!(removed, lower(member("removed", 8)));
}

fn check(verdict: &Verdict, tree: &Value) {
    assert_eq!(
        member(tree, "domain", 0).as_str().map(str::to_ascii_lowercase).as_deref(),
        Some(verdict.domain.as_str())
    );
    assert_eq!(member(tree, "ttl_ms", 3).as_u64(), Some(verdict.ttl_ms));
    assert_eq!(member(tree, "shadow", 4).as_bool().unwrap_or(false), verdict.shadow);
    let (hosts, failure) = (member(tree, "hosts", 1), member(tree, "failure", 2));
    match &verdict.outcome {
        Outcome::Hosts(found) => {
            assert!(failure.is_null() && (1..=MAX_HOSTS).contains(&found.len()));
            let found: Vec<_> = found.iter().map(|host| host.as_str().to_owned()).collect();
            assert_eq!(found, lower(hosts));
        }
        Outcome::Failure(found) => {
            assert!(hosts.is_null());
            assert_eq!(member(failure, "label", 0), found.label.name());
            assert_eq!(member(failure, "message", 1), found.message.as_str());
        }
    }
}

/// All of it. serde looks less closely at members that it passes over: what is in there may be no UTF-8.
fn tree(octets: &[u8]) -> Option<Value> {
    serde_json::from_str(&String::from_utf8_lossy(octets)).ok()
}

/// A member by its name; serde also reads a list, by position.
fn member<'a>(tree: &'a Value, name: &str, position: usize) -> &'a Value {
    if tree.is_array() { &tree[position] } else { &tree[name] }
}

/// Names in lower case, without the root's dot.
fn lower(list: &Value) -> Vec<String> {
    let names = list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name"));
    names.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()).collect()
}
