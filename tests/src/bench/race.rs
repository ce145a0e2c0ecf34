//! Envoys that are loaded in short bursts in turn, because a machine's speed drifts, and jumps when it
//! has other work: what counts is the difference to the first of them within the same round, and of
//! these the median.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fedgate_tests::caller::CallError;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::load::{Connections, failed};
use super::proxy::Proxy;
use super::report::{median, progress, quantile, rounded};

/// Connections of the client to each Envoy.
pub(crate) const CONNECTIONS: usize = 2;
/// Rounds that are not counted: until then V8 compiles, and heaps grow.
pub(crate) const WARM_UP: usize = 2;
/// Requests under way at any time, on all connections together.
const STREAMS: usize = 8;
/// Bursts in a round: so many that all see the same weather, so few that a burst is nearly all steady
/// state.
const BURSTS: usize = 8;
/// Has no divisor in common with a power of ten: steps of it meet each domain of such a list once before
/// any comes again, and leave out about a third of the list each time.
const STEP: usize = 618_033_989;

/// What is loaded.
pub(crate) trait Measured {
    /// The CPU time so far of each process that counts.
    fn cpu_times(&self) -> Vec<Duration>;
}

/// An Envoy that is up, or several that pass requests on, with the client's connections, and what was
/// measured.
pub(crate) struct Runner<M = Proxy> {
    /// Its name in the report.
    pub(crate) name: String,
    /// The Envoy, which several runners may load in turn.
    pub(crate) proxy: Rc<M>,
    /// The domains that requests name; one each in turn.
    domains: Vec<String>,
    sent: Cell<usize>,
    connections: Connections,
    rounds: Vec<Round>,
}

/// One round's measures: CPU time and latencies in microseconds, requests per second.
pub(crate) struct Round {
    pub(crate) cpu: f64,
    /// The CPU time of each process.
    pub(crate) each: Vec<f64>,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) rate: f64,
}

/// What requests cost above others, in microseconds of CPU time: quartiles and median of the
/// differences within a round.
#[derive(Clone, Copy)]
pub(crate) struct Added {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// What the bursts of one round took together.
#[derive(Default)]
struct Sum {
    each: Vec<Duration>,
    elapsed: Duration,
    latencies: Vec<f64>,
}

/// Plays [`WARM_UP`] rounds and then these, of so many requests to each runner. `before` is called
/// ahead of each round with its number.
pub(crate) fn run<M: Measured>(
    runtime: &Runtime,
    runners: &mut [Runner<M>],
    rounds: usize,
    requests: usize,
    mut before: impl FnMut(usize, &[Runner<M>]),
) -> Result<(), CallError> {
    for round in 0..WARM_UP + rounds {
        before(round, runners);
        let measured = play(runtime, runners, requests)?;
        if round >= WARM_UP {
            runners.iter_mut().zip(measured).for_each(|(runner, round)| runner.rounds.push(round));
        }
    }
    Ok(())
}

/// Says how far a section is.
pub(crate) fn tell_round(section: &str, round: usize, rounds: usize) {
    progress(&format!("{section}: round {round} of {}", WARM_UP + rounds - 1));
}

/// Sends `requests` to each runner in bursts, of one after the other. Every second turn goes
/// backwards, and each begins with another runner: nobody always comes after the same neighbour.
fn play<M: Measured>(
    runtime: &Runtime,
    runners: &[Runner<M>],
    requests: usize,
) -> Result<Vec<Round>, CallError> {
    let number = runners.len();
    let mut sums: Vec<_> = runners.iter().map(|_| Sum::default()).collect();
    let size = requests.div_ceil(BURSTS);
    for (turn, start) in (0..requests).step_by(size).enumerate() {
        let burst = size.min(requests - start);
        for step in 0..number {
            let step = if turn % 2 == 0 { step } else { number - 1 - step };
            let index = (step + turn / 2) % number;
            if let (Some(runner), Some(sum)) = (runners.get(index), sums.get_mut(index)) {
                runner.burst(runtime, burst, sum)?;
            }
        }
    }
    Ok(sums.iter().map(Sum::round).collect())
}

// === impl Runner ===

impl<M: Measured> Runner<M> {
    /// A runner that has not been loaded yet. There is one domain at least.
    pub(crate) fn new(
        name: impl Into<String>,
        proxy: Rc<M>,
        connections: Connections,
        domains: Vec<String>,
    ) -> Self {
        let sent = Cell::new(0);
        Self { name: name.into(), proxy, domains, sent, connections, rounds: vec![] }
    }

    /// The median of a measure over all rounds.
    pub(crate) fn median(&self, measure: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(measure).collect::<Vec<_>>())
    }

    /// What this runner's requests cost above another's.
    pub(crate) fn added(&self, bare: &Self) -> Added {
        let differences = self.rounds.iter().zip(&bare.rounds).map(|(own, bare)| own.cpu - bare.cpu);
        Added::of(&differences.collect::<Vec<_>>())
    }

    /// What this runner's requests cost, as a multiple of another's of the same round.
    pub(crate) fn multiple(&self, of: &Self) -> Added {
        let multiples = self.rounds.iter().zip(&of.rounds).map(|(own, of)| own.cpu / of.cpu);
        Added::of(&multiples.collect::<Vec<_>>())
    }

    fn burst(&self, runtime: &Runtime, requests: usize, sum: &mut Sum) -> Result<(), CallError> {
        let start = self.sent.replace(self.sent.get() + requests);
        let domain = |n: usize| self.domains.get((start + n) * STEP % self.domains.len()).cloned();
        let domains = (0..requests).filter_map(domain).collect();
        let before = self.proxy.cpu_times();
        let burst = runtime.block_on(self.connections.burst(domains, STREAMS));
        let burst = burst.map_err(|error| failed(format!("{}: {}", self.name, error.0)))?;
        let after = self.proxy.cpu_times();
        sum.each.resize(after.len(), Duration::ZERO);
        for (each, (after, before)) in sum.each.iter_mut().zip(after.into_iter().zip(before)) {
            *each += after.saturating_sub(before);
        }
        sum.elapsed += burst.elapsed;
        sum.latencies.extend(burst.latencies);
        Ok(())
    }
}

// === impl Added ===

impl Added {
    fn of(differences: &[f64]) -> Self {
        let [low, high] = [0.25, 0.75].map(|q| quantile(differences, q));
        Self { low, median: median(differences), high }
    }

    /// The quartiles, for people.
    pub(crate) fn quartiles(self) -> String {
        format!("({:.1} … {:.1})", self.low, self.high)
    }

    /// The quartiles, for machines.
    pub(crate) fn quartiles_json(self) -> Value {
        json!([rounded(self.low), rounded(self.high)])
    }
}

// === impl Sum ===

impl Sum {
    fn round(&self) -> Round {
        let requests = f64::from(u32::try_from(self.latencies.len()).unwrap_or(u32::MAX));
        let each: Vec<_> = self.each.iter().map(|cpu| cpu.as_secs_f64() * 1e6 / requests).collect();
        Round {
            cpu: each.iter().sum(),
            each,
            p50: quantile(&self.latencies, 0.5),
            p99: quantile(&self.latencies, 0.99),
            rate: requests / self.elapsed.as_secs_f64(),
        }
    }
}
