//! Whether what clients saw of registers is what one of them, read and written by one client after the other, could
//! have said (Herlihy and Wing, 1990). One register per key, each checked by itself, which is as good as all together.
//!
//! The search is Wing and Gong's, with Lowe's memory of what was tried: an operation that began before all others that
//! are left have ended may be the next; the state after the same set of operations need not be looked into twice.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

/// What was done to a register, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was set.
    Write(Option<String>),
    /// It said this.
    Read(Option<String>),
}

/// One operation of a history.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The register.
    pub key: String,
    /// What was done.
    pub deed: Deed,
    /// When it was begun.
    pub begun: Instant,
    /// When its answer came; none where nobody knows whether it was done, or when.
    pub ended: Option<Instant>,
}

/// Says which register's history no register has, where there is one.
pub fn check(history: &[Operation]) -> Result<(), String> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        // A read whose answer nobody saw says nothing.
        if operation.ended.is_some() || matches!(operation.deed, Deed::Write(_)) {
            keys.entry(&operation.key).or_default().push(operation);
        }
    }
    for (key, mut operations) in keys {
        operations.sort_by_key(|it| it.begun);
        if !is_linear(&operations) {
            return Err(format!("{key}: {operations:#?}"));
        }
    }
    Ok(())
}

fn is_linear(operations: &[&Operation]) -> bool {
    let mut tried = HashSet::new();
    let mut stack = vec![(vec![false; operations.len()], None::<String>)];
    while let Some((done, state)) = stack.pop() {
        let left = || operations.iter().enumerate().filter(|(number, _)| !done[*number]);
        if left().all(|(_, it)| it.ended.is_none()) {
            return true;
        }
        if !tried.insert((done.clone(), state.clone())) {
            continue;
        }
        let first_end = left().filter_map(|(_, it)| it.ended).min();
        for (number, operation) in left() {
            if first_end.is_some_and(|end| operation.begun > end) {
                continue;
            }
            let after = match &operation.deed {
                Deed::Write(value) => value.clone(),
                Deed::Read(value) if *value == state => state.clone(),
                Deed::Read(_) => continue,
            };
            let mut done = done.clone();
            done[number] = true;
            stack.push((done, after));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `w1 0-2` a write of 1 from 0 to 2, `r1`, `r-` a read of nothing, `d` a removal; `?` for an end that is not known.
    fn history(text: &str) -> Vec<Operation> {
        let start = Instant::now();
        let at = |text: &str| start + Duration::from_secs(text.parse().unwrap());
        let operation = |text: &str| {
            let (deed, times) = text.split_once(' ').unwrap();
            let (begun, ended) = times.split_once('-').unwrap();
            let value = |text: &str| (text != "-").then(|| text.to_owned());
            let deed = match deed.split_at(1) {
                ("w", text) => Deed::Write(value(text)),
                ("r", text) => Deed::Read(value(text)),
                _ => Deed::Write(None),
            };
            let ended = (ended != "?").then(|| at(ended));
            Operation { key: "k".to_owned(), deed, begun: at(begun), ended }
        };
        text.split(", ").map(operation).collect()
    }

    #[test]
    fn what_one_register_could_have_said_is_told_from_what_none_could() {
        for (text, is_good) in [
            ("w1 0-1, r1 2-3", true),
            ("r- 0-1, w1 2-3, d 4-5, r- 6-7", true),
            ("w1 0-1, r- 2-3", false),
            ("w1 0-5, r- 1-2, r1 3-4", true),
            ("w1 0-5, r1 1-2, r- 3-4", false),
            ("w1 0-5, w2 0-5, r1 6-7, r1 8-9", true),
            ("w1 0-5, w2 0-5, r1 6-7, r2 8-9", false),
            ("w1 0-1, w2 2-3, r1 4-5", false),
            ("w1 0-?, r- 1-2, r1 3-4, r1 5-6", true),
            ("w1 0-?, r1 1-2, r- 3-4", false),
            ("w1 0-1, w2 2-?, r1 3-4, r1 5-6", true),
            ("w1 0-1, w2 2-?, r2 3-4, r1 5-6", false),
            ("r1 0-?, r- 1-2", true),
            ("r1 0-1", false),
        ] {
            assert_eq!(check(&history(text)).is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn many_at_the_same_time_are_searched_soon() {
        let mut text: Vec<_> =
            (0..40).map(|n| format!("w{n} {}-{}", n / 4 * 2, n / 4 * 2 + 1)).collect();
        text.push("r38 30-31".to_owned());
        assert!(check(&history(&text.join(", "))).is_ok());
        text.push("r35 32-33".to_owned());
        assert!(check(&history(&text.join(", "))).is_err());
    }
}
