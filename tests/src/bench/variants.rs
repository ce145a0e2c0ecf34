//! Section `variants`: what each way of deciding adds to a request.
//!
//! All variants are up at once and loaded in turn ([`super::race`]); `bare` comes first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use fedgate_tests::caller::CallError;
use fedgate_tests::dns::srv;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::filters::{self, PARTNER, PARTNER_HOST};
use super::load::{Connections, failed};
use super::proxy::{Proxy, Settings};
use super::race::{self, Added, CONNECTIONS, Runner, WARM_UP, tell_round};
use super::report::{Report, rounded};
use super::site::Site;

/// A domain that resolves, but for another host than the client's certificate names.
const OTHER: &str = "c.com";

/// One way of deciding.
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// Whether it is able to refuse: the others let everything pass.
    decides: bool,
    proxy: Rc<Proxy>,
}

/// The variants, up and running, and what is around them; fields are in the order in which they are to end.
pub(super) struct Variants {
    pub(super) all: Vec<Variant>,
    _authz: Proxy,
    pub(super) site: Site,
}

/// Measures all variants.
pub(crate) fn measure(
    runtime: &Runtime,
    cores: Option<&Cores>,
    rounds: usize,
    requests: usize,
) -> Result<Report, CallError> {
    let variants = Variants::start(
        cores,
        &["bare", "null", "fedgate", "fedgate-quiet", "lua", "rbac", "ext_authz"],
    )?;
    let site = &variants.site;
    let client = site.client(PARTNER_HOST);
    let mut running = vec![];
    for variant in &variants.all {
        let connections = Connections::open_tls(variant.address(), CONNECTIONS, &client);
        running.push(variant.runner(runtime, variant.name, runtime.block_on(connections)?)?);
    }
    let mut warm = None;
    race::run(runtime, &mut running, rounds, requests, |round, running| {
        tell_round("variants", round, rounds);
        if round == WARM_UP {
            warm = Some(asked(site, running));
        }
    })?;
    let asked = warm.zip(Some(asked(site, &running))).map(|(before, after)| {
        json!({
            "requests": rounds * requests,
            "calls_to_control_plane": after.0 - before.0,
            "dns_queries": after.1 - before.1,
        })
    });
    Ok(report(&running, asked.unwrap_or_default()))
}

// === impl Variants ===

impl Variants {
    /// Starts those with these names.
    pub(super) fn start(cores: Option<&Cores>, names: &[&str]) -> Result<Self, CallError> {
        cores.inspect(|cores| cores.be_server());
        let records =
            [srv(PARTNER, 86_400, &format!("{PARTNER_HOST}.")), srv(OTHER, 86_400, "infra.c.com.")];
        let site = Site::start(&records, "");
        let admin = site.admin();
        for domain in [PARTNER, OTHER] {
            admin.list(domain).map_err(failed)?;
        }
        // Not measured, so its filter chain is the shortest of all.
        let authz = site.proxy(0, "authz", Settings { plain: true, ..Settings::default() });
        let wanted = settings(&site, &authz).into_iter().filter(|(name, ..)| names.contains(name));
        let all = (1..).zip(wanted).map(|(n, (name, decides, settings))| {
            let proxy = Rc::new(site.proxy(n, name, settings));
            Variant { name, decides, proxy }
        });
        let variants = Self { all: all.collect(), _authz: authz, site };
        cores.inspect(|cores| cores.be_client());
        Ok(variants)
    }
}

/// Each variant's name, whether it is able to refuse, and its Envoy's settings.
fn settings(site: &Site, authz: &Proxy) -> Vec<(&'static str, bool, Settings)> {
    let variant = |name, decides, filter: Option<Value>, cluster: Option<Value>| {
        let filters = filter.into_iter().collect();
        let clusters = cluster.into_iter().collect();
        (name, decides, Settings { filters, clusters, ..Settings::default() })
    };
    let server = authz.address();
    vec![
        variant("bare", false, None, None),
        variant("null", false, Some(filters::null()), None),
        variant(
            "fedgate",
            true,
            Some(filters::fedgate()),
            Some(filters::verdicts_cluster(site.verdicts())),
        ),
        variant(
            "fedgate-quiet",
            true,
            Some(filters::fedgate_quiet()),
            Some(filters::verdicts_cluster(site.verdicts())),
        ),
        variant("lua", true, Some(filters::lua()), None),
        variant("rbac", true, Some(filters::rbac()), None),
        variant(
            "ext_authz",
            false,
            Some(filters::ext_authz(server)),
            Some(filters::authz_cluster(server)),
        ),
    ]
}

// === impl Variant ===

impl Variant {
    /// Has it loaded by these connections, once it was seen to do its work.
    pub(super) fn runner(
        &self,
        runtime: &Runtime,
        name: &'static str,
        connections: Connections,
    ) -> Result<Runner, CallError> {
        runtime.block_on(self.check(&connections))?;
        Ok(Runner::new(name, Rc::clone(&self.proxy), connections, vec![PARTNER.to_owned()]))
    }

    /// Its listener.
    pub(super) fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// A variant that does not do its work is not worth measuring.
    async fn check(&self, connections: &Connections) -> Result<(), CallError> {
        let name = self.name;
        for n in 0..CONNECTIONS {
            let permitted = connections.call(n, PARTNER).await?;
            if permitted != 200 {
                return Err(failed(format!("{name} answers a permitted request with {permitted}")));
            }
            let other = connections.call(n, OTHER).await?;
            if (other == 403) != self.decides {
                return Err(failed(format!(
                    "{name} answers a request of another's domain with {other}"
                )));
            }
        }
        Ok(())
    }
}

/// How often the control plane and DNS were asked so far on behalf of `fedgate`.
fn asked(site: &Site, running: &[Runner]) -> (u64, usize) {
    let fedgate = running.iter().find(|variant| variant.name == "fedgate");
    let calls = fedgate.map(|variant| variant.proxy.stat("cluster.fedgate_verdicts.upstream_rq_total"));
    (calls.unwrap_or_default(), site.dns.queries(PARTNER) + site.dns.queries(OTHER))
}

// === the report ===

fn report(running: &[Runner], asked: Value) -> Report {
    let mut variants = Map::new();
    let mut added = BTreeMap::new();
    let mut spread = Map::new();
    let mut table = format!(
        "{:<13} {:>9} {:>9}  {:<15} {:>8} {:>8} {:>8}\n",
        "variant", "CPU µs", "added", "(quartiles)", "p50 µs", "p99 µs", "req/s"
    );
    let bare = running.first();
    for variant in running {
        let [cpu, p50, p99, rate] = [
            variant.median(|round| round.cpu),
            variant.median(|round| round.p50),
            variant.median(|round| round.p99),
            variant.median(|round| round.rate),
        ];
        let _ = write!(table, "{:<13} {cpu:>9.1} ", variant.name);
        if let Some(bare) = bare.filter(|bare| bare.name != variant.name) {
            let own = variant.added(bare);
            let _ = write!(table, "{:>9.1}  {:<15}", own.median, own.quartiles());
            added.insert(variant.name.clone(), own.median);
            spread.insert(variant.name.clone(), own.quartiles_json());
        } else {
            let _ = write!(table, "{:>9}  {:<15}", "", "");
        }
        let _ = writeln!(table, " {p50:>8.0} {p99:>8.0} {rate:>8.0}");
        let measures = json!({
            "cpu_us": rounded(cpu), "p50_us": rounded(p50), "p99_us": rounded(p99), "rps": rounded(rate),
        });
        variants.insert(variant.name.clone(), measures);
    }
    let ratio = |to: &str| added.get("fedgate").zip(added.get(to)).map(|(own, other)| own / other);
    let mut ratios = Map::new();
    for to in ["null", "lua", "rbac", "ext_authz"] {
        let ratio = ratio(to).unwrap_or_default();
        let _ = writeln!(table, "fedgate adds {ratio:.2} of what {to} adds");
        ratios.insert(to.to_owned(), rounded(ratio));
    }
    let named = |name: &str| running.iter().find(|variant| variant.name == name);
    let reports = named("fedgate").zip(named("fedgate-quiet")).map(|(own, quiet)| own.multiple(quiet));
    if let Some(Added { low, median, high }) = reports {
        let _ = writeln!(
            table,
            "with reports, a request takes {median:.3} times ({low:.3} … {high:.3}) the CPU of one without"
        );
    }
    let _ = writeln!(
        table,
        "while {} requests went through fedgate: {} calls to the control plane, {} DNS queries",
        asked["requests"], asked["calls_to_control_plane"], asked["dns_queries"]
    );
    let added: Map<_, _> = added.into_iter().map(|(name, value)| (name, rounded(value))).collect();
    let json = Map::from_iter([
        ("variants".to_owned(), variants.into()),
        ("added_cpu_us".to_owned(), added.into()),
        ("added_cpu_us_quartiles".to_owned(), spread.into()),
        ("fedgate_relative_to".to_owned(), ratios.into()),
        ("reports_multiple".to_owned(), reports.map(|it| json!([it.low, it.median, it.high])).into()),
        ("warm".to_owned(), asked),
    ]);
    Report { json, table }
}
