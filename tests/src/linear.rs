//! Whether what clients saw of registers is what one of them, read and written by one client after the other, could
//! have said (Herlihy and Wing, 1990). One register per key, each checked by itself, which is as good as all together.
//!
//! The search is Wing and Gong's, with Lowe's memory of what was tried: an operation that began before all others that
//! are left have ended may be the next; the state after the same set of operations need not be looked into twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
            let history = operations.iter().map(|it| format!("\n  {it:?}"));
            return Err(format!(
                "{key}, {} operations:{}",
                operations.len(),
                history.collect::<String>()
            ));
        }
    }
    Ok(())
}

/// Which operations are done: all before the first number, and these; and which of those that have no end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Done {
    before: usize,
    beyond: BTreeSet<usize>,
    endless: BTreeSet<usize>,
}

impl Done {
    fn with(&self, number: usize) -> Self {
        let mut done = self.clone();
        done.beyond.insert(number);
        while done.beyond.remove(&done.before) {
            done.before += 1;
        }
        done
    }

    fn with_endless(&self, number: usize) -> Self {
        let mut done = self.clone();
        done.endless.insert(number);
        done
    }
}

fn is_linear(operations: &[&Operation]) -> bool {
    let (ended, endless): (Vec<&Operation>, Vec<&Operation>) =
        operations.iter().partition(|it| it.ended.is_some());
    let mut tried = HashSet::new();
    let mut stack = vec![(Done::default(), None::<String>)];
    while let Some((done, state)) = stack.pop() {
        if done.before == ended.len() {
            return true;
        }
        if !tried.insert((done.clone(), state.clone())) {
            continue;
        }
        // Nothing may come first that was begun after another had ended.
        let mut first_end: Option<Instant> = None;
        let mut may_be_next = vec![];
        for (number, operation) in ended.iter().enumerate().skip(done.before) {
            if first_end.is_some_and(|end| operation.begun > end) {
                break;
            }
            if !done.beyond.contains(&number) {
                first_end = first_end.into_iter().chain(operation.ended).min();
                may_be_next.push((number, *operation));
            }
        }
        let is_in_time = |it: &Operation| first_end.is_none_or(|end| it.begun <= end);
        // A write of which nobody knows is of use only to a read that saw it, and right before that: it may come as late
        // as one likes, or never. Of those that wrote the same, the one that was begun first will do.
        let is_seen = |value: &Option<String>| {
            let is_it = |it: &Operation| matches!(&it.deed, Deed::Read(read) if read == value);
            may_be_next.iter().any(|(_, it)| is_in_time(it) && is_it(it))
        };
        let mut values = vec![&state];
        for (number, operation) in endless.iter().enumerate() {
            if !done.endless.contains(&number)
                && is_in_time(operation)
                && let Deed::Write(value) = &operation.deed
                && !values.contains(&value)
                && is_seen(value)
            {
                values.push(value);
                stack.push((done.with_endless(number), value.clone()));
            }
        }
        // The earliest is tried first.
        for (number, operation) in may_be_next.into_iter().rev().filter(|(_, it)| is_in_time(it)) {
            let after = match &operation.deed {
                Deed::Write(value) => value.clone(),
                Deed::Read(value) if value == &state => state.clone(),
                Deed::Read(_) => continue,
            };
            stack.push((done.with(number), after));
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

    #[test]
    fn many_of_which_nobody_knows_are_searched_soon() {
        let mut text: Vec<_> = (0..40).map(|n| format!("w{n} {}-?", n * 3)).collect();
        text.extend((0..40).map(|n| format!("d {}-?", n * 3)));
        // Each removal that nobody knows of can have made one read.
        text.extend((0..40).map(|n| format!("v{n} {}-{}", n * 3, n * 3 + 1).replace('v', "w1")));
        text.extend((0..40).map(|n| format!("r- {}-{}", n * 3 + 2, n * 3 + 3)));
        assert!(check(&history(&text.join(", "))).is_ok());
        text.push("r77 200-201".to_owned());
        assert!(check(&history(&text.join(", "))).is_err());
    }
}
