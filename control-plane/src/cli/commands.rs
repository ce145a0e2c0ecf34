//! `fedgate domain` and `fedgate strategy`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json as object};

use super::client::Client;
use super::words::{self, failed_lookup, finding, state, text};
use super::{DomainCommand, Error, OneDomain, Remote, StrategyCommand, print};

/// How many domains one request lists.
const PAGE: &str = "1000";
/// How often, and how long apart, a domain that was just added is asked after.
const LOOKS: u32 = 35;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) async fn domain(command: DomainCommand, json: bool) -> Result<(), Error> {
    match command {
        DomainCommand::List(remote) => list(&Client::new(&remote)?, json).await,
        DomainCommand::Show(OneDomain { domain, remote }) => {
            let shown = Client::new(&remote)?
                .call(Method::GET, &["domains", domain.as_str()], &[], None)
                .await?;
            if json {
                return Ok(print::json(&shown)?);
            }
            Ok(words::shown(&shown).iter().try_for_each(print::line)?)
        }
        DomainCommand::Add { which: OneDomain { domain, remote }, note } => {
            let client = Client::new(&remote)?;
            let body = note.map(|note| object!({ "note": note }));
            let mut listed = client.call(Method::PUT, &["domains", domain.as_str()], &[], body).await?;
            if json {
                return Ok(print::json(&listed)?);
            }
            print::line(format_args!("{} is on the allow list", text(&listed, "domain")))?;
            if let Some(object) = listed.as_object_mut() {
                object.insert("verdict".to_owned(), await_verdict(&client, domain.as_str()).await);
            }
            Ok(print::line(finding(listed.get("verdict").unwrap_or(&Value::Null)))?)
        }
        DomainCommand::Remove(OneDomain { domain, remote }) => {
            Client::new(&remote)?.call(Method::DELETE, &["domains", domain.as_str()], &[], None).await?;
            if json {
                return Ok(print::json(&object!({ "domain": domain, "removed": true }))?);
            }
            Ok(print::line(format_args!("{domain} is no longer on the allow list"))?)
        }
        DomainCommand::Refresh(OneDomain { domain, remote }) => {
            let path = ["domains", domain.as_str(), "refresh"];
            let refreshed = Client::new(&remote)?.call(Method::POST, &path, &[], None).await?;
            let failed = failed_lookup(&refreshed);
            if json {
                print::json(&refreshed)?;
            } else if failed.is_none() {
                print::line(finding(&refreshed))?;
            }
            failed.map_or(Ok(()), |why| Err(Error::Lookup(format!("{domain}: {why}"))))
        }
    }
}

pub(super) async fn strategy(command: StrategyCommand, json: bool) -> Result<(), Error> {
    let (remote, method, body) = match command {
        StrategyCommand::Get(remote) => (remote, Method::GET, None),
        StrategyCommand::Set { strategy, remote } => {
            (remote, Method::PUT, Some(object!({ "strategy": strategy })))
        }
    };
    let answer = Client::new(&remote)?.call(method, &["strategy"], &[], body).await?;
    if json {
        return Ok(print::json(&answer)?);
    }
    Ok(print::line(text(&answer, "strategy"))?)
}

/// Has the control plane read its configuration anew.
pub(super) async fn reload(remote: &Remote, json: bool) -> Result<(), Error> {
    let reloaded = Client::new(remote)?.call(Method::POST, &["reload"], &[], None).await?;
    if json {
        return Ok(print::json(&reloaded)?);
    }
    Ok(words::reloaded(&reloaded).iter().try_for_each(print::line)?)
}

/// Prints page after page, so that a long list begins to show at once.
async fn list(client: &Client, json: bool) -> Result<(), Error> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let mut page = client.call(Method::GET, &["domains"], &query, None).await?;
        let domains = page.get_mut("domains").and_then(Value::as_array_mut).map(std::mem::take);
        for domain in domains.unwrap_or_default() {
            if json {
                all.push(domain);
                continue;
            }
            let (name, state, note) = (text(&domain, "domain"), state(&domain), text(&domain, "note"));
            print::line(format_args!("{name:<32} {state:<34} {note}").to_string().trim_end())?;
        }
        after = page.get("next").and_then(Value::as_str).map(ToOwned::to_owned);
        if after.is_none() {
            return if json { Ok(print::json(&object!({ "domains": all }))?) } else { Ok(()) };
        }
    }
}

/// What the server's lookup of a domain that was just added comes to. Only the listing was asked
/// for, so that nothing comes of it in time is no failure.
async fn await_verdict(client: &Client, domain: &str) -> Value {
    for _ in 0..LOOKS {
        match client.call(Method::GET, &["domains", domain], &[], None).await {
            Ok(mut shown) => match shown.get_mut("verdict").map(Value::take) {
                Some(Value::Null) | None => tokio::time::sleep(BETWEEN_LOOKS).await,
                Some(verdict) => return verdict,
            },
            Err(error) => {
                print::remark(format_args!("what discovery finds is not known: {error}"));
                break;
            }
        }
    }
    Value::Null
}
