//! The long poll by which the control plane tells of changes: where it stands, and when it is due.

use std::time::Duration;

use crate::control_plane::AskError;
use crate::host::{Call, Now};

/// The pause after a first failure, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The feed's state on one worker.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    cursor: Option<String>,
    under_way: Option<Call>,
    /// Not before this.
    retry_at: Option<Now>,
    failures: u32,
}

// === impl Feed ===

impl Feed {
    /// Whether the control plane should be asked now.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.under_way.is_none() && self.retry_at.is_none_or(|at| at <= now)
    }

    /// From where on changes are wanted; all of them where there is none.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Whether the last answer was none.
    pub(crate) fn fails(&self) -> bool {
        self.failures > 0
    }

    /// The question is under way.
    pub(crate) fn asked(&mut self, call: Call) {
        self.under_way = Some(call);
    }

    /// Whether this call is the feed's; it is over then.
    pub(crate) fn ends(&mut self, call: Call) -> bool {
        let ours = self.under_way == Some(call);
        if ours {
            self.under_way = None;
        }
        ours
    }

    /// A page has come.
    pub(crate) fn heard(&mut self, cursor: String) {
        *self = Self { cursor: Some(cursor), ..Self::default() };
    }

    /// None has come. `random`, from 0 to 1, keeps many workers from asking at the same moment.
    pub(crate) fn failed(&mut self, error: &AskError, now: Now, random: f64) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        self.retry_at = Some(now.after(pause.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)));
        self.failures = self.failures.saturating_add(1);
        match error {
            AskError::NotSent | AskError::NoAnswer => {}
            // Whoever answered does not understand us, or we him: begin anew.
            AskError::Status(_)
            | AskError::ContentType(_)
            | AskError::TooLarge(_)
            | AskError::Malformed(_)
            | AskError::OtherDomain(_) => self.cursor = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now::from_epoch(Duration::from_millis(1_000_000 + ms))
    }

    #[test]
    fn one_question_is_under_way_at_a_time() {
        let mut feed = Feed::default();
        assert!(feed.is_due(at(0)));
        feed.asked(Call(1));
        assert!(!feed.is_due(at(0)));
        assert!(!feed.ends(Call(2)));
        assert!(feed.ends(Call(1)));
        feed.heard("x".to_owned());
        assert!(feed.is_due(at(0)));
        assert_eq!(feed.cursor(), Some("x"));
    }

    #[test]
    fn after_failures_it_asks_ever_later_but_within_a_second() {
        let mut feed = Feed::default();
        for pause in [100, 200, 400, 800, 1000, 1000] {
            feed.failed(&AskError::NoAnswer, at(0), 1.0);
            assert!(!feed.is_due(at(pause - 1)));
            assert!(feed.is_due(at(pause)));
        }
        feed.failed(&AskError::NoAnswer, at(0), 0.0);
        assert!(feed.is_due(at(500)), "by chance in half the time");
        assert!(feed.fails());
        feed.heard("x".to_owned());
        assert!(!feed.fails());
        feed.failed(&AskError::NoAnswer, at(0), 1.0);
        assert!(feed.is_due(at(100)), "an answer forgives");
    }

    #[test]
    fn what_is_not_understood_makes_it_begin_anew() {
        for (error, kept) in [
            (AskError::NoAnswer, true),
            (AskError::NotSent, true),
            (AskError::Status("400".to_owned()), false),
            (AskError::Malformed(String::new()), false),
        ] {
            let mut feed = Feed::default();
            feed.heard("x".to_owned());
            feed.failed(&error, at(0), 0.5);
            assert_eq!(feed.cursor().is_some(), kept, "{error:?}");
        }
    }
}
