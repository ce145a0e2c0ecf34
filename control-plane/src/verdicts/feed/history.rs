//! Which numbers of the log stand for what all who share a store have: so that a filter goes on with us from where
//! another control plane has left off.
//!
//! Of the list that is certain: a write is known by its name. Of what was discovered it is so up to what was under way
//! between two control planes when a filter changed over, so what the log took in shortly before is told again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::cursor::Shared;

/// How many writes are remembered. Whoever has missed more begins anew.
const WRITES: usize = 10_000;
/// How many moments are remembered, and how far apart: more than two hours.
const MARKS: usize = 10_000;
const APART: Duration = Duration::from_secs(1);
/// For how long a finding may be under way from one control plane to the other: it is written within a second.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// What the log's numbers stand for.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The last writes, each with its revision and name, and the number of the log's last change by then.
    writes: VecDeque<(i64, String, u64)>,
    marks: VecDeque<Mark>,
    /// What verdicts rest on: on anything else nobody goes on.
    basis: String,
}

/// Findings up to that revision of the store had been taken in by the log's number.
#[derive(Clone, Copy, Debug)]
struct Mark {
    heard: i64,
    sequence: u64,
    at: Instant,
}

/// Where the holder of a cursor of another control plane is in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// He has the list as it was by one number, and what was found by another.
    Behind {
        /// What came to the list after this is new to him.
        listed: u64,
        /// And so is what was found after this.
        found: u64,
    },
    /// He has writes that we have not.
    Ahead,
    /// Nobody knows.
    Nowhere,
}

// === impl Place ===

impl Place {
    /// The numbers behind which he is, of the list and of findings.
    pub(super) fn behind(self) -> Option<(u64, u64)> {
        match self {
            Self::Behind { listed, found } => Some((listed, found)),
            Self::Ahead | Self::Nowhere => None,
        }
    }
}

// === impl History ===

impl History {
    /// Verdicts rest on this.
    pub(super) fn rests_on(&mut self, basis: &str) {
        self.basis = basis.chars().filter(char::is_ascii_alphanumeric).collect();
    }

    /// All that the log has is that write's, and what came before.
    pub(super) fn seal(&mut self, revision: i64, name: &str, sequence: u64) {
        if name.is_empty() || self.writes.back().is_some_and(|(_, last, _)| last == name) {
            return;
        }
        // A list that went back, as after a backup was restored: what came after that is gone.
        while self.writes.back().is_some_and(|(later, _, _)| *later >= revision) {
            self.writes.pop_back();
        }
        self.writes.push_back((revision, name.to_owned(), sequence));
        if self.writes.len() > WRITES {
            self.writes.pop_front();
        }
    }

    /// Findings up to that revision of the store are in the log.
    pub(super) fn mark(&mut self, heard: i64, sequence: u64, at: Instant) {
        let mark = Mark { heard, sequence, at };
        if self.marks.back().is_some_and(|last| last.heard > heard) {
            // The store went back: what stood there before is no measure any more.
            self.marks.clear();
            self.marks.push_back(Mark { heard: 0, sequence: 0, at });
        }
        // The first one stays, behind which all findings are.
        let before = self.marks.len().checked_sub(2).and_then(|number| self.marks.get(number));
        if self.marks.len() > 2
            && before.is_some_and(|before| at.saturating_duration_since(before.at) < APART)
        {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
    }

    /// The revision of the store up to which findings are in the log.
    pub(super) fn heard(&self) -> Option<i64> {
        self.marks.back().map(|mark| mark.heard)
    }

    /// How far we are; none where nothing is shared.
    pub(super) fn now(&self) -> Option<Shared> {
        let (revision, seal, _) = self.writes.back()?;
        let heard = self.heard().unwrap_or(0);
        Some(Shared { revision: *revision, seal: seal.clone(), heard, basis: self.basis.clone() })
    }

    /// Where whoever has come that far is in our log.
    pub(super) fn place(&self, cursor: &Shared) -> Place {
        let Some((last, _, _)) = self.writes.back() else { return Place::Nowhere };
        if cursor.basis != self.basis {
            return Place::Nowhere;
        }
        if cursor.revision > *last {
            return Place::Ahead;
        }
        let write = self.writes.iter().rev().find(|(_, name, _)| *name == cursor.seal);
        let Some((_, _, listed)) = write else { return Place::Nowhere };
        let Some(found) = self.found(cursor.heard) else { return Place::Nowhere };
        Place::Behind { listed: *listed, found }
    }

    /// The number up to which the log's findings are known to whoever has heard so far.
    fn found(&self, heard: i64) -> Option<u64> {
        let mut marks = self.marks.iter().rev().skip_while(|mark| mark.heard > heard);
        let then = marks.next()?;
        let since = then.at.checked_sub(UNDER_WAY);
        let before = marks.find(|mark| since.is_some_and(|since| mark.at <= since));
        before.or(self.marks.front()).map(|mark| mark.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(revision: i64, seal: &str, heard: i64) -> Shared {
        Shared { revision, seal: seal.to_owned(), heard, basis: String::new() }
    }

    fn behind(listed: u64, found: u64) -> Place {
        Place::Behind { listed, found }
    }

    #[test]
    fn whoever_has_a_write_that_we_know_goes_on_behind_it() {
        let start = Instant::now();
        let mut history = History::default();
        assert_eq!(history.now(), None);
        assert_eq!(history.place(&cursor(0, "a", 0)), Place::Nowhere);
        history.seal(3, "a", 10);
        history.mark(100, 10, start);
        history.seal(4, "b", 12);
        history.seal(4, "b", 13);
        for (seconds, heard, sequence) in [(10, 200, 20), (20, 300, 30), (30, 400, 40)] {
            history.mark(heard, sequence, start + Duration::from_secs(seconds));
        }
        assert_eq!(history.now(), Some(cursor(4, "b", 400)));
        for (revision, seal, heard, place) in [
            (4, "b", 400, behind(12, 30)),
            (3, "a", 400, behind(10, 30)),
            (4, "b", 399, behind(12, 20)),
            (4, "b", 99, Place::Nowhere),
            (4, "x", 400, Place::Nowhere),
            (2, "a0", 400, Place::Nowhere),
            (5, "c", 400, Place::Ahead),
        ] {
            assert_eq!(
                history.place(&cursor(revision, seal, heard)),
                place,
                "{revision} {seal} {heard}"
            );
        }
        history.seal(5, "c", 45);
        for (heard, number) in [(400, 30), (1_000, 30), (399, 20), (300, 20), (299, 10), (100, 10)] {
            let place = history.place(&cursor(5, "c", heard));
            assert_eq!(place, behind(45, number), "what was under way is told again: {heard}");
        }
    }

    #[test]
    fn nobody_goes_on_with_what_rests_on_other_settings() {
        let mut history = History::default();
        history.rests_on("ab-12!");
        history.mark(0, 0, Instant::now());
        history.seal(1, "a", 1);
        let mine = history.now().unwrap();
        assert_eq!((mine.basis.as_str(), history.place(&mine)), ("ab12", behind(1, 0)));
        for basis in ["", "ab13"] {
            let other = Shared { basis: basis.to_owned(), ..mine.clone() };
            assert_eq!(history.place(&other), Place::Nowhere);
            assert_eq!(history.place(&Shared { revision: 9, ..other }), Place::Nowhere);
        }
    }

    #[test]
    fn a_store_that_went_back_makes_what_came_after_unknown() {
        let start = Instant::now();
        let mut history = History::default();
        for (revision, name) in [(1, "a"), (2, "b"), (3, "c")] {
            history.seal(revision, name, u64::try_from(revision).unwrap());
        }
        history.mark(100, 3, start);
        history.seal(2, "d", 9);
        history.mark(50, 9, start);
        assert_eq!(history.place(&cursor(2, "b", 60)), Place::Nowhere);
        assert_eq!(history.place(&cursor(3, "c", 60)), Place::Ahead);
        assert_eq!(history.place(&cursor(1, "a", 60)), behind(1, 0), "and so are all findings");
        assert_eq!(history.place(&cursor(2, "d", 60)), behind(9, 0));
    }

    #[test]
    fn it_is_bounded() {
        let start = Instant::now();
        let mut history = History::default();
        for number in 0..25_000_u64 {
            let revision = i64::try_from(number).unwrap();
            history.seal(revision, &number.to_string(), number);
            history.mark(
                revision,
                number,
                start + Duration::from_millis(100) * u32::try_from(number).unwrap(),
            );
        }
        assert_eq!(history.writes.len(), WRITES);
        assert!(history.marks.len() <= MARKS && history.marks.len() > 2_000, "{}", history.marks.len());
    }
}
