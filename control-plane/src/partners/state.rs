//! How we stand with a partner, in a word: a pure function of its lookups and of what filters have seen.
//!
//! | the first that holds | state |
//! |---|---|
//! | its last lookup came to nothing, or DNS names no host | `discovery-failing` |
//! | the last call to it was refused at their gate | `refusing-us` |
//! | its last request was refused here | `refused` |
//! | the last call to it did not reach it | `unreachable` |
//! | its last request passed in shadow alone | `would-be-refused` |
//! | something passed, in either direction | `ok` |
//! | nothing of that | `never-seen` |
//!
//! So trouble is over once all was well, later, in the same direction. What was not seen for a day is no trouble any
//! more, and after a partner was tried anew it has to be seen again.
//!
//! Who is refused has not proven the name that he claims. So where a partner's own requests passed within a day, that
//! somebody was refused in its name with a certificate that is not known to be its own is a warning, and no trouble.

use std::time::{Duration, Instant};

use super::label::{Label, Sense};
use super::ledger::{End, Seen};
use super::reading::Side;
use crate::verdicts::State as Lookups;

/// For how long what was seen last says how we stand.
const HEARING: Duration = Duration::from_secs(24 * 3600);

/// How we stand with a partner, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Lookups of it come to nothing.
    DiscoveryFailing,
    /// It refuses us.
    RefusingUs,
    /// We refuse it.
    Refused,
    /// Calls to it do not get through.
    Unreachable,
    /// We let it pass in shadow alone.
    WouldBeRefused,
    /// Nothing was seen of it, since we began to look.
    NeverSeen,
    /// All is well.
    Ok,
}

/// How we stand with it, and what came last to show that.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) state: State,
    /// What was seen, where the state rests on that.
    pub(crate) trouble: Option<Trouble<'a>>,
}

/// What is wrong, as filters have seen it.
#[derive(Debug)]
pub(crate) struct Trouble<'a> {
    pub(crate) label: Label,
    pub(crate) since: Instant,
    pub(crate) end: &'a End,
    /// Whether it may be somebody else who only uses the partner's name.
    pub(crate) is_doubtful: bool,
    severity: Severity,
}

/// Whether somebody has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Now.
    Trouble,
    /// Perhaps.
    Warning,
}

/// How we stand with a partner that is listed since then, as far as that matters.
pub(crate) fn judge(
    lookups: Lookups,
    seen: Option<&Seen>,
    listed: Option<Instant>,
    now: Instant,
) -> Judged<'_> {
    let fails = match lookups {
        Lookups::NoFederator | Lookups::NoTarget | Lookups::Stale | Lookups::Failing => true,
        Lookups::Ok | Lookups::NotLookedUp => false,
    };
    if fails {
        return Judged { state: State::DiscoveryFailing, trouble: None };
    }
    let Some(seen) = seen else { return Judged { state: State::NeverSeen, trouble: None } };
    let kinds = [
        (State::RefusingUs, Side::Egress, Sense::RefusesUs),
        (State::Refused, Side::Ingress, Sense::Refused),
        (State::Unreachable, Side::Egress, Sense::Unreachable),
        (State::WouldBeRefused, Side::Ingress, Sense::Spared),
    ];
    for (state, side, sense) in kinds {
        if let Some(trouble) = trouble(seen, side, sense, listed, now) {
            return Judged { state, trouble: Some(trouble) };
        }
    }
    let passed = Side::ALL.iter().any(|side| seen.last_of(*side, is_contact).is_some());
    Judged { state: if passed { State::Ok } else { State::NeverSeen }, trouble: None }
}

/// The last end of this sense, if nothing better came after it.
fn trouble(
    seen: &Seen,
    side: Side,
    sense: Sense,
    listed: Option<Instant>,
    now: Instant,
) -> Option<Trouble<'_>> {
    let ends = seen.ends.iter().filter(|((of, label), _)| *of == side && label.sense() == sense);
    let (&(_, label), end) = ends.max_by_key(|(_, end)| end.last)?;
    let cured = |other| match sense {
        // Whoever answers, whatever he says, has been reached.
        Sense::Unreachable => matches!(other, Sense::Passed | Sense::Answered | Sense::RefusesUs),
        // Whoever is not reached now may have let us in, for all we know.
        Sense::RefusesUs => matches!(other, Sense::Passed | Sense::Answered | Sense::Unreachable),
        Sense::Refused => matches!(other, Sense::Passed | Sense::Spared),
        // An Envoy that enforces says more of it than one in shadow.
        Sense::Spared => matches!(other, Sense::Passed | Sense::Refused),
        Sense::Passed | Sense::Answered | Sense::Aside => other == Sense::Passed,
    };
    let better = seen.last_of(side, cured);
    // That it was not listed is over once it is.
    let better = if label.name() == "federation-denied" { better.max(listed) } else { better };
    let since = better.map_or(end.since, |better| better.max(end.since));
    let is_doubtful = is_ours(sense) && is_doubtful(seen, label, end);
    let is_recent = |at| now.saturating_duration_since(at) < HEARING;
    let is_well = seen.good(Side::Ingress).is_some_and(is_recent);
    let is_mild = (is_doubtful && is_well) || sense == Sense::Spared;
    let severity = if is_mild { Severity::Warning } else { Severity::Trouble };
    let trouble = Trouble { label, since, end, is_doubtful, severity };
    let tried = seen.tried.and_then(|tried| match sense {
        // That it is tried opens no port.
        Sense::Unreachable => tried.opened,
        Sense::Refused
        | Sense::Spared
        | Sense::RefusesUs
        | Sense::Passed
        | Sense::Answered
        | Sense::Aside => Some(tried.at),
    });
    let stands = is_recent(end.last) && better.max(tried).is_none_or(|over| over < end.last);
    stands.then_some(trouble)
}

/// Whether it is our word on them.
fn is_ours(sense: Sense) -> bool {
    matches!(sense, Sense::Refused | Sense::Spared)
}

/// Whether it may be somebody else who is refused: with another certificate than that which has proven the name.
fn is_doubtful(seen: &Seen, label: Label, end: &End) -> bool {
    let own = seen.certificate.as_ref().map(|(own, _)| own);
    // That a listed domain is refused as if it were not is our doing, whoever it is.
    label.name() != "federation-denied" && (own.is_none() || own != end.certificate.as_ref())
}

/// Whether one end heard the other.
fn is_contact(sense: Sense) -> bool {
    match sense {
        Sense::Passed | Sense::Answered | Sense::Spared => true,
        Sense::Refused | Sense::RefusesUs | Sense::Unreachable | Sense::Aside => false,
    }
}

// === impl Judged ===

impl Judged<'_> {
    /// How bad it is; none where all is well, or nothing is known.
    pub(crate) fn severity(&self) -> Option<Severity> {
        match (self.state, &self.trouble) {
            (State::NeverSeen | State::Ok, _) => None,
            (_, Some(trouble)) => Some(trouble.severity),
            (_, None) => Some(Severity::Trouble),
        }
    }
}

// === impl Severity ===

impl Severity {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Warning => "warning",
        }
    }
}

// === impl State ===

impl State {
    pub(crate) const ALL: [Self; 7] = [
        Self::DiscoveryFailing,
        Self::RefusingUs,
        Self::Refused,
        Self::Unreachable,
        Self::WouldBeRefused,
        Self::NeverSeen,
        Self::Ok,
    ];

    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DiscoveryFailing => "discovery-failing",
            Self::RefusingUs => "refusing-us",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::WouldBeRefused => "would-be-refused",
            Self::NeverSeen => "never-seen",
            Self::Ok => "ok",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ledger::Ledger;
    use super::super::ledger::tests::{certificate, event};
    use super::super::reading::Event;
    use super::*;

    /// What is said after these, one second after the other: `<` they call us, `>` we call them,
    /// `~` in shadow.
    fn state(lookups: Lookups, timeline: &[&str], listed: Option<u64>) -> (State, Option<&'static str>) {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut ledger = Ledger::default();
        for (second, what) in (0..).zip(timeline) {
            let (way, label) = what.split_at(1);
            let (is_spared, label) = (label.starts_with('~'), label.trim_start_matches('~'));
            let side = if way == "<" { Side::Ingress } else { Side::Egress };
            let mut event = event("a.com", label, 1, at(second));
            event.label = if is_spared { event.label.spared() } else { event.label };
            ledger.take(event, side, true);
        }
        let seen = ledger.of(&"a.com".parse().unwrap()).map(|seen| &**seen);
        let now = at(timeline.len().try_into().unwrap());
        let judged = judge(lookups, seen, listed.map(at), now);
        (judged.state, judged.trouble.map(|trouble| trouble.label.name()))
    }

    #[test]
    fn the_state_is_the_first_that_holds_and_trouble_ends_with_a_success() {
        const DENIED: &str = ">federation-remote-error/federation-denied";
        let inner = "federation-remote-error/federation-denied";
        for (timeline, expected, label) in [
            (&[][..], State::NeverSeen, None),
            (&["<invalid-domain"], State::NeverSeen, None),
            (&["<permitted"], State::Ok, None),
            (&[">permitted"], State::Ok, None),
            (&[">federation-remote-error"], State::Ok, None),
            (&["<authentication-failure"], State::Refused, Some("authentication-failure")),
            (&["<permitted", "<certificate-expired"], State::Refused, Some("certificate-expired")),
            (&["<authentication-failure", "<permitted"], State::Ok, None),
            (&["<authentication-failure", ">permitted"], State::Refused, Some("authentication-failure")),
            (&[">federation-tls-error"], State::Unreachable, Some("federation-tls-error")),
            (&[">federation-connection-refused", ">federation-remote-error"], State::Ok, None),
            (&[">permitted", DENIED], State::RefusingUs, Some(inner)),
            (&[DENIED, ">federation-tls-error"], State::Unreachable, Some("federation-tls-error")),
            (&[">federation-tls-error", DENIED], State::RefusingUs, Some(inner)),
            (&[DENIED, "<permitted"], State::RefusingUs, Some(inner)),
            (&["<authentication-failure", DENIED], State::RefusingUs, Some(inner)),
            (
                &[">federation-tls-error", "<authentication-failure"],
                State::Refused,
                Some("authentication-failure"),
            ),
            (&["<~federation-denied"], State::WouldBeRefused, Some("federation-denied")),
            (&["<~authentication-failure", "<permitted"], State::Ok, None),
            (
                &["<authentication-failure", "<~authentication-failure"],
                State::WouldBeRefused,
                Some("authentication-failure"),
            ),
            (
                &["<~authentication-failure", "<authentication-failure"],
                State::Refused,
                Some("authentication-failure"),
            ),
            (&["<verdict-unavailable", ">verdict-unavailable"], State::NeverSeen, None),
        ] {
            assert_eq!(state(Lookups::Ok, timeline, None), (expected, label), "{timeline:?}");
            for fails in [Lookups::NoFederator, Lookups::NoTarget, Lookups::Stale, Lookups::Failing] {
                assert_eq!(state(fails, timeline, None), (State::DiscoveryFailing, None));
            }
        }
    }

    #[test]
    fn that_a_domain_was_not_listed_is_no_trouble_once_it_is() {
        let denied = &["<federation-denied"];
        assert_eq!(state(Lookups::Ok, denied, Some(1)).0, State::NeverSeen);
        let still = state(Lookups::Ok, &["<permitted", "<federation-denied"], Some(0));
        assert_eq!(still, (State::Refused, Some("federation-denied")), "an Envoy has not heard of it");
    }

    /// What `a.com` is, where it passed at 0 with its own certificate, and at 1 was refused.
    fn severity(label: &str, names: &str, after: Duration) -> Option<Severity> {
        let (start, mut ledger) = (Instant::now(), Ledger::default());
        for (second, label, names) in [(0, "permitted", "own"), (1, label, names)] {
            let at = start + Duration::from_secs(second);
            let event = Event { certificate: Some(certificate(names)), ..event("a.com", label, 1, at) };
            ledger.take(event, Side::Ingress, true);
        }
        let seen = ledger.of(&"a.com".parse().unwrap()).map(|seen| &**seen);
        let judged = judge(Lookups::Ok, seen, None, start + after);
        assert_eq!(judged.state, State::Refused);
        judged.severity()
    }

    #[test]
    fn who_may_be_somebody_else_is_no_trouble_while_the_partner_itself_was_let_in() {
        let second = Duration::from_secs(1);
        for (label, names, expected) in [
            ("authentication-failure", "other", Severity::Warning),
            ("certificate-expired", "other", Severity::Warning),
            // It is their certificate: it has proven the name before.
            ("certificate-expired", "own", Severity::Trouble),
            ("authentication-failure", "own", Severity::Trouble),
            ("federation-denied", "other", Severity::Trouble),
        ] {
            assert_eq!(severity(label, names, 2 * second), Some(expected), "{label} {names}");
        }
        let late = severity("authentication-failure", "other", HEARING);
        assert_eq!(late, Some(Severity::Trouble), "it has not been let in for a day");
    }

    #[test]
    fn trouble_that_is_not_seen_for_a_day_is_none_any_more() {
        let (start, mut ledger) = (Instant::now(), Ledger::default());
        let minute = Duration::from_secs(60);
        for (after, label, side) in [
            (0, "permitted", Side::Ingress),
            (1, "federation-tls-error", Side::Egress),
            (2, "authentication-failure", Side::Ingress),
            (3, "federation-remote-error/federation-denied", Side::Egress),
        ] {
            ledger.take(event("a.com", label, 1, start + after * minute), side, true);
        }
        let seen = ledger.of(&"a.com".parse().unwrap()).map(|seen| &**seen);
        for (after, expected) in [
            (3 * minute, State::RefusingUs),
            (HEARING + 2 * minute, State::RefusingUs),
            (HEARING + 3 * minute, State::Ok),
        ] {
            assert_eq!(judge(Lookups::Ok, seen, None, start + after).state, expected, "{after:?}");
        }
    }

    #[test]
    fn once_a_partner_is_tried_anew_trouble_has_to_be_seen_again() {
        const DENIED: &str = ">federation-remote-error/federation-denied";
        const DOWN: &str = ">federation-connection-refused";
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        for (label, opens, at_once, again) in [
            ("<authentication-failure", false, State::NeverSeen, State::Refused),
            (DENIED, false, State::NeverSeen, State::RefusingUs),
            (DOWN, true, State::NeverSeen, State::Unreachable),
            (DOWN, false, State::Unreachable, State::Unreachable),
        ] {
            let (way, label) = label.split_at(1);
            let side = if way == "<" { Side::Ingress } else { Side::Egress };
            let (mut ledger, domain) = (Ledger::default(), "a.com".parse().unwrap());
            let state = |ledger: &Ledger| {
                let seen = ledger.of(&domain).map(|seen| &**seen);
                judge(Lookups::Ok, seen, None, start + 9 * second).state
            };
            ledger.take(event("a.com", label, 1, start), side, true);
            ledger.tried(&domain, opens, start + second);
            assert_eq!(state(&ledger), at_once, "{label} {opens}");
            ledger.take(event("a.com", label, 1, start + 2 * second), side, true);
            assert_eq!(state(&ledger), again, "{label} {opens}");
        }
    }

    #[test]
    fn trouble_is_dated_from_the_last_success() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut ledger = Ledger::default();
        for (second, label) in [
            (0, "certificate-expired"),
            (5, "permitted"),
            (7, "certificate-expired"),
            (9, "certificate-expired"),
        ] {
            ledger.take(event("a.com", label, 1, at(second)), Side::Ingress, true);
        }
        let seen = ledger.of(&"a.com".parse().unwrap()).map(|seen| &**seen);
        let trouble = judge(Lookups::Ok, seen, None, at(9)).trouble.unwrap();
        assert_eq!((trouble.since, trouble.end.last, trouble.end.count), (at(7), at(9), 3));
    }
}
