//! Section `scale`: what a longer list costs. The same for lists of several lengths, of which all
//! domains have been discovered; each with a control plane and Envoys of its own.

mod report;
mod table;

use std::rc::Rc;
use std::time::Duration;

use fedgate_tests::caller::CallError;
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::load::{Connections, failed};
use super::proxy::{Proxy, Settings};
use super::race::{self, CONNECTIONS, Runner, tell_round};
use super::report::{Report, progress};
use super::site::Site;
use super::usage;
use table::Load;

/// How many domains are listed.
const SIZES: [usize; 3] = [10, 1_000, 100_000];
/// Every partner's host.
const HOST: &str = "federator.infra.scale.example";
/// How often the control plane is started, and how often a new Envoy loads its table.
const STARTS: usize = 3;
const LOADS: usize = 5;

/// A list of some length, its control plane, an Envoy with the whole table, and what was measured of
/// them; fields are in the order in which they are to end.
struct Scale {
    proxy: Rc<Proxy>,
    site: Site,
    domains: Vec<String>,
    /// From the control plane's start to the whole table, of an Envoy that had long been waiting.
    starts: Vec<Duration>,
    loads: Vec<Load>,
    control_plane_mib: f64,
    envoy_mib: f64,
}

/// Measures all sizes.
///
/// Requests claim all listed domains in turn, so that what is looked up is seldom in the processor's
/// caches; or the same one all the time. `bare` gets the same requests, because many values of a header
/// cost Envoy more to unpack (HPACK) than few.
pub(crate) fn measure(
    runtime: &Runtime,
    cores: Option<&Cores>,
    rounds: usize,
    requests: usize,
) -> Result<Report, CallError> {
    let mut scales = vec![];
    for size in SIZES {
        scales.push(Scale::prepare(runtime, cores, size)?);
    }
    let first = scales.first().ok_or_else(|| failed("there is no size to measure"))?;
    cores.inspect(|cores| cores.be_server());
    let bare = Rc::new(first.site.proxy(1, "bare", Settings::default()));
    cores.inspect(|cores| cores.be_client());
    let mut runners = vec![];
    for Scale { site, domains, proxy, .. } in &scales {
        let one = domains.get(..1).unwrap_or_default();
        for (what, origins) in [("all", domains.as_slice()), ("one", one)] {
            let size = domains.len();
            runners.push(runner(
                runtime,
                format!("bare, {what} of {size}"),
                &first.site,
                &bare,
                origins,
            )?);
            runners.push(runner(runtime, format!("{what} of {size}"), site, proxy, origins)?);
        }
    }
    race::run(runtime, &mut runners, rounds, requests, |round, _| tell_round("scale", round, rounds))?;
    Ok(report::report(&scales, &runners))
}

/// A client whose requests claim these domains in turn, and whose certificate bears them out.
fn runner(
    runtime: &Runtime,
    name: String,
    site: &Site,
    proxy: &Rc<Proxy>,
    origins: &[String],
) -> Result<Runner, CallError> {
    let client = site.client(HOST);
    let connections = Connections::open_tls(proxy.address(), CONNECTIONS, &client);
    Ok(Runner::new(name, Rc::clone(proxy), runtime.block_on(connections)?, origins.to_vec()))
}

// === impl Scale ===

impl Scale {
    /// Lists and discovers this number of domains, and measures what can be measured without requests.
    fn prepare(runtime: &Runtime, cores: Option<&Cores>, number: usize) -> Result<Self, CallError> {
        cores.inspect(|cores| cores.be_server());
        let domains: Vec<_> = (0..number).map(|n| format!("partner-{n:06}.scale.example")).collect();
        // A wildcard stands for any number of labels (RFC 4592 §2.2.1).
        let records = [format!("*.scale.example. 86400 IN SRV 10 5 443 {HOST}.")];
        let mut site = Site::start(&records, "");
        site.fill(&domains);

        cores.inspect(|cores| cores.be_anywhere());
        let mut starts = vec![];
        for n in 1..=STARTS {
            let took = table::start(&mut site, number);
            progress(&format!("scale: {number} domains, start {n} of {STARTS}: table after {took:.2?}"));
            starts.push(took);
        }

        cores.inspect(|cores| cores.be_server());
        site.control_plane.restart();
        let discovery = runtime.block_on(table::discover(&site, number))?;
        progress(&format!("scale: {number} domains, all of them discovered after {discovery:.2?}"));
        let control_plane_mib = usage::memory_mib(site.control_plane.process().id());
        let mut loads = vec![];
        for n in 1..=LOADS {
            let load = table::load(&mut site, number, cores);
            let (took, longest) = (load.took, load.turns.longest_us());
            progress(&format!(
                "scale: {number} domains, load {n} of {LOADS}: table after {took:.2?}, longest turn {longest} µs"
            ));
            loads.push(load);
        }

        let proxy = Rc::new(site.proxy(0, "race", table::settings(&site, false)));
        table::wait_until_whole(&proxy, number);
        let envoy_mib = usage::memory_mib(proxy.id());
        Ok(Self { proxy, site, domains, starts, loads, control_plane_mib, envoy_mib })
    }
}
