//! Envoys that are loaded in short bursts in turn, because a machine's speed drifts, and jumps when it
//! has other work: what counts is the difference to the first of them within the same round, and of
//! these the median.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fedgate_tests::caller::CallError;
use tokio::runtime::Runtime;

use super::load::{Connections, failed};
use super::proxy::Proxy;
use super::report::{median, progress, quantile};

/// Connections of the client to each Envoy.
pub(crate) const CONNECTIONS: usize = 2;
/// Rounds that are not counted: until then V8 compiles, and heaps grow.
pub(crate) const WARM_UP: usize = 2;
/// Requests under way at any time, on all connections together.
const STREAMS: usize = 8;
/// Requests in a burst: so few that all see the same weather, so many that a burst is nearly all
/// steady state.
const BURST: usize = 500;
/// Has no divisor in common with a power of ten: steps of it meet each origin of such a list once before
/// any comes again, and leave out about a third of the list each time.
const STEP: usize = 618_033_989;

/// An Envoy that is up, with the client's connections to it, and what was measured.
pub(crate) struct Runner {
    /// Its name in the report.
    pub(crate) name: String,
    /// The Envoy, which several runners may load in turn.
    pub(crate) proxy: Rc<Proxy>,
    /// Who claims to send; a request each in turn.
    origins: Vec<String>,
    sent: Cell<usize>,
    connections: Connections,
    rounds: Vec<Round>,
}

/// One round's measures: CPU time and latencies in microseconds, requests per second.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) cpu: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) rate: f64,
}

/// What the bursts of one round took together.
#[derive(Default)]
struct Sum {
    cpu: Duration,
    elapsed: Duration,
    latencies: Vec<f64>,
}

/// Plays [`WARM_UP`] rounds and then these, of so many requests to each runner. `before` is called
/// ahead of each round with its number.
pub(crate) fn run(
    runtime: &Runtime,
    runners: &mut [Runner],
    rounds: usize,
    requests: usize,
    mut before: impl FnMut(usize, &[Runner]),
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
fn play(runtime: &Runtime, runners: &[Runner], requests: usize) -> Result<Vec<Round>, CallError> {
    let number = runners.len();
    let mut sums: Vec<_> = runners.iter().map(|_| Sum::default()).collect();
    for (turn, start) in (0..requests).step_by(BURST).enumerate() {
        let burst = BURST.min(requests - start);
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

impl Runner {
    /// A runner that has not been loaded yet. There is one origin at least.
    pub(crate) fn new(
        name: impl Into<String>,
        proxy: Rc<Proxy>,
        connections: Connections,
        origins: Vec<String>,
    ) -> Self {
        let sent = Cell::new(0);
        Self { name: name.into(), proxy, origins, sent, connections, rounds: vec![] }
    }

    /// The median of a measure over all rounds.
    pub(crate) fn median(&self, measure: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(measure).collect::<Vec<_>>())
    }

    /// What this runner's requests cost above another's, round by round.
    pub(crate) fn added(&self, bare: &Self) -> Vec<f64> {
        self.rounds.iter().zip(&bare.rounds).map(|(own, bare)| own.cpu - bare.cpu).collect()
    }

    fn burst(&self, runtime: &Runtime, requests: usize, sum: &mut Sum) -> Result<(), CallError> {
        let start = self.sent.replace(self.sent.get() + requests);
        let origin = |n: usize| self.origins.get((start + n) * STEP % self.origins.len()).cloned();
        let origins = (0..requests).filter_map(origin).collect();
        let before = self.proxy.cpu_time();
        let burst = runtime.block_on(self.connections.burst(origins, STREAMS));
        let burst = burst.map_err(|error| failed(format!("{}: {}", self.name, error.0)))?;
        sum.cpu += self.proxy.cpu_time().saturating_sub(before);
        sum.elapsed += burst.elapsed;
        sum.latencies.extend(burst.latencies);
        Ok(())
    }
}

// === impl Sum ===

impl Sum {
    fn round(&self) -> Round {
        let requests = f64::from(u32::try_from(self.latencies.len()).unwrap_or(u32::MAX));
        Round {
            cpu: self.cpu.as_secs_f64() * 1e6 / requests,
            p50: quantile(&self.latencies, 0.5),
            p99: quantile(&self.latencies, 0.99),
            rate: requests / self.elapsed.as_secs_f64(),
        }
    }
}
