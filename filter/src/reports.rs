//! Telling the control plane what was seen: when it is due, what is under way, and what becomes of it. A report
//! that is lost is a count that is lost.

use std::time::Duration;

use fedgate_policy::Domain;
use fedgate_policy::report::{FeedState, Report};

use crate::control_plane::AskError;
use crate::host::{Call, Now};
use crate::tallies::{Batch, End, Tallies, Tally};

/// How often something is told.
const PERIOD: Duration = Duration::from_secs(5);
/// How often it is told that there is nothing to tell: the control plane misses who is silent for 90 s.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// For how long a control plane is left alone that knows no reports.
const PAUSE: Duration = Duration::from_secs(3600);

/// The reports of one worker.
pub(crate) struct Reports {
    worker: String,
    role: &'static str,
    tallies: Tallies,
    under_way: Option<(Call, Batch)>,
    /// When something may be told next, and when that there is nothing.
    next: Now,
    heartbeat: Now,
}

// === impl Reports ===

impl Reports {
    /// Nothing to tell yet. `random`, from 0 to 1, spreads the workers.
    pub(crate) fn new(worker: String, role: &'static str, now: Now, random: f64) -> Self {
        let next = now.after(PERIOD.mul_f64(random));
        Self { worker, role, tallies: Tallies::default(), under_way: None, next, heartbeat: next }
    }

    /// Notes what requests or calls came to; those of no domain are counted.
    pub(crate) fn note(&mut self, domain: Option<Domain>, end: End, tally: Tally) {
        match domain {
            Some(domain) => self.tallies.add(domain, end, tally),
            None => self.tallies.add_others(tally.count),
        }
    }

    /// Whether it is time to tell something.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        let next = if self.tallies.is_empty() { self.heartbeat } else { self.next };
        self.under_way.is_none() && now >= next
    }

    /// What is to be told at this moment, and what to remember of it.
    pub(crate) fn take(&mut self, feed: FeedState, now: Now) -> (Report, Batch) {
        let batch = self.tallies.take(now);
        let (lines, others) = batch.told(now);
        let (worker, role) = (self.worker.clone(), self.role.to_owned());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        (Report { worker, role, version, feed, lines, others }, batch)
    }

    /// It is on its way.
    pub(crate) fn sent(&mut self, call: Call, batch: Batch) {
        self.under_way = Some((call, batch));
    }

    /// An answer has come, perhaps to a report.
    pub(crate) fn ends(
        &mut self,
        call: Call,
        taken: impl FnOnce() -> Result<(), AskError>,
        now: Now,
        random: f64,
    ) {
        if let Some((_, batch)) = self.under_way.take_if(|(sent, _)| *sent == call) {
            self.ended(batch, taken(), now, random);
        }
    }

    /// What became of a report.
    pub(crate) fn ended(&mut self, batch: Batch, taken: Result<(), AskError>, now: Now, random: f64) {
        let (next, heartbeat) = match taken {
            Ok(()) => (PERIOD, HEARTBEAT),
            Err(AskError::Status(status)) => match status.as_str() {
                "404" => (PAUSE, PAUSE),
                // Whoever does not take this one may take the next.
                "400" | "413" | "415" | "422" => (PERIOD, HEARTBEAT),
                _ => self.again(batch),
            },
            Err(_) => self.again(batch),
        };
        let spread = |period: Duration| now.after(period.mul_f64(0.9 + 0.2 * random));
        (self.next, self.heartbeat) = (spread(next), spread(heartbeat));
    }

    /// What could not be told is told again; in how long.
    fn again(&mut self, batch: Batch) -> (Duration, Duration) {
        self.tallies.take_back(batch);
        (PERIOD, PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: End = End { label: "federation-denied", inner: None, spared: false };

    fn at(seconds: u64) -> Now {
        Now::from_epoch(Duration::from_secs(seconds))
    }

    fn reports() -> Reports {
        Reports::new("w".to_owned(), "ingress", at(0), 0.5)
    }

    fn feed() -> FeedState {
        FeedState { heard_ms: None, whole: false, entries: 0 }
    }

    fn see(reports: &mut Reports, second: u64) {
        reports.note(Some("a.com".parse().unwrap()), DENIED, Tally::new(1, at(second), false));
    }

    fn tell(reports: &mut Reports, second: u64, taken: Result<(), AskError>) -> u32 {
        assert!(reports.is_due(at(second)));
        let (report, batch) = reports.take(feed(), at(second));
        reports.sent(Call(1), batch);
        assert!(!reports.is_due(at(second + 100)), "one is under way");
        reports.ends(Call(2), || panic!("of another call"), at(second), 0.5);
        reports.ends(Call(1), || taken, at(second), 0.5);
        report.lines.iter().map(|line| line.count).sum()
    }

    #[test]
    fn something_is_told_every_few_seconds_and_nothing_less_often() {
        let mut reports = reports();
        assert!(!reports.is_due(at(2)));
        assert_eq!(tell(&mut reports, 3, Ok(())), 0);
        assert!(!reports.is_due(at(32)) && reports.is_due(at(34)));
        see(&mut reports, 4);
        assert!(!reports.is_due(at(7)));
        assert_eq!(tell(&mut reports, 9, Ok(())), 1);
        assert!(!reports.is_due(at(38)));
    }

    #[test]
    fn what_was_not_heard_is_told_again() {
        let mut reports = reports();
        for (second, error, expected) in [
            (10, AskError::NoAnswer, 1),
            (20, AskError::NotSent, 2),
            (30, AskError::Status("401".to_owned()), 3),
            (40, AskError::Status("500".to_owned()), 4),
        ] {
            see(&mut reports, second);
            assert_eq!(tell(&mut reports, second, Err(error)), expected);
        }
        assert_eq!(tell(&mut reports, 50, Err(AskError::Status("422".to_owned()))), 4);
        assert_eq!(tell(&mut reports, 90, Ok(())), 0, "what is not taken is not sent twice");
    }

    #[test]
    fn a_control_plane_that_knows_no_reports_is_left_alone() {
        let mut reports = reports();
        tell(&mut reports, 10, Err(AskError::Status("404".to_owned())));
        see(&mut reports, 11);
        assert!(!reports.is_due(at(3_600)) && reports.is_due(at(3_611)));
    }
}
