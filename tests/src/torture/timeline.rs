//! What is known of one entry of a list at each moment, from what the API said of writes.

use super::fault::Ms;

/// What may be said of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Listed,
    Absent,
    /// A write is under way, or nobody said what became of it.
    Either,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was acknowledged.
    Acknowledged,
    /// The API said that nothing changed.
    Refused,
    /// No answer came, or one that leaves it open.
    Unknown,
}

/// The known of an entry, from moment to moment. Only one writes to it at a time.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    known: Vec<(Ms, Known)>,
    /// From when on the list itself can tell what became of the last write: not while that is under way.
    told_from: Ms,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { known: vec![(0, Known::Absent)], told_from: 0 }
    }
}

// === impl Timeline ===

impl Timeline {
    /// A write is about to be sent. Gives what was known before, for [`Timeline::answered`].
    pub(crate) fn sent(&mut self, listed: bool, at: Ms) -> Known {
        let before = self.now();
        self.told_from = Ms::MAX;
        if before != known(listed) {
            self.set(at, Known::Either);
        }
        before
    }

    /// It has come to an end.
    pub(crate) fn answered(&mut self, listed: bool, before: Known, written: Written, at: Ms) {
        self.told_from = at;
        match written {
            Written::Acknowledged => self.set(at, known(listed)),
            Written::Refused => self.set(at, before),
            // If it would have changed nothing, nothing has changed.
            Written::Unknown => {}
        }
    }

    /// The list was read, from one moment to another.
    pub(crate) fn read(&mut self, listed: bool, (from, to): (Ms, Ms)) {
        if self.now() == Known::Either && from >= self.told_from {
            self.set(to, known(listed));
        }
    }

    /// Whether that may have been so at some moment.
    pub(crate) fn may_be(&self, listed: bool, from: Ms, to: Ms) -> bool {
        self.during(from, to).any(|known| known != opposite(listed))
    }

    /// Since when it has surely been so, if it is so at this moment.
    pub(crate) fn surely_since(&self, listed: bool, at: Ms) -> Option<Ms> {
        let next = self.known.partition_point(|(from, _)| *from <= at);
        let (since, now) = *self.known.get(next.checked_sub(1)?)?;
        (now == known(listed)).then_some(since)
    }

    fn during(&self, from: Ms, to: Ms) -> impl Iterator<Item = Known> + '_ {
        let first = self.known.partition_point(|(begin, _)| *begin <= from).saturating_sub(1);
        let rest = self.known.get(first..).unwrap_or_default();
        rest.iter().take_while(move |(begin, _)| *begin <= to).map(|(_, known)| *known)
    }

    /// What is known at last.
    pub(crate) fn now(&self) -> Known {
        self.known.last().map_or(Known::Either, |(_, known)| *known)
    }

    fn set(&mut self, at: Ms, known: Known) {
        if self.now() != known {
            self.known.push((at, known));
        }
    }
}

fn known(listed: bool) -> Known {
    if listed { Known::Listed } else { Known::Absent }
}

fn opposite(listed: bool) -> Known {
    known(!listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(line: &mut Timeline, listed: bool, sent: Ms, answered: Ms, written: Written) {
        let before = line.sent(listed, sent);
        line.answered(listed, before, written, answered);
    }

    #[test]
    fn a_write_may_count_from_when_it_is_sent_and_counts_from_when_it_is_acknowledged() {
        let mut line = Timeline::default();
        write(&mut line, true, 10, 20, Written::Acknowledged);
        assert!(!line.may_be(true, 0, 9));
        assert!(line.may_be(true, 0, 10));
        assert!(line.may_be(false, 19, 19));
        assert_eq!(line.surely_since(true, 19), None);
        assert_eq!(line.surely_since(true, 30), Some(20));
        assert!(!line.may_be(false, 20, 99));
    }

    #[test]
    fn a_write_without_an_answer_leaves_either_until_the_list_is_read() {
        let mut line = Timeline::default();
        write(&mut line, true, 10, 20, Written::Unknown);
        assert!(line.may_be(true, 50, 60) && line.may_be(false, 50, 60));
        line.read(false, (15, 18));
        assert!(line.may_be(true, 50, 60), "it was read before the write came to its end");
        line.read(false, (70, 71));
        assert_eq!(line.surely_since(false, 80), Some(71));
        line.read(true, (90, 91));
        assert!(
            !line.may_be(true, 80, 99),
            "what is known is not what a list says, but what was said of writes"
        );
    }

    #[test]
    fn a_refused_write_changes_nothing_and_neither_does_one_without_effect() {
        let mut line = Timeline::default();
        write(&mut line, true, 10, 20, Written::Refused);
        assert_eq!(line.surely_since(false, 25), Some(20));
        write(&mut line, false, 30, 40, Written::Unknown);
        assert!(!line.may_be(true, 30, 99));
    }
}
