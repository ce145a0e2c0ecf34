//! Section `revocation`: how soon a right that was taken away is refused, while requests flow.
//!
//! For each change: several streams on open connections send one request after the other, all
//! permitted; then the change is made, and the clock starts when the control plane has said yes to it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use fedgate_tests::dns::srv;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::cores::Cores;
use super::filters::{self, PARTNER_HOST};
use super::load::{Connections, failed};
use super::proxy::Settings;
use super::report::{Report, progress, quantile, rounded};
use super::site::{Admin, Site};

/// Domains that are removed, one after the other.
const REMOVALS: usize = 200;
/// Changes of the strategy, and of SRV records.
const OTHER_CHANGES: usize = 20;
/// Connections, and streams on them, on which requests flow.
const CONNECTIONS: usize = 2;
const STREAMS: usize = 4;
/// Permitted requests before a change is made, and refused ones after it until it is believed.
const BEFORE: usize = 8;
const AFTER: usize = 8;
/// How long a change may take; one that takes longer counts as never made.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many such changes end a series.
const ENOUGH: usize = 3;

/// A request that was answered.
struct Exchange {
    sent: Instant,
    answered: Instant,
    permitted: bool,
}

/// What one change brought.
pub(super) struct Outcome {
    /// From the control plane's yes to the first refusal.
    pub(super) delay: Option<Duration>,
    /// Requests that were sent after the yes, and permitted.
    admitted_after: usize,
    /// Requests that were sent after the first refusal was there, and permitted.
    admitted_after_refusal: usize,
}

/// Measures removals, changes of strategy, and changes of SRV records.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Report, CallError> {
    cores.inspect(|cores| cores.be_server());
    let domains: Vec<_> = (0..REMOVALS + OTHER_CHANGES).map(|n| format!("d{n}.example")).collect();
    let host = format!("{PARTNER_HOST}.");
    let records: Vec<_> = domains.iter().map(|domain| srv(domain, 3600, &host)).collect();
    let site = Site::start(&records, "min_ttl = \"1h\"");
    let admin = site.admin();
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

    let (removed, redirected) = domains.split_at(REMOVALS);
    let series = |name: &str, domains: &[String], change: &dyn Fn(&str) -> Change| {
        let mut outcomes: Vec<Outcome> = vec![];
        for domain in domains {
            let outcome = runtime.block_on(observe(&connections, domain, change(domain)))?;
            let delay = outcome.delay.map_or("never".to_owned(), |delay| format!("{delay:.1?}"));
            progress(&format!("revocation: {name} of {domain}: {delay}"));
            outcomes.push(outcome);
            if outcomes.iter().filter(|outcome| outcome.delay.is_none()).count() == ENOUGH {
                break;
            }
        }
        Ok::<_, CallError>(outcomes)
    };
    let with = |change: fn(&Admin, &str) -> Result<(), String>| {
        let admin = admin.clone();
        move |domain: &str| -> Change {
            let (admin, domain) = (admin.clone(), domain.to_owned());
            Box::new(move || change(&admin, &domain))
        }
    };
    // The DNS change itself comes before the clock: what counts is from when the control plane has it.
    let redirect = |domain: &str| -> Change {
        site.dns.set_srv(domain, 3600, "elsewhere.example.");
        with(Admin::refresh)(domain)
    };
    let srv_changes = series("SRV change", redirected, &redirect)?;
    let removals = series("removal", removed, &with(Admin::remove))?;

    // One domain is enough for the strategy, which is set back after each change.
    let domain = "s.example".to_owned();
    site.dns.set_srv(&domain, 3600, &host);
    admin.list(&domain).map_err(failed)?;
    let forbid = with(|admin, _| admin.set_strategy("allowNone"));
    let mut strategy_changes = vec![];
    for _ in 0..OTHER_CHANGES {
        strategy_changes.extend(series("strategy", std::slice::from_ref(&domain), &forbid)?);
        admin.set_strategy("allowDynamic").map_err(failed)?;
        if strategy_changes.iter().filter(|outcome| outcome.delay.is_none()).count() == ENOUGH {
            break;
        }
    }
    Ok(report(
        "revocation",
        &[("removals", removals), ("strategy", strategy_changes), ("srv", srv_changes)],
    ))
}

/// A change, made when called; it returns when the control plane has said yes.
pub(super) type Change = Box<dyn FnOnce() -> Result<(), String> + Send>;

pub(super) async fn observe(
    connections: &Connections,
    domain: &str,
    change: Change,
) -> Result<Outcome, CallError> {
    wait_until_permitted(connections, domain).await?;
    let seen = Rc::new(RefCell::new(Vec::<Exchange>::new()));
    let end = Rc::new(Cell::new(false));
    let tasks = LocalSet::new();
    let streams: Vec<_> = (0..STREAMS)
        .map(|n| {
            let (connections, domain) = (connections.clone(), domain.to_owned());
            tasks.spawn_local(flow(connections, n, domain, Rc::clone(&seen), Rc::clone(&end)))
        })
        .collect();
    let changed = tasks.run_until(async {
        while seen.borrow().len() < BEFORE {
            tokio::task::yield_now().await;
        }
        let changed = tokio::task::spawn_blocking(|| change().map(|()| Instant::now())).await;
        let changed = changed.map_err(failed)?.map_err(failed)?;
        let refusals = || seen.borrow().iter().filter(|exchange| !exchange.permitted).count();
        while refusals() < AFTER && changed.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        end.set(true);
        Ok::<_, CallError>(changed)
    });
    let changed = changed.await?;
    tasks.await;
    for stream in streams {
        stream.await.map_err(failed)??;
    }
    let seen = seen.borrow();
    let refused = seen.iter().filter(|exchange| !exchange.permitted).map(|e| e.answered).min();
    let admitted_since =
        |moment: Instant| seen.iter().filter(|e| e.permitted && e.sent > moment).count();
    Ok(Outcome {
        delay: refused.map(|refused| refused.saturating_duration_since(changed)),
        admitted_after: admitted_since(changed),
        admitted_after_refusal: refused.map_or(0, admitted_since),
    })
}

/// Sends one request after the other until told to end.
async fn flow(
    connections: Connections,
    n: usize,
    domain: String,
    seen: Rc<RefCell<Vec<Exchange>>>,
    end: Rc<Cell<bool>>,
) -> Result<(), CallError> {
    while !end.get() {
        let sent = Instant::now();
        let permitted = is_permitted(connections.call(n, &domain).await?)?;
        seen.borrow_mut().push(Exchange { sent, answered: Instant::now(), permitted });
    }
    Ok(())
}

async fn wait_until_permitted(connections: &Connections, domain: &str) -> Result<(), CallError> {
    let deadline = Instant::now() + fedgate_tests::process::PATIENCE;
    while Instant::now() < deadline {
        if is_permitted(connections.call(0, domain).await?)? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(failed(format!("{domain} is never permitted")))
}

/// A gate that is only out of order refuses too, but not because of the change.
fn is_permitted(status: u16) -> Result<bool, CallError> {
    match status {
        200 => Ok(true),
        400..=499 => Ok(false),
        other => Err(failed(format!("a request was answered with {other}"))),
    }
}

// === the report ===

/// All series as a table, and as JSON under that name.
pub(super) fn report(name: &str, series: &[(&str, Vec<Outcome>)]) -> Report {
    let mut table = format!(
        "{:<10} {:>7} {:>8} {:>8} {:>8} {:>15} {:>22} {:>14}\n",
        "change",
        "number",
        "p50 ms",
        "p99 ms",
        "max ms",
        "admitted after",
        "after the 1st refusal",
        "never refused"
    );
    let mut all = Map::new();
    for (series, outcomes) in series {
        // A change that was never seen counts as endlessly slow; in JSON such a figure is null.
        let delays: Vec<f64> = outcomes
            .iter()
            .map(|outcome| outcome.delay.map_or(f64::INFINITY, |delay| delay.as_secs_f64() * 1e3))
            .collect();
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| quantile(&delays, q));
        let number = outcomes.len();
        let never = delays.iter().filter(|delay| delay.is_infinite()).count();
        let after: usize = outcomes.iter().map(|outcome| outcome.admitted_after).sum();
        let again: usize = outcomes.iter().map(|outcome| outcome.admitted_after_refusal).sum();
        let _ = writeln!(
            table,
            "{series:<10} {number:>7} {p50:>8.1} {p99:>8.1} {max:>8.1} {after:>15} {again:>22} {never:>14}"
        );
        let result = json!({
            "number": number,
            "p50_ms": rounded(p50),
            "p99_ms": rounded(p99),
            "max_ms": rounded(max),
            "admitted_after": after,
            "admitted_after_refusal": again,
            "never_refused": never,
        });
        all.insert((*series).to_owned(), result);
    }
    Report { json: Map::from_iter([(name.to_owned(), Value::from(all))]), table }
}
