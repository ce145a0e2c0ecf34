//! Section `fresh`: what a call costs over a TLS connection of its own, as Wire's federators make them.
//!
//! At the ingress, by [`super::variants`]; and on the whole way from one service to another's component, by
//! [`super::egress`]: as Wire goes it, with a connection to the other backend's ingress for each call, and as
//! Fedgate does, with connections that are kept.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use fedgate_tests::caller::CallError;
use fedgate_tests::process::eventually;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::egress::{CALLED, Instead, Way};
use super::filters::PARTNER_HOST;
use super::load::{Connections, failed};
use super::race::{self, CONNECTIONS, Measured, Runner, WARM_UP, tell_round};
use super::report::{Report, rounded};
use super::usage;
use super::variants::Variants;

/// A fresh connection takes as long as many warm requests, so there are so many times fewer: at the ingress,
/// and on the whole way.
const FEWER: [usize; 2] = [10, 4];
/// Certificates that take turns, where each is to be a new one: more than the filter remembers.
const CERTIFICATES: usize = 600;

/// Measures the ingress, and then the whole way.
pub(crate) fn measure(
    runtime: &Runtime,
    cores: Option<&Cores>,
    rounds: usize,
    requests: usize,
) -> Result<Report, CallError> {
    let [ingress, way] = FEWER.map(|times| requests.div_ceil(times));
    let ingress = self::ingress(runtime, cores, rounds, ingress)?;
    let way = self::way(runtime, cores, rounds, way)?;
    let table = format!("{}\n{}", ingress.table, way.table);
    let json = json!({"ingress": ingress.json, "way": way.json});
    Ok(Report { json: Map::from_iter([("fresh".to_owned(), json)]), table })
}

fn ingress(
    runtime: &Runtime,
    cores: Option<&Cores>,
    rounds: usize,
    requests: usize,
) -> Result<Report, CallError> {
    let variants = Variants::start(cores, &["bare", "null", "fedgate", "ext_authz"])?;
    let client = variants.site.client(PARTNER_HOST);
    let new = (0..CERTIFICATES).map(|_| variants.site.client(PARTNER_HOST)).collect::<Vec<_>>();
    let mut running = vec![];
    for variant in &variants.all {
        let connections = Connections::fresh(variant.address(), vec![client.clone()]);
        running.push(variant.runner(runtime, variant.name, connections)?);
        if variant.name == "fedgate" {
            let connections = Connections::fresh(variant.address(), new.clone());
            running.push(variant.runner(runtime, "fedgate_new_certificate", connections)?);
        }
    }
    race::run(runtime, &mut running, rounds, requests, |round, _| {
        tell_round("fresh, ingress", round, rounds);
    })?;
    Ok(report(&running))
}

fn way(
    runtime: &Runtime,
    cores: Option<&Cores>,
    rounds: usize,
    requests: usize,
) -> Result<Report, CallError> {
    cores.inspect(|cores| cores.be_server());
    let fedgate = Way::with();
    let wire = Way::without(&fedgate, &Instead { module: None, connection_for_each_call: true });
    cores.inspect(|cores| cores.be_client());
    let mut running = vec![];
    for (name, way) in [("wire", wire), ("fedgate", fedgate)] {
        let connections = Connections::open_plain(way.caller.envoy.egress(), CONNECTIONS);
        let connections = runtime.block_on(connections)?;
        running.push(Runner::new(name, Rc::new(Whole(way)), connections, vec![CALLED.to_owned()]));
    }
    race::run(runtime, &mut running, rounds, requests, |round, _| {
        tell_round("fresh, whole way", round, rounds);
    })?;
    let [wire, _] = &running[..] else { return Err(failed("there are two ways")) };
    let calls = ((WARM_UP + rounds) * requests) as u64;
    eventually("each of Wire's calls had a connection of its own", || {
        let opened =
            wire.proxy.0.caller.envoy.stat(&format!("cluster.federation/{CALLED}.upstream_cx_total"));
        (opened >= Some(calls)).then_some(())
    });
    Ok(report(&running))
}

/// A way with all of its processes.
struct Whole(Way);

impl Measured for Whole {
    /// Egress and ingress, and the control planes, where there are some.
    fn cpu_times(&self) -> Vec<Duration> {
        let Self(way) = self;
        let control_planes =
            [&way.caller, &way.peer].into_iter().filter_map(|world| world.control_plane.as_ref()?.id());
        way.cpu_times().into_iter().chain(control_planes.map(usage::cpu_time)).collect()
    }
}

/// CPU time and latency of each, and their ratio to the first.
fn report<M: Measured>(running: &[Runner<M>]) -> Report {
    let mut table = format!(
        "{:<24} {:>9} {:>9}  {:<17} {:>6} {:>8} {:>8}\n",
        "", "CPU µs", "added", "(quartiles)", "ratio", "p50 µs", "p99 µs"
    );
    let mut json = Map::new();
    let Some(first) = running.first() else { return Report { json, table } };
    let bare = first.median(|round| round.cpu);
    for runner in running {
        let [cpu, p50, p99] = [
            runner.median(|round| round.cpu),
            runner.median(|round| round.p50),
            runner.median(|round| round.p99),
        ];
        let added = runner.added(first);
        let ratio = 1.0 + added.median / bare;
        let _ = writeln!(
            table,
            "{:<24} {cpu:>9.1} {:>9.1}  {:<17} {ratio:>6.3} {p50:>8.0} {p99:>8.0}",
            runner.name,
            added.median,
            added.quartiles()
        );
        let measures: Value = json!({
            "cpu_us": rounded(cpu), "added_cpu_us": rounded(added.median), "ratio": (ratio * 1e4).round() / 1e4,
            "p50_us": rounded(p50), "p99_us": rounded(p99),
        });
        json.insert(runner.name.clone(), measures);
    }
    Report { json, table }
}
