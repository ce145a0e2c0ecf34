//! Does to two backends of real programs what can be done to them, while a checker looks on.

#![allow(clippy::print_stderr, reason = "a program for people, whose progress goes to stderr")]

#[path = "../torture/mod.rs"]
mod torture;

use std::fs;
use std::future::IntoFuture as _;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use clap::{Parser, Subcommand};
use fedgate_tests::artifacts::repository;
use fedgate_tests::backend::PORTS;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use torture::book::Book;
use torture::facts::Wrong;
use torture::schedule::Selection;
use torture::{Settings, report, writes};

/// Torture two backends: kill, stop, slow down and garble every part of them, at random and one fault after the
/// other, while calls flow in both directions and a checker says what is wrong.
///
/// All real, on loopback addresses and in namespaces of its own; the machine's clock, mounts and network are left
/// alone. Progress goes to standard error, the summary to standard output; the exit code is 1 if anything was
/// wrong. docs/reliability.md says what is checked. Ctrl-C ends it early, with a summary.
#[derive(Debug, Parser)]
#[command(name = "scripts/torture", args_conflicts_with_subcommands = true)]
struct Args {
    /// For how many minutes
    #[arg(long, default_value_t = 30, conflicts_with = "hours")]
    minutes: u64,
    /// For how many hours
    #[arg(long)]
    hours: Option<u64>,
    /// Chooses faults, their order and their times; the same again gives the same [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these faults: a component, or component:kind; e.g. `envoy,control-plane:kill` [default: all]
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Selection>,
    /// Where the report as JSON goes, and logs if anything is wrong [default: target/torture/SEED]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Try the checker itself: the filters let everything pass, to which it has to object
    #[arg(long)]
    shadow: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// kill -9 the control plane at random moments while writes are acknowledged, and compare the list with them
    Writes {
        /// How many acknowledged writes it takes
        #[arg(long, default_value_t = 5000)]
        count: usize,
        /// Chooses writes and moments [default: a new one]
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Be the service behind an ingress
    #[command(hide = true)]
    Component {
        /// Where
        ip: Ipv4Addr,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::Component { ip }) => component(ip),
        Some(Command::Writes { count, seed }) => torture_writes(count, seed.unwrap_or_else(new_seed)),
        None => campaign(&args),
    }
}

fn campaign(args: &Args) -> ExitCode {
    let seed = args.seed.unwrap_or_else(new_seed);
    let minutes = args.hours.map_or(args.minutes, |hours| hours * 60);
    let dir = args.dir.clone().unwrap_or_else(|| repository().join(format!("target/torture/{seed}")));
    fs::create_dir_all(&dir).expect("a folder for the report");
    eprintln!("torture: seed {seed}, {minutes} minutes; starting two backends");
    let book = Arc::new(Book::new());
    stop_on_signals(&book);
    let lasts = Duration::from_secs(minutes * 60);
    let settings = Settings { lasts, seed, selected: &args.faults, shadow: args.shadow, dir: &dir };
    let lacking = torture::run(&settings, &book);
    let (now, pages) = (book.now(), book.pages());
    let file = dir.join("report.json");
    let written = fs::write(&file, format!("{:#}\n", report::json(seed, &pages, now, &lacking)));
    let text = report::table(seed, &pages, now, &lacking);
    end(written.and_then(|()| writeln!(io::stdout(), "{text}\nreport: {}", file.display())), &pages)
}

fn torture_writes(count: usize, seed: u64) -> ExitCode {
    eprintln!("torture: seed {seed}, {count} writes");
    let book = Arc::new(Book::new());
    stop_on_signals(&book);
    let tally = writes::run(count, seed, &book);
    let pages = book.pages();
    let lost = pages.violations.iter().filter(|told| told.violation.kind == Wrong::Lost).count();
    let text = format!(
        "seed {seed}: {} writes acknowledged, {} without an answer, {} times killed: {lost} lost",
        tally.acknowledged, tally.unknown, tally.kills
    );
    end(writeln!(io::stdout(), "{text}"), &pages)
}

fn end(told: io::Result<()>, pages: &torture::book::Pages) -> ExitCode {
    if let Err(error) = told {
        eprintln!("torture: cannot tell: {error}");
        return ExitCode::FAILURE;
    }
    if pages.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A number that is easy to type.
fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() % 1_000_000
}

fn stop_on_signals(book: &Arc<Book>) {
    let book = Arc::clone(book);
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            eprintln!("torture: ending");
            book.stop();
            // For as long as the programs that got the same signal are waited for.
            std::future::pending::<()>().await;
        });
    });
}

/// Answers every call, and remembers none.
fn component(ip: Ipv4Addr) -> ExitCode {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let [brig, ..] = PORTS;
        let listener = tokio::net::TcpListener::bind((ip, brig)).await.expect("a free port");
        let router = Router::new().fallback(async || axum::Json(serde_json::json!({})));
        let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
        tokio::select! {
            served = axum::serve(listener, router).into_future() => served.expect("it serves"),
            _ = terminated.recv() => {}
        }
    });
    ExitCode::SUCCESS
}
