//! Moments as an operator writes them: how far from now, or a date.

use std::time::{Duration, SystemTime};

use fedgate_allow_list::Moment;

/// The year 10,000, which RFC 3339 cannot write, in seconds since 1970.
const TOO_FAR: Duration = Duration::from_secs(253_402_300_800);

/// A moment that is to come: `90d`, `2030-01-31`, `2030-01-31T12:00:00Z`.
pub(super) fn ahead(text: &str) -> Result<Moment, String> {
    parse(text, SystemTime::now(), SystemTime::checked_add)
}

/// A moment that has been: `2h`, `2030-01-31`, `2030-01-31T12:00:00Z`.
pub(super) fn ago(text: &str) -> Result<Moment, String> {
    parse(text, SystemTime::now(), SystemTime::checked_sub)
}

fn parse(
    text: &str,
    now: SystemTime,
    from_now: impl FnOnce(&SystemTime, Duration) -> Option<SystemTime>,
) -> Result<Moment, String> {
    let wrong = || "write e.g. 90d, 12h, 2030-01-31 or 2030-01-31T12:00:00Z (UTC)".to_owned();
    if let Ok(time) = humantime::parse_duration(text) {
        let is_near = |at: &SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < TOO_FAR)
        };
        return from_now(&now, time).filter(is_near).map(Moment::of).ok_or_else(wrong);
    }
    text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_from_now_or_a_date() {
        let now = "2030-01-31T12:00:00Z".parse::<Moment>().unwrap().0;
        for (text, ahead, ago) in [
            ("1d", "2030-02-01T12:00:00Z", "2030-01-30T12:00:00Z"),
            ("2h 30m", "2030-01-31T14:30:00Z", "2030-01-31T09:30:00Z"),
            ("2029-12-31", "2029-12-31T00:00:00Z", "2029-12-31T00:00:00Z"),
            ("2031-01-01T01:02:03Z", "2031-01-01T01:02:03Z", "2031-01-01T01:02:03Z"),
        ] {
            let ahead_of = parse(text, now, SystemTime::checked_add).unwrap().to_string();
            let ago_from = parse(text, now, SystemTime::checked_sub).unwrap().to_string();
            assert_eq!((ahead_of.as_str(), ago_from.as_str()), (ahead, ago), "{text}");
        }
        for text in
            ["", "soon", "90", "31.1.2030", "2030-13-01", "-1d", "9999999d", "99999999999999999999d"]
        {
            assert!(parse(text, now, SystemTime::checked_add).is_err(), "{text}");
        }
    }
}
