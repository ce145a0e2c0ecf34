//! `fedgate brig`: how our list stands to brig's, and taking its over.

use clap::Subcommand;
use fedgate_allow_list::terms::{Restriction, SearchPolicy};
use reqwest::Method;

use super::client::Client;
use super::{Error, Remote, print};
use crate::contract::{BrigStatus, Drift, Imported, Policy};

/// How many domains are named in one line.
const NAMED: usize = 5;

#[derive(Debug, Subcommand)]
pub(super) enum BrigCommand {
    /// Show whether both lists say the same, when brig last answered, and what is wrong
    Status(Remote),
    /// List the domains that stand otherwise in brig's list. Exit code 1 where there are any, or brig does not answer
    Diff(Remote),
    /// Take brig's rows over into our list, all or none, with search policies and teams; they are ours to change then
    #[command(after_help = "\
Examples:
  fedgate brig import --dry-run                  what would be listed, or listed on other terms
  fedgate brig import")]
    Import {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(super) async fn run(command: BrigCommand, json: bool) -> Result<(), Error> {
    match command {
        BrigCommand::Status(remote) => {
            let answer = Client::new(&remote)?.get(&["brig"]).await?;
            if json {
                return Ok(print::json(&answer.json()?)?);
            }
            Ok(status(&answer.read()?).iter().try_for_each(print::line)?)
        }
        BrigCommand::Diff(remote) => {
            let answer = Client::new(&remote)?.get(&["brig"]).await?;
            let status: BrigStatus = answer.read()?;
            if json {
                print::json(&answer.json()?)?;
            } else {
                differences(&status).iter().try_for_each(print::line)?;
            }
            why_not_in_step(&status).map_or(Ok(()), |why| Err(Error::Drift(why)))
        }
        BrigCommand::Import { dry_run, remote } => {
            let client = Client::new(&remote)?;
            let query = [("dry_run", if dry_run { "true" } else { "false" })];
            let answer = client.send(client.request(Method::POST, &["brig", "import"], &query)).await?;
            if json {
                return Ok(print::json(&answer.json()?)?);
            }
            let Imported { created, changed, same, domains, .. } = answer.read()?;
            for it in domains {
                print::line(format_args!("{:<10}{}", it.effect, it.domain))?;
            }
            let would = if dry_run { "would be " } else { "" };
            Ok(print::line(format_args!(
                "{would}listed: {created}; {would}changed: {changed}; the same: {same}"
            ))?)
        }
    }
}

/// Why `diff` fails, if it does.
fn why_not_in_step(status: &BrigStatus) -> Option<String> {
    if status.in_step {
        return None;
    }
    let since = status.failing_since.as_deref().unwrap_or_default();
    Some(match (&*status.mode, &status.cause, &status.last_success) {
        ("off", ..) => "there is no brig to compare with: set `[brig] url`, and restart".to_owned(),
        (_, Some(cause), _) => format!("not in step with brig, since {since}: {cause}"),
        (_, None, None) => "brig was not heard of yet: try again".to_owned(),
        (_, None, Some(_)) => "brig's list and ours differ".to_owned(),
    })
}

fn status(status: &BrigStatus) -> Vec<String> {
    let line = |name: &str, text: &str| format!("{name:<14}{text}");
    if status.mode == "off" {
        return vec![line("mode", "off: `[brig] url` is not set")];
    }
    let overwrite = if status.overwrite { ", overwriting others' rows" } else { "" };
    let url = status.url.as_deref().unwrap_or_default();
    let yes_no = if status.in_step { "yes" } else { "no" };
    let mut lines = vec![
        line("mode", &format!("{}{overwrite}", status.mode)),
        line("brig", url),
        line("in step", yes_no),
        line("last success", status.last_success.as_deref().unwrap_or("never")),
    ];
    if let (Some(since), Some(cause)) = (&status.failing_since, &status.cause) {
        lines.push(line("failing", &format!("since {since}: {cause}")));
    }
    let full = if status.full { ", and takes no more" } else { "" };
    lines.push(line("rows", &format!("brig has {}{full}", status.rows)));
    lines.extend(strategies(status).map(|text| line("strategy", &text)));
    let counts = &status.counts;
    for (name, count) in [
        ("missing", counts.missing),
        ("differing", counts.differing),
        ("open", counts.open),
        ("not ours", counts.not_ours),
        ("of the file", counts.of_the_file),
        ("unreadable", counts.unreadable.saturating_add(status.strange.len())),
        ("doubted", status.doubted),
    ] {
        lines.extend((count > 0).then(|| line(name, &count.to_string())));
    }
    if status.still_listed_count > 0 {
        let named: Vec<_> = status.still_listed.iter().take(NAMED).map(ToString::to_string).collect();
        let more = if status.still_listed_count > NAMED { ", …" } else { "" };
        let (count, named) = (status.still_listed_count, named.join(", "));
        lines.push(line("still listed", &format!("{count} in brig, closed: {named}{more}")));
    }
    lines
}

/// What to say of the strategies, where they differ.
fn strategies(status: &BrigStatus) -> Option<String> {
    let (ours, brigs) = (&status.strategy, status.strategy_of_brig.as_ref()?);
    (ours != brigs).then(|| format!("{ours}; brig's is {brigs}, which only its own file sets"))
}

fn differences(status: &BrigStatus) -> Vec<String> {
    let line = |kind: &str, text: &str| format!("{kind:<12} {text}");
    let mut lines: Vec<_> = status.drift.iter().map(difference).collect();
    lines.extend(status.strange.iter().map(|row| line("unreadable", row)));
    lines.extend(strategies(status).map(|text| line("strategy", &text)));
    if status.doubted > 0 {
        let text = format!(
            "{} rows are gone from brig's list, and are not believed to be removed",
            status.doubted
        );
        lines.push(line("doubted", &text));
    }
    lines
}

fn difference(Drift { domain, kind, ours, brig, cause }: &Drift) -> String {
    let side = |policy: &Option<Policy>| policy.as_ref().map_or_else(|| "none".to_owned(), words);
    let cause = cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let brig = if kind == "unreadable" { "?".to_owned() } else { side(brig) };
    format!("{kind:<12} {domain:<32} ours: {}; brig's: {brig}{cause}", side(ours))
}

/// A policy, in as few words as it takes.
fn words(Policy { search_policy, restriction }: &Policy) -> String {
    let search = match search_policy {
        SearchPolicy::NoSearch => "no_search",
        SearchPolicy::ExactHandleSearch => "exact_handle_search",
        SearchPolicy::FullSearch => "full_search",
    };
    match restriction {
        Restriction::AllowAll => search.to_owned(),
        Restriction::RestrictByTeam(teams) => format!("{search}, {} teams", teams.len()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(more: &serde_json::Value) -> BrigStatus {
        let mut status = json!({
            "mode": "push", "url": "http://brig:8080/", "overwrite": false, "in_step": false,
            "last_success": "2030-01-31T12:00:00.000Z", "failing_since": null, "cause": null, "rows": 2,
            "full": false, "strategy": "allowDynamic", "strategy_of_brig": "allowDynamic", "doubted": 0,
            "counts": {"missing": 1, "differing": 0, "open": 0, "not_ours": 0, "of_the_file": 0, "unreadable": 0},
            "drift": [{"domain": "a.com", "kind": "missing", "brig": null, "cause": null,
                "ours": {"search_policy": "no_search", "restriction": {"tag": "restrict_by_team", "value": []}}}],
            "strange": [], "still_listed_count": 1, "still_listed": ["b.com"],
        });
        for (name, value) in more.as_object().unwrap() {
            status[name] = value.clone();
        }
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn differences_are_told_one_to_a_line() {
        let told = differences(&read(&json!({"strategy_of_brig": "allowAll"})));
        assert_eq!(
            told,
            [
                "missing      a.com                            ours: no_search, 0 teams; brig's: none",
                "strategy     allowDynamic; brig's is allowAll, which only its own file sets",
            ]
        );
        assert_eq!(differences(&read(&json!({"drift": []}))), [""; 0]);
    }

    #[test]
    fn it_is_said_why_they_are_not_in_step() {
        for (more, expected) in [
            (json!({}), Some("brig's list and ours differ")),
            (json!({"in_step": true}), None),
            (json!({"last_success": null}), Some("brig was not heard of yet: try again")),
            (
                json!({"cause": "no", "failing_since": "then"}),
                Some("not in step with brig, since then: no"),
            ),
            (
                json!({"mode": "off"}),
                Some("there is no brig to compare with: set `[brig] url`, and restart"),
            ),
        ] {
            assert_eq!(why_not_in_step(&read(&more)).as_deref(), expected, "{more}");
        }
    }

    #[test]
    fn a_status_names_what_is_still_listed() {
        let told = status(&read(&json!({}))).join("\n");
        assert!(told.contains("in step       no\n") && told.contains("missing       1\n"), "{told}");
        assert!(told.ends_with("still listed  1 in brig, closed: b.com"), "{told}");
    }
}
