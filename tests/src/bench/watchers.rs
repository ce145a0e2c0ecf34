//! Section `watchers`: what it costs the control plane that many filters wait for changes, and how
//! soon the last of them has one.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use fedgate_tests::dns::srv;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, json};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::cores::Cores;
use super::feed::Reader;
use super::filters::PARTNER_HOST;
use super::load::failed;
use super::report::{Report, median, progress, quantile, rounded};
use super::site::{Admin, Site};
use super::usage;

/// Domains that are removed, one after the other.
const REMOVALS: usize = 20;
/// The longest that the control plane lets a filter wait.
const WAIT: Duration = Duration::from_secs(60);
/// Watchers that connect at the same time: fewer than a listener's queue holds.
const CONNECTING: usize = 100;
/// How long all watchers may take to have a removal.
const PATIENCE: Duration = Duration::from_secs(30);
/// Files that this program and the control plane have open besides the watchers' connections.
const OTHER_FILES: u64 = 200;
/// A process that takes less than this share of a core is at rest.
const REST: f64 = 0.02;

/// What the watchers have seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Watchers whose table is whole.
    pub(crate) ready: usize,
    /// When each of them had the removal that is under way.
    pub(crate) removed: Vec<Instant>,
    /// Why a watcher has ended.
    failure: Option<CallError>,
}

/// One removal, in milliseconds.
struct Removal {
    /// From the admin API's answer to the last watcher.
    from_answer: f64,
    /// From the moment that the admin API was asked.
    from_request: f64,
    /// What the control plane computed, until all watchers waited again.
    cpu: f64,
    /// What it held then, in MiB.
    memory: f64,
}

/// What the control plane held, in MiB.
struct Memory {
    alone: f64,
    watched: f64,
    peak: f64,
}

/// Has so many watchers wait, and removes domains.
pub(crate) fn measure(
    runtime: &Runtime,
    cores: Option<&Cores>,
    watchers: usize,
) -> Result<Report, CallError> {
    allow_files(watchers)?;
    cores.inspect(|cores| cores.be_server());
    let domains: Vec<_> = (0..REMOVALS).map(|n| format!("d{n}.example")).collect();
    let host = format!("{PARTNER_HOST}.");
    let records: Vec<_> = domains.iter().map(|domain| srv(domain, 3600, &host)).collect();
    let mut site = Site::start(&records, "min_ttl = \"1h\"");
    let admin = site.admin();
    for domain in &domains {
        admin.list(domain).map_err(failed)?;
    }
    cores.inspect(|cores| cores.be_client());

    let process = site.control_plane.process().id();
    let alone = usage::memory_mib(process);
    let tasks = LocalSet::new();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let removals = runtime.block_on(tasks.run_until(async {
        let connecting = Rc::new(Semaphore::new(CONNECTING));
        for _ in 0..watchers {
            spawn(site.verdicts(), &connecting, &seen);
        }
        until(&seen, "all watchers wait", |seen| seen.ready == watchers).await?;
        at_rest(process).await;
        let watched = usage::memory_mib(process);
        progress(&format!("watchers: {watchers} wait, and the control plane holds {watched:.0} MiB"));
        let mut removals = vec![];
        for domain in &domains {
            let removal = remove(&admin, domain, watchers, process, &seen).await?;
            progress(&format!(
                "watchers: the last has the removal of {domain} after {:.0} ms",
                removal.from_answer
            ));
            removals.push(removal);
        }
        Ok::<_, CallError>((watched, removals))
    }));
    let (watched, removals) = removals?;
    let memory = Memory { alone, watched, peak: usage::peak_memory_mib(process) };
    Ok(report(watchers, &memory, &removals))
}

/// Raises this program's limit of open files, which the control plane inherits, as far as is needed.
fn allow_files(watchers: usize) -> Result<(), CallError> {
    let needed = u64::try_from(watchers).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Some(maximum) = maximum.filter(|&maximum| maximum < needed) {
        return Err(failed(format!(
            "{watchers} watchers need {needed} open files, and the hard limit is {maximum}: raise it (`ulimit -Hn {needed}` as root), or have fewer with --watchers"
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(failed)
}

/// One more watcher, on the thread of whoever asks for it.
pub(crate) fn spawn(verdicts: SocketAddr, connecting: &Rc<Semaphore>, seen: &Rc<RefCell<Seen>>) {
    let watcher = watch(verdicts, Rc::clone(connecting), Rc::clone(seen));
    tokio::task::spawn_local(note_failure(watcher, Rc::clone(seen)));
}

/// A filter's part: the whole table, and then every change.
async fn watch(
    verdicts: SocketAddr,
    connecting: Rc<Semaphore>,
    seen: Rc<RefCell<Seen>>,
) -> Result<(), CallError> {
    let mut reader = {
        let _permit = connecting.acquire().await.map_err(failed)?;
        let mut reader = Reader::open(verdicts).await?;
        reader.catch_up().await?;
        reader
    };
    seen.borrow_mut().ready += 1;
    loop {
        let page = reader.next(WAIT).await?;
        if page["removed"].as_array().is_some_and(|removed| !removed.is_empty()) {
            seen.borrow_mut().removed.push(Instant::now());
        }
    }
}

async fn note_failure(watcher: impl Future<Output = Result<(), CallError>>, seen: Rc<RefCell<Seen>>) {
    if let Err(error) = watcher.await {
        seen.borrow_mut().failure.get_or_insert(error);
    }
}

/// Removes a domain, and waits until all watchers have heard of it.
async fn remove(
    admin: &Admin,
    domain: &str,
    watchers: usize,
    control_plane: u32,
    seen: &RefCell<Seen>,
) -> Result<Removal, CallError> {
    seen.borrow_mut().removed.clear();
    let (admin, domain) = (admin.clone(), domain.to_owned());
    let before = usage::cpu_time(control_plane);
    let asked = Instant::now();
    let answered = tokio::task::spawn_blocking(move || admin.remove(&domain).map(|()| Instant::now()));
    let answered = answered.await.map_err(failed)?.map_err(failed)?;
    until(seen, "all watchers have the removal", |seen| seen.removed.len() >= watchers).await?;
    let last = seen.borrow().removed.iter().max().copied().unwrap_or(answered);
    at_rest(control_plane).await;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Removal {
        from_answer: ms(last.saturating_duration_since(answered)),
        from_request: ms(last.saturating_duration_since(asked)),
        cpu: ms(usage::cpu_time(control_plane).saturating_sub(before)),
        memory: usage::memory_mib(control_plane),
    })
}

/// Waits until the watchers have seen that.
pub(crate) async fn until(
    seen: &RefCell<Seen>,
    what: &str,
    condition: impl Fn(&Seen) -> bool,
) -> Result<(), CallError> {
    let deadline = Instant::now() + PATIENCE;
    while !condition(&seen.borrow()) {
        if let Some(failure) = seen.borrow_mut().failure.take() {
            return Err(failed(format!("a watcher: {}", failure.0)));
        }
        if Instant::now() > deadline {
            let (ready, removed) = (seen.borrow().ready, seen.borrow().removed.len());
            return Err(failed(format!("waited in vain for: {what} ({ready} wait, {removed} have it)")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Waits until a process does next to nothing: then all watchers' questions have reached it.
async fn at_rest(process: u32) {
    const SAMPLE: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let before = usage::cpu_time(process);
        tokio::time::sleep(SAMPLE).await;
        if usage::cpu_time(process).saturating_sub(before) < SAMPLE.mul_f64(REST) {
            return;
        }
    }
}

// === the report ===

fn report(watchers: usize, memory: &Memory, removals: &[Removal]) -> Report {
    let of = |measure: fn(&Removal) -> f64| removals.iter().map(measure).collect::<Vec<_>>();
    let (from_answer, from_request) = (of(|r| r.from_answer), of(|r| r.from_request));
    let (cpu, after) = (median(&of(|r| r.cpu)), quantile(&of(|r| r.memory), 1.0));
    let number = f64::from(u32::try_from(watchers).unwrap_or(u32::MAX));
    let each_kib = (memory.watched - memory.alone) * 1024.0 / number;
    let mut table = format!("{watchers} watchers\n");
    let _ = writeln!(
        table,
        "the control plane: {:.0} MiB before, {:.0} MiB with them ({each_kib:.1} KiB each), {after:.0} MiB after removals, {:.0} MiB at most; {cpu:.0} ms of CPU for a removal",
        memory.alone, memory.watched, memory.peak
    );
    let _ = writeln!(
        table,
        "{:<28} {:>7} {:>8} {:>8}",
        "removal, until the last knows", "number", "p50 ms", "max ms"
    );
    for (name, values) in
        [("from the API's answer", &from_answer), ("from asking the API", &from_request)]
    {
        let _ = writeln!(
            table,
            "{name:<29} {:>7} {:>8.0} {:>8.0}",
            values.len(),
            median(values),
            quantile(values, 1.0)
        );
    }
    let json = json!({
        "number": watchers,
        "control_plane_alone_mib": rounded(memory.alone),
        "control_plane_mib": rounded(memory.watched),
        "control_plane_after_mib": rounded(after),
        "control_plane_peak_mib": rounded(memory.peak),
        "each_kib": rounded(each_kib),
        "removals": removals.len(),
        "removal_cpu_ms": rounded(cpu),
        "last_heard_p50_ms": rounded(median(&from_answer)),
        "last_heard_max_ms": rounded(quantile(&from_answer, 1.0)),
        "last_heard_since_request_p50_ms": rounded(median(&from_request)),
        "last_heard_since_request_max_ms": rounded(quantile(&from_request, 1.0)),
    });
    Report { json: Map::from_iter([("watchers".to_owned(), json)]), table }
}
