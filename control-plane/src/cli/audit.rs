//! `fedgate audit`: who changed what, and when.

use std::io::{self, ErrorKind};
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fedgate_allow_list::{Deed, Moment};
use fedgate_policy::Domain;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, ClientError};
use super::{Error, Remote, print, when};
use crate::deeds;
use crate::spelling;

/// How many records one request gets, at most.
const PAGE: usize = 1000;
/// From one question for what is new to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Examples.
pub(super) const HELP: &str = "\
The last line is the newest. With --json, each record is an object on a line of its own, as the API gives it.

Examples:
  fedgate audit                                  the last 100 records
  fedgate audit --follow --domain company-a.com  what is done to one domain, as it is done
  fedgate audit --since 7d --by alice            what alice did within a week
  fedgate audit --action calls-refused -n 20     who was refused lately
  fedgate audit --since 2030-01-01 --json > audit.jsonl";

/// Which records.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Only what is about this domain
    #[arg(long, value_parser = spelling::domain)]
    domain: Option<Domain>,
    /// Only what this author did: a token's name, or `brig`, or `system`
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only records of these kinds, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = deed())]
    action: Vec<Deed>,
    /// All from then on: a time back from now, such as 2h, or a date, such as 2030-01-31
    #[arg(long, value_name = "WHEN", value_parser = when::ago)]
    since: Option<Moment>,
    /// Only what was before then
    #[arg(long, value_name = "WHEN", value_parser = when::ago, conflicts_with = "follow")]
    until: Option<Moment>,
    /// How many of the newest records; without it 100, or with --since all
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    number: Option<u32>,
    /// Go on, and print each new record as it comes, through restarts of the control plane
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    remote: Remote,
}

/// A page of records, of which we may not know all members.
#[derive(Deserialize)]
struct Page {
    records: Vec<Value>,
    next: Option<i64>,
}

fn deed() -> impl TypedValueParser<Value = Deed> {
    PossibleValuesParser::new(Deed::ALL.map(Deed::name)).try_map(|name| name.parse::<Deed>())
}

/// Prints records.
pub(super) async fn run(args: &AuditArgs, json: bool) -> Result<(), Error> {
    let reader = Reader { client: Client::new(&args.remote)?, filters: filters(args), json };
    match reader.run(args).await {
        // It has seen enough.
        Err(Error::System(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn filters(args: &AuditArgs) -> Vec<(&'static str, String)> {
    let AuditArgs { domain, by, action, since, until, .. } = args;
    let kinds = action.iter().map(|deed| deed.name()).collect::<Vec<_>>().join(",");
    let filters = [
        ("domain", domain.as_ref().map(ToString::to_string)),
        ("by", by.clone()),
        ("action", Some(kinds).filter(|kinds| !kinds.is_empty())),
        ("since", since.map(|at| at.to_string())),
        ("until", until.map(|at| at.to_string())),
    ];
    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Reads and prints; `last` is the number of the last record that it printed.
struct Reader {
    client: Client,
    filters: Vec<(&'static str, String)>,
    json: bool,
}

// === impl Reader ===

impl Reader {
    async fn run(&self, args: &AuditArgs) -> Result<(), Error> {
        let mut last = 0;
        match (args.since, args.number) {
            (Some(_), None) => self.all(&mut last).await?,
            (_, number) => self.newest(number.unwrap_or(100), &mut last).await?,
        }
        if args.follow { self.follow(&mut last).await } else { Ok(()) }
    }

    /// The newest records, the oldest of them first.
    async fn newest(&self, number: u32, last: &mut i64) -> Result<(), Error> {
        let mut missing = usize::try_from(number).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        let mut before = None;
        while missing > 0 {
            let page = self.page("newest", ("before", before), missing.min(PAGE)).await?;
            missing = missing.saturating_sub(page.records.len());
            records.extend(page.records);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        Ok(records.iter().rev().try_for_each(|record| self.print(record, last))?)
    }

    /// All records behind one.
    async fn all(&self, last: &mut i64) -> Result<(), Error> {
        loop {
            let page = self.page("oldest", ("after", Some(*last)), PAGE).await?;
            page.records.iter().try_for_each(|record| self.print(record, last))?;
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    /// All records behind one, for ever; while the control plane is away, it waits.
    async fn follow(&self, last: &mut i64) -> Result<(), Error> {
        let mut is_away = false;
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.all(last).await {
                Ok(()) => is_away = false,
                Err(Error::Client(error)) if is_passing(&error) => {
                    if !is_away {
                        print::remark(format_args!("{error}; trying again"));
                    }
                    is_away = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn page(
        &self,
        order: &str,
        (bound, number): (&str, Option<i64>),
        limit: usize,
    ) -> Result<Page, Error> {
        let (limit, number) = (limit.to_string(), number.map(|number| number.to_string()));
        let mut query = vec![("order", order), ("limit", &limit)];
        query.extend(number.as_deref().map(|number| (bound, number)));
        query.extend(self.filters.iter().map(|(name, value)| (*name, value.as_str())));
        let request = self.client.request(Method::GET, &["audit"], &query);
        Ok(self.client.send(request).await?.read()?)
    }

    fn print(&self, record: &Value, last: &mut i64) -> io::Result<()> {
        *last = record.get("id").and_then(Value::as_i64).unwrap_or(*last);
        match serde_json::from_value(record.clone()) {
            Ok(known) if !self.json => print::live_line(deeds::line(&known)),
            // Or of a later version.
            Ok(_) | Err(_) => print::live_json(record),
        }
    }
}

/// Whether it may be otherwise in a moment, as where a control plane restarts.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Strange { .. } => true,
        ClientError::Refused(details) => details.status >= 500 || details.status == 429,
        ClientError::NoToken
        | ClientError::TokenFile { .. }
        | ClientError::NoWord { .. }
        | ClientError::Authorities { .. }
        | ClientError::Url { .. }
        | ClientError::Unauthorized { .. } => false,
    }
}
