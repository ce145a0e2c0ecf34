//! `fedgate check`: the tester, for people, as JSON, and as JUnit's XML; once, or again and again.

use std::io::{self, IsTerminal, stderr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fedgate_check::{Check, Finding, Ledger, Outcome, Progress, Report, Severity};
use fedgate_policy::Domain;
use serde_json::{Value, json};

use super::check_envoy::Source;
use super::check_own::OwnArgs;
use super::check_peer::PeerArgs;
use super::{Error, print};
use crate::spelling;

pub(super) const HELP: &str = "\
Examples:
  fedgate check company-a.com                    is the other side set up right?
  fedgate check --envoy http://127.0.0.1:9901    is our Envoy set up right?
  fedgate check company-a.com --own-domain company-b.com --certificate client.pem --key client.key --trust trust.pem
                                                 and do they let us in?
  fedgate check company-a.com --config /etc/fedgate.toml --watch 1m
  fedgate check --self --own-domain company-b.com
                                                 and are we? certificates are those of /etc/fedgate/tls

Each finding has a code, which is a heading in docs/check.md.
Exit codes: 0 nothing above info, 1 errors, 2 wrong use, 3 warnings at most.";

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    what: What,
    /// Look again so often, until interrupted, and tell what has changed; with --json, a line for each time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    /// Warnings are no failure: end with 0 unless there are errors
    #[arg(long)]
    allow_warnings: bool,
    /// Write what came out into this file also, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    own: OwnArgs,
    // Last, since its heading holds of what follows.
    #[command(flatten)]
    peer: PeerArgs,
}

/// What is looked at.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Another backend's domain, e.g. company-a.com
    #[arg(value_parser = spelling::domain)]
    domain: Option<Domain>,
    /// An Envoy: the URL of its admin interface; or a file with what that answers at
    /// `/config_dump?include_eds`, or the one that Envoy starts with
    #[arg(long, value_name = "URL|FILE")]
    envoy: Option<Source>,
    /// Our own side: certificates, keys and trust bundle, our SRV record, and the ingress that it leads to
    #[arg(long = "self")]
    own: bool,
}

/// Looks, and tells.
pub(super) async fn run(args: CheckArgs, json: bool) -> Result<(), Error> {
    let mut before = None;
    loop {
        let is_first = before.is_none();
        let mut tell = |progress: Progress<'_>| {
            if !json && is_first {
                told_live(progress);
            }
        };
        let looking = Box::pin(look(&args, Ledger::new(&mut tell)));
        let Some(looked) = unless_interrupted(looking).await? else {
            return interrupted(&args, before.as_ref());
        };
        let pause = match (looked, args.watch) {
            (Ok(report), pause) => {
                if let Some(path) = &args.junit {
                    std::fs::write(path, report.to_junit())?;
                }
                let Some(pause) = pause else { return ended(&args, &report, json) };
                if json {
                    print::live_json(&serde_json::to_value(&report).unwrap_or(Value::Null))?;
                } else if let Some(before) = &before {
                    changes(before, &report).iter().try_for_each(print::live_line)?;
                } else {
                    print::live_line(summary(&report))?;
                }
                before = Some(report);
                pause
            }
            (Err(error), None) => return Err(error),
            // What cannot be looked at now may be there the next time.
            (Err(error), Some(pause)) => {
                print::remark(format_args!("not looked at this time: {error}"));
                pause
            }
        };
        if unless_interrupted(tokio::time::sleep(pause)).await?.is_none() {
            return interrupted(&args, before.as_ref());
        }
    }
}

/// What it comes to, unless Ctrl-C comes first.
async fn unless_interrupted<T>(work: impl Future<Output = T>) -> io::Result<Option<T>> {
    tokio::select! {
        done = work => Ok(Some(done)),
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| None),
    }
}

/// How it ends then: by what was looked at last; before anything was, as shells have it for SIGINT.
fn interrupted(args: &CheckArgs, last: Option<&Report>) -> Result<(), Error> {
    last.map_or(Err(Error::Found { what: "interrupted".to_owned(), code: 130 }), |report| {
        verdict(args, report)
    })
}

async fn look(args: &CheckArgs, mut ledger: Ledger<'_>) -> Result<Report, Error> {
    if let Some(source) = &args.what.envoy {
        return source.look(ledger).await;
    }
    if let Some(domain) = &args.what.domain {
        args.peer.look(&mut ledger, domain).await?;
        return Ok(ledger.close(domain.to_string()));
    }
    if args.what.own {
        args.peer.look_at_us(&mut ledger, &args.own).await?;
        return Ok(ledger.close("self"));
    }
    Ok(ledger.close(""))
}

fn ended(args: &CheckArgs, report: &Report, json: bool) -> Result<(), Error> {
    if json {
        print::json(&json!(report))?;
    } else {
        print::line(summary(report))?;
    }
    verdict(args, report)
}

/// The exit code, where it is another than 0.
fn verdict(args: &CheckArgs, report: &Report) -> Result<(), Error> {
    if args.allow_warnings && report.severity() < Some(Severity::Error) {
        return Ok(());
    }
    match report.exit_code() {
        0 => Ok(()),
        code => Err(Error::Found { what: summary(report), code }),
    }
}

/// What has just begun stands on the terminal alone, until it has ended.
fn told_live(progress: Progress<'_>) {
    match progress {
        Progress::Begins(section, claim) if stderr().is_terminal() => {
            print::remark(format_args!("… {section}: {claim}?"));
        }
        Progress::Begins(..) => {}
        // A reader that has seen enough is no error; one that cannot be written to is told of at the end.
        Progress::Ended(check) => {
            let _ = lines(check).iter().try_for_each(print::line);
        }
    }
}

fn lines(check: &Check) -> Vec<String> {
    let Check { section, claim, outcome } = check;
    match outcome {
        Outcome::Passed { seen } => vec![format!("ok       {section}: {claim}: {seen}")],
        Outcome::NotLookedAt { because } => {
            vec![format!("-        {section}: {claim}: not looked at, because {because}")]
        }
        Outcome::Found { findings } => {
            findings.iter().flat_map(|finding| finding_lines(section, claim, finding)).collect()
        }
    }
}

fn finding_lines(section: &str, claim: &str, Finding { code, seen }: &Finding) -> Vec<String> {
    let mut lines = vec![format!("{:<8} {section}: {claim}: {}", mark(code.severity), code.name)];
    for (name, text) in
        [("expected", code.expected), ("seen", seen), ("cure", code.cure), ("more", &code.page())]
    {
        lines.push(format!("{:9}{name:<10}{text}", ""));
    }
    lines
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
    }
}

fn summary(report: &Report) -> String {
    let count =
        |wanted: Severity| report.findings().filter(|finding| finding.code.severity == wanted).count();
    let outcomes = |wanted: fn(&Outcome) -> bool| {
        report.checks.iter().filter(|check| wanted(&check.outcome)).count()
    };
    format!(
        "{}: {} errors, {} warnings, {} infos; {} passed, {} not looked at",
        report.subject,
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Info),
        outcomes(|outcome| matches!(outcome, Outcome::Passed { .. })),
        outcomes(|outcome| matches!(outcome, Outcome::NotLookedAt { .. })),
    )
}

/// What is otherwise than the time before.
fn changes(before: &Report, now: &Report) -> Vec<String> {
    let gone = before.checks.iter().filter(|check| !check.findings().is_empty()).flat_map(|old| {
        old.findings()
            .iter()
            .filter(|&finding| !holds(now, old, finding) && is_looked_at(now, old))
            .map(|finding| format!("gone     {}: {}: {}", old.section, old.claim, finding.code.name))
    });
    let new = now.checks.iter().flat_map(|check| {
        check
            .findings()
            .iter()
            .filter(|&finding| !holds(before, check, finding))
            .flat_map(|finding| finding_lines(&check.section, &check.claim, finding))
    });
    let mut lines: Vec<_> = gone.chain(new).collect();
    if !lines.is_empty() {
        lines.push(summary(now));
    }
    lines
}

/// Whether a report has this kind of finding in the same place.
fn holds(report: &Report, place: &Check, finding: &Finding) -> bool {
    count(report, place, finding) >= ordinal(place, finding)
}

/// How many findings of its kind stand in the same place.
fn count(report: &Report, place: &Check, finding: &Finding) -> usize {
    let same = report.checks.iter().filter(|it| it.section == place.section && it.claim == place.claim);
    same.flat_map(Check::findings).filter(|it| it.code == finding.code).count()
}

/// The how manieth of its kind it is there, from 1.
fn ordinal(place: &Check, finding: &Finding) -> usize {
    let before = place.findings().iter().take_while(|it| !std::ptr::eq(*it, finding));
    before.filter(|it| it.code == finding.code).count().saturating_add(1)
}

/// Whether what was looked at then was looked at again: only then something can be gone.
fn is_looked_at(report: &Report, place: &Check) -> bool {
    report.checks.iter().any(|it| {
        it.section == place.section
            && it.claim == place.claim
            && !matches!(it.outcome, Outcome::NotLookedAt { .. })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fill: impl FnOnce(&mut Ledger<'_>)) -> Report {
        let mut ignore = |_: Progress<'_>| ();
        let mut ledger = Ledger::new(&mut ignore);
        ledger.section("DNS");
        fill(&mut ledger);
        ledger.close("a.com")
    }

    fn found(times: usize) -> Report {
        let code = fedgate_check::peer::CODES[0];
        let finding = || Finding { code, seen: "so".to_owned() };
        report(|ledger| ledger.judged("it is", (0..times).map(|_| finding()).collect(), "so"))
    }

    #[test]
    fn what_is_new_and_what_is_gone_is_told_and_nothing_that_was_not_looked_at() {
        let marks = |before: &Report, now: &Report| -> Vec<String> {
            let lines = changes(before, now);
            let marked = lines.iter().filter(|line| line.contains("DNS: it is"));
            marked.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        };
        let passed = report(|ledger| ledger.passed("it is", "so"));
        let skipped = report(|ledger| ledger.not_looked_at("it is", "DNS is away"));
        for (before, now, expected) in [
            (&found(1), &found(1), &[][..]),
            (&found(1), &passed, &["gone"]),
            (&found(1), &skipped, &[]),
            (&found(1), &report(|_| ()), &[]),
            (&passed, &found(1), &["ERROR"]),
            (&found(1), &found(2), &["ERROR"]),
            (&found(2), &found(1), &["gone"]),
        ] {
            assert_eq!(marks(before, now), expected, "{before:?} {now:?}");
        }
    }
}
