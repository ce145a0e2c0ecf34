//! Section `egress`: what a call costs on its whole way from one backend to another, with Fedgate,
//! without, and with an empty filter in its place.
//!
//! ```text
//!  load ──HTTP/2──► egress ──mTLS, HTTP/2──► ingress ──HTTP/1.1──► brig (Envoy)
//!                   └── a.com's Envoy ─┘    └ b.com's Envoy ┘
//!                   └────────── CPU time of both ───────────┘
//! ```
//!
//! All ways are up at once and loaded in turn ([`super::race`]); that without Fedgate comes first.

mod without;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use fedgate_tests::caller::CallError;
use fedgate_tests::process::eventually;
use fedgate_tests::{World, WorldBuilder};
use serde_json::Map;
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::filters::{self, PARTNER};
use super::load::{Connections, failed};
use super::proxy::{Proxy, Settings};
use super::race::{self, CONNECTIONS, Measured, Round, Runner, WARM_UP, tell_round};
use super::report::{Report, rounded};
use super::usage;

/// The domain that is called, by [`PARTNER`].
pub(super) const CALLED: &str = "b.com";
/// A domain that nobody listed.
const STRANGER: &str = "c.com";
/// Where `b.com`'s brig listens; the harness's own, which tells all it received, costs too much.
const BRIG_PORT: u16 = 8081;
const BRIG_ADMIN_PORT: u16 = 9902;

/// Two backends, one of which calls the other; fields are in the order in which they are to end.
pub(super) struct Way {
    _brig: Proxy,
    pub(super) caller: World,
    pub(super) peer: World,
}

/// What there is in Fedgate's place.
#[derive(Default)]
pub(super) struct Instead {
    /// A Wasm module in the place of the filter's.
    pub(super) module: Option<PathBuf>,
    /// Whether the egress opens a connection to the other backend for each call.
    pub(super) connection_for_each_call: bool,
}

/// Measures all ways.
pub(crate) fn measure(
    runtime: &Runtime,
    cores: Option<&Cores>,
    rounds: usize,
    requests: usize,
) -> Result<Report, CallError> {
    cores.inspect(|cores| cores.be_server());
    let with = Way::with();
    let without = Way::without(&with, &Instead::default());
    let null = Way::without(
        &with,
        &Instead { module: Some(filters::null_module()), connection_for_each_call: false },
    );
    cores.inspect(|cores| cores.be_client());

    let mut running = vec![];
    for (name, way, refusal) in [("without", without, 403), ("null", null, 403), ("with", with, 400)] {
        let connections = Connections::open_plain(way.caller.envoy.egress(), CONNECTIONS);
        let connections = runtime.block_on(connections)?;
        runtime.block_on(check(name, refusal, &connections))?;
        running.push(Runner::new(name, Rc::new(way), connections, vec![CALLED.to_owned()]));
    }
    race::run(runtime, &mut running, rounds, requests, |round, _| tell_round("egress", round, rounds))?;
    let [without, null, with] = &running[..] else { return Err(failed("there are three ways")) };
    let permits = ((WARM_UP + rounds) * requests) as u64;
    eventually("each of the calls was permitted at both gates", || with.proxy.permits(permits));
    Ok(report(without, null, with))
}

/// A way that does not do its work is not worth measuring. That the brig gets what it is to get, it
/// looks at itself, with every call.
async fn check(name: &str, refusal: u16, connections: &Connections) -> Result<(), CallError> {
    for n in 0..CONNECTIONS {
        for (domain, expected) in [(CALLED, 200), (STRANGER, refusal)] {
            let status = connections.call(n, domain).await?;
            if status != expected {
                return Err(failed(format!("{name}: a call of {domain} is answered with {status}")));
            }
        }
    }
    Ok(())
}

// === impl Way ===

impl Way {
    /// Two backends that trust each other, with all of Fedgate.
    pub(super) fn with() -> Self {
        Self::with_edits(&[])
    }

    /// The same, with these replacements in the Envoy that is called.
    pub(super) fn with_edits(edits: &[(&str, &str)]) -> Self {
        let world = |builder: WorldBuilder| {
            builder.egress().discovery("allow_private_addresses = true\n").start()
        };
        let caller = world(World::builder().backend(PARTNER));
        let peer = own_brig(World::builder().joins(&caller));
        let peer = world(edits.iter().fold(peer, |peer, (from, to)| peer.edit(from, to)));
        for (world, other) in [(&caller, CALLED), (&peer, PARTNER)] {
            world.announce(&caller.dns);
            world.control_plane.as_ref().expect("a control plane").add(&[other]);
        }
        let way = Self::between(caller, peer);
        eventually("b.com answers a.com", || {
            way.caller.local().call(CALLED, "search-users").ok().filter(|answer| answer.status == 200)
        });
        way
    }

    /// The same without Fedgate, but with what is `instead` of it.
    pub(super) fn without(with: &Self, instead: &Instead) -> Self {
        let world = |domain| {
            let builder = World::builder().backend(domain).joins(&with.caller);
            without::without_fedgate(
                builder.without_control_plane().egress(),
                domain,
                instead.module.as_deref(),
            )
        };
        let peer = own_brig(world(CALLED)).start();
        let mut cluster = eventually("a.com knows b.com's cluster", || without::cluster(&with.caller));
        if instead.connection_for_each_call {
            without::connect_for_each_call(&mut cluster);
        }
        let caller = without::calling(world(PARTNER), &cluster, peer.envoy.address()).start();
        Self::between(caller, peer)
    }

    fn between(caller: World, peer: World) -> Self {
        let settings = Settings {
            filters: vec![filters::as_a_brig_receives_it()],
            plain: true,
            ..Settings::default()
        };
        let at = |port| (peer.ip(), port).into();
        let brig = Proxy::start("brig", peer.dir(), at(BRIG_PORT), at(BRIG_ADMIN_PORT), settings);
        Self { _brig: brig, caller, peer }
    }

    /// Whether both filters say that they permitted so many.
    fn permits(&self, number: u64) -> Option<()> {
        let told = |world: &World, role| world.envoy.stat(&format!("wasmcustom.fedgate.{role}.permits"));
        let all = [(&self.caller, "egress"), (&self.peer, "ingress")];
        let all = all.map(|(world, role)| told(world, role) >= Some(number));
        (all == [true; 2]).then_some(())
    }
}

impl Measured for Way {
    /// Egress and ingress.
    fn cpu_times(&self) -> Vec<Duration> {
        [&self.caller, &self.peer].map(|world| usage::cpu_time(world.envoy.id())).into()
    }
}

/// Moves the brig to where that of this section listens.
fn own_brig(builder: WorldBuilder) -> WorldBuilder {
    builder.edit("port_value: 8080}", &format!("port_value: {BRIG_PORT}}}"))
}

// === the report ===

/// What is told of each way: its key, its title, and how it is read.
type Measure = (&'static str, &'static str, fn(&Round) -> f64);
const MEASURES: [Measure; 6] = [
    ("cpu_us", "CPU µs", |round| round.cpu),
    ("egress_cpu_us", "egress", |round| part(round, 0)),
    ("ingress_cpu_us", "ingress", |round| part(round, 1)),
    ("p50_us", "p50 µs", |round| round.p50),
    ("p99_us", "p99 µs", |round| round.p99),
    ("rps", "calls/s", |round| round.rate),
];

fn part(round: &Round, index: usize) -> f64 {
    round.each.get(index).copied().unwrap_or_default()
}

fn report(without: &Runner<Way>, null: &Runner<Way>, with: &Runner<Way>) -> Report {
    let mut json = Map::new();
    let mut table = String::from("way       ");
    for (_, title, _) in MEASURES {
        let _ = write!(table, " {title:>10}");
    }
    for way in [without, null, with] {
        let _ = write!(table, "\n{:<10}", way.name);
        for (key, _, measure) in MEASURES {
            let value = way.median(measure);
            let _ = write!(table, " {value:>10.1}");
            json.insert(format!("{}_{key}", way.name), rounded(value));
        }
    }
    table.push('\n');
    for (way, name, prefix) in [(null, "an empty filter", "null_"), (with, "fedgate", "")] {
        let added = way.added(without);
        let ratio = 1.0 + added.median / without.median(|round| round.cpu);
        let _ = writeln!(
            table,
            "{name} on both sides adds {:.1} µs {}: {ratio:.2} of without",
            added.median,
            added.quartiles()
        );
        json.insert(format!("{prefix}added_cpu_us"), rounded(added.median));
        json.insert(format!("{prefix}added_cpu_us_quartiles"), added.quartiles_json());
        json.insert(format!("{prefix}ratio"), rounded(ratio));
    }
    Report { json: Map::from_iter([("egress".to_owned(), json.into())]), table }
}
