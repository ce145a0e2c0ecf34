//! `fedgate store export` and `import`: the list to a file for people, and back.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use fedgate_policy::Domain;
use reqwest::Method;

use super::client::Client;
use super::store::{Draft, FileError, unusable};
use super::write::{DRY_RUN, told};
use super::{Error, Remote, print};
use crate::contract::{DomainPage, PutDomain, PutDomains, StrategyBody};
use crate::portable::{self, Format, Portable};

/// The longest file that is read, in octets: that of 100,000 domains has some 10 MiB.
const MAX_FILE: u64 = 256 << 20;
/// How many domains one request asks for.
const PAGE: &str = "1000";
/// How often the list is read anew where others change it meanwhile.
const TRIES: u32 = 10;

/// Where the list is to go.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to write; without it, or as `-`, standard output
    file: Option<PathBuf>,
    /// How it is written: as the file's name ends, or else TOML
    #[arg(long)]
    format: Option<Format>,
    /// Write over a file that is there
    #[arg(long)]
    replace: bool,
    /// Leave the strategy out: entries alone, as the file of `list.file` has them
    #[arg(long)]
    no_strategy: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Where the list is from.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file to read; `-` for standard input
    file: PathBuf,
    /// How it is written; without this, as the file's name ends
    #[arg(long)]
    format: Option<Format>,
    /// Take off the list what is not in the file
    #[arg(long)]
    prune: bool,
    /// Say what would change, and who would lose access; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Writes strategy and list into a file.
pub(super) async fn export(args: ExportArgs) -> Result<(), Error> {
    let ExportArgs { file, format, replace, no_strategy, remote } = args;
    let file = file.filter(|path| path != Path::new("-"));
    let format = match (format, &file) {
        (Some(format), _) => format,
        (None, None) => Format::Toml,
        (None, Some(path)) => Format::of(path).ok_or_else(|| FileError::Format(path.clone()))?,
    };
    let draft = file.map(|path| Draft::new(&path, replace)).transpose()?;
    let mut list = fetch(&Client::new(&remote)?).await?;
    list.strategy = list.strategy.filter(|_| !no_strategy);
    let text = portable::write(&list, format);
    match draft {
        None => Ok(print::text(&text)?),
        Some(mut draft) => {
            draft.file.write_all(text.as_bytes())?;
            draft.finish()?;
            Ok(())
        }
    }
}

/// All of it, as it was at one moment: it is read anew where it was changed meanwhile.
async fn fetch(client: &Client) -> Result<Portable, Error> {
    for _ in 0..TRIES {
        let (before, list, after) = fetch_once(client).await?;
        if before == after {
            return Ok(list);
        }
    }
    Err(Error::Unmet("the list changes all the time: try again when fewer write to it".to_owned()))
}

/// What is read, and the list's revision before and after.
async fn fetch_once(client: &Client) -> Result<(Option<u64>, Portable, Option<u64>), Error> {
    let revision = async || {
        let one = client.request(Method::GET, &["domains"], &[("limit", "1")]);
        Ok::<_, Error>(client.send(one).await?.revision())
    };
    let first = revision().await?;
    let StrategyBody { strategy } = client.get(&["strategy"]).await?.read()?;
    let mut list = Portable { strategy: Some(strategy), ..Portable::default() };
    let mut after: Option<Domain> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(after.as_ref().map(|after| ("after", after.as_str())));
        let answer = client.send(client.request(Method::GET, &["domains"], &query)).await?;
        let page: DomainPage = answer.read()?;
        list.domains.extend(page.domains.into_iter().map(|it| (it.listed.domain, it.listed.terms)));
        after = page.next;
        if after.is_none() {
            return Ok((first, list, revision().await?));
        }
    }
}

/// Makes the list what a file says. It is asked first what that comes to, and then the list may not have changed
/// since: what is told is what is done.
pub(super) async fn import(args: ImportArgs, json: bool) -> Result<(), Error> {
    let ImportArgs { file, format, prune, dry_run, remote } = args;
    let list = read(&file, format)?;
    let domains =
        list.domains.into_iter().map(|(domain, terms)| PutDomain { domain, change: terms.into() });
    let body = PutDomains { domains: domains.collect(), strategy: list.strategy };
    let client = Client::new(&remote)?;
    let prune = [("prune", if prune { "true" } else { "false" })];
    let request = |query: &[(&str, &str)]| client.request(Method::PUT, &["domains"], query).json(&body);
    let asked = client.send(request(&[prune.as_slice(), &[DRY_RUN]].concat())).await?;
    if dry_run {
        return told(&asked, json);
    }
    told(&client.send(asked.if_unchanged(request(&prune))).await?, json)
}

fn read(path: &Path, format: Option<Format>) -> Result<Portable, FileError> {
    let format =
        format.or_else(|| Format::of(path)).ok_or_else(|| FileError::Format(path.to_owned()))?;
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| unusable(path, &error))?;
    portable::read(&text, format).map_err(|errors| FileError::Wrong { path: path.to_owned(), errors })
}
