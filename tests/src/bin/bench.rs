//! Measures Fedgate beside other ways of doing its work on Envoy; everything real, all on loopback.

#![allow(clippy::print_stderr, reason = "a program for people, whose progress goes to stderr")]

#[path = "../bench/mod.rs"]
mod bench;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use fedgate_tests::caller::CallError;
use serde_json::{Map, Value};

use bench::cores::Cores;
use bench::report::{Report, progress};
use bench::{
    discovery, egress, fresh, ha, list, many, page, revocation, scale, strangers, variants, watchers,
};

/// Measure what a decision costs, on kept connections and on fresh ones, what a call costs all the way, how soon a revocation holds, how fast
/// discovery is, what long lists, the page and many filters take, and what a crowd of strangers takes away.
///
/// Envoys and control plane share one core, the client has another. Progress goes to standard
/// error, the result to standard output. docs/performance.md says what the keys of the JSON mean.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Rounds of the sections `variants`, `fresh`, `egress` and `scale`
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Requests to each of their Envoys in a round; in `fresh`, a tenth or a quarter of them
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    requests: u32,
    /// Filters that wait in the section `watchers`; each takes an open file here and one in the control plane
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    watchers: u16,
    /// Strangers in the section of that name; each takes an open file here and one in Envoy
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    strangers: u16,
    /// What to measure
    #[arg(value_enum, default_value_t = Section::All)]
    section: Section,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    Variants,
    Fresh,
    Egress,
    Revocation,
    Discovery,
    Scale,
    List,
    Page,
    Watchers,
    Strangers,
    Ha,
    Many,
    All,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let reports = match measure(&args) {
        Ok(reports) => reports,
        Err(CallError(error)) => {
            eprintln!("bench: {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = if args.json { tell_machines(reports) } else { tell_people(&reports) };
    if let Err(error) = told {
        eprintln!("bench: cannot print: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(args: &Args) -> Result<Vec<Report>, CallError> {
    let cores = Cores::share_out();
    let cores = cores.as_ref();
    if cores.is_none() {
        progress("there is only one core, so that the client disturbs what it measures");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CallError(error.to_string()))?;
    let wanted = |section| [section, Section::All].contains(&args.section);
    let mut reports = vec![];
    let (rounds, requests) = (args.rounds.into(), args.requests as usize);
    if wanted(Section::Variants) {
        reports.push(variants::measure(&runtime, cores, rounds, requests)?);
    }
    if wanted(Section::Fresh) {
        reports.push(fresh::measure(&runtime, cores, rounds, requests)?);
    }
    if wanted(Section::Egress) {
        reports.push(egress::measure(&runtime, cores, rounds, requests)?);
    }
    if wanted(Section::Revocation) {
        reports.push(revocation::measure(&runtime, cores)?);
    }
    if wanted(Section::Discovery) {
        reports.push(discovery::measure(&runtime, cores)?);
    }
    if wanted(Section::Scale) {
        reports.push(scale::measure(&runtime, cores, rounds, requests)?);
    }
    if wanted(Section::List) {
        reports.push(list::measure(&runtime, cores)?);
    }
    if wanted(Section::Page) {
        reports.push(page::measure(&runtime, cores)?);
    }
    if wanted(Section::Watchers) {
        reports.push(watchers::measure(&runtime, cores, args.watchers.into())?);
    }
    if wanted(Section::Strangers) {
        reports.push(strangers::measure(&runtime, cores, args.strangers.into())?);
    }
    if wanted(Section::Ha) {
        reports.push(ha::measure(&runtime, cores)?);
    }
    if wanted(Section::Many) {
        reports.push(many::measure(&runtime, cores)?);
    }
    Ok(reports)
}

fn tell_machines(reports: Vec<Report>) -> io::Result<()> {
    let all: Map<String, Value> = reports.into_iter().flat_map(|report| report.json).collect();
    writeln!(io::stdout(), "{}", Value::from(all))
}

fn tell_people(reports: &[Report]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for report in reports {
        writeln!(out, "{}", report.table)?;
    }
    Ok(())
}
