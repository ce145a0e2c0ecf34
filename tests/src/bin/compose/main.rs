//! Brings `docker-compose.yml` up, and sees from outside that its two backends federate as they should,
//! also after parts of them died.

#![allow(clippy::print_stderr, reason = "a program for people, whose progress goes to stderr")]

mod deaths;
mod project;
mod several;
mod stage;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use deaths::Play;
use fedgate_tests::checkup;
use fedgate_tests::scenario::{self, Scenario};
use project::Project;
use several::Several;
use stage::Containers;

/// Bring up docker-compose.yml, call from outside, kill parts and start them again, and take it down.
///
/// One line for each scenario, `ok|FAIL <name> <status> <label>`; fails if one fails.
#[derive(Debug, Parser)]
#[command(name = "scripts/test compose")]
struct Args {
    /// Leave everything running at the end
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match play(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compose: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was as it should be.
fn play(args: &Args) -> Result<bool, String> {
    let project = Project::start(args.keep)?;
    let mut stage = Containers::set(project)?;
    let mut scenarios = vec![];
    let mut tell = |scenario: Scenario| {
        eprintln!("compose: {scenario}");
        scenarios.push(scenario);
    };
    scenario::play(&mut stage, &mut tell);
    checkup::look(&stage, &mut tell);
    Play { stage: &stage, tell: &mut tell }.play();
    Several { stage: &stage, tell: &mut tell }.play();

    let failed: Vec<_> = scenarios.iter().filter(|scenario| !scenario.is_ok()).collect();
    if !failed.is_empty() {
        eprintln!("{}", stage.project.logs());
    }
    for scenario in &failed {
        eprintln!("compose: {scenario}, but expected {:?}: {}", scenario.expected, scenario.message());
    }
    told(&scenarios, failed.len()).map_err(|error| error.to_string())?;
    if args.keep {
        eprintln!("compose: left running; {} …", stage.project.describe());
    }
    Ok(failed.is_empty())
}

fn told(scenarios: &[Scenario], failed: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for scenario in scenarios {
        writeln!(out, "{scenario}")?;
    }
    writeln!(out, "{} passed, {failed} failed", scenarios.len() - failed)
}
