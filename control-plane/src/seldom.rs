//! Lines of the log that are to come seldom, however often there is cause for them.

use std::time::{Duration, Instant};

/// The shortest time from one line to the next.
const APART: Duration = Duration::from_secs(60);

/// Counts what happens, and says when to tell of it: at once, and then once in a minute.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

// === impl Seldom ===

impl Seldom {
    /// It happened once more. How often since it was last told, if it is to be told now.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(1);
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < APART) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_counted() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seldom = Seldom::default();
        let told = [0, 1, 59, 60, 61, 300].map(|seconds| seldom.tell(at(seconds)));
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
