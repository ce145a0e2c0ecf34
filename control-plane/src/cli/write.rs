//! `fedgate domain add`, `set`, `block` and `remove`: changes who is listed, and on what terms.

use std::time::{Duration, SystemTime};

use clap::Args;
use fedgate_allow_list::terms::{Action, Change};
use fedgate_policy::{Domain, Verdict};
use reqwest::{Method, RequestBuilder, header};
use serde_json::json as object;

use super::client::{Answer, Client};
use super::domain::with_revision;
use super::names::Domains;
use super::terms::{TermsArgs, in_brief};
use super::words::finding;
use super::{Error, Remote, outcome, print};
use crate::contract::{ListedDomain, Outcome, PutDomain, PutDomains, ShownDomain};

/// How often, and how long apart, a domain that was just added is asked after.
const LOOKS: u32 = 35;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Has a write only asked about.
pub(super) const DRY_RUN: (&str, &str) = ("dry_run", "true");

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

/// What has to be so of all domains before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Nothing,
    Listed,
    Absent,
}

// === impl WriteArgs ===

impl WriteArgs {
    /// Has them forbid the domains.
    pub(super) fn block(&mut self) -> Result<(), Error> {
        self.terms.block()
    }
}

/// Gives domains these terms.
pub(super) async fn put(args: WriteArgs, demand: Demand, json: bool) -> Result<(), Error> {
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
            print::line(format_args!("{domain} counts as absent, for its end has come{terms_are}"))?;
            remind(demand, domain, "has expired", "--expires never");
        }
        (false, Action::Block) => {
            print::line(format_args!("{domain} is forbidden{terms_are}"))?;
            if change.action != Some(Action::Block) {
                remind(demand, domain, "is blocked", "--allow");
            }
        }
        (false, Action::Allow) => {
            print::line(format_args!("{domain} is on the allow list{terms_are}"))?;
            print::line(finding(await_verdict(client, domain).await.as_ref()))?;
        }
    }
    Ok(())
}

/// Whoever adds a domain wants it allowed: what of its entry stands against that, and how it is taken back.
fn remind(demand: Demand, domain: &Domain, is: &str, flags: &str) {
    if demand != Demand::Listed {
        print::remark(format_args!(
            "{domain} was listed before, {is}, and may not federate: `fedgate domain set {domain} {flags}`"
        ));
    }
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
    if demand == Demand::Nothing {
        return told(&client.send(how.conditional(request(&how.query()))).await?, json);
    }
    // What is demanded of each is looked at first, and then the list may not have changed since.
    let asked = client.send(how.conditional(request(&[DRY_RUN]))).await?;
    if let Some(why) = unmet(demand, &asked.read()?) {
        return Err(Error::Unmet(why));
    }
    if how.dry_run {
        return told(&asked, json);
    }
    let request = asked.if_unchanged(request(&[]));
    told(&client.send(request).await?, json)
}

/// What is not so that is demanded, by what the write would come to.
fn unmet(demand: Demand, outcome: &Outcome) -> Option<String> {
    let listed = outcome.changed.len().saturating_add(outcome.unchanged);
    match demand {
        Demand::Listed if !outcome.added.is_empty() => {
            let names: Vec<_> = outcome.added.iter().map(Domain::as_str).collect();
            Some(format!(
                "nothing was changed, for these are not on the allow list: {}",
                names.join(", ")
            ))
        }
        Demand::Absent if listed > 0 => Some(format!(
            "nothing was changed, for {listed} of these domains are on the allow list already"
        )),
        Demand::Nothing | Demand::Listed | Demand::Absent => None,
    }
}

/// Takes domains off the list.
pub(super) async fn remove(args: RemoveArgs, json: bool) -> Result<(), Error> {
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
    let mut told_of = Vec::new();
    for domain in &domains {
        let answer = client.send(request(domain, &how.query())).await?;
        match (how.dry_run, json) {
            (true, true) => told_of.push(answer.json()?),
            (false, true) => told_of.push(object!({ "domain": domain, "removed": true })),
            (true, false) => told(&answer, json)?,
            (false, false) => print::line(format_args!("{domain} is no longer on the allow list"))?,
        }
    }
    match told_of.as_slice() {
        [] => Ok(()),
        [one] => Ok(print::json(one)?),
        _ => Ok(print::json(&told_of.into())?),
    }
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
