//! Where everything is written down as it happens, and judged at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::checker::Checker;
use super::facts::{Call, Concern, Door, Outcome, Truth, Violation, Wrong};
use super::fault::{Fault, Ms, Side};
use super::machine;
use super::timeline::{Known, Written};
use super::usage::{Sample, Samples};

/// A machine that lets nobody run for so long may be why something took its time.
pub(crate) const STARVED: Ms = 300;
/// So long before a violation is looked for that.
const NEARBY: Ms = 3000;
/// How many calls that have ended are remembered, in case the service sees one of them later.
const REMEMBERED: usize = 5000;

/// The campaign's book; its clock begins with it.
#[derive(Debug)]
pub(crate) struct Book {
    started: Instant,
    pages: Mutex<Pages>,
}

/// All that was written down.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    checker: Checker,
    under_way: HashMap<u64, Begun>,
    ended: VecDeque<(u64, Begun)>,
    last_id: u64,
    /// When the last partner's call began that passed, by door.
    passed: BTreeMap<(Side, Door), Ms>,
    /// After this nothing is judged: the campaign was told to end, and so may have been its programs.
    stopped: Option<Ms>,
    pub(crate) faults: Vec<Run>,
    pub(crate) violations: Vec<Told>,
    pub(crate) calls: Counts,
    pub(crate) writes: [u64; 3],
    pub(crate) reads: u64,
    pub(crate) samples: Samples,
    /// How late this machine was, where it was so at all: when, and for how long.
    pub(crate) late: Vec<(Ms, Ms)>,
    /// For how long this machine had let somebody wait for a processor, at first.
    pub(crate) pressure: Option<Ms>,
}

/// Calls, by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) all: u64,
    pub(crate) passed: u64,
    pub(crate) refused: u64,
    /// Partners' calls that a fault hurt, as it may.
    pub(crate) hurt: u64,
    pub(crate) longest: Ms,
    /// The longest that a removal was acknowledged when a call still passed: where nothing was wrong with the
    /// feed, and where something was.
    pub(crate) outlived: [Ms; 2],
}

/// A fault that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) fault: Fault,
    pub(crate) from: Ms,
    pub(crate) lifted: Option<Ms>,
    /// How long it took until all was as before.
    pub(crate) healed_in: Option<Ms>,
}

/// A violation with what was under way.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) violation: Violation,
    pub(crate) meanwhile: String,
    /// How late this machine had let programs run just before.
    pub(crate) late: Ms,
}

/// A call that has begun.
#[derive(Clone, Debug)]
struct Begun {
    side: Side,
    door: Door,
    truth: Truth,
    from: Ms,
    seen: Option<Ms>,
}

// === impl Book ===

impl Book {
    pub(crate) fn new() -> Self {
        let pages = Pages { pressure: machine::pressure(), ..Pages::default() };
        Self { started: Instant::now(), pages: Mutex::new(pages) }
    }

    pub(crate) fn now(&self) -> Ms {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(Ms::MAX)
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins; its number.
    pub(crate) fn call(&self, side: Side, door: Door, truth: &Truth) -> u64 {
        let begun = Begun { side, door, truth: truth.clone(), from: self.now(), seen: None };
        let mut pages = self.pages();
        pages.last_id += 1;
        let id = pages.last_id;
        pages.under_way.insert(id, begun);
        id
    }

    /// The service behind a gate has received the call of this number.
    pub(crate) fn seen(&self, id: u64) {
        let now = self.now();
        let mut pages = self.pages();
        if let Some(begun) = pages.under_way.get_mut(&id) {
            begun.seen.get_or_insert(now);
            return;
        }
        let late = pages.ended.iter().find(|(ended, _)| *ended == id).map(|(_, begun)| begun.clone());
        if let Some(begun) = late {
            let call = begun.ends(now, Outcome::Broken("its caller had gone".to_owned()), Some(now));
            if let Some(violation) = pages.checker.ended(&call).filter(|v| v.kind == Wrong::Admitted) {
                pages.tell(violation, now, 0);
            }
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&self, id: u64, outcome: Outcome) {
        let now = self.now();
        let mut pages = self.pages();
        let Some(begun) = pages.under_way.remove(&id) else { return };
        let seen = begun.seen;
        let call = begun.clone().ends(now, outcome, seen);
        pages.ended.push_back((id, begun));
        if pages.ended.len() > REMEMBERED {
            pages.ended.pop_front();
        }
        if pages.stopped.is_some() {
            return;
        }
        pages.count(&call);
        if let Some((hurt, after)) = pages.checker.outlived(&call) {
            let longest = &mut pages.calls.outlived[usize::from(hurt)];
            *longest = (*longest).max(after);
        }
        if let Some(violation) = pages.checker.ended(&call) {
            pages.tell(violation, now, 0);
        }
    }

    /// A write is about to be sent.
    pub(crate) fn sent(&self, side: Side, domain: &str, listed: bool) -> Known {
        self.pages().checker.sent(side, domain, listed, self.now())
    }

    /// It has come to an end.
    pub(crate) fn answered(&self, entry: (Side, &str), change: (bool, Known), written: Written) {
        let mut pages = self.pages();
        pages.writes[written as usize] += 1;
        pages.checker.answered(entry, change, written, self.now());
    }

    pub(crate) fn known(&self, side: Side, domain: &str) -> Known {
        self.pages().checker.known(side, domain)
    }

    /// The list was read.
    pub(crate) fn read(&self, side: Side, from: Ms, list: &[String]) {
        let to = self.now();
        let mut pages = self.pages();
        pages.reads += 1;
        for violation in pages.checker.read(side, (from, to), list) {
            pages.tell(violation, to, 0);
        }
    }

    pub(crate) fn moved(&self, host: usize) {
        self.pages().checker.moved(host, self.now());
    }

    /// A fault is about to be made.
    pub(crate) fn begins(&self, fault: Fault) {
        let from = self.now();
        let mut pages = self.pages();
        pages.checker.hurt(&hurts(fault, from));
        pages.faults.push(Run { fault, from, lifted: None, healed_in: None });
    }

    /// The last of the faults that are there is about to be lifted.
    pub(crate) fn lift(&self, count: usize) -> Ms {
        let now = self.now();
        for run in self.pages().faults.iter_mut().rev().take(count) {
            run.lifted = Some(now);
        }
        now
    }

    /// All is as before, or is not waited for any longer.
    pub(crate) fn healed(&self, faults: &[Fault], lifted: Ms, healed: bool) {
        let now = self.now();
        let mut pages = self.pages();
        for fault in faults {
            pages.checker.healed(&hurts(*fault, now), lifted, now);
        }
        for run in pages.faults.iter_mut().rev().take(faults.len()) {
            run.healed_in = healed.then_some(now - lifted);
        }
    }

    /// Whether a partner's call passed each door that began after this.
    pub(crate) fn all_pass_since(&self, moment: Ms) -> Result<(), String> {
        let pages = self.pages();
        for side in Side::BOTH {
            for door in [Door::Ingress, Door::Egress] {
                if pages.passed.get(&(side, door)).is_none_or(|passed| *passed < moment) {
                    return Err(format!("no call passes the {door:?} of {}", side.domain()));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn wrong(&self, kind: Wrong, what: String) {
        let at = self.now();
        self.pages().tell(Violation { kind, at, what }, at, 0);
    }

    /// The last faults healed too late, or not at all. A program waited so long for a processor meanwhile.
    pub(crate) fn not_healed(&self, what: String, waited: Ms) {
        let at = self.now();
        self.pages().tell(Violation { kind: Wrong::NotHealed, at, what }, at, waited);
    }

    pub(crate) fn sample(&self, program: &str, sample: Sample) {
        self.pages().samples.entry(program.to_owned()).or_default().push(sample);
    }

    pub(crate) fn late(&self, by: Ms) {
        let now = self.now();
        self.pages().late.push((now, by));
    }

    /// Nothing that happens from now on is judged.
    pub(crate) fn stop(&self) {
        let now = self.now();
        self.pages().stopped.get_or_insert(now);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.pages().stopped.is_some()
    }
}

fn hurts(fault: Fault, from: Ms) -> Vec<(Concern, Ms)> {
    fault.hurts().into_iter().map(|(concern, after)| (concern, from + after)).collect()
}

// === impl Pages ===

impl Pages {
    fn count(&mut self, call: &Call) {
        let counts = &mut self.calls;
        counts.all += 1;
        counts.longest = counts.longest.max(call.to.saturating_sub(call.from));
        match &call.outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Refused(..) => counts.refused += 1,
            Outcome::Broken(_) | Outcome::Hung => {}
        }
        if call.truth == Truth::Partner {
            if call.outcome == Outcome::Passed {
                let passed = self.passed.entry((call.side, call.door)).or_default();
                *passed = (*passed).max(call.from);
            } else {
                counts.hurt += 1;
            }
        }
    }

    fn tell(&mut self, violation: Violation, now: Ms, waited: Ms) {
        if self.stopped.is_some() {
            return;
        }
        // Two at most are there at the same time.
        let last = self.faults.iter().rev().take(2).map(|run| match run.lifted {
            None => format!("{}, since {} ms", run.fault, run.from),
            Some(lifted) => format!("{}, from {} to {lifted} ms", run.fault, run.from),
        });
        let meanwhile = last.collect::<Vec<_>>().join("; before that ");
        let near = violation.at.min(now).saturating_sub(NEARBY);
        let late = self.late.iter().rev().take_while(|(at, _)| *at >= near).map(|(_, by)| *by);
        let late = late.max().unwrap_or_default().max(waited);
        eprintln!("torture: VIOLATION {}: {} ({meanwhile})", violation.kind.name(), violation.what);
        self.violations.push(Told { violation, meanwhile, late });
    }
}

// === impl Begun ===

impl Begun {
    fn ends(self, to: Ms, outcome: Outcome, seen: Option<Ms>) -> Call {
        let Self { side, door, truth, from, .. } = self;
        Call { side, door, truth, from, to, outcome, seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(book: &Book) -> Vec<Wrong> {
        book.pages().violations.iter().map(|told| told.violation.kind).collect()
    }

    #[test]
    fn a_call_that_arrives_after_its_caller_has_gone_is_judged_as_well() {
        let book = Book::new();
        let never = Truth::Never(Some("federation-denied"));
        let id = book.call(Side::A, Door::Ingress, &never);
        book.ended(id, Outcome::Refused(400, "federation-denied".to_owned()));
        assert_eq!(kinds(&book), []);
        book.seen(id);
        assert_eq!(kinds(&book), [Wrong::Admitted]);
    }

    #[test]
    fn a_violation_tells_of_a_machine_that_was_late_and_is_no_less_one() {
        let book = Book::new();
        book.late(700);
        book.wrong(Wrong::NotHealed, "…".to_owned());
        assert_eq!(book.pages().violations[0].late, 700);
    }

    #[test]
    fn nothing_is_judged_after_the_end_and_nothing_passes_that_did_not() {
        let book = Book::new();
        assert!(book.all_pass_since(0).is_err());
        book.stop();
        let id = book.call(Side::A, Door::Ingress, &Truth::Partner);
        book.ended(id, Outcome::Hung);
        assert_eq!(kinds(&book), []);
    }
}
