//! Moments as people read them. All that is reckoned with are [`Instant`]s, which no clock that is set
//! anew moves; the wall clock of now says where they are.

use std::time::{Instant, SystemTime};

/// A moment in UTC by the wall clock of now, to the second: `2030-01-31T12:00:00Z`.
pub(crate) fn of(at: Instant, now: Instant) -> String {
    text(at, now, SystemTime::now())
}

/// Where a moment by the wall clock lies, as that clock is now; as far as we can tell.
pub(crate) fn instant(at: SystemTime, now: Instant) -> Option<Instant> {
    let wall = SystemTime::now();
    match wall.duration_since(at) {
        Ok(ago) => now.checked_sub(ago),
        Err(_) => now.checked_add(at.duration_since(wall).ok()?),
    }
}

/// A moment by the wall clock of now.
pub(crate) fn wall(at: Instant, now: Instant) -> SystemTime {
    moved(at, now, SystemTime::now())
}

fn text(at: Instant, now: Instant, wall: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moved(at, now, wall)).to_string()
}

fn moved(at: Instant, now: Instant, wall: SystemTime) -> SystemTime {
    let wall = match at.checked_duration_since(now) {
        Some(ahead) => wall.checked_add(ahead),
        None => wall.checked_sub(now.saturating_duration_since(at)),
    };
    // Before 1970 there is no text.
    wall.unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_lies_where_the_wall_clock_of_now_says() {
        let second = Duration::from_secs(1);
        let earlier = Instant::now();
        let now = earlier + second;
        let wall = humantime::parse_rfc3339("2030-01-31T12:00:00Z").unwrap();
        for (at, expected) in [
            (now, "2030-01-31T12:00:00Z"),
            (now + 90 * second, "2030-01-31T12:01:30Z"),
            (earlier, "2030-01-31T11:59:59Z"),
        ] {
            assert_eq!(text(at, now, wall), expected);
        }
        assert_eq!(text(earlier, now, SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
