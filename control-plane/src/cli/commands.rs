//! `fedgate domain` and `fedgate strategy`.

use std::time::Duration;

use fedgate_allow_list::terms;
use fedgate_policy::{Domain, Verdict};
use reqwest::Method;
use serde_json::{Value, json as object};

use super::client::Client;
use super::words::{self, failed_lookup, finding};
use super::{DomainCommand, Error, OneDomain, Remote, StrategyCommand, print};
use crate::contract::{DomainPage, Refreshed, Reloaded, SetStrategy, ShownDomain, StrategyBody};

/// How many domains one request lists.
const PAGE: &str = "1000";
/// How often, and how long apart, a domain that was just added is asked after.
const LOOKS: u32 = 35;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) async fn domain(command: DomainCommand, json: bool) -> Result<(), Error> {
    match command {
        DomainCommand::List(remote) => list(&Client::new(&remote)?, json).await,
        DomainCommand::Show(OneDomain { domain, remote }) => {
            let answer = Client::new(&remote)?.get(&["domains", domain.as_str()]).await?;
            if json {
                return Ok(print::json(&answer.json()?)?);
            }
            Ok(words::shown(&answer.read()?).iter().try_for_each(print::line)?)
        }
        DomainCommand::Add { which: OneDomain { domain, remote }, note } => {
            let client = Client::new(&remote)?;
            let mut request = client.request(Method::PUT, &["domains", domain.as_str()], &[]);
            if note.is_some() {
                request = request.json(&terms::Change { note, ..terms::Change::default() });
            }
            let answer = client.send(request).await?;
            if json {
                return Ok(print::json(&answer.json()?)?);
            }
            print::line(format_args!("{domain} is on the allow list"))?;
            Ok(print::line(finding(await_verdict(&client, &domain).await.as_ref()))?)
        }
        DomainCommand::Remove(OneDomain { domain, remote }) => {
            let client = Client::new(&remote)?;
            client.send(client.request(Method::DELETE, &["domains", domain.as_str()], &[])).await?;
            if json {
                return Ok(print::json(&object!({ "domain": domain, "removed": true }))?);
            }
            Ok(print::line(format_args!("{domain} is no longer on the allow list"))?)
        }
        DomainCommand::Refresh(OneDomain { domain, remote }) => {
            let (client, path) = (Client::new(&remote)?, ["domains", domain.as_str(), "refresh"]);
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
    }
}

pub(super) async fn strategy(command: StrategyCommand, json: bool) -> Result<(), Error> {
    let answer = match command {
        StrategyCommand::Get(remote) => Client::new(&remote)?.get(&["strategy"]).await?,
        StrategyCommand::Set { strategy, remote } => {
            let client = Client::new(&remote)?;
            let request = client.request(Method::PUT, &["strategy"], &[]);
            client.send(request.json(&SetStrategy { strategy })).await?
        }
    };
    if json {
        return Ok(print::json(&answer.json()?)?);
    }
    let StrategyBody { strategy } = answer.read()?;
    Ok(print::line(strategy.name())?)
}

/// Has the control plane read its configuration anew.
pub(super) async fn reload(remote: &Remote, json: bool) -> Result<(), Error> {
    let client = Client::new(remote)?;
    let answer = client.send(client.request(Method::POST, &["reload"], &[])).await?;
    if json {
        return Ok(print::json(&answer.json()?)?);
    }
    let reloaded: Reloaded = answer.read()?;
    Ok(words::reloaded(&reloaded).iter().try_for_each(print::line)?)
}

/// Prints page after page, so that a long list begins to show at once.
async fn list(client: &Client, json: bool) -> Result<(), Error> {
    let mut all = Vec::new();
    let mut after: Option<Domain> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(after.as_ref().map(|after| ("after", after.as_str())));
        let answer = client.send(client.request(Method::GET, &["domains"], &query)).await?;
        let page: DomainPage = answer.read()?;
        if json {
            let mut whole = answer.json()?;
            let domains = whole.get_mut("domains").and_then(Value::as_array_mut);
            all.extend(domains.map(std::mem::take).unwrap_or_default());
        } else {
            page.domains.iter().map(words::row).try_for_each(print::line)?;
        }
        after = page.next;
        if after.is_none() {
            return if json { Ok(print::json(&object!({ "domains": all }))?) } else { Ok(()) };
        }
    }
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
