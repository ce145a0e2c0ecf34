//! `fedgate partner`: how we stand with each partner.

use clap::{Args, Subcommand};
use fedgate_policy::Domain;
use reqwest::Method;
use serde_json::{Value, json as object};

use super::client::Client;
use super::words::{self, failed_lookup, finding, line};
use super::{Error, OneDomain, Remote, print, table};
use crate::contract::{PARTNER_STATES, PartnerInList, PartnerPage, Retried, SeenEnd, ShownPartner};

/// How many partners one request lists.
const PAGE: &str = "1000";

#[derive(Debug, Subcommand)]
pub(super) enum PartnerCommand {
    /// List the partners, and how we stand with each: what filters have seen since the control plane's start
    List(ListArgs),
    /// Show one partner, or a domain that is not listed and was seen: entry, discovery, requests, calls, certificate
    Show(OneDomain),
    /// Have a partner tried anew, now: its DNS records, its targets' addresses, and where nobody had opened. Trouble
    /// that was seen before has to be seen again
    Retry(OneDomain),
}

/// Which partners are listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those in this state
    #[arg(long, value_parser = PARTNER_STATES)]
    state: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(command: PartnerCommand, json: bool) -> Result<(), Error> {
    match command {
        PartnerCommand::List(args) => list(args, json).await,
        PartnerCommand::Show(which) => show(&which, json).await,
        PartnerCommand::Retry(which) => retry(&which, json).await,
    }
}

/// Prints page after page, so that a long list begins to show at once.
async fn list(ListArgs { state, remote }: ListArgs, json: bool) -> Result<(), Error> {
    let (client, room) = (Client::new(&remote)?, table::width());
    let mut all: Vec<Value> = Vec::new();
    let mut after: Option<Domain> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(state.as_deref().map(|state| ("state", state)));
        query.extend(after.as_ref().map(|after| ("after", after.as_str())));
        let answer = client.send(client.request(Method::GET, &["partners"], &query)).await?;
        let page: PartnerPage = answer.read()?;
        if json {
            let mut whole = answer.json()?;
            let partners = whole.get_mut("partners").and_then(Value::as_array_mut);
            all.extend(partners.map(std::mem::take).unwrap_or_default());
        } else {
            let rows: Vec<_> = page.partners.iter().map(row).collect();
            table::lines(&rows, room).iter().try_for_each(print::line)?;
        }
        after = page.next;
        if after.is_none() {
            return if json { Ok(print::json(&object!({ "partners": all }))?) } else { Ok(()) };
        }
    }
}

async fn show(OneDomain { domain, remote }: &OneDomain, json: bool) -> Result<(), Error> {
    let answer = Client::new(remote)?.get(&["partners", domain.as_str()]).await?;
    if json {
        return Ok(print::json(&answer.json()?)?);
    }
    Ok(shown(&answer.read()?).iter().try_for_each(print::line)?)
}

async fn retry(OneDomain { domain, remote }: &OneDomain, json: bool) -> Result<(), Error> {
    let (client, path) = (Client::new(remote)?, ["partners", domain.as_str(), "retry"]);
    let answer = client.send(client.request(Method::POST, &path, &[])).await?;
    let Retried { lookup, forgotten, opened } = answer.read()?;
    let failed = failed_lookup(&lookup);
    if json {
        print::json(&answer.json()?)?;
    } else {
        if failed.is_none() {
            print::line(finding(Some(&lookup.attempt)))?;
        }
        for it in &forgotten {
            print::line(line("tried again", &format!("{it}, where nobody had opened")))?;
        }
        if let Some(it) = &opened {
            print::line(line("opens", it))?;
        }
    }
    failed.map_or(Ok(()), |why| Err(Error::Lookup(format!("{domain}: {why}"))))
}

/// A partner, as one line of the list.
fn row(it: &PartnerInList) -> [String; 4] {
    let since = it.since.as_ref().map(|since| format!("since {since}")).unwrap_or_default();
    let end = it.certificate.as_ref().filter(|it| it.ended);
    let end = end.map(|it| format!("its certificate ended {}", it.not_after));
    let cause = it.cause.clone().or(end).unwrap_or_default();
    [it.domain.to_string(), it.state.clone(), since, cause]
}

/// All that is known of a partner, line by line.
fn shown(it: &ShownPartner) -> Vec<String> {
    let partner = &it.partner;
    let mut lines = vec![line("domain", partner.domain.as_str()), line("partner", &partner.state)];
    let count = partner.count.map(|count| format!("{count} times"));
    for (name, text) in [
        ("label", &partner.label),
        ("why", &partner.cause),
        ("since", &partner.since),
        ("last", &partner.last),
        ("how often", &count),
        ("last request", &partner.last_request),
        ("last call", &partner.last_call),
    ] {
        lines.extend(text.as_ref().map(|text| line(name, text)));
    }
    if let Some(certificate) = &partner.certificate {
        lines.push(line("certificate", &certificate.names));
        lines
            .push(line("", &format!("serial {}, issued by {}", certificate.serial, certificate.issuer)));
        let ends = if certificate.ended { "ended" } else { "ends" };
        let (end, seen) = (&certificate.not_after, &certificate.seen_at);
        lines.push(line("", &format!("{ends} {end}, seen {seen}")));
    }
    lines.extend(it.seen.iter().map(end));
    match &it.entry {
        Some(entry) => lines.extend(words::entry(entry)),
        None => lines.push(line("entry", "none: `fedgate domain add` allows it")),
    }
    let [tries, targets] = it.lookups.as_ref().map(words::looked_up).unwrap_or_default();
    lines.extend(tries);
    lines.push(finding(it.verdict.as_ref()));
    lines.extend(targets);
    lines
}

fn end(it: &SeenEnd) -> String {
    let presented =
        it.presented.as_ref().map(|names| format!(", presenting {names}")).unwrap_or_default();
    let upstream = it.upstream.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let SeenEnd { label, count, since, last, .. } = it;
    line(&it.role, &format!("{label}{upstream}: {count} times, from {since} to {last}{presented}"))
}
