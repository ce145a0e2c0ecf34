//! How the tables of all workers stand, as one: the worst of them.
//!
//! A gauge of Envoy belongs to all workers, and shows what the last one wrote. So each puts a note on a
//! board that they share (Envoy's shared data), and writes the worst that stands there. Who writes no more,
//! because it has ended or crashed, is forgotten some seconds later.

use std::cell::Cell;
use std::time::Duration;

use crate::host::{self, Metric, Now, WallClock};
use crate::table::{Freshness, Table};

/// How often a worker writes its note where its state stays the same.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a note stands, in milliseconds; also one of the future, where the clock was set back.
const LIFE_MS: u64 = 5_000;
/// A note in octets.
const NOTE: usize = 40;

/// A worker's access to the board.
pub(crate) struct Board {
    key: String,
    worker: u64,
    state: Option<Metric>,
    age_ms: Option<Metric>,
    domains: Option<Metric>,
    written: Cell<Option<(Now, u64)>>,
}

/// How a worker's table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    worker: u64,
    at_ms: u64,
    state: u64,
    age_ms: u64,
    domains: u64,
}

// === impl Board ===

impl Board {
    /// The board of the workers in this role.
    pub(crate) fn new(role: &str) -> Self {
        let gauge = |name| host::gauge(&format!("fedgate.{role}.{name}"));
        Self {
            key: format!("fedgate.{role}"),
            worker: host::random_number(),
            state: gauge("feed_state"),
            age_ms: gauge("feed_age_ms"),
            domains: gauge("table_domains"),
            written: Cell::new(None),
        }
    }

    /// Writes how the table stands at `now`, and the gauges, if that is due. The wall clock is the one that
    /// all workers share.
    pub(crate) fn tell(&self, table: &Table, now: Now, wall: WallClock) {
        let state = number(table.freshness(now));
        let is_told = |(at, told): (Now, u64)| told == state && now.since(at) < PERIOD;
        if self.written.get().is_some_and(is_told) {
            return;
        }
        let mine = Note {
            worker: self.worker,
            at_ms: millis(wall.since_1970(now)),
            state,
            age_ms: millis(table.age(now)),
            domains: u64::try_from(table.len()).unwrap_or(u64::MAX),
        };
        let (board, version) = host::shared_data(&self.key);
        let (board, worst) = post(&board, mine);
        // Another was faster? The next tick is soon.
        if host::set_shared_data(&self.key, &board, version) {
            host::record(self.state, worst.state);
            host::record(self.age_ms, worst.age_ms);
            host::record(self.domains, worst.domains);
            self.written.set(Some((now, state)));
        }
    }
}

/// The board with this note on it, and what is worst of each on that.
fn post(board: &[u8], mine: Note) -> (Vec<u8>, Note) {
    let notes = board.chunks_exact(NOTE).filter_map(Note::read);
    let others =
        notes.filter(|note| note.worker != mine.worker && note.at_ms.abs_diff(mine.at_ms) <= LIFE_MS);
    let mut board = mine.octets();
    let mut worst = mine;
    for note in others {
        board.extend(note.octets());
        if badness(note.state) > badness(worst.state) {
            worst.state = note.state;
        }
        worst.age_ms = worst.age_ms.max(note.age_ms);
        worst.domains = worst.domains.min(note.domains);
    }
    (board, worst)
}

/// A state's number, which dashboards and alerts are built on.
fn number(freshness: Freshness) -> u64 {
    match freshness {
        Freshness::Warming => 0,
        Freshness::Fresh => 1,
        Freshness::Stale => 2,
        Freshness::TooStale => 3,
    }
}

/// Fresh, stale, warming, too stale.
fn badness(state: u64) -> u64 {
    match state {
        0 => 3,
        3 => 4,
        other => other,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// === impl Note ===

impl Note {
    fn octets(self) -> Vec<u8> {
        let Self { worker, at_ms, state, age_ms, domains } = self;
        [worker, at_ms, state, age_ms, domains].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let mut words = octets.chunks_exact(8).filter_map(|word| word.try_into().ok());
        let mut word = || words.next().map(u64::from_le_bytes);
        Some(Self { worker: word()?, at_ms: word()?, state: word()?, age_ms: word()?, domains: word()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(worker: u64, at_ms: u64, state: u64, age_ms: u64, domains: u64) -> Note {
        Note { worker, at_ms, state, age_ms, domains }
    }

    /// What is worst after these notes, one after the other.
    fn worst(notes: &[Note]) -> (u64, u64, u64) {
        let mut board = vec![];
        let mut worst = None;
        for mine in notes {
            let (after, told) = post(&board, *mine);
            (board, worst) = (after, Some(told));
        }
        worst.map(|note| (note.state, note.age_ms, note.domains)).unwrap()
    }

    #[test]
    fn the_worst_of_each_counts_whoever_writes_last() {
        let [fresh, stale] = [note(1, 10, 1, 100, 7), note(2, 20, 2, 40, 9)];
        assert_eq!(worst(&[fresh]), (1, 100, 7));
        assert_eq!(worst(&[fresh, stale]), (2, 100, 7));
        assert_eq!(worst(&[stale, fresh]), (2, 100, 7));
        for (others, expected) in [(vec![1, 1], 1), (vec![2, 1], 2), (vec![0, 2], 0), (vec![3, 0], 3)] {
            let mut notes = vec![note(9, 0, 1, 0, 0)];
            notes.extend((1..).zip(others).map(|(worker, state)| note(worker, 0, state, 0, 0)));
            assert_eq!(worst(&notes).0, expected);
            notes.reverse();
            assert_eq!(worst(&notes).0, expected);
        }
    }

    #[test]
    fn a_workers_note_takes_the_place_of_its_earlier_one() {
        assert_eq!(
            worst(&[note(1, 10, 3, 900, 0), note(2, 10, 1, 0, 5), note(1, 20, 1, 1, 5)]),
            (1, 1, 5)
        );
    }

    #[test]
    fn who_writes_no_more_is_forgotten_also_where_the_clock_was_set_back() {
        let gone = note(1, 10_000, 3, 900, 0);
        for (now, state) in [(15_000, 3), (15_001, 1), (5_000, 3), (4_999, 1)] {
            assert_eq!(worst(&[gone, note(2, now, 1, 0, 5)]).0, state, "{now}");
        }
    }

    #[test]
    fn what_is_no_board_is_passed_over() {
        let mine = note(1, 10, 1, 100, 7);
        for garbage in [&b"x"[..], &[0xff; NOTE - 1]] {
            assert_eq!(post(garbage, mine), (mine.octets(), mine));
        }
        assert_eq!(mine.octets().len(), NOTE);
        assert_eq!(Note::read(&mine.octets()), Some(mine));
    }
}
