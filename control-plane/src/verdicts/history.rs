//! What the lookups of each listed domain have come to, and what of that is to be said: values, with the
//! present moment as an argument.
//!
//! A domain's trouble is said once it is its own: two lookups in a row have come to nothing, while DNS
//! answered others in between. Trouble of DNS as a whole is [`outage`](super::outage)'s to say, once for all.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fedgate_policy::Domain;

/// How many lookups have to fail while others are answered.
const AGAINST: u32 = 2;
/// Domains whose trouble is said within a [`WINDOW`]; of the others only that there are more.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// The histories of all listed domains that have been looked up.
#[derive(Debug, Default)]
pub(super) struct Histories {
    of: HashMap<Domain, History>,
    /// When lines began to be counted, and how many there were since.
    window: Option<(Instant, u32)>,
}

/// What the lookups of one domain have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// When DNS answered last.
    pub(crate) answered: Option<Instant>,
    /// When the last lookup ended.
    pub(crate) tried: Option<Instant>,
    /// When the next one is due.
    pub(crate) next: Option<Instant>,
    /// Where the last one came to nothing: since when that is so.
    pub(crate) failing: Option<Failing>,
}

/// Lookups in a row that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failing {
    /// When the first of them ended.
    pub(crate) since: Instant,
    /// What the last one came to.
    pub(crate) cause: String,
    against: u32,
    telling: Telling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    NotYet,
    Said,
    /// It was one of too many.
    LeftOut,
}

/// What is to be said of a domain after a lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// Its lookups come to nothing, since then.
    Began(Instant),
    /// So do those of more domains than are named.
    Crowd,
    /// Its lookups are answered again, after so long.
    Ended(Duration),
}

// === impl Histories ===

impl Histories {
    /// Takes in what a lookup came to: nothing, for this cause, or else an answer. `elsewhere` says when
    /// DNS answered anything last.
    pub(super) fn learn(
        &mut self,
        domain: &Domain,
        trouble: Option<&str>,
        elsewhere: Option<Instant>,
        now: Instant,
    ) -> News {
        let history = self.of.entry(domain.clone()).or_default();
        let before = history.tried.replace(now);
        let Some(cause) = trouble else {
            history.answered = Some(now);
            return match history.failing.take() {
                Some(Failing { since, telling: Telling::Said, .. }) => {
                    News::Ended(now.saturating_duration_since(since))
                }
                Some(_) | None => News::None,
            };
        };
        let Some(failing) = &mut history.failing else {
            let (cause, telling) = (cause.to_owned(), Telling::NotYet);
            history.failing = Some(Failing { since: now, cause, against: 0, telling });
            return News::None;
        };
        cause.clone_into(&mut failing.cause);
        if elsewhere.zip(before).is_some_and(|(elsewhere, before)| elsewhere > before) {
            failing.against = failing.against.saturating_add(1);
        }
        if failing.telling != Telling::NotYet || failing.against < AGAINST {
            return News::None;
        }
        let (start, lines) = self
            .window
            .filter(|(start, _)| now.saturating_duration_since(*start) < WINDOW)
            .unwrap_or((now, 0));
        self.window = Some((start, lines.saturating_add(1)));
        if lines < LINES {
            failing.telling = Telling::Said;
            return News::Began(failing.since);
        }
        failing.telling = Telling::LeftOut;
        if lines == LINES { News::Crowd } else { News::None }
    }

    /// Notes when a domain's next lookup is due.
    pub(super) fn due(&mut self, domain: &Domain, next: Instant) {
        if let Some(history) = self.of.get_mut(domain) {
            history.next = Some(next);
        }
    }

    /// The history of a domain.
    pub(super) fn of(&self, domain: &Domain) -> Option<History> {
        self.of.get(domain).cloned()
    }

    /// Forgets a domain.
    pub(super) fn forget(&mut self, domain: &Domain) {
        self.of.remove(domain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn domain(number: u32) -> Domain {
        format!("d{number}.com").parse().unwrap()
    }

    /// What is said of a domain whose lookups come to this, one second after the other: `x` nothing, `.`
    /// an answer; `+` is an answer to another question.
    fn said(timeline: &str) -> String {
        let start = Instant::now();
        let (mut histories, mut elsewhere) = (Histories::default(), None);
        let mut said = Vec::new();
        for (second, what) in (0..).zip(timeline.chars()) {
            let now = start + second * SECOND;
            let trouble = match what {
                '+' => {
                    elsewhere = Some(now);
                    continue;
                }
                'x' => Some("SERVFAIL"),
                _ => None,
            };
            match histories.learn(&domain(0), trouble, elsewhere, now) {
                News::None => {}
                News::Crowd => said.push(format!("{second}: many")),
                News::Began(since) => {
                    said.push(format!("{second}: fails since {}", (since - start).as_secs()));
                }
                News::Ended(after) => said.push(format!("{second}: answers after {}", after.as_secs())),
            }
        }
        said.join(", ")
    }

    #[test]
    fn a_domains_own_trouble_is_said_once_and_once_that_it_is_over() {
        for (timeline, expected) in [
            ("x+x+x", "4: fails since 0"),
            ("..x+x+x+x+x+x+.x", "6: fails since 2, 14: answers after 12"),
            (
                "x+x+x.x+x+x.",
                "4: fails since 0, 5: answers after 5, 10: fails since 6, 11: answers after 5",
            ),
            // It is over before it is certain; or DNS answers nobody, at first.
            ("x.", ""),
            ("x+x.", ""),
            ("+xxxxxxxxx", ""),
            ("xxxxxxxxx+.", ""),
            ("xxxxxxxxx+x.", ""),
            ("xxxxxxxxx+x+x", "12: fails since 0"),
        ] {
            assert_eq!(said(timeline), expected, "{timeline}");
        }
    }

    #[test]
    fn of_many_domains_in_trouble_some_are_named() {
        let start = Instant::now();
        let mut histories = Histories::default();
        let mut all = |at: u32, answered: bool| {
            let now = start + (at + 1) * SECOND;
            let trouble = (!answered).then_some("SERVFAIL");
            let elsewhere = Some(start + at * SECOND + SECOND / 2);
            let news = (0..1000).map(|n| histories.learn(&domain(n), trouble, elsewhere, now));
            news.filter(|news| *news != News::None).collect::<Vec<_>>()
        };
        assert!(all(0, false).is_empty() && all(1, false).is_empty());
        let began = all(2, false);
        assert_eq!((began.len(), began.last()), (21, Some(&News::Crowd)));
        assert!(all(3, false).is_empty() && all(90, false).is_empty(), "once is enough");
        assert_eq!(all(91, true).len(), 20, "those that were named");
    }

    #[test]
    fn a_history_knows_the_last_answer_and_the_next_try() {
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        let mut histories = Histories::default();
        histories.due(&domain(0), at(1));
        assert_eq!(histories.of(&domain(0)), None, "it was never looked up");
        histories.learn(&domain(0), None, None, at(0));
        histories.learn(&domain(0), Some("one"), None, at(5));
        histories.learn(&domain(0), Some("two"), None, at(9));
        histories.due(&domain(0), at(17));
        let history = histories.of(&domain(0)).unwrap();
        assert_eq!((history.answered, history.tried), (Some(at(0)), Some(at(9))));
        assert_eq!(history.next, Some(at(17)));
        let failing = history.failing.unwrap();
        assert_eq!((failing.since, failing.cause.as_str()), (at(5), "two"));
        histories.forget(&domain(0));
        assert_eq!(histories.of(&domain(0)), None);
    }
}
