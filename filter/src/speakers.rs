//! Who answers: the control planes that were heard of late, and whether they do so in turn.
//!
//! A control plane names itself anew with each start, so one that is heard again after another has been
//! is proof that two run at a time. They know nothing of each other's list: nobody has to find out by
//! what passes and what does not.

use std::time::Duration;

use fedgate_policy::Speaker;

use crate::host::Now;

/// For how long a control plane that is heard no longer is still reckoned with.
pub(crate) const MEMORY: Duration = Duration::from_secs(10);
/// For how long it is looked into whether there are two: longer than a poll may wait for news.
const SUSPICION: Duration = Duration::from_secs(60);
/// The most that are remembered beside the one that was heard last.
const MOST: usize = 8;

/// The control planes behind the cluster.
#[derive(Default)]
pub(crate) struct Speakers {
    last: Option<Heard>,
    /// Those before it, heard within [`MEMORY`], the latest first.
    earlier: Vec<Heard>,
    in_turn: bool,
    /// When a report was answered by another than the last answer before it.
    suspected: Option<Now>,
}

struct Heard {
    speaker: Speaker,
    at: Now,
}

/// What an answer tells beside what it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It comes from where the last one came from, or from the next process on the same store.
    None,
    /// Another store than before, which may be meant: it was replaced, or moved.
    OtherStore,
    /// Another than the one before, with which it takes turns.
    InTurn,
}

// === impl Speakers ===

impl Speakers {
    /// A report was answered by this. If that is another than before, it may be the next process; or there are two,
    /// and polls and reports always reach the same one each. Then polls are not to wait for news for a while.
    pub(crate) fn compare(&mut self, speaker: &Speaker, now: Now) {
        if self.last.as_ref().is_some_and(|last| last.speaker != *speaker) {
            self.suspected = Some(now);
        }
    }

    /// Whether there may be two.
    pub(crate) fn are_suspect(&self, now: Now) -> bool {
        self.suspected.is_some_and(|since| now.since(since) < SUSPICION)
    }

    /// An answer has come.
    pub(crate) fn hear(&mut self, speaker: Speaker, now: Now) -> News {
        self.rest(now);
        let known = self.earlier.len();
        self.earlier.retain(|heard| heard.speaker != speaker);
        self.in_turn |= self.earlier.len() < known;
        let Some(last) = self.last.replace(Heard { speaker, at: now }) else { return News::None };
        let Some(Heard { speaker, .. }) = &self.last else { return News::None };
        if last.speaker == *speaker {
            return News::None;
        }
        let other_store = last.speaker.store != speaker.store;
        self.earlier.truncate(MOST);
        self.earlier.insert(0, last);
        match (self.in_turn, other_store) {
            (true, _) => News::InTurn,
            (false, true) => News::OtherStore,
            (false, false) => News::None,
        }
    }

    /// The one that was heard last, and the one before it, if that was of late.
    pub(crate) fn last_two(&self) -> [Option<&Speaker>; 2] {
        [self.last.as_ref(), self.earlier.first()].map(|heard| heard.map(|heard| &heard.speaker))
    }

    /// Forgets those who have fallen silent.
    pub(crate) fn rest(&mut self, now: Now) {
        self.earlier.retain(|heard| now.since(heard.at) < MEMORY);
        self.in_turn &= !self.earlier.is_empty();
    }

    /// Whether more than one answers, in turn.
    pub(crate) fn in_turn(&self) -> bool {
        self.in_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now::from_epoch(Duration::from_millis(1_000_000 + ms))
    }

    fn speaker(name: &str) -> Speaker {
        let (store, process) = name.split_at(1);
        Speaker { store: Some(store.to_owned()), control_plane: Some(process.to_owned()) }
    }

    /// What is told of answers by these, a second apart, each of a store and a process.
    fn told(names: &str) -> String {
        let mut speakers = Speakers::default();
        let hear = |(n, name)| match speakers.hear(speaker(name), at(1_000 * n)) {
            News::None => '.',
            News::OtherStore => 'o',
            News::InTurn => '!',
        };
        (0_u64..).zip(names.split(' ')).map(hear).collect()
    }

    #[test]
    fn two_in_turn_are_told_and_restarts_and_other_stores_are_not_taken_for_it() {
        for (what, names, expected) in [
            ("one", "a1 a1 a1", "..."),
            ("restarts", "a1 a2 a3 a4", "...."),
            ("another store, for good", "a1 b2 b2 b3", ".o.."),
            ("two stores", "a1 b2 a1 b2 b2 a1", ".o!!.!"),
            ("two copies of one store", "a1 a2 a1 a2", "..!!"),
            ("three", "a1 b2 c3 a1 b2 c3", ".oo!!!"),
            ("one of them is restarted", "a1 b2 a1 b3 a1", ".o!!!"),
            ("before they are proven, restarts", "a1 b2 a3 b4 a5", ".oooo"),
        ] {
            assert_eq!(told(names), expected, "{what}");
        }
    }

    #[test]
    fn control_planes_without_names_are_one() {
        let mut speakers = Speakers::default();
        for (n, expected) in [(0, News::None), (1, News::None)] {
            assert_eq!(speakers.hear(Speaker::default(), at(n)), expected);
        }
        assert_eq!(speakers.hear(speaker("a1"), at(2)), News::OtherStore, "an upgrade");
        assert_eq!(speakers.last_two(), [Some(&speaker("a1")), Some(&Speaker::default())]);
        assert_eq!(speakers.hear(Speaker::default(), at(3)), News::InTurn);
    }

    #[test]
    fn it_is_over_when_one_of_them_was_silent_for_long_enough() {
        let mut speakers = Speakers::default();
        for (n, name) in ["a1", "b2", "a1"].into_iter().enumerate() {
            speakers.hear(speaker(name), at(u64::try_from(n).unwrap()));
        }
        assert!(speakers.in_turn());
        speakers.rest(at(10_000));
        assert!(speakers.in_turn());
        speakers.rest(at(10_001));
        assert!(!speakers.in_turn());
        assert_eq!(speakers.hear(speaker("a1"), at(10_002)), News::None);
        assert_eq!(speakers.hear(speaker("b2"), at(10_003)), News::OtherStore);
    }

    #[test]
    fn any_number_of_control_planes_takes_little_memory() {
        let mut speakers = Speakers::default();
        for n in 0..1_000 {
            speakers.hear(speaker(&format!("a{n}")), at(0));
        }
        assert!(speakers.earlier.len() <= MOST + 1);
    }
}
