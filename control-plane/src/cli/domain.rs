//! `fedgate domain`: sees and changes which domains are listed, and on what terms.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use fedgate_allow_list::terms::{Action, Change};
use fedgate_policy::{Domain, Verdict};
use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json as object};

use super::client::{Answer, Client};
use super::store::{FileError, unusable};
use super::terms::{TermsArgs, in_brief};
use super::words::{self, failed_lookup, finding};
use super::{Error, OneDomain, Remote, outcome, print, table};
use crate::contract::{
    DomainPage, ListedDomain, Outcome, PutDomain, PutDomains, Refreshed, ShownDomain,
};
use crate::spelling;

/// How many domains one request lists.
const PAGE: &str = "1000";
/// How often, and how long apart, a domain that was just added is asked after.
const LOOKS: u32 = 35;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// The most that is read of standard input, in octets.
const MAX_INPUT: u64 = 64 << 20;

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

/// What to write of which domains.
#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    #[command(flatten)]
    domains: Domains,
    /// Only if none of them is listed
    #[arg(long, conflicts_with = "if_revision")]
    if_absent: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    remote: Remote,
    // Last, because its heading is for all that follows.
    #[command(flatten)]
    terms: TermsArgs,
}

/// Which domains to take off the list.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    domains: Domains,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    remote: Remote,
}

/// Whether to write, and under which condition.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Say what would change, and who would lose access; change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only if nobody has changed it since it had this revision, which `show` tells; of several domains, the list,
    /// whose revision `list --json` tells
    #[arg(long, value_name = "N")]
    pub(super) if_revision: Option<u64>,
}

#[derive(Debug, Args)]
struct Domains {
    /// Backend domains, e.g. company-a.com; `-` reads them from standard input, one or more in a line, up to a '#'
    #[arg(required = true, value_name = "DOMAIN", value_parser = Named::read)]
    domains: Vec<Named>,
}

#[derive(Clone, Debug)]
enum Named {
    Domain(Domain),
    StandardInput,
}

/// What has to be so of all domains before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Nothing,
    Listed,
    Absent,
}

/// Does what is to be done with domains.
pub(super) async fn run(command: DomainCommand, json: bool) -> Result<(), Error> {
    match command {
        DomainCommand::List(args) => list(args, json).await,
        DomainCommand::Show(which) => show(&which, json).await,
        DomainCommand::Add(args) => put(args, Demand::Nothing, json).await,
        DomainCommand::Set(args) => put(args, Demand::Listed, json).await,
        DomainCommand::Block(mut args) => {
            args.terms.block()?;
            put(args, Demand::Nothing, json).await
        }
        DomainCommand::Remove(args) => remove(args, json).await,
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

// === writing ===

async fn put(args: WriteArgs, demand: Demand, json: bool) -> Result<(), Error> {
    let WriteArgs { domains, if_absent, how, remote, terms } = args;
    let (domains, change) = (domains.read()?, terms.change(SystemTime::now()));
    let demand = if if_absent { Demand::Absent } else { demand };
    let client = Client::new(&remote)?;
    match domains.as_slice() {
        [domain] => put_one(&client, domain, &change, demand, &how, json).await,
        _ => put_all(&client, domains, &change, demand, &how, json).await,
    }
}

async fn put_one(
    client: &Client,
    domain: &Domain,
    change: &Change,
    demand: Demand,
    how: &How,
    json: bool,
) -> Result<(), Error> {
    let request = client.request(Method::PUT, &["domains", domain.as_str()], &how.query());
    let request = match (how.if_revision, demand) {
        (Some(_), _) | (None, Demand::Nothing) => how.conditional(request),
        (None, Demand::Listed) => request.header(header::IF_MATCH, "*"),
        (None, Demand::Absent) => request.header(header::IF_NONE_MATCH, "*"),
    };
    let answer = client.send(request.json(change)).await;
    let answer = answer.map_err(|error| match demand {
        Demand::Listed if error.is_unmet() && how.if_revision.is_none() => Error::Unmet(format!(
            "{domain} is not on the allow list: `fedgate domain add` puts it there"
        )),
        Demand::Absent if error.is_unmet() => {
            Error::Unmet(format!("{domain} is on the allow list already"))
        }
        Demand::Nothing | Demand::Listed | Demand::Absent => error.into(),
    })?;
    if how.dry_run {
        return told(&answer, json);
    }
    if json {
        return Ok(print::json(&with_revision(&answer)?)?);
    }
    let ListedDomain { terms, expired, .. } = answer.read()?;
    let brief = in_brief(&terms);
    let terms_are = if brief.is_empty() { String::new() } else { format!(": {brief}") };
    match (expired, terms.action) {
        (true, _) => {
            print::line(format_args!("{domain} counts as absent, for its end has come{terms_are}"))?
        }
        (false, Action::Block) => print::line(format_args!("{domain} is forbidden{terms_are}"))?,
        (false, Action::Allow) => {
            print::line(format_args!("{domain} is on the allow list{terms_are}"))?;
            print::line(finding(await_verdict(client, domain).await.as_ref()))?;
        }
    }
    Ok(())
}

async fn put_all(
    client: &Client,
    domains: Vec<Domain>,
    change: &Change,
    demand: Demand,
    how: &How,
    json: bool,
) -> Result<(), Error> {
    let domains = domains.into_iter().map(|domain| PutDomain { domain, change: change.clone() });
    let body = PutDomains { domains: domains.collect(), strategy: None };
    let request = |query: &[(&str, &str)]| client.request(Method::PUT, &["domains"], query).json(&body);
    if demand == Demand::Nothing || how.if_revision.is_some() && how.dry_run {
        return told(&client.send(how.conditional(request(&how.query()))).await?, json);
    }
    // What is demanded of each is looked at first, and then the list may not have changed since.
    let asked = client.send(how.conditional(request(&[DRY_RUN]))).await?;
    let outcome: Outcome = asked.read()?;
    let (is_met, listed) = match demand {
        Demand::Nothing => (true, 0),
        Demand::Listed => (outcome.added.is_empty(), 0),
        Demand::Absent => {
            let listed = outcome.changed.len().saturating_add(outcome.unchanged);
            (listed == 0, listed)
        }
    };
    if !is_met {
        let names: Vec<_> = outcome.added.iter().map(Domain::as_str).collect();
        return Err(Error::Unmet(match demand {
            Demand::Absent => {
                format!("{listed} of these domains are on the allow list already; nothing was changed")
            }
            Demand::Nothing | Demand::Listed => {
                format!("not on the allow list, so that nothing was changed: {}", names.join(", "))
            }
        }));
    }
    if how.dry_run {
        return told(&asked, json);
    }
    let request = asked.if_unchanged(request(&[]));
    told(&client.send(request).await?, json)
}

async fn remove(args: RemoveArgs, json: bool) -> Result<(), Error> {
    let RemoveArgs { domains, how, remote } = args;
    let (domains, client) = (domains.read()?, Client::new(&remote)?);
    let request = |domain: &Domain, query: &[(&str, &str)]| {
        how.conditional(client.request(Method::DELETE, &["domains", domain.as_str()], query))
    };
    if domains.len() > 1 {
        if how.if_revision.is_some() {
            let one = "--if-revision is about one domain: name it alone";
            return Err(Error::Use(one.to_owned()));
        }
        // So that nothing is removed where one of them cannot be.
        for domain in &domains {
            client.send(request(domain, &[DRY_RUN])).await?;
        }
    }
    for domain in &domains {
        let answer = client.send(request(domain, &how.query())).await?;
        if how.dry_run {
            told(&answer, json)?;
        } else if json {
            print::json(&object!({ "domain": domain, "removed": true }))?;
        } else {
            print::line(format_args!("{domain} is no longer on the allow list"))?;
        }
    }
    Ok(())
}

/// Prints what a write comes to.
pub(super) fn told(answer: &Answer, json: bool) -> Result<(), Error> {
    if json {
        return Ok(print::json(&answer.json()?)?);
    }
    Ok(outcome::tell(&answer.read()?)?)
}

/// What the server's lookup of a domain that was just added comes to. Only the listing was asked
/// for, so that nothing comes of it in time is no failure.
async fn await_verdict(client: &Client, domain: &Domain) -> Option<Verdict> {
    for _ in 0..LOOKS {
        let shown = client.get(&["domains", domain.as_str()]).await;
        match shown.and_then(|answer| answer.read::<ShownDomain>()) {
            Ok(ShownDomain { verdict: None, .. }) => tokio::time::sleep(BETWEEN_LOOKS).await,
            Ok(ShownDomain { verdict, .. }) => return verdict,
            Err(error) => {
                print::remark(format_args!("what discovery finds is not known: {error}"));
                break;
            }
        }
    }
    None
}

/// Has a write only asked about.
pub(super) const DRY_RUN: (&str, &str) = ("dry_run", "true");

// === impl How ===

impl How {
    pub(super) fn query(&self) -> Vec<(&'static str, &'static str)> {
        self.dry_run.then_some(DRY_RUN).into_iter().collect()
    }

    /// The request, if what it is about has the revision that is named.
    pub(super) fn conditional(&self, request: RequestBuilder) -> RequestBuilder {
        match self.if_revision {
            Some(revision) => request.header(header::IF_MATCH, format!("\"{revision}\"")),
            None => request,
        }
    }
}

// === impl Named ===

impl Named {
    fn read(text: &str) -> Result<Self, spelling::Misspelt> {
        if text == "-" { Ok(Self::StandardInput) } else { spelling::domain(text).map(Self::Domain) }
    }
}

// === impl Domains ===

impl Domains {
    /// All of them, each once.
    fn read(self) -> Result<Vec<Domain>, Error> {
        let mut all = BTreeSet::new();
        for named in self.domains {
            match named {
                Named::Domain(domain) => {
                    all.insert(domain);
                }
                Named::StandardInput => {
                    let (path, mut text) = (Path::new("standard input"), String::new());
                    let read = std::io::stdin().take(MAX_INPUT).read_to_string(&mut text);
                    read.map_err(|error| unusable(path, &error))?;
                    all.extend(
                        listed(&text)
                            .map_err(|errors| FileError::Wrong { path: path.to_owned(), errors })?,
                    );
                }
            }
        }
        if all.is_empty() {
            return Err(Error::Use("standard input names no domain".to_owned()));
        }
        Ok(all.into_iter().collect())
    }
}

/// The domains in a text, or all that is wrong with it.
fn listed(text: &str) -> Result<Vec<Domain>, Vec<String>> {
    let (mut domains, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in (1_usize..).zip(text.lines()) {
        for word in line.split('#').next().unwrap_or_default().split_whitespace() {
            match spelling::domain(word) {
                Ok(domain) => domains.push(domain),
                Err(misspelt) => {
                    errors
                        .push(format!("line {number}: '{word}' is not a backend domain: it {misspelt}"));
                }
            }
        }
    }
    if errors.is_empty() { Ok(domains) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::State;

    #[test]
    fn the_states_to_choose_from_are_those_that_there_are() {
        assert_eq!(State::ALL.each_ref().map(State::name), STATES);
    }

    #[test]
    fn domains_are_read_with_comments_and_every_error_is_told() {
        let names = |text: &str| {
            let domains = listed(text)?;
            Ok::<_, Vec<String>>(domains.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            names("# ours\na.com b.com\n\n  C.com # a friend\n").unwrap(),
            ["a.com", "b.com", "c.com"]
        );
        let errors = names("a.com.\nb.com\nhttps://c.com\n").unwrap_err();
        assert!(
            errors.len() == 2 && errors[0].contains("line 1") && errors[1].contains("write c.com"),
            "{errors:?}"
        );
    }
}
