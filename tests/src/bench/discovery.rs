//! Section `discovery`: how many domains that it has never heard of the control plane can look up,
//! beside a plain resolver that asks the same BIND for the same kind of records.
//!
//! Both have all cores, as each must share them with BIND; they take turns, batch by batch.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use fedgate_tests::caller::CallError;
use fedgate_tests::control_plane::FILTER_TOKEN;
use fedgate_tests::dns::{service, srv};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{Resolver, TokioResolver};
use http::Request;
use serde_json::{Map, json};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::cores::Cores;
use super::load::{Connections, failed};
use super::report::{Report, median, progress, rounded};
use super::site::Site;

/// Turns, after one that is not counted; in each, both look up this many domains.
const ROUNDS: usize = 8;
const DOMAINS: usize = 1500;
/// Lookups under way at any time.
const STREAMS: usize = 32;

/// Measures cold lookups per second.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Report, CallError> {
    cores.inspect(|cores| cores.be_anywhere());
    let name = |who: &str, round: usize, n: usize| format!("{who}-{round}-{n}.example");
    let numbers = || (0..=ROUNDS).flat_map(|round| (0..DOMAINS).map(move |n| (round, n)));
    let records: Vec<_> = ["gate", "plain"]
        .into_iter()
        .flat_map(|who| numbers().map(move |(round, n)| srv(&name(who, round, n), 3600, "infra.a.com.")))
        .collect();
    let site = Site::start(&records, "");
    // Whatever is listed is looked up before it is asked for; so nothing is, and all is allowed.
    site.admin().set_strategy("allowAll").map_err(failed)?;
    let verdicts = runtime.block_on(Connections::open_plain(site.verdicts(), 1))?;
    let resolver = resolver(site.dns.address())?;

    let (mut control_plane, mut plain) = (vec![], vec![]);
    for round in 0..=ROUNDS {
        progress(&format!("discovery: round {round} of {ROUNDS}"));
        let gate = runtime.block_on(rate(|n| ask(&verdicts, name("gate", round, n))))?;
        let resolver = runtime.block_on(rate(|n| resolve(&resolver, name("plain", round, n))))?;
        if round > 0 {
            control_plane.push(gate);
            plain.push(resolver);
        }
    }
    let asked = site.dns.queries(&name("gate", ROUNDS, DOMAINS - 1));
    if asked != 1 {
        return Err(failed(format!("a domain was asked for {asked} times, so its lookup was not cold")));
    }
    Ok(report(median(&control_plane), median(&plain)))
}

/// Runs the lookups number 0 to [`DOMAINS`], some at a time; how many are done in a second.
async fn rate<L>(lookup: impl Fn(usize) -> L) -> Result<f64, CallError>
where
    L: Future<Output = Result<(), CallError>> + 'static,
{
    let lookups: Vec<_> = (0..DOMAINS).map(&lookup).collect();
    let left = Rc::new(Cell::new(lookups));
    let tasks = LocalSet::new();
    let start = Instant::now();
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let left = Rc::clone(&left);
            let next = move || {
                let mut lookups = left.take();
                let next = lookups.pop();
                left.set(lookups);
                next
            };
            tasks.spawn_local(async move {
                while let Some(lookup) = next() {
                    lookup.await?;
                }
                Ok::<_, CallError>(())
            })
        })
        .collect();
    tasks.await;
    let elapsed = start.elapsed();
    for stream in streams {
        stream.await.map_err(failed)??;
    }
    Ok(f64::from(u32::try_from(DOMAINS).unwrap_or(u32::MAX)) / elapsed.as_secs_f64())
}

/// One lookup through the verdict API.
fn ask(verdicts: &Connections, domain: String) -> impl Future<Output = Result<(), CallError>> + 'static {
    let verdicts = verdicts.clone();
    async move {
        let request = Request::get(format!("http://verdicts/v1/verdicts/{domain}"))
            .header("authorization", format!("Bearer {FILTER_TOKEN}"))
            .body(())
            .map_err(failed)?;
        match verdicts.send(request).await?.0 {
            200 => Ok(()),
            status => Err(failed(format!("the verdict on {domain} was answered with {status}"))),
        }
    }
}

/// One lookup by the plain resolver.
fn resolve(
    resolver: &TokioResolver,
    domain: String,
) -> impl Future<Output = Result<(), CallError>> + 'static {
    let resolver = resolver.clone();
    async move {
        let answer = resolver.lookup(service(&domain), RecordType::SRV).await.map_err(failed)?;
        match answer.answers() {
            [] => Err(failed(format!("{domain} has no SRV record"))),
            _ => Ok(()),
        }
    }
}

/// A resolver as an application would have it, but without a cache.
fn resolver(server: SocketAddr) -> Result<TokioResolver, CallError> {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().cache_size = 0;
    builder.build().map_err(failed)
}

fn report(control_plane: f64, plain: f64) -> Report {
    let ratio = control_plane / plain;
    let mut table = format!("{:<24} {:>14}\n", "cold lookups", "per second");
    let _ = writeln!(table, "{:<24} {control_plane:>14.0}", "the control plane");
    let _ = writeln!(table, "{:<24} {plain:>14.0}", "a plain resolver");
    let _ = writeln!(table, "{:<24} {ratio:>14.2}", "ratio");
    let json = json!({
        "control_plane_per_s": rounded(control_plane),
        "plain_resolver_per_s": rounded(plain),
        "ratio": rounded(ratio),
    });
    Report { json: Map::from_iter([("discovery".to_owned(), json)]), table }
}
