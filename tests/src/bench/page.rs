//! Section `page`: what the page's screens take with a long list, and what many pages cost that are open.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use fedgate_tests::control_plane::{ADMIN_PORT, ADMIN_TOKEN, FILTER_TOKEN};
use fedgate_tests::process::http;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::cores::Cores;
use super::load::failed;
use super::report::{Report, median, progress, quantile, rounded};
use super::site::Site;
use super::usage;

/// Partners on the list, each of which was seen.
const PARTNERS: usize = 10_000;
/// How often each screen is asked for.
const TIMES: usize = 40;
/// Pages that are open, and for how long that is watched.
const OPEN: u32 = 200;
const WATCHED: Duration = Duration::from_secs(80);
/// From one look of an open page to the next at least, and what chance adds: as its script does it.
const PAUSE: Duration = Duration::from_secs(10);
const CHANCE: Duration = Duration::from_secs(2);

const SCREENS: [(&str, &str); 11] = [
    ("home", "/page/"),
    ("partners", "/page/partners"),
    ("partners, the last page", "/page/partners?page=200"),
    ("partners, worst first", "/page/partners?sort=trouble"),
    ("partners in a state", "/page/partners?state=refused"),
    ("partners, searched", "/page/partners?text=d9999"),
    ("a partner", "/page/partners/d77.example"),
    ("refusals", "/page/refusals"),
    ("explain", "/page/explain?domain=d77.example"),
    ("list", "/page/list"),
    ("audit", "/page/audit"),
];

/// A connection of a browser that is logged in.
struct Browser {
    stream: BufReader<TcpStream>,
    cookie: String,
}

/// What open pages cost: shares of a core before, with and after them, since what runs beside them varies by itself.
struct Watched {
    before: f64,
    share: f64,
    after: f64,
    looks: usize,
}

/// Asks for screens, and has pages open.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Report, CallError> {
    cores.inspect(|cores| cores.be_server());
    let mut site = Site::start(&[], "");
    cores.inspect(|cores| cores.be_client());
    let domains: Vec<_> = (0..PARTNERS).map(|n| json!({"domain": format!("d{n}.example")})).collect();
    site.admin().put_all(&json!({"domains": domains}), false).map_err(failed)?;
    for part in 0..PARTNERS / 1000 {
        report_on(&site, (0..1000).map(|n| part * 1000 + n))?;
    }
    let url = site.control_plane.url();
    let at = SocketAddr::new(site.verdicts().ip(), ADMIN_PORT);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build().into();
    let entered = agent.post(format!("{url}/page/login")).header("origin", &url);
    let entered = entered.send_form([("token", ADMIN_TOKEN)]).map_err(failed)?;
    let cookie = entered.headers().get("set-cookie").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();

    let mut rows: Vec<(String, Vec<f64>, usize)> = Vec::new();
    runtime.block_on(async {
        let mut browser = Browser::open(at, &cookie).await?;
        for (name, path) in SCREENS {
            let (mut times, mut octets) = (Vec::new(), 0);
            for _ in 0..TIMES {
                let started = Instant::now();
                octets = browser.get(path).await?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            rows.push((name.to_owned(), times, octets));
        }
        // What was gathered just before is of no use after a change.
        let mut times = Vec::new();
        for n in 0..TIMES {
            site.admin().list(&format!("more{n}.example")).map_err(failed)?;
            let started = Instant::now();
            browser.get("/page/").await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        rows.push(("home, after a change".to_owned(), times, 0));
        Ok::<_, CallError>(())
    })?;
    progress(&format!("page: {} screens were asked for, {TIMES} times each", SCREENS.len()));

    let process = site.control_plane.process().id();
    let before = runtime.block_on(used(&site, process))?;
    let looks = Rc::new(Cell::new(0_usize));
    // The pages are gone with it.
    let share = LocalSet::new().block_on(runtime, async {
        for n in 0..OPEN {
            let (cookie, looks) = (cookie.clone(), looks.clone());
            tokio::task::spawn_local(async move {
                if let Err(CallError(error)) = watch(at, &cookie, n, &looks).await {
                    progress(&format!("page: an open page has ended: {error}"));
                }
            });
        }
        // Until all have looked once.
        tokio::time::sleep(PAUSE * 5).await;
        looks.set(0);
        used(&site, process).await
    })?;
    let after = runtime.block_on(used(&site, process))?;
    Ok(report(&rows, &Watched { before, share, after, looks: looks.get() }))
}

/// The share of a core that the control plane takes while a filter reports once a second.
async fn used(site: &Site, process: u32) -> Result<f64, CallError> {
    let (started, before) = (Instant::now(), usage::cpu_time(process));
    while started.elapsed() < WATCHED {
        report_on(site, 0..20)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let used = usage::cpu_time(process).saturating_sub(before);
    Ok(used.as_secs_f64() / started.elapsed().as_secs_f64())
}

/// What a filter tells of these.
fn report_on(site: &Site, numbers: impl Iterator<Item = usize>) -> Result<(), CallError> {
    let line = |n: usize| {
        let label = if n.is_multiple_of(10) { "authentication-failure" } else { "permitted" };
        let domain = format!("d{n}.example");
        json!({"domain": domain, "label": label, "count": 1, "first_ms": 0, "last_ms": 0})
    };
    let report = json!({
        "worker": "of-a-bench", "role": "ingress", "version": "9.9.9",
        "feed": {"heard_ms": 10, "whole": true, "entries": PARTNERS}, "lines": numbers.map(line).collect::<Vec<_>>(),
    });
    let url = format!("{}/v1/reports", site.control_plane.verdicts_url());
    let sent = http().post(url).header("authorization", format!("Bearer {FILTER_TOKEN}"));
    let answer = sent.send_json(report).map_err(failed)?;
    if answer.status() == 200 { Ok(()) } else { Err(failed(format!("a report: {}", answer.status()))) }
}

/// An open home page, as its script has it.
async fn watch(at: SocketAddr, cookie: &str, n: u32, looks: &Cell<usize>) -> Result<(), CallError> {
    let mut stream = Browser::open(at, cookie).await?;
    let mut browser = Browser::open(at, cookie).await?;
    // Who says nothing for long is a stranger.
    browser.get("/page/").await?;
    stream.ask("/page/live").await?;
    let spread = f64::from(n) / f64::from(OPEN);
    let mut last = Instant::now();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.stream.read_line(&mut line).await.map_err(failed)? == 0 {
            return Err(failed("the stream has ended".to_owned()));
        }
        if line.starts_with("data:") {
            let due = Instant::now().max(last + PAUSE) + CHANCE.mul_f64(spread);
            tokio::time::sleep_until(due.into()).await;
            last = Instant::now();
            browser.get("/page/").await?;
            looks.set(looks.get() + 1);
        }
    }
}

impl Browser {
    async fn open(at: SocketAddr, cookie: &str) -> Result<Self, CallError> {
        let stream = TcpStream::connect(at).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream: BufReader::new(stream), cookie: cookie.to_owned() })
    }

    async fn ask(&mut self, path: &str) -> Result<(), CallError> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: fedgate\r\ncookie: {}\r\nfedgate-live: 1\r\n\r\n",
            self.cookie
        );
        self.stream.write_all(request.as_bytes()).await.map_err(failed)
    }

    /// Asks for a page, and reads it; its size in octets.
    async fn get(&mut self, path: &str) -> Result<usize, CallError> {
        self.ask(path).await?;
        let (mut length, mut is_first) = (0, true);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.map_err(failed)?;
            if std::mem::take(&mut is_first) && !line.contains(" 200 ") {
                return Err(failed(format!("{path}: {}", line.trim())));
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(failed)?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.map_err(failed)?;
        Ok(length)
    }
}

fn report(rows: &[(String, Vec<f64>, usize)], watched: &Watched) -> Report {
    let mut table =
        format!("{:<28} {:>8} {:>8} {:>8} {:>8}\n", "page", "p50 ms", "p99 ms", "max ms", "KiB");
    let mut json: Map<String, Value> = Map::new();
    for (name, times, octets) in rows {
        let (p50, p99, max) = (median(times), quantile(times, 0.99), quantile(times, 1.0));
        let _ = writeln!(table, "{name:<28} {p50:>8.1} {p99:>8.1} {max:>8.1} {:>8}", octets / 1024);
        let values = json!({"p50_ms": rounded(p50), "p99_ms": rounded(p99), "max_ms": rounded(max), "octets": octets});
        json.insert(name.replace(", ", "_").replace(' ', "_"), values);
    }
    let Watched { looks, .. } = *watched;
    let [before, open, after] =
        [watched.before, watched.share, watched.after].map(|share| rounded(share * 100.0));
    let _ = writeln!(
        table,
        "{OPEN} open pages, {looks} looks in {WATCHED:?}: {open} % of a core; {before} % before, {after} % after"
    );
    let values =
        json!({"cpu_percent": open, "before_percent": before, "after_percent": after, "looks": looks});
    json.insert("open_pages".to_owned(), values);
    Report { json: Map::from_iter([("page".to_owned(), json.into())]), table }
}
