//! Which faults come when.

use std::str::FromStr;

use super::fault::{Component, Fault, Kind, Ms};
use fedgate_tests::rng::Rng;

/// A part of the faults: those of a component, or `component:kind`.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    component: Component,
    kind: Option<Kind>,
}

/// Faults in an order that the seed gives: each comes once before any comes again.
#[derive(Debug)]
pub(crate) struct Schedule {
    all: Vec<Fault>,
    bag: Vec<Fault>,
    rng: Rng,
}

// === impl Selection ===

impl Selection {
    fn has(&self, fault: Fault) -> bool {
        fault.component == self.component && self.kind.is_none_or(|kind| kind == fault.kind)
    }
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (component, kind) =
            text.split_once(':').map_or((text, None), |(component, kind)| (component, Some(kind)));
        let component = Component::ALL.into_iter().find(|c| c.name() == component).ok_or_else(|| {
            let all: Vec<_> = Component::ALL.iter().map(|component| component.name()).collect();
            format!("`{component}` is none of {}", all.join(", "))
        })?;
        let kind = kind.map(|kind| {
            let found = component.kinds().iter().copied().find(|k| k.name() == kind);
            let all: Vec<_> = component.kinds().iter().map(|kind| kind.name()).collect();
            found.ok_or_else(|| format!("`{kind}` is none of {}", all.join(", ")))
        });
        Ok(Self { component, kind: kind.transpose()? })
    }
}

// === impl Schedule ===

impl Schedule {
    /// Of the faults that are selected, or of all, but for those that this machine `lacks`.
    pub(crate) fn new(rng: Rng, selected: &[Selection], lacks: impl Fn(Fault) -> bool) -> Self {
        let chosen = |fault: &Fault| selected.is_empty() || selected.iter().any(|s| s.has(*fault));
        let all = Fault::all().into_iter().filter(|fault| chosen(fault) && !lacks(*fault)).collect();
        Self { all, bag: vec![], rng }
    }

    /// The next fault, sometimes with another at the same time; for how long they stay, and a number for what
    /// else there is to choose.
    pub(crate) fn next(&mut self) -> Option<(Vec<Fault>, Ms, u64)> {
        if self.bag.is_empty() {
            self.bag.clone_from(&self.all);
            self.rng.shuffle(&mut self.bag);
        }
        let fault = self.bag.pop()?;
        let mut faults = vec![fault];
        if self.rng.between(0, 4) == 0
            && let Some(index) = self.bag.iter().rposition(|other| fault.goes_with(*other))
        {
            faults.push(self.bag.remove(index));
        }
        Some((faults, fault.duration(&mut self.rng), self.rng.draw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, count: usize) -> Vec<(Vec<Fault>, Ms, u64)> {
        let mut schedule = Schedule::new(Rng::new(seed), &[], |_| false);
        (0..count).filter_map(|_| schedule.next()).collect()
    }

    #[test]
    fn a_schedule_comes_from_its_seed_alone() {
        assert_eq!(first(7, 200), first(7, 200));
        assert_ne!(first(7, 200), first(8, 200));
    }

    #[test]
    fn each_fault_comes_once_before_any_comes_again() {
        let mut all = Fault::all();
        let steps = first(7, all.len()).into_iter();
        let mut round: Vec<_> = steps.flat_map(|(faults, ..)| faults).take(all.len()).collect();
        round.sort_unstable();
        all.sort_unstable();
        assert_eq!(round, all);
    }

    #[test]
    fn faults_at_the_same_time_are_of_different_programs() {
        let pairs: Vec<_> = first(7, 500)
            .into_iter()
            .map(|(faults, ..)| faults)
            .filter(|faults| faults.len() > 1)
            .collect();
        assert!(pairs.len() > 50, "{}", pairs.len());
        for pair in pairs {
            assert!(
                pair[0].goes_with(pair[1]) && pair[1].goes_with(pair[0]),
                "{} and {}",
                pair[0],
                pair[1]
            );
        }
    }

    #[test]
    fn a_selection_is_a_component_or_one_kind_of_its_faults() {
        let count = |texts: &[&str]| {
            let selected: Vec<Selection> = texts.iter().map(|text| text.parse().unwrap()).collect();
            Schedule::new(Rng::new(1), &selected, |_| false).all.len()
        };
        assert_eq!(count(&["envoy:kill"]), 2);
        assert_eq!(count(&["bind", "store"]), 9);
        for wrong in ["envoi", "envoy:full", "bind:", ""] {
            assert!(wrong.parse::<Selection>().is_err(), "{wrong}");
        }
    }
}
