//! Whether DNS as a whole answers: a value, with the present moment as an argument.
//!
//! | since the last answer | DNS |
//! |---|---|
//! | nothing has failed | answers |
//! | something has | may answer: another listed domain is to be looked up now, as a witness |
//! | three lookups or more have failed, over five seconds or more, of two listed domains, or of the only one | fails |
//!
//! One domain whose zone is broken is not DNS as a whole; nor are many that are not listed, which anybody
//! can make up, or hosts, which may all be of one zone.

use std::time::{Duration, Instant};

use fedgate_policy::Domain;

/// How many lookups in a row have to fail, at least.
const LOOKUPS: u32 = 3;
/// How long that has to last, at least: a name server that is started anew is back by then.
const SPAN: Duration = Duration::from_secs(5);
/// The shortest pause between two witnesses, so that nobody can make us look up much.
const BETWEEN_WITNESSES: Duration = Duration::from_secs(1);

/// What the lookups of late say of DNS.
#[derive(Debug, Default)]
pub(super) struct Outage {
    answered: Option<Instant>,
    streak: Option<Streak>,
    witness: Option<Instant>,
}

/// Lookups in a row that came to nothing.
#[derive(Debug)]
struct Streak {
    since: Instant,
    lookups: u32,
    /// The first listed domain among them.
    listed: Option<Domain>,
    /// Whether they were of another one also, or there is no other.
    corroborated: bool,
    told: bool,
    cause: String,
}

/// What is to be said of DNS after a lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// It fails, since then.
    Began(Instant),
    /// It answers again, after so long.
    Ended(Duration),
}

// === impl Outage ===

impl Outage {
    /// Something was answered.
    pub(super) fn answer(&mut self, now: Instant) -> News {
        self.answered = Some(now);
        match self.streak.take() {
            Some(streak) if streak.told => News::Ended(now.saturating_duration_since(streak.since)),
            Some(_) | None => News::None,
        }
    }

    /// A lookup, of this domain if it was of a listed one, came to nothing.
    pub(super) fn failure(&mut self, listed: Option<&Domain>, cause: &str, now: Instant) -> News {
        let streak = self.streak.get_or_insert_with(|| Streak {
            since: now,
            lookups: 0,
            listed: None,
            corroborated: false,
            told: false,
            cause: String::new(),
        });
        streak.lookups = streak.lookups.saturating_add(1);
        cause.clone_into(&mut streak.cause);
        match (&streak.listed, listed) {
            (None, Some(domain)) => streak.listed = Some(domain.clone()),
            (Some(before), Some(domain)) if before != domain => streak.corroborated = true,
            (Some(_), Some(_)) | (_, None) => {}
        }
        let lasts = now.saturating_duration_since(streak.since) >= SPAN;
        if streak.told || !streak.corroborated || !lasts || streak.lookups < LOOKUPS {
            return News::None;
        }
        streak.told = true;
        News::Began(streak.since)
    }

    /// Whether another listed domain is to be looked up now. Says so once in a while.
    pub(super) fn wants_witness(&mut self, now: Instant) -> bool {
        let recent = |at| now.saturating_duration_since(at) < BETWEEN_WITNESSES;
        let doubtful = self.streak.as_ref().is_some_and(|streak| !streak.corroborated);
        let wanted = doubtful && !self.witness.is_some_and(recent);
        if wanted {
            self.witness = Some(now);
        }
        wanted
    }

    /// There is no other listed domain to look up.
    pub(super) fn no_witness(&mut self) {
        if let Some(streak) = &mut self.streak {
            streak.corroborated = true;
        }
    }

    /// When anything was answered last.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// Since when DNS fails, if it does, and what the last lookup came to.
    pub(super) fn failing(&self) -> Option<(Instant, &str)> {
        let streak = self.streak.as_ref().filter(|streak| streak.told)?;
        Some((streak.since, &streak.cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said in the course of a timeline: `a` and `b` are failures of listed domains, `-` is one of
    /// a host or of a domain that is not listed, `+` an answer, `0` that there is no witness; each at its
    /// second.
    fn said(timeline: &str) -> String {
        let start = Instant::now();
        let mut outage = Outage::default();
        let mut said = Vec::new();
        for step in timeline.split(' ') {
            let (what, seconds) = step.split_at(1);
            let now = start + Duration::from_secs(seconds.parse().unwrap());
            let news = match what {
                "+" => outage.answer(now),
                "-" => outage.failure(None, "no answer", now),
                "0" => {
                    outage.no_witness();
                    News::None
                }
                name => outage.failure(Some(&format!("{name}.com").parse().unwrap()), "no answer", now),
            };
            match news {
                News::None => {}
                News::Began(since) => {
                    assert_eq!(outage.failing(), Some((since, "no answer")));
                    said.push(format!("{seconds}: fails since {}", (since - start).as_secs()));
                }
                News::Ended(after) => {
                    assert_eq!((outage.failing(), outage.answered()), (None, Some(now)));
                    said.push(format!("{seconds}: answers after {}", after.as_secs()));
                }
            }
        }
        said.join(", ")
    }

    #[test]
    fn it_fails_when_all_lookups_fail_for_a_while_and_answers_with_the_first_answer() {
        for (timeline, expected) in [
            ("a0 b1 a5 b6 a30 b59 +60 +61", "5: fails since 0, 60: answers after 60"),
            (
                "+0 a9 b9 a14 +15 a16 b17 a21",
                "14: fails since 9, 15: answers after 6, 21: fails since 16",
            ),
            // An answer between; too short; too few.
            ("a0 b1 +4 a5 b6 a9 +10", ""),
            ("a0 b0 a1 b2 a4 +5", ""),
            ("a0 b60 +61", ""),
            // One domain of several, with nobody else asked, and with a witness that answers; the only one.
            ("a0 a2 a6 a14 a30", ""),
            ("a0 +0 a2 +2 a6 +6 a14 +14", ""),
            ("a0 00 a2 a6 a14", "6: fails since 0"),
            // What anybody can make up; and that with witnesses.
            ("-0 -1 -5 -9 -60", ""),
            ("-0 a1 -5 b6", "6: fails since 0"),
        ] {
            assert_eq!(said(timeline), expected, "{timeline}");
        }
    }

    #[test]
    fn a_witness_is_wanted_in_doubt_only_and_once_in_a_while() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let (a, b): (Domain, Domain) = ("a.com".parse().unwrap(), "b.com".parse().unwrap());
        let mut outage = Outage::default();
        assert!(!outage.wants_witness(after(0)), "nothing has failed");
        outage.failure(Some(&a), "", after(0));
        assert!(outage.wants_witness(after(0)));
        assert!(!outage.wants_witness(after(999)) && outage.wants_witness(after(1000)));
        outage.failure(Some(&b), "", after(2000));
        assert!(!outage.wants_witness(after(3000)), "two fail");
        outage.answer(after(4000));
        outage.failure(None, "", after(5000));
        assert!(outage.wants_witness(after(5000)));
        outage.no_witness();
        assert!(!outage.wants_witness(after(7000)), "there is none");
    }
}
