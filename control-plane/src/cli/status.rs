//! `fedgate status`: how it stands with all of it, on one screen.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use unicode_width::UnicodeWidthStr;

use super::client::Client;
use super::words::line;
use super::{Error, Remote, print, table};
use crate::contract::{StatusBody, StatusFinding};
use crate::plain::Plain;

pub(super) const HELP: &str = "\
Examples:
  fedgate status                                 what needs somebody, worst first, and the command to go on with
  fedgate status --watch 5s

Exit codes: 0 nothing is in trouble, 1 something is; warnings alone are no trouble.";

/// Lines that findings have on the first screen; the lines above them have the rest of 24.
const LINES: usize = 15;
/// No text is made shorter than this, whatever the terminal.
const SHORTEST: usize = 40;
/// How many findings of one kind are told, at most.
const OF_A_KIND: usize = 6;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Look again after so long, for ever
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(StatusArgs { watch, remote }: StatusArgs, json: bool) -> Result<(), Error> {
    let client = Client::new(&remote)?;
    loop {
        let answer = client.get(&["status"]).await?;
        let status: StatusBody = answer.read()?;
        if json {
            let value = answer.json()?;
            if watch.is_some() { print::live_json(&value)? } else { print::json(&value)? }
        } else {
            if watch.is_some() {
                print::clear()?;
            }
            told(&status, table::width()).iter().try_for_each(print::live_line)?;
        }
        let Some(pause) = watch else {
            let is_trouble = status.findings.iter().any(|it| it.severity == "trouble");
            let what = "something is in trouble".to_owned();
            return if is_trouble { Err(Error::Found { what, code: 1 }) } else { Ok(()) };
        };
        tokio::time::sleep(pause).await;
    }
}

/// The screen.
fn told(status: &StatusBody, room: Option<usize>) -> Vec<String> {
    let StatusBody { version, started_at, store, list, dns, partners, .. } = status;
    let size = store.octets / 1024;
    let writable = if store.writable { "writable" } else { "NOT WRITABLE" };
    let kinds = [(list.shadowed, "in shadow"), (list.blocked, "blocked"), (list.expired, "expired")];
    let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
    let mut entries = vec![
        list.strategy.clone(),
        format!("revision {}", list.revision),
        format!("{} allowed", list.allowed),
    ];
    entries.extend(kinds.map(|(count, what)| format!("{count} {what}")));
    let dns =
        dns.failing_since.as_ref().map_or("no outage".to_owned(), |at| format!("FAILS since {at}"));
    let counts: Vec<_> = partners.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let mut lines = vec![
        line("fedgate", &format!("{version}, up since {started_at}")),
        line("store", &format!("{}, {size} KiB, schema {}, {writable}", store.place, store.schema)),
        line("list", &entries.join(", ")),
        line("dns", &dns),
        line("envoys", &told_of_envoys(status)),
        line("partners", &counts),
    ];
    lines.extend(list.file.as_ref().map(|file| {
        let step = match (&file.cause, file.conflict_count) {
            (Some(_), _) => "NOT KEPT IN STEP".to_owned(),
            (None, 0) => "in step".to_owned(),
            (None, count) => format!("in step but for {count}"),
        };
        line("list file", &format!("{}, {} entries, {step}", file.path, file.entries))
    }));
    lines.extend(status.brig.as_ref().map(|brig| {
        let step = if brig.in_step { "in step" } else { "NOT IN STEP" };
        line("brig", &format!("{}, {step}", brig.mode))
    }));
    lines.push(String::new());
    lines.extend(findings(&status.findings, partners, room));
    lines
}

fn told_of_envoys(status: &StatusBody) -> String {
    let envoys = &status.envoys;
    let mut versions: Vec<_> = envoys.filters.iter().flat_map(|it| &it.versions).collect();
    versions.sort_unstable();
    versions.dedup();
    let workers = envoys.filters.iter().fold(0_usize, |sum, it| sum.saturating_add(it.workers));
    let versions: Vec<_> = versions.into_iter().map(String::as_str).collect();
    let versions =
        if versions.is_empty() { String::new() } else { format!(" of {}", versions.join(", ")) };
    let (streams, polls) = (envoys.stream_count, envoys.polls);
    format!("{streams} xDS streams, {polls} filters wait for news, {workers} workers report{versions}")
}

/// The findings, worst first, of each kind as many as there is room for.
fn findings(
    findings: &[StatusFinding],
    partners: &BTreeMap<String, usize>,
    room: Option<usize>,
) -> Vec<String> {
    if findings.is_empty() {
        return vec!["all is well".to_owned()];
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for it in findings {
        let count = counts.entry(&it.code).or_default();
        *count = count.saturating_add(1);
    }
    let lines = |cap: usize| -> usize {
        counts.values().map(|count| (*count).min(cap).saturating_add(usize::from(*count > cap))).sum()
    };
    let cap = (1..=OF_A_KIND).rev().find(|cap| lines(*cap) <= LINES).unwrap_or(1);
    let (mut told, mut seen) = (Vec::new(), BTreeMap::new());
    for it in findings {
        let count: &mut usize = seen.entry(&*it.code).or_default();
        *count = count.saturating_add(1);
        if *count <= cap {
            let sign = if it.severity == "trouble" { '!' } else { '-' };
            let text = shortened(&it.text, room.map(|room| room.saturating_sub(it.next.width())));
            told.push(format!("{sign} {text} → {}", it.next));
        } else if *count == cap.saturating_add(1) {
            // Of partners in one state, all are counted, and some are told.
            let state = it.code.strip_prefix("partner-").and_then(|state| partners.get_key_value(state));
            let told_of = counts.get(&*it.code).copied().unwrap_or_default();
            let (all, next) = match state {
                Some((state, all)) => (*all, format!("fedgate partner list --state {state}")),
                None => (told_of, "fedgate status --json".to_owned()),
            };
            told.push(format!("  … and {} more like this → {next}", all.saturating_sub(cap)));
        }
    }
    told
}

/// As much of a text as leaves what stands beside it on the same line of a terminal; the command has to be whole.
fn shortened(text: &str, room: Option<usize>) -> String {
    let text = Plain(text).to_string();
    room.map_or(text.clone(), |room| {
        table::cut(&text, room.saturating_sub("!  → ".width()).max(SHORTEST))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: &str, number: usize) -> StatusFinding {
        StatusFinding {
            code: code.to_owned(),
            severity: "trouble".to_owned(),
            domain: None,
            text: format!("{code} {number}"),
            next: "fedgate check".to_owned(),
        }
    }

    #[test]
    fn every_kind_of_trouble_is_on_the_first_screen() {
        let kinds =
            ["dns-failing", "envoy-silent", "partner-refused", "partner-unreachable", "not-listed"];
        let partners = [("refused".to_owned(), 4711)].into();
        let all: Vec<_> =
            kinds.iter().flat_map(|code| (0..50).map(|number| finding(code, number))).collect();
        let told = findings(&all, &partners, None);
        assert!(told.len() <= LINES, "{told:#?}");
        for code in kinds {
            assert!(told.contains(&format!("! {code} 0 → fedgate check")), "{told:#?}");
        }
        let more = "  … and 4709 more like this → fedgate partner list --state refused";
        assert!(told.iter().any(|line| line == more), "{told:#?}");
        assert_eq!(findings(&[], &partners, None), ["all is well"]);
        let two = ["! dns-failing 0 → fedgate check", "! dns-failing 1 → fedgate check"];
        assert_eq!(findings(&all[..2], &partners, None), two);
    }

    #[test]
    fn on_a_terminal_a_text_gives_way_to_the_command() {
        let long = StatusFinding { text: "x".repeat(200), ..finding("a", 0) };
        let told = findings(std::slice::from_ref(&long), &BTreeMap::new(), Some(80));
        assert_eq!(told[0].width(), 80);
        assert!(told[0].ends_with("x… → fedgate check"), "{told:?}");
        assert!(findings(&[long], &BTreeMap::new(), None)[0].len() > 200);
    }
}
