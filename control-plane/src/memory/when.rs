//! When something was found, so that another process can tell how long ago that was.

use std::fs;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// The boot that we are in, as Linux names it; empty where it does not.
static BOOT: LazyLock<Arc<str>> = LazyLock::new(|| {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().into()
});

/// How far the wall clock may drift away from the other before that counts as a step.
const STEP: Duration = Duration::from_secs(1);

/// A moment by two clocks: the wall clock, which anybody may set, and that of the boot, which nobody can,
/// and which means nothing after the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// By the wall clock.
    pub(crate) wall: SystemTime,
    /// The boot, or nothing where it is not known.
    pub(crate) boot: Arc<str>,
    /// How long that had lasted, times of sleep included, in milliseconds; below zero before it.
    pub(crate) booted_ms: i64,
}

// === impl When ===

impl When {
    /// The present moment.
    pub(super) fn now() -> Self {
        let booted = clock_gettime(ClockId::Boottime);
        let booted_ms = Duration::try_from(booted).unwrap_or_default().as_millis();
        let booted_ms = i64::try_from(booted_ms).unwrap_or(i64::MAX);
        Self { wall: SystemTime::now(), boot: BOOT.clone(), booted_ms }
    }

    /// The time from `earlier` until now. None where nobody knows: in another boot, behind that moment by
    /// the wall clock.
    pub(super) fn since(&self, earlier: &Self) -> Option<Duration> {
        if self.shares_boot(earlier) {
            let ms = self.booted_ms.saturating_sub(earlier.booted_ms);
            u64::try_from(ms).ok().map(Duration::from_millis)
        } else {
            self.wall.duration_since(earlier.wall).ok()
        }
    }

    /// Whether the wall clock was set between `earlier` and now.
    pub(super) fn is_after_step(&self, earlier: &Self) -> bool {
        let (wall, real) = (self.wall.duration_since(earlier.wall), self.since(earlier));
        let (Ok(wall), Some(real)) = (wall, real) else { return true };
        wall.abs_diff(real) > STEP
    }

    fn shares_boot(&self, other: &Self) -> bool {
        !self.boot.is_empty() && self.boot == other.boot
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// In this boot, at that second of it, where the wall clock says that.
    fn when(boot: &str, booted: i64, wall: u64) -> When {
        let wall = UNIX_EPOCH + 1_000 * HOUR + Duration::from_secs(wall);
        When { wall, boot: boot.into(), booted_ms: booted * 1_000 }
    }

    #[test]
    fn in_one_boot_the_wall_clock_means_nothing_and_across_boots_it_is_all_there_is() {
        let then = when("this", 100, 5_000);
        for (what, now, expected) in [
            ("as it should be", when("this", 160, 5_060), Some(60)),
            ("set back", when("this", 160, 0), Some(60)),
            ("set forward", when("this", 160, 50_000), Some(60)),
            ("after a boot", when("next", 10, 5_060), Some(60)),
            ("after a boot, set back", when("next", 10, 4_999), None),
            ("a boot that goes backwards", when("this", 99, 5_060), None),
        ] {
            assert_eq!(now.since(&then), expected.map(Duration::from_secs), "{what}");
        }
        let nameless = when("", 100, 5_000);
        assert_eq!(when("", 160, 5_010).since(&nameless), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_step_is_noticed_in_both_directions() {
        let before = when("this", 100, 5_000);
        for (wall, stepped) in
            [(5_001, false), (5_002, false), (5_004, true), (8_601, true), (1_400, true)]
        {
            assert_eq!(when("this", 101, wall).is_after_step(&before), stepped, "{wall}");
        }
    }

    #[test]
    fn the_present_moment_goes_on() {
        let (one, other) = (When::now(), When::now());
        assert!(other.since(&one).is_some_and(|time| time < HOUR));
        assert!(!other.is_after_step(&one));
    }
}
