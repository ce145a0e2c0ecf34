//! What is right and wrong, by a small model of its own: of the list, what the API acknowledged and when; of
//! DNS, what was put there; of certificates, who holds which. Nothing here is Fedgate's code.
//!
//! Each bound is one that the documentation promises. While a fault may delay something, and for
//! [`HEALED_WITHIN`] after it is lifted, that bound is not counted, and no other is left out.

use std::collections::BTreeMap;

use super::facts::{Call, Concern, Outcome, Truth, Violation, Wrong};
use super::fault::{Ms, Side};
use super::timeline::{Known, Timeline, Written};

/// A change of the list counts everywhere after this, where everything is up.
pub(crate) const COUNTS_WITHIN: Ms = 1000;
/// A domain that was put on the list is discovered and passes after this.
const DISCOVERED_WITHIN: Ms = 5000;
/// All is as before, this long after a fault is lifted.
pub(crate) const HEALED_WITHIN: Ms = 5000;
/// No call takes longer.
pub(crate) const CALL_WITHIN: Ms = 10_000;
/// The life of the SRV record that moves, and what may pass until its answer has come: a lookup's time limit,
/// and what the slow network adds.
const RECORD_LIVES: Ms = 5000 + 3000 + 3000;
/// What the slow network may add to the moment at which a filter heard from its control plane.
const ON_THE_WAY: Ms = 3000;

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    lists: BTreeMap<(Side, String), Timeline>,
    windows: BTreeMap<Concern, Vec<Window>>,
    /// Since when DNS names which host.
    hosts: Vec<(Ms, usize)>,
}

/// A time in which something may be hurt.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Ms,
    /// Without an end as long as the fault lasts.
    to: Ms,
}

// === impl Checker ===

impl Checker {
    pub(crate) fn sent(&mut self, side: Side, domain: &str, listed: bool, at: Ms) -> Known {
        self.line(side, domain).sent(listed, at)
    }

    pub(crate) fn answered(
        &mut self,
        (side, domain): (Side, &str),
        (listed, before): (bool, Known),
        written: Written,
        at: Ms,
    ) {
        self.line(side, domain).answered(listed, before, written, at);
    }

    /// What is known of an entry at last.
    pub(crate) fn known(&self, side: Side, domain: &str) -> Known {
        self.lists.get(&(side, domain.to_owned())).map_or(Known::Absent, Timeline::now)
    }

    /// The list was read: what is on it that should not be, and the other way round.
    pub(crate) fn read(&mut self, side: Side, (from, to): (Ms, Ms), list: &[String]) -> Vec<Violation> {
        let mut wrong = vec![];
        let mut lose = |what: String| wrong.push(Violation { kind: Wrong::Lost, at: to, what });
        for ((at, domain), line) in &mut self.lists {
            if *at != side {
                continue;
            }
            let listed = list.contains(domain);
            if !line.may_be(listed, from, to) {
                let (is, said) = if listed { ("is", "removal") } else { ("is not", "addition") };
                let list = side.domain();
                lose(format!("{domain} {is} on the list of {list}, though its {said} was acknowledged"));
            }
            line.read(listed, (from, to));
        }
        for domain in list {
            if !self.lists.contains_key(&(side, domain.clone())) {
                lose(format!("{domain} is on the list of {}, and nobody put it there", side.domain()));
            }
        }
        wrong
    }

    /// A fault begins that may hurt these, each from a moment of its own on.
    pub(crate) fn hurt(&mut self, concerns: &[(Concern, Ms)]) {
        for &(concern, from) in concerns {
            self.windows.entry(concern).or_default().push(Window { from, to: Ms::MAX });
        }
    }

    /// All faults that hurt these were lifted, and all was as before at `healed`. That it was so too late is told
    /// by whoever waited for it, once.
    pub(crate) fn healed(&mut self, concerns: &[(Concern, Ms)], lifted: Ms, healed: Ms) {
        for (concern, _) in concerns {
            let windows = self.windows.entry(*concern).or_default();
            for window in windows.iter_mut().rev().take_while(|window| window.to == Ms::MAX) {
                window.to = healed.max(lifted + HEALED_WITHIN);
            }
        }
    }

    /// DNS names this host from now on.
    pub(crate) fn moved(&mut self, host: usize, at: Ms) {
        self.hosts.push((at, host));
    }

    /// A call has ended: what is wrong with that?
    pub(crate) fn ended(&self, call: &Call) -> Option<Violation> {
        let passed = call.seen.is_some() || call.outcome == Outcome::Passed;
        let by = call.seen.unwrap_or(call.to).max(call.from);
        let wrong = |kind, what: String| Some(Violation { kind, at: call.from, what });
        if passed && let Some(why) = self.must_be_refused(call, by) {
            let seen =
                call.seen.map_or_else(String::new, |seen| format!(", seen behind it at {seen} ms"));
            return wrong(Wrong::Admitted, format!("{call}: {why}{seen}"));
        }
        if call.outcome == Outcome::Hung || call.to.saturating_sub(call.from) > CALL_WITHIN {
            let took = call.to.saturating_sub(call.from);
            return wrong(Wrong::Hung, format!("{call} took {took} ms"));
        }
        if self.is_hurt(Concern::Door(call.side, call.door), call.from, call.to) {
            return None;
        }
        if call.outcome != Outcome::Passed && self.must_pass(call) {
            return wrong(Wrong::Needless, format!("{}: {:?}", call, call.outcome));
        }
        self.wrong_reason(call).and_then(|what| wrong(Wrong::Needless, what))
    }

    /// For how long a removal was acknowledged when this call passed nevertheless; with whether a fault of the feed
    /// may be why.
    pub(crate) fn outlived(&self, call: &Call) -> Option<(bool, Ms)> {
        let Truth::Listed(domain) = &call.truth else { return None };
        let by = call.seen.or((call.outcome == Outcome::Passed).then_some(call.to))?;
        let line = self.lists.get(&(call.side, domain.clone()))?;
        let removed = line.surely_since(false, by).filter(|removed| *removed > 0)?;
        Some((self.is_hurt(Concern::Feed(call.side), removed, by), by - removed))
    }

    /// Why a call whose decision was made by this moment had to be refused.
    fn must_be_refused(&self, call: &Call, by: Ms) -> Option<String> {
        match &call.truth {
            Truth::Partner => None,
            Truth::Never(label) => Some(format!("never to be admitted ({})", label.unwrap_or("TLS"))),
            Truth::Listed(domain) => {
                let line = self.lists.get(&(call.side, domain.clone()))?;
                if line.may_be(true, call.from, by) {
                    return None;
                }
                let removed = line.surely_since(false, call.from)?;
                let deadline = self.counts_by(call.side, removed);
                (call.from > deadline).then(|| {
                    format!("removed at {removed} ms, which counted from {deadline} ms on at the latest")
                })
            }
            Truth::Host(host) => {
                let since = call.from.saturating_sub(RECORD_LIVES);
                let known = self.hosts.partition_point(|(at, _)| *at <= since).saturating_sub(1);
                let may = self.hosts.iter().skip(known).take_while(|(at, _)| *at <= by);
                let may = may.into_iter().any(|(_, named)| named == host);
                (!may).then(|| format!("DNS has not named host {host} since {since} ms"))
            }
        }
    }

    /// By when a removal counts.
    fn counts_by(&self, side: Side, removed: Ms) -> Ms {
        let soon = self.after_trouble(&[Concern::Feed(side)], removed + COUNTS_WITHIN);
        soon.min(removed + side.staleness() + ON_THE_WAY)
    }

    /// Whether a call through a door that nothing hurts has to pass.
    fn must_pass(&self, call: &Call) -> bool {
        match &call.truth {
            Truth::Partner => true,
            Truth::Never(_) => false,
            Truth::Listed(domain) => {
                let line = self.lists.get(&(call.side, domain.clone()));
                let stays = line.is_some_and(|line| !line.may_be(false, call.from, call.to));
                let since = line.and_then(|line| line.surely_since(true, call.from));
                stays && since.is_some_and(|since| call.from > self.found_by(call.side, since))
            }
            Truth::Host(host) => {
                let stays = self.hosts.last().filter(|(_, named)| named == host);
                stays.is_some_and(|(since, _)| {
                    let settled = self.found_by(call.side, since + RECORD_LIVES);
                    call.from > settled && !self.is_hurt(Concern::Names(call.side), settled, call.to)
                })
            }
        }
    }

    /// By when a domain that was put on the list passes.
    fn found_by(&self, side: Side, added: Ms) -> Ms {
        let concerns = [Concern::Feed(side), Concern::Names(side)];
        self.after_trouble(&concerns, added + DISCOVERED_WITHIN)
    }

    /// A refusal that should have been for another reason.
    fn wrong_reason(&self, call: &Call) -> Option<String> {
        let Truth::Never(expected) = call.truth else { return None };
        let feed = Concern::Feed(call.side);
        let right = match (&call.outcome, expected) {
            (Outcome::Refused(_, label), Some(expected)) => label == expected,
            (Outcome::Broken(_), None) => true,
            _ => false,
        };
        let hurt = self.is_hurt(feed, call.from, call.to);
        (!right && !hurt)
            .then(|| format!("{}: {:?}, where the right reason is {expected:?}", call, call.outcome))
    }

    /// The first moment from `due` on that no trouble with these covers.
    fn after_trouble(&self, concerns: &[Concern], due: Ms) -> Ms {
        let mut due = due;
        loop {
            let covering = concerns.iter().filter_map(|concern| {
                let windows = self.windows.get(concern)?;
                let before = windows.partition_point(|window| window.from <= due);
                let near = windows.get(before.saturating_sub(8)..before)?;
                near.iter().map(|window| window.to).filter(|to| *to > due).max()
            });
            match covering.max() {
                Some(to) => due = to,
                None => return due,
            }
        }
    }

    fn is_hurt(&self, concern: Concern, from: Ms, to: Ms) -> bool {
        let Some(windows) = self.windows.get(&concern) else { return false };
        let before = windows.partition_point(|window| window.from <= to);
        // Faults come one after the other, so that only the last few reach so far.
        windows.iter().take(before).rev().take(8).any(|window| window.to >= from)
    }

    fn line(&mut self, side: Side, domain: &str) -> &mut Timeline {
        self.lists.entry((side, domain.to_owned())).or_default()
    }
}

#[cfg(test)]
mod tests;
