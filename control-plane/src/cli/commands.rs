//! `fedgate strategy` and `fedgate reload`.

use reqwest::Method;

use super::client::Client;
use super::domain::with_revision;
use super::write::told;
use super::{Error, Remote, StrategyCommand, print, words};
use crate::contract::{Reloaded, SetStrategy, StrategyBody};

/// Gets or sets the strategy.
pub(super) async fn strategy(command: StrategyCommand, json: bool) -> Result<(), Error> {
    let answer = match command {
        StrategyCommand::Get(remote) => Client::new(&remote)?.get(&["strategy"]).await?,
        StrategyCommand::Set { strategy, how, remote } => {
            let client = Client::new(&remote)?;
            let request = client.request(Method::PUT, &["strategy"], &how.query());
            let answer = client.send(how.conditional(request.json(&SetStrategy { strategy }))).await?;
            if how.dry_run {
                return told(&answer, json);
            }
            answer
        }
    };
    if json {
        return Ok(print::json(&with_revision(&answer)?)?);
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
