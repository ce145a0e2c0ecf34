//! `fedgate domain`: sees and changes which domains are listed, and on what terms.

use clap::{Args, Subcommand};
use fedgate_policy::Domain;
use reqwest::Method;
use serde_json::{Value, json as object};

use super::client::{Answer, Client};
use super::words::{self, failed_lookup, finding};
use super::write::{self, Demand, RemoveArgs, WriteArgs};
use super::{Error, OneDomain, Remote, print, table};
use crate::contract::{DomainPage, Refreshed};

/// How many domains one request lists.
const PAGE: &str = "1000";
/// What can be done with domains.
#[derive(Debug, Subcommand)]
pub(super) enum DomainCommand {
    /// List the domains, and how it stands with their lookups
    List(ListArgs),
    /// Show one domain: what discovery found, its targets' addresses, and what is wrong with them
    Show(OneDomain),
    /// Allow domains, or change the terms on which they are listed: all of them, or none
    #[command(after_help = "\
Examples:
  fedgate domain add company-a.com
  fedgate domain add company-a.com --note 'contract 17, ask Alice' --expires 90d
  fedgate domain add company-a.com company-b.com company-c.com --dry-run
  fedgate domain add - < domains.txt")]
    Add(WriteArgs),
    /// Change the terms of domains that are listed: all of them, or none
    #[command(after_help = "\
Examples:
  fedgate domain set company-a.com --pin federator.company-a.com --dnssec require
  fedgate domain set company-a.com --no-pins --dnssec inherit --expires never --note ''
  fedgate domain set company-a.com --shadow --if-revision 7")]
    Set(WriteArgs),
    /// Forbid domains, under every strategy, listed or not: all of them, or none
    #[command(after_help = "\
Examples:
  fedgate domain block company-a.com --note 'see ticket 4711' --expires 30d
  fedgate domain set company-a.com --allow       take it back: the domain is allowed
  fedgate domain remove company-a.com            take it back: the strategy decides")]
    Block(WriteArgs),
    /// Take domains off the list
    Remove(RemoveArgs),
    /// Look a domain up in DNS now, e.g. after its SRV record has changed; filters hear of it at once.
    /// Exit code 1 where DNS has no answer, whatever stands of an earlier one
    Refresh(OneDomain),
}

/// Which domains are listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those whose lookups stand so
    #[arg(long, value_parser = STATES, conflicts_with = "expired")]
    state: Option<String>,
    /// Only those whose entry does this
    #[arg(long, value_parser = ["allow", "block"])]
    action: Option<String>,
    /// Only those that have this in their name or note, in any case of letters
    #[arg(long)]
    text: Option<String>,
    /// Only those whose end has come: they count as absent
    #[arg(long)]
    expired: bool,
    #[command(flatten)]
    remote: Remote,
}

/// See [`crate::contract::State`].
const STATES: [&str; 6] = ["ok", "no-federator", "no-target", "stale", "failing", "not-looked-up"];

/// Does what is to be done with domains.
pub(super) async fn run(command: DomainCommand, json: bool) -> Result<(), Error> {
    match command {
        DomainCommand::List(args) => list(args, json).await,
        DomainCommand::Show(which) => show(&which, json).await,
        DomainCommand::Add(args) => write::put(args, Demand::Nothing, json).await,
        DomainCommand::Set(args) => write::put(args, Demand::Listed, json).await,
        DomainCommand::Block(mut args) => {
            args.block()?;
            write::put(args, Demand::Nothing, json).await
        }
        DomainCommand::Remove(args) => write::remove(args, json).await,
        DomainCommand::Refresh(which) => refresh(&which, json).await,
    }
}

// === reading ===

/// Prints page after page, so that a long list begins to show at once.
async fn list(args: ListArgs, json: bool) -> Result<(), Error> {
    let ListArgs { state, action, text, expired, remote } = args;
    let client = Client::new(&remote)?;
    let state = state.or_else(|| expired.then(|| "expired".to_owned()));
    let filter = [("state", state), ("action", action), ("text", text)];
    let filter: Vec<_> =
        filter.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    let (mut all, mut revision, room) = (Vec::new(), None, table::width());
    let mut after: Option<Domain> = None;
    loop {
        let mut query = [filter.as_slice(), &[("limit", PAGE)]].concat();
        query.extend(after.as_ref().map(|after| ("after", after.as_str())));
        let answer = client.send(client.request(Method::GET, &["domains"], &query)).await?;
        let page: DomainPage = answer.read()?;
        if json {
            let mut whole = answer.json()?;
            let domains = whole.get_mut("domains").and_then(Value::as_array_mut);
            all.extend(domains.map(std::mem::take).unwrap_or_default());
            // That of the first: whoever has changed the list since is found out.
            revision = revision.or(answer.revision());
        } else {
            let rows: Vec<_> = page.domains.iter().map(words::row).collect();
            table::lines(&rows, room).iter().try_for_each(print::line)?;
        }
        after = page.next;
        if after.is_none() {
            let whole = || object!({ "domains": all, "revision": revision });
            return if json { Ok(print::json(&whole())?) } else { Ok(()) };
        }
    }
}

async fn show(OneDomain { domain, remote }: &OneDomain, json: bool) -> Result<(), Error> {
    let answer = Client::new(remote)?.get(&["domains", domain.as_str()]).await?;
    if json {
        return Ok(print::json(&with_revision(&answer)?)?);
    }
    let mut lines = words::shown(&answer.read()?);
    lines.extend(answer.revision().map(|revision| words::line("revision", &revision.to_string())));
    Ok(lines.iter().try_for_each(print::line)?)
}

async fn refresh(OneDomain { domain, remote }: &OneDomain, json: bool) -> Result<(), Error> {
    let (client, path) = (Client::new(remote)?, ["domains", domain.as_str(), "refresh"]);
    let answer = client.send(client.request(Method::POST, &path, &[])).await?;
    let refreshed: Refreshed = answer.read()?;
    let failed = failed_lookup(&refreshed);
    if json {
        print::json(&answer.json()?)?;
    } else if failed.is_none() {
        print::line(finding(Some(&refreshed.attempt)))?;
    }
    failed.map_or(Ok(()), |why| Err(Error::Lookup(format!("{domain}: {why}"))))
}

/// What a control plane answers, with the revision by which it can be changed under a condition.
pub(super) fn with_revision(answer: &Answer) -> Result<Value, Error> {
    let mut value = answer.json()?;
    if let (Some(object), Some(revision)) = (value.as_object_mut(), answer.revision()) {
        object.insert("revision".to_owned(), revision.into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::State;

    #[test]
    fn the_states_to_choose_from_are_those_that_there_are() {
        assert_eq!(State::ALL.each_ref().map(State::name), STATES);
    }
}
