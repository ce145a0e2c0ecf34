//! A campaign: two backends of real programs, calls in both directions, one fault after the other, and a checker
//! that knows what is right.
//!
//! ```text
//!  calls ──► link ──► Envoy of b.com ──► link ──► component        the checker hears of each call twice: from
//!                      │        ▲                                  who made it, and from the link before the
//!                     link     link ◄── Envoy of a.com ◄── calls   component; of each write from who made it
//!                      │
//!  lists ──► control plane ──► link ──► BIND                       (and the same with a.com and b.com exchanged)
//! ```

pub(crate) mod book;
mod calls;
mod checker;
pub(crate) mod facts;
mod fault;
mod lists;
mod machine;
pub(crate) mod report;
pub(crate) mod schedule;
pub(crate) mod site;
mod timeline;
mod usage;
pub(crate) mod writes;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fedgate_tests::dns::service;
use tokio::runtime::Runtime;

use book::Book;
use calls::{FLICKERING, Flow, HOST, HOSTS, MOVING, OUTSIDE, PROBE, STRANGER};
use checker::HEALED_WITHIN;
use facts::{Outcome, Wrong};
use fault::{Fault, Ms, Side};
use fedgate_tests::rng::Rng;
use lists::List;
use schedule::{Schedule, Selection};
use site::Sites;
use timeline::{Known, Written};

/// After so long nobody waits any longer for something to heal.
const HOPELESS: Ms = 30_000;

/// What a campaign is to be.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) lasts: Duration,
    pub(crate) seed: u64,
    pub(crate) selected: &'a [Selection],
    /// Whether filters let everything pass.
    pub(crate) shadow: bool,
    /// Where logs go, if anything is wrong.
    pub(crate) dir: &'a Path,
}

/// What was not tried, and why.
pub(crate) type Lacking = Vec<(Fault, String)>;

/// Runs a campaign.
pub(crate) fn run(settings: &Settings<'_>, book: &Arc<Book>) -> Lacking {
    let runtime = Runtime::new().expect("a runtime");
    machine::watch(book);
    let mut campaign = Campaign::start(settings, book, &runtime);
    let lacking = campaign.lacking();
    let end = book.now() + u64::try_from(settings.lasts.as_millis()).unwrap_or(Ms::MAX);
    // A program that does not start or end is one that the harness waits for in vain.
    let ran = catch_unwind(AssertUnwindSafe(|| campaign.run(end)));
    if let Err(panic) = ran {
        let what = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
        book.wrong(Wrong::Ended, what);
    }
    campaign.finish(settings.dir);
    book.stop();
    lacking
}

struct Campaign<'a> {
    sites: Sites,
    lists: [List; 2],
    probes: [Flow; 2],
    schedule: Schedule,
    lacks: Vec<(Fault, String)>,
    book: &'a Arc<Book>,
    runtime: &'a Runtime,
    named: usize,
}

// === impl Campaign ===

impl<'a> Campaign<'a> {
    fn start(settings: &Settings<'_>, book: &'a Arc<Book>, runtime: &'a Runtime) -> Self {
        let mut rng = Rng::new(settings.seed);
        let tap: fedgate_tests::link::Tap = {
            let book = Arc::clone(book);
            Arc::new(move |id| book.seen(id))
        };
        let mut sites = Sites::start(runtime, settings.shadow, &tap);
        announce(&sites);
        let lists = Side::BOTH.map(|side| List::new(side, sites.site(side).world.control_plane().url()));
        let probes = Side::BOTH.map(|side| calls::probe(side, &sites.site(side).world));
        let lacks: Vec<_> = Fault::all()
            .into_iter()
            .filter_map(|fault| Some((fault, sites.lacks(fault)?.to_owned())))
            .collect();
        let lacking = |fault| lacks.iter().any(|(lacking, _)| *lacking == fault);
        let schedule = Schedule::new(rng.fork(), settings.selected, lacking);
        for list in &lists {
            for domain in [list.side.other().domain(), MOVING] {
                assert_eq!(list.write(book, domain, true), Written::Acknowledged, "{domain} is listed");
            }
        }
        book.moved(0);
        for (list, side) in lists.iter().zip(Side::BOTH) {
            list.clone().keep_changing(runtime, book, rng.fork());
            for flow in calls::flows(side, &sites.site(side).world) {
                flow.start(runtime, book);
            }
        }
        Self { sites, lists, probes, schedule, lacks, book, runtime, named: 0 }
    }

    fn lacking(&self) -> Lacking {
        self.lacks.clone()
    }

    fn run(&mut self, end: Ms) {
        self.sample();
        if let Err(what) = self.heal(self.book.now()) {
            return self.book.wrong(Wrong::NotHealed, format!("before the first fault: {what}"));
        }
        while self.book.now() < end && !self.book.is_stopped() {
            let Some((mut faults, lasts, choice)) = self.schedule.next() else {
                return self
                    .book
                    .wrong(Wrong::Ended, "none of these faults can be made here".to_owned());
            };
            for fault in &faults {
                self.book.begins(*fault);
                self.sites.make(*fault, choice);
            }
            self.wait(lasts);
            let mut lifted = self.book.now();
            let waited_before = self.waits();
            // A control plane that is to end waits for an Envoy that stands still.
            faults.sort_by_key(|fault| fault.ends_a_program());
            for (index, fault) in faults.iter().enumerate() {
                // What the first hurts may take as long to heal as the last one stays.
                if index + 1 == faults.len() {
                    lifted = self.book.lift(faults.len());
                }
                self.sites.lift(*fault);
            }
            let healed = self.heal(lifted);
            self.book.healed(&faults, lifted, healed.is_ok());
            if let Err(what) = healed.and_then(in_time) {
                let (program, waited) = self.waited(&waited_before);
                let what = format!("{what}, of which {program} waited {waited} ms for a processor");
                self.book.not_healed(what, waited);
            }
            self.look_for_the_dead();
            self.read_lists();
            self.sample();
            if choice.is_multiple_of(3) {
                self.move_record();
            }
            self.wait(200 + choice % 500);
            report::progress(self.book, end, &faults);
        }
    }

    /// Waits until everything is as it should be; for how long since `lifted` that took, or what is not.
    fn heal(&self, lifted: Ms) -> Result<Ms, String> {
        let deadline = lifted + HOPELESS;
        for index in 0..self.lists.len() {
            self.change_counts(index, deadline)?;
        }
        loop {
            let now = self.book.now();
            match self.book.all_pass_since(lifted) {
                Ok(()) => return Ok(now - lifted),
                Err(what) if now > deadline || self.book.is_stopped() => return Err(what),
                Err(_) => self.wait(20),
            }
        }
    }

    /// Changes a list, and waits until that counts.
    fn change_counts(&self, index: usize, deadline: Ms) -> Result<(), String> {
        let (list, probe) = (&self.lists[index], &self.probes[index]);
        let domain = list.side.domain();
        let listed = self.book.known(list.side, PROBE) != Known::Listed;
        let hopeless = || self.book.now() > deadline || self.book.is_stopped();
        while list.write(self.book, PROBE, listed) != Written::Acknowledged {
            if hopeless() {
                return Err(format!("the API of {domain} takes no write"));
            }
            self.wait(50);
        }
        loop {
            let outcome = self.runtime.block_on(probe.call(self.book));
            let counts = match &outcome {
                Outcome::Passed => listed,
                Outcome::Refused(_, label) => !listed && label == "federation-denied",
                Outcome::Broken(_) | Outcome::Hung => false,
            };
            if counts {
                return Ok(());
            }
            if hopeless() {
                return Err(format!("a change of the list of {domain} does not count: {outcome:?}"));
            }
            self.wait(50);
        }
    }

    fn look_for_the_dead(&mut self) {
        for (program, process) in self.sites.programs() {
            if !process.is_some_and(is_alive) {
                self.book.wrong(Wrong::Ended, format!("{program} ended by itself"));
                self.sites.revive(program);
            }
        }
    }

    fn read_lists(&self) {
        for list in &self.lists {
            let from = self.book.now();
            match list.read() {
                Some(entries) => self.book.read(list.side, from, &entries),
                None => self.book.wrong(
                    Wrong::NotHealed,
                    format!("the list of {} cannot be read", list.side.domain()),
                ),
            }
        }
    }

    fn move_record(&mut self) {
        self.named = 1 - self.named;
        // Before it is so: BIND may answer with it before we hear that it will.
        self.book.moved(self.named);
        self.sites.a.world.dns.set_srv(MOVING, 5, &format!("{}.", HOSTS[self.named]));
    }

    /// Looks at all programs.
    fn sample(&self) {
        for (program, process) in self.sites.programs() {
            if let Some(sample) = process.and_then(|process| usage::look(process, self.book.now())) {
                self.book.sample(&program.to_string(), sample);
            }
        }
    }

    /// How long each program has waited for a processor, since it began.
    fn waits(&self) -> BTreeMap<u32, Ms> {
        let processes = self.sites.programs().into_iter().filter_map(|(_, process)| process);
        processes.map(|process| (process, machine::waited(process))).collect()
    }

    /// Which program waited longest for a processor since then.
    fn waited(&self, before: &BTreeMap<u32, Ms>) -> (String, Ms) {
        let waits = self.sites.programs().into_iter().filter_map(|(program, process)| {
            let process = process?;
            let before = before.get(&process).copied().unwrap_or_default();
            Some((program.to_string(), machine::waited(process).saturating_sub(before)))
        });
        waits.max_by_key(|(_, waited)| *waited).unwrap_or_default()
    }

    fn finish(&mut self, dir: &Path) {
        if !self.book.is_stopped() {
            for side in Side::BOTH {
                let envoy = &self.sites.site(side).world.envoy;
                let crashed = catch_unwind(AssertUnwindSafe(|| envoy.assert_vm_alive()));
                if crashed.is_err() {
                    self.book.wrong(Wrong::Ended, format!("the filter of {} crashed", side.domain()));
                }
            }
            let now = self.book.now();
            let grown = usage::grown(&self.book.pages().samples, now);
            for violation in grown {
                self.book.wrong(violation.kind, violation.what);
            }
        }
        if !self.book.pages().violations.is_empty() {
            self.sites.keep_logs(dir);
        }
    }

    /// Waits, but not when it is to end.
    fn wait(&self, ms: Ms) {
        let until = self.book.now() + ms;
        while self.book.now() < until && !self.book.is_stopped() {
            let step = Duration::from_millis((until - self.book.now()).min(100));
            self.runtime.block_on(async { tokio::time::sleep(step).await });
        }
    }
}

fn in_time(after: Ms) -> Result<Ms, String> {
    if after <= HEALED_WITHIN { Ok(after) } else { Err(format!("all was as before after {after} ms")) }
}

/// Tells BIND all names.
fn announce(sites: &Sites) {
    let port = sites.b.world.envoy.address().port();
    let mut lines = vec![];
    let mut add = |line: String| lines.push(format!("update add {line}"));
    for domain in FLICKERING.into_iter().chain([PROBE]) {
        add(format!("{} 600 SRV 10 5 {port} {HOST}.", service(domain)));
    }
    add(format!("{} 600 SRV 10 5 {port} infra.{STRANGER}.", service(STRANGER)));
    add(format!("{} 5 SRV 10 5 {port} {}.", service(MOVING), HOSTS[0]));
    for (side, domain) in OUTSIDE {
        let target = side.other().domain();
        add(format!("{} 600 SRV 10 5 {} infra.{target}.", service(domain), site::PEER_PORT));
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    sites.a.world.dns.update(&lines);
}

fn is_alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
