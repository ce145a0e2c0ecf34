//! Section `list`: a long list that is put at once, read in pages, and known to filters.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::feed::Reader;
use super::load::failed;
use super::report::{Report, median, progress, quantile, rounded};
use super::site::Site;

/// Domains on the list.
const DOMAINS: usize = 10_000;
/// How often all of them are put and taken off.
const TURNS: usize = 10;
/// Pages of each kind in a turn; no more than a token may ask for.
const PAGES: usize = 20;
/// How long a filter may take to know of all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pages of a hundred domains, by what is asked for.
const KINDS: [(&str, &str); 4] = [
    ("from anywhere", "after=d{}.example"),
    ("with a text", "text={}"),
    ("by an action that none has", "action=block"),
    ("by a state that none has", "state=stale"),
];

/// What one turn took, in milliseconds.
#[derive(Default)]
struct Turns {
    put: Vec<f64>,
    /// From the answer to a put of all until a filter has all.
    known: Vec<f64>,
    /// The same list again.
    same: Vec<f64>,
    single: Vec<f64>,
    pages: [Vec<f64>; KINDS.len()],
}

/// Puts, reads, and takes off.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Report, CallError> {
    cores.inspect(|cores| cores.be_server());
    let site = Site::start(&[], "");
    let admin = site.admin();
    cores.inspect(|cores| cores.be_client());
    let domains: Vec<_> = (0..DOMAINS).map(|n| json!({"domain": format!("d{n}.example")})).collect();
    let all = json!({"domains": domains});
    let mut reader = runtime.block_on(async {
        let mut reader = Reader::open(site.verdicts()).await?;
        reader.catch_up().await?;
        Ok::<_, CallError>(reader)
    })?;
    let mut turns = Turns::default();
    for turn in 1..=TURNS {
        turns.put.push(timed(|| admin.put_all(&all, false))?);
        let answered = Instant::now();
        runtime.block_on(hear(&mut reader, "verdicts"))?;
        turns.known.push(answered.elapsed().as_secs_f64() * 1e3);
        turns.same.push(timed(|| admin.put_all(&all, false))?);
        for n in 0..PAGES {
            for ((_, query), times) in KINDS.iter().zip(&mut turns.pages) {
                let query = query.replace("{}", &(n * DOMAINS / PAGES).to_string());
                times.push(timed(|| admin.page(&query))?);
            }
            turns.single.push(timed(|| admin.list(&format!("more{n}.example")))?);
        }
        runtime.block_on(reader.catch_up())?;
        admin.put_all(&json!({"domains": []}), true).map_err(failed)?;
        runtime.block_on(hear_gone(&mut reader))?;
        progress(&format!("list: turn {turn} of {TURNS}"));
    }
    Ok(report(&turns))
}

fn timed(act: impl FnOnce() -> Result<(), String>) -> Result<f64, CallError> {
    let started = Instant::now();
    act().map_err(failed)?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// Reads until so many domains have come as were put.
async fn hear(reader: &mut Reader, member: &str) -> Result<(), CallError> {
    count(reader, DOMAINS, |page| page[member].as_array().map_or(0, Vec::len)).await
}

/// Reads until all are gone: told one by one, or by a new table that has none.
async fn hear_gone(reader: &mut Reader) -> Result<(), CallError> {
    let gone = |page: &Value| {
        let told = page["removed"].as_array().map_or(0, Vec::len);
        if page["reset"] == true { DOMAINS + PAGES } else { told }
    };
    count(reader, DOMAINS + PAGES, gone).await
}

async fn count(
    reader: &mut Reader,
    wanted: usize,
    of: impl Fn(&Value) -> usize,
) -> Result<(), CallError> {
    let deadline = Instant::now() + PATIENCE;
    let mut heard = 0;
    while heard < wanted {
        if Instant::now() > deadline {
            return Err(failed(format!("a filter heard of {heard} domains only, of {wanted}")));
        }
        heard += of(&reader.next(Duration::from_secs(1)).await?);
    }
    Ok(())
}

fn report(turns: &Turns) -> Report {
    let pages = KINDS.iter().zip(&turns.pages).map(|((kind, _), times)| (format!("page {kind}"), times));
    let rows = [
        (format!("{DOMAINS} domains, put at once"), &turns.put),
        ("until a filter knows all".to_owned(), &turns.known),
        ("the same list again".to_owned(), &turns.same),
        ("one more domain".to_owned(), &turns.single),
    ];
    let mut table =
        format!("{:<32} {:>7} {:>8} {:>8} {:>8}\n", "list", "number", "p50 ms", "p99 ms", "max ms");
    let mut json = Map::new();
    for (name, times) in rows.into_iter().chain(pages) {
        let (p50, p99, max) = (median(times), quantile(times, 0.99), quantile(times, 1.0));
        let _ = writeln!(table, "{name:<32} {:>7} {p50:>8.1} {p99:>8.1} {max:>8.1}", times.len());
        let values = json!({"p50_ms": rounded(p50), "p99_ms": rounded(p99), "max_ms": rounded(max)});
        json.insert(name.replace(' ', "_"), values);
    }
    Report { json: Map::from_iter([("list".to_owned(), json.into())]), table }
}
