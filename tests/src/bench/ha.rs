//! Section `ha`: what it costs that several control planes share their list in etcd: how soon a removal that one of them
//! acknowledged is refused by a filter of another, and what 100,000 domains cost beside a file of `SQLite`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use fedgate_tests::caller::CallError;
use fedgate_tests::control_plane::{ControlPlane, Store};
use fedgate_tests::dns::srv;
use fedgate_tests::etcd::Etcd;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::filters::{self, PARTNER_HOST};
use super::load::{Connections, failed};
use super::proxy::Settings;
use super::report::{Report, progress, rounded};
use super::revocation::{self, Change, Outcome};
use super::site::{Admin, Site};
use super::usage;

/// Domains that are removed, one after the other.
const REMOVALS: usize = 500;
/// Connections on which requests flow.
const CONNECTIONS: usize = 2;
/// How many domains a long list has.
const MANY: usize = 100_000;

/// Measures both.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Report, CallError> {
    let removals = removals(runtime, cores)?;
    cores.inspect(|cores| cores.be_anywhere());
    let domains: Vec<_> = (0..MANY).map(|n| json!({ "domain": format!("d{n}.example") })).collect();
    let domains = json!({ "domains": domains });
    let file = long_list("SQLite", Store::File, &domains)?;
    let etcd = Etcd::start();
    let shared = long_list("etcd", Store::Shared(etcd.url_of("fedgate")), &domains)?;
    let mut report = revocation::report("ha", &[("removals", removals)]);
    let _ = writeln!(
        report.table,
        "\n{MANY} domains in {:>12} {:>12} {:>12}\n{:<18} {:>11} {:>12} {:>12}",
        "written s", "ready s", "memory MiB", "", "", "", ""
    );
    let mut all = Map::new();
    for (name, list) in [("SQLite", &file), ("etcd", &shared)] {
        let List { written, ready, memory_mib } = list;
        let (written, ready) = (written.as_secs_f64(), ready.as_secs_f64());
        let _ = writeln!(report.table, "{name:<18} {written:>11.2} {ready:>12.2} {memory_mib:>12.1}");
        let list = json!({
            "written_s": rounded(written), "ready_s": rounded(ready), "memory_mib": rounded(*memory_mib),
        });
        all.insert(name.to_lowercase(), list);
    }
    let ratio = shared.memory_mib / file.memory_mib;
    let _ = writeln!(report.table, "memory with etcd: {ratio:.2} of that with SQLite");
    all.insert("memory_ratio".to_owned(), json!(rounded(ratio)));
    report.json.insert("ha_list".to_owned(), Value::from(all));
    Ok(report)
}

/// Removals at one control plane, and requests to the Envoy of another.
fn removals(runtime: &Runtime, cores: Option<&Cores>) -> Result<Vec<Outcome>, CallError> {
    cores.inspect(|cores| cores.be_server());
    let domains: Vec<_> = (0..REMOVALS).map(|n| format!("d{n}.example")).collect();
    let host = format!("{PARTNER_HOST}.");
    let records: Vec<_> = domains.iter().map(|domain| srv(domain, 3600, &host)).collect();
    let etcd = Etcd::start();
    let store = Store::Shared(etcd.url_of("fedgate"));
    let site = Site::start_on(&records, "min_ttl = \"1h\"", store.clone());
    let (address, dir) = (Address::claim(), tempfile::tempdir().map_err(failed)?);
    let dns = [site.dns.address()];
    let other = ControlPlane::with_store(&[], address.ip(), dir.path(), &dns, "min_ttl = \"1h\"", store);
    let admin = Admin::of(&other);
    for domain in &domains {
        admin.list(domain).map_err(failed)?;
    }
    let settings = Settings {
        filters: vec![filters::fedgate()],
        clusters: vec![filters::verdicts_cluster(site.verdicts())],
        ..Settings::default()
    };
    let proxy = site.proxy(1, "fedgate", settings);
    cores.inspect(|cores| cores.be_client());
    let client = site.client(PARTNER_HOST);
    let connections = runtime.block_on(Connections::open_tls(proxy.address(), CONNECTIONS, &client))?;
    let mut outcomes = vec![];
    for domain in &domains {
        let change: Change = {
            let (admin, domain) = (admin.clone(), domain.clone());
            Box::new(move || admin.remove(&domain))
        };
        let outcome = runtime.block_on(revocation::observe(&connections, domain, change))?;
        let delay = outcome.delay.map_or("never".to_owned(), |delay| format!("{delay:.1?}"));
        progress(&format!("ha: removal of {domain} at another control plane: {delay}"));
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// What a long list costs.
struct List {
    /// From the request to its answer.
    written: Duration,
    /// From the start of a control plane until it is ready.
    ready: Duration,
    /// What that holds then.
    memory_mib: f64,
}

fn long_list(name: &str, store: Store, domains: &Value) -> Result<List, CallError> {
    let (address, dir) = (Address::claim(), tempfile::tempdir().map_err(failed)?);
    // Nobody answers there: what is measured is the list.
    let mut control_plane =
        ControlPlane::with_store(&[], address.ip(), dir.path(), &[address.dns()], "", store);
    let admin = Admin::patient(&control_plane);
    let begun = Instant::now();
    admin.put_all(domains, false).map_err(failed)?;
    let written = begun.elapsed();
    progress(&format!("ha: {MANY} domains written into {name} after {written:.2?}"));
    // Until it stands where it belongs: another write waits for that.
    admin.list("last.example").map_err(failed)?;
    control_plane.terminate();
    let begun = Instant::now();
    control_plane.restart();
    let ready = begun.elapsed();
    let memory_mib = usage::memory_mib(control_plane.process().id());
    progress(&format!("ha: ready with {name} after {ready:.2?}, with {memory_mib:.0} MiB"));
    Ok(List { written, ready, memory_mib })
}
