//! How many refusals and failed calls there were of a domain, hour by hour: the last 48 hours, where there were any.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::label::Sense;

/// For how long they are kept.
const KEPT: usize = 48;
const HOUR: Duration = Duration::from_secs(3600);

/// A ring. An hour in which there was nothing takes no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hours(VecDeque<Hour>);

#[derive(Clone, Copy, Debug)]
struct Hour {
    from: Instant,
    refused: u64,
    failed: u64,
}

/// What was in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many whole hours ago it ended; 0: the last one.
    pub(crate) ago: u64,
    /// Requests that we refused.
    pub(crate) refused: u64,
    /// Calls that were refused, or reached nobody.
    pub(crate) failed: u64,
}

// === impl Hours ===

impl Hours {
    /// Takes in what came to an end of this sense at this moment. What comes late counts for the hour that it comes to.
    pub(super) fn take(&mut self, sense: Sense, count: u64, at: Instant) {
        let (refused, failed) = match sense {
            Sense::Passed | Sense::Answered | Sense::Spared | Sense::Aside => return,
            Sense::Refused => (count, 0),
            Sense::RefusesUs | Sense::Unreachable => (0, count),
        };
        match self.0.back_mut() {
            Some(hour) if at.saturating_duration_since(hour.from) < HOUR => {
                hour.refused = hour.refused.saturating_add(refused);
                hour.failed = hour.failed.saturating_add(failed);
            }
            _ => self.0.push_back(Hour { from: at, refused, failed }),
        }
        while self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Those of the last 48 hours, the oldest first.
    pub(crate) fn all(&self, now: Instant) -> impl Iterator<Item = Count> {
        let mut counts: Vec<Count> = Vec::new();
        for it in &self.0 {
            let ago = now.saturating_duration_since(it.from).as_secs() / HOUR.as_secs();
            match counts.last_mut() {
                Some(last) if last.ago == ago => {
                    last.refused = last.refused.saturating_add(it.refused);
                    last.failed = last.failed.saturating_add(it.failed);
                }
                _ => counts.push(Count { ago, refused: it.refused, failed: it.failed }),
            }
        }
        counts.into_iter().filter(|it| it.ago < KEPT as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_its_counts_and_no_more_than_two_days_are_kept() {
        let (mut hours, start) = (Hours::default(), Instant::now());
        let minute = Duration::from_secs(60);
        for (sense, count, after) in [
            (Sense::Refused, 2, 0),
            (Sense::Passed, 100, 1),
            (Sense::Unreachable, 1, 59),
            (Sense::RefusesUs, 3, 60),
            (Sense::Aside, 100, 61),
        ] {
            hours.take(sense, count, start + after * minute);
        }
        let all = |hours: &Hours, now| hours.all(now).collect::<Vec<_>>();
        let (first, second) =
            (Count { ago: 1, refused: 2, failed: 1 }, Count { ago: 0, refused: 0, failed: 3 });
        assert_eq!(all(&hours, start + 90 * minute), [first, second]);
        for n in 0..100 {
            hours.take(Sense::Refused, 1, start + (n * 60) * minute);
            assert!(hours.0.len() <= KEPT);
        }
        assert!(all(&hours, start + Duration::from_secs(500 * 3600)).is_empty());
    }
}
