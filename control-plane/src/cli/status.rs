//! `fedgate status`: how it stands with all of it, on one screen.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::client::{Client, ClientError};
use super::words::{NAME, line};
use super::{Error, Remote, print, table};
use crate::contract::{StatusBody, StatusFinding};
use crate::plain::Plain;

pub(super) const HELP: &str = "\
Examples:
  fedgate status                                 what needs somebody, worst first, and the command to go on with
  fedgate status --watch 5s

Exit codes: 0 nothing is in trouble, 1 something is, or nobody could be asked; warnings alone are no trouble.";

/// Rows of the first screen: those of a terminal, but for the one with the prompt.
const ROWS: usize = 23;
/// How many findings of one kind are told, at most.
const OF_A_KIND: usize = 6;
/// Rows that the text of a finding may have on a terminal: the first with which every kind has its place.
const OF_A_TEXT: [usize; 3] = [4, 2, 1];
/// How far the further rows of a finding stand in.
const INDENT: usize = 2;

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
        let (status, value) = match (look(&client).await, watch) {
            (Ok(told), _) => told,
            (Err(error), None) => return Err(error.into()),
            // Who cannot be asked now may be there the next time.
            (Err(error), Some(pause)) => {
                print::remark(format_args!("not looked at this time: {error}"));
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        if json {
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

/// What the control plane says of itself: as it is read, and as it came.
async fn look(client: &Client) -> Result<(StatusBody, Value), ClientError> {
    let answer = client.get(&["status"]).await?;
    Ok((answer.read()?, answer.json()?))
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
    let mut lines: Vec<_> =
        lines.iter().flat_map(|it| table::wrapped(it, room, usize::MAX, NAME)).collect();
    lines.push(String::new());
    lines.extend(findings(&status.findings, partners, room, ROWS.saturating_sub(lines.len())));
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

/// The findings, worst first: of each kind as many as there is room for in so many rows, and as much of each.
fn findings(
    findings: &[StatusFinding],
    partners: &BTreeMap<String, usize>,
    room: Option<usize>,
    rows: usize,
) -> Vec<String> {
    if findings.is_empty() {
        return vec!["all is well".to_owned()];
    }
    let ways = OF_A_TEXT.iter().flat_map(|text| (1..=OF_A_KIND).rev().map(|cap| (cap, *text)));
    let mut told = Vec::new();
    for (cap, text) in ways {
        told = capped(findings, partners, room, cap, text);
        if told.len() <= rows {
            break;
        }
    }
    told
}

/// At most `cap` findings of each kind, whose texts have at most `text` rows.
fn capped(
    findings: &[StatusFinding],
    partners: &BTreeMap<String, usize>,
    room: Option<usize>,
    cap: usize,
    text: usize,
) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for it in findings {
        let count = counts.entry(&it.code).or_default();
        *count = count.saturating_add(1);
    }
    let (mut told, mut seen) = (Vec::new(), BTreeMap::new());
    for it in findings {
        let count: &mut usize = seen.entry(&*it.code).or_default();
        *count = count.saturating_add(1);
        if *count <= cap {
            let sign = if it.severity == "trouble" { '!' } else { '-' };
            told.extend(with_command(&format!("{sign} {}", Plain(&it.text)), &it.next, room, text));
        } else if *count == cap.saturating_add(1) {
            // Of partners in one state, all are counted, and some are told.
            let state = it.code.strip_prefix("partner-").and_then(|state| partners.get_key_value(state));
            let told_of = counts.get(&*it.code).copied().unwrap_or_default();
            let (all, next) = match state {
                Some((state, all)) => (*all, format!("fedgate partner list --state {state}")),
                None => (told_of, "fedgate status --json".to_owned()),
            };
            let more = format!("  … and {} more like this", all.saturating_sub(cap));
            told.extend(with_command(&more, &next, room, text));
        }
    }
    told
}

/// A text, and behind it or below it, whole, the command to go on with.
fn with_command(text: &str, next: &str, room: Option<usize>, rows: usize) -> Vec<String> {
    let next = format!("→ {next}");
    let mut lines = table::wrapped(text, room, rows, INDENT);
    match lines.last_mut() {
        Some(last) if room.is_none_or(|room| last.width().saturating_add(next.width()) < room) => {
            last.push(' ');
            last.push_str(&next);
        }
        Some(_) | None => lines.push(format!("{:INDENT$}{next}", "")),
    }
    lines
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
        let told = findings(&all, &partners, None, 15);
        assert_eq!(told.len(), 15, "{told:#?}");
        for code in kinds {
            assert!(told.contains(&format!("! {code} 0 → fedgate check")), "{told:#?}");
        }
        let more = "  … and 4709 more like this → fedgate partner list --state refused";
        assert!(told.iter().any(|line| line == more), "{told:#?}");
        assert_eq!(findings(&[], &partners, None, 15), ["all is well"]);
        let two = ["! dns-failing 0 → fedgate check", "! dns-failing 1 → fedgate check"];
        assert_eq!(findings(&all[..2], &partners, None, 15), two);
    }

    #[test]
    fn on_a_terminal_a_text_is_whole_as_long_as_all_kinds_have_room_and_a_command_always() {
        let text = "wire.example-partner.org unreachable: federation-http2-error at 192.0.2.7:443: they may refuse \
                    our certificate; since 2026-11-28 02:00:00 UTC, 5 times";
        let next = "fedgate check wire.example-partner.org";
        let of = |kinds: usize| -> Vec<_> {
            let kind = |n| StatusFinding {
                text: text.to_owned(),
                next: next.to_owned(),
                ..finding(&format!("k{n}"), 0)
            };
            (0..kinds).map(kind).collect()
        };
        assert_eq!(
            findings(&of(1), &BTreeMap::new(), Some(80), 15),
            [
                "! wire.example-partner.org unreachable: federation-http2-error at 192.0.2.7:443:",
                "  they may refuse our certificate; since 2026-11-28 02:00:00 UTC, 5 times",
                "  → fedgate check wire.example-partner.org",
            ]
        );
        for (kinds, cut) in [(5, false), (7, true)] {
            let told = findings(&of(kinds), &BTreeMap::new(), Some(80), 15);
            assert!(told.len() <= 15 && told.iter().all(|row| row.width() <= 80), "{told:#?}");
            assert_eq!(told.iter().filter(|row| row.trim() == format!("→ {next}")).count(), kinds);
            assert_eq!(told.iter().any(|row| row.contains('…')), cut, "{told:#?}");
        }
        let whole = format!("! {text} → {next}");
        assert_eq!(findings(&of(1), &BTreeMap::new(), None, 15), [whole]);
    }
}
