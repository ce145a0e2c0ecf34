//! How the table of listed domains comes into the filter, and when it is whole.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use fedgate_tests::process::eventually;

use super::HOST;
use crate::bench::cores::Cores;
use crate::bench::event_loop::Turns;
use crate::bench::feed::Reader;
use crate::bench::filters;
use crate::bench::load::failed;
use crate::bench::proxy::{Proxy, Settings};
use crate::bench::site::Site;
use crate::bench::usage;

/// The filter's instances in an Envoy with one worker: that one's, and the main thread's.
pub(super) const INSTANCES: u8 = 2;
/// Polls of the feed that have failed when both instances have come to the longest pause between two.
const LONG_AWAY: u64 = 10;
/// Instances tell their state every 100 ms, in the same gauges: after so long both have, some times.
const BOTH_HAVE_TOLD: Duration = Duration::from_millis(350);
/// How long the discovery of all listed domains may take.
const DISCOVERY: Duration = Duration::from_secs(180);

/// How a new Envoy got its table from a control plane that has discovered all.
pub(super) struct Load {
    /// From the control plane's first answer to the whole table.
    pub(super) took: Duration,
    /// What the worker did meanwhile.
    pub(super) turns: Turns,
    /// The pages that one instance got.
    pub(super) pages: u64,
}

/// Starts the control plane, with an Envoy that has long been waiting for it.
pub(super) fn start(site: &mut Site, domains: usize) -> Duration {
    site.control_plane.kill();
    let proxy = site.proxy(0, "start", settings(site, false));
    eventually("the filter has long been waiting", || {
        (proxy.stat("wasmcustom.fedgate.ingress.feed_failures") >= LONG_AWAY).then_some(())
    });
    let start = Instant::now();
    site.control_plane.restart();
    wait_until_whole(&proxy, domains) - start
}

/// Starts an Envoy, whose filter asks a control plane that is not answering yet; then that does. So the
/// filter's own start is over by then. The worker has a core of its own, as far as the machine has.
pub(super) fn load(site: &mut Site, domains: usize, cores: Option<&Cores>) -> Load {
    site.control_plane.freeze();
    let proxy = site.proxy(0, "load", settings(site, true));
    eventually("both instances have asked for the table", || {
        let asked = proxy.stat("cluster.fedgate_verdicts.upstream_rq_active");
        (asked == u64::from(INSTANCES)).then_some(())
    });
    let worker = usage::thread_named(proxy.id(), "wrk:worker_0").expect("Envoy has a worker");
    cores.inspect(|cores| cores.be_alone(worker));
    let before = Turns::of(&proxy);
    let start = Instant::now();
    site.control_plane.thaw();
    let took = wait_until_whole(&proxy, domains) - start;
    let turns = Turns::of(&proxy).since(&before);
    let pages = proxy.stat("wasmcustom.fedgate.ingress.feed_pages") / u64::from(INSTANCES);
    Load { took, turns, pages }
}

/// An Envoy with the filter, and nothing else.
pub(super) fn settings(site: &Site, times_turns: bool) -> Settings {
    Settings {
        filters: vec![filters::fedgate()],
        clusters: vec![filters::verdicts_cluster(site.verdicts())],
        plain: false,
        times_turns,
    }
}

/// The moment from which on both instances say that they have the whole table; it may have been up to
/// 100 ms before, as they tell it on a tick.
pub(super) fn wait_until_whole(proxy: &Proxy, domains: usize) -> Instant {
    let mut since = None;
    eventually("the filter has the whole table", || {
        let asked = Instant::now();
        let told = u64::try_from(domains) == Ok(proxy.stat("wasmcustom.fedgate.ingress.table_domains"));
        let in_force = proxy.stat("wasmcustom.fedgate.ingress.feed_state") == 1;
        since = (told && in_force).then(|| since.unwrap_or(asked));
        since.filter(|since| since.elapsed() > BOTH_HAVE_TOLD)
    })
}

/// Reads the feed until it has told the hosts of all domains; how long that took.
pub(super) async fn discover(site: &Site, domains: usize) -> Result<Duration, CallError> {
    const WAIT: Duration = Duration::from_secs(1);
    let start = Instant::now();
    let mut found = BTreeSet::new();
    let mut reader = Reader::open(site.verdicts()).await?;
    while found.len() < domains {
        if start.elapsed() > DISCOVERY {
            return Err(failed(format!("only {} of {domains} domains were discovered", found.len())));
        }
        let page = reader.next(WAIT).await?;
        for verdict in page["verdicts"].as_array().into_iter().flatten() {
            if verdict["hosts"][0] == HOST {
                found.extend(verdict["domain"].as_str().map(str::to_owned));
            }
        }
    }
    Ok(start.elapsed())
}
