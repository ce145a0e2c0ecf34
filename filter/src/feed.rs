//! The long poll by which the control plane tells of changes: where it stands, and when it is due.

use std::time::Duration;

use crate::control_plane::AskError;
use crate::host::{Call, Now};

/// The pause after a first failure, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause where one whole table follows the other.
const PACE: Duration = Duration::from_secs(1);
/// For how long a whole table makes the next one a repetition, and a failure the next failure.
const CALM: Duration = Duration::from_secs(10);
/// How many in a row are trouble, and not somebody who restarts the control plane once and again.
const TROUBLE: u32 = 5;

/// The feed's state on one worker.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    cursor: Option<String>,
    under_way: Option<Call>,
    /// Not before this.
    retry_at: Option<Now>,
    /// Whether the last answer was none.
    failing: bool,
    /// When it last was none.
    failed_at: Option<Now>,
    /// How often it was, each time within [`CALM`] of the one before.
    failures: u32,
    /// When the last whole table was begun.
    reset_at: Option<Now>,
    /// How many were, each within [`CALM`] of the one before.
    resets: u32,
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
        self.failing
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

    /// A page has come, which begins a whole table, or does not. The next is asked for at once, unless
    /// that repeats itself, or several control planes answer `in_turn`.
    pub(crate) fn heard(&mut self, cursor: String, reset: bool, in_turn: bool, now: Now, random: f64) {
        if reset {
            self.resets = if self.repeats(now) { self.resets.saturating_add(1) } else { 1 };
            self.reset_at = Some(now);
        }
        let paced = in_turn || (reset && self.resets > 1);
        self.retry_at = paced.then(|| now.after(spread(PACE, 1.0, random)));
        self.cursor = Some(cursor);
        self.failing = false;
    }

    /// How many whole tables were begun in a row, where those are too many.
    pub(crate) fn trouble(&self, now: Now) -> Option<u32> {
        (self.repeats(now) && self.resets >= TROUBLE).then_some(self.resets)
    }

    fn repeats(&self, now: Now) -> bool {
        self.reset_at.is_some_and(|at| now.since(at) < CALM)
    }

    /// None has come. `random`, from 0 to 1, keeps many workers from asking at the same moment.
    pub(crate) fn failed(&mut self, error: &AskError, now: Now, random: f64) {
        if self.failed_at.is_none_or(|at| now.since(at) >= CALM) {
            self.failures = 0;
        }
        (self.failing, self.failed_at) = (true, Some(now));
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        let repeats = self.repeats(now) && self.resets > 1;
        let (pause, least) = if repeats { (PACE, 1.0) } else { (pause, 0.5) };
        self.retry_at = Some(now.after(spread(pause, least, random)));
        self.failures = self.failures.saturating_add(1);
        match error {
            AskError::NotSent | AskError::NoAnswer | AskError::Stale(_) => {}
            // Whoever answered does not understand us, or we him: begin anew.
            AskError::Status(_)
            | AskError::ContentType(_)
            | AskError::TooLarge(_)
            | AskError::Malformed(_)
            | AskError::OtherDomain(_) => self.cursor = None,
        }
    }
}

/// A pause times what `random`, from 0 to 1, adds the half of to `least`.
fn spread(pause: Duration, least: f64, random: f64) -> Duration {
    pause.mul_f64(least + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(feed: &mut Feed, reset: bool, ms: u64) {
        feed.heard("x".to_owned(), reset, false, at(ms), 0.0);
    }

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
        heard(&mut feed, false, 0);
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
        heard(&mut feed, false, 0);
        assert!(!feed.fails());
        feed.failed(&AskError::NoAnswer, at(0), 1.0);
        assert!(!feed.is_due(at(999)), "answers between failures do not quicken the pace");
        feed.failed(&AskError::NoAnswer, at(10_000), 1.0);
        assert!(feed.is_due(at(10_100)), "time forgives");
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
            heard(&mut feed, false, 0);
            feed.failed(&error, at(0), 0.5);
            assert_eq!(feed.cursor().is_some(), kept, "{error:?}");
        }
    }

    #[test]
    fn the_first_whole_table_is_followed_at_once_and_the_next_in_a_row_by_a_pause() {
        let mut feed = Feed::default();
        heard(&mut feed, true, 0);
        assert!(feed.is_due(at(0)), "the rest of it is asked for");
        heard(&mut feed, false, 1);
        assert!(feed.is_due(at(1)));
        for (ms, tables) in
            [(100, None), (1_100, None), (2_100, None), (3_100, Some(5)), (4_100, Some(6))]
        {
            heard(&mut feed, true, ms);
            assert_eq!(feed.trouble(at(ms)), tables);
            assert!(!feed.is_due(at(ms + 999)));
            assert!(feed.is_due(at(ms + 1_000)));
        }
        heard(&mut feed, false, 5_100);
        assert!(feed.is_due(at(5_100)), "it goes on");
        heard(&mut feed, true, 15_100);
        assert!(feed.is_due(at(15_100)), "that was long ago");
        assert_eq!(feed.trouble(at(15_100)), None);
    }

    #[test]
    fn refusals_between_whole_tables_do_not_quicken_the_pace() {
        let mut feed = Feed::default();
        heard(&mut feed, true, 0);
        feed.failed(&AskError::Status("401".to_owned()), at(0), 0.0);
        assert!(feed.is_due(at(50)), "one may be a restart");
        heard(&mut feed, true, 50);
        feed.failed(&AskError::Status("401".to_owned()), at(1_050), 0.0);
        assert!(!feed.is_due(at(2_049)));
        assert!(feed.is_due(at(2_050)));
    }

    #[test]
    fn where_control_planes_answer_in_turn_every_answer_is_followed_by_a_pause() {
        let mut feed = Feed::default();
        feed.heard("x".to_owned(), false, true, at(0), 1.0);
        assert!(!feed.is_due(at(1_499)));
        assert!(feed.is_due(at(1_500)));
    }
}
