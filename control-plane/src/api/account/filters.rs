//! What the filters hold of a domain: what they are told, and who is not known to have heard it. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedgate_policy::{Outcome, Strategy, Verdict};

use super::hosts;
use crate::contract::FiltersBody;
use crate::moment;
use crate::partners::{Home, Worker};
use crate::verdicts::{Said, Told, are_alike};

/// What is known of the filters.
pub(super) struct Filters<'a> {
    pub(super) told: &'a Told,
    pub(super) workers: &'a [(Home, Worker)],
    /// Whether other control planes have filters of their own.
    pub(super) is_shared: bool,
    pub(super) strategy: Strategy,
    /// By which was decided here.
    pub(super) verdict: &'a Verdict,
    pub(super) at: Instant,
}

// === impl Filters ===

impl Filters<'_> {
    pub(super) fn body(&self) -> FiltersBody {
        let Told { said, since, waiting } = self.told;
        let is_other = self.is_other();
        let (mut details, is_late) = self.late();
        if *waiting == 0 && self.workers.is_empty() {
            details.push(
                "nobody is known to have heard it: no filter waits for changes, and none reports"
                    .to_owned(),
            );
        }
        if self.is_shared {
            details.push("what filters hold that ask other control planes is not known here".to_owned());
        }
        FiltersBody {
            verdict: if let Said::Verdict(verdict) = said { Some(verdict.clone()) } else { None },
            told_at: Some(moment::of(*since, self.at)),
            waiting: *waiting,
            reporting: self.workers.len(),
            differs: is_late || is_other,
            text: self.text(is_other),
            details,
        }
    }

    /// Whether strategy and list, which they know, deny the domain by themselves.
    fn is_denied(&self) -> bool {
        !self.strategy.allows(self.told.said != Said::Unlisted)
    }

    /// Whether they were just told another answer than the one by which was decided here.
    fn is_other(&self) -> bool {
        let Said::Verdict(told) = &self.told.said else { return false };
        !self.is_denied() && !are_alike(told, self.verdict)
    }

    fn text(&self, is_other: bool) -> String {
        const BY_THEMSELVES: &str =
            "a filter whose table is whole and fresh denies it by itself, any other asks";
        let Told { said, since, waiting } = self.told;
        let (since, wait) = (moment::of(*since, self.at), format!("{waiting} wait for changes"));
        match said {
            _ if self.is_denied() && self.strategy == Strategy::AllowNone => {
                format!("they were told strategy allowNone {since}: {BY_THEMSELVES}; {wait}")
            }
            Said::Unlisted if self.is_denied() => {
                format!(
                    "they were told {since} which domains are listed, and this is none: {BY_THEMSELVES}; {wait}"
                )
            }
            Said::Unlisted => {
                let life = Duration::from_millis(self.verdict.ttl_ms).as_secs();
                format!(
                    "they are told nothing, because it is not listed: they ask when a request comes, and hold what they \
                     hear until it ends; of this, {life} s are left"
                )
            }
            Said::Ask => format!(
                "they were told {since} to ask when a request comes; an earlier answer counts until it ends; {wait}"
            ),
            Said::Verdict(told) if is_other => {
                format!("they were told something else {since}: {}", words(told))
            }
            Said::Verdict(_) => format!("they were told the same {since}; {wait}"),
        }
    }

    /// The filters of whose workers some have not heard us since then, as far as they tell; and whether there are such.
    fn late(&self) -> (Vec<String>, bool) {
        let Told { since, waiting, .. } = self.told;
        let is_late = |it: &Worker| it.heard.is_none_or(|heard| heard < *since);
        let has_said_so = |it: &Worker| it.last >= *since;
        let all = || self.workers.iter().map(|(_, worker)| worker);
        let sure = all().filter(|it| is_late(it) && has_said_so(it)).count();
        // Those that have not reported since then have heard it all the same, where all wait for what comes next.
        let all_others_wait = waiting.saturating_add(sure) >= self.workers.len();
        let mut homes: BTreeMap<&Home, (usize, Vec<&Worker>)> = BTreeMap::new();
        for (home, worker) in self.workers {
            let (count, late) = homes.entry(home).or_default();
            *count = count.saturating_add(1);
            if is_late(worker) && (has_said_so(worker) || !all_others_wait) {
                late.push(worker);
            }
        }
        let late = homes.into_iter().filter(|(_, (_, late))| !late.is_empty());
        let lines: Vec<_> = late.map(|(home, (count, late))| self.line(home, count, &late)).collect();
        let are_there = !lines.is_empty();
        (lines, are_there)
    }

    fn line(&self, home: &Home, count: usize, late: &[&Worker]) -> String {
        let address = home.address.map_or("?".to_owned(), |it| it.to_string());
        let who = format!("Envoy {} {} at {address}", home.by, home.side.name());
        let heard: Option<Vec<_>> = late.iter().map(|it| it.heard).collect();
        let heard = match heard.and_then(|all| all.into_iter().min()) {
            Some(oldest) => format!("heard us last {}", moment::of(oldest, self.at)),
            None => "have not heard us".to_owned(),
        };
        let said = late.iter().map(|it| it.last).min().unwrap_or(self.at);
        let said = moment::of(said, self.at);
        format!(
            "{who}: {} of {count} workers {heard}, as they said {said}: unless they have since, they decide by what they \
             were told before",
            late.len()
        )
    }
}

fn words(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Hosts(_) => format!("served by {}", hosts(&verdict.outcome).join(", ")),
        Outcome::Failure(failure) => failure.message.clone(),
    }
}
