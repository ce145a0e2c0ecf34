//! `fedgate token make`, `list` and `revoke`: the tokens in the store of the running control plane.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fedgate_allow_list::Moment;
use reqwest::Method;
use serde_json::{Value, json as object};

use super::client::Client;
use super::{Error, Remote, print, when};
use crate::auth::Role;
use crate::contract::{MadeToken, MakeToken, TokenBody, TokenPage, TokenSource};

/// How many tokens one request lists.
const PAGE: &str = "1000";

/// Where tokens are.
pub(super) const HELP: &str = "\
Tokens are in two places, and both count:
  in the store           `make`, `list`, `revoke`: at once, by whoever has a token of role admin
  in the configuration   `new`, `hash`: what they print goes into the file of `fedgate serve`, or into --tokens

Roles: admin reads and writes, viewer reads, filter asks for verdicts and clusters, and nothing else.";

/// Examples of `make`.
pub(super) const MAKE_HELP: &str = "\
Only its SHA-256 is kept, so nobody can have the token again: make another one, and revoke this.

Examples:
  fedgate token make alice --role admin                    a person who changes the list
  fedgate token make audit --role viewer --expires 90d     somebody who reads it, for 90 days
  fedgate token make envoy-1 --role filter                 an Envoy: its filters and itself";

/// Examples of `revoke`.
pub(super) const REVOKE_HELP: &str = "\
Who shows it is refused from now on; xDS streams and long polls that were opened with it end.
A token of the configuration is taken out there, then `fedgate reload`.

Examples:
  fedgate token revoke alice
  fedgate token revoke bootstrap --force         even if nobody is left who may make another";

/// A token that is to be made.
#[derive(Debug, Args)]
pub(super) struct MakeArgs {
    /// Whose it is: letters, digits, '-', '_', '.'; log and audit say this name
    name: String,
    /// What its holder may do: admin reads and writes, viewer reads, filter asks for verdicts
    #[arg(long, value_parser = role())]
    role: Role,
    /// From when on it is refused: a time from now, such as 90d, or a date, such as 2030-01-31; without it, never
    #[arg(long, value_name = "WHEN", value_parser = when::ahead)]
    expires: Option<Moment>,
    #[command(flatten)]
    remote: Remote,
}

/// A token that is to be revoked.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Whose it is, as `fedgate token list` has it
    name: String,
    /// Even if it is the last of role admin: then the next start of `fedgate serve` makes a new one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Reads a role.
pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| name.parse::<Role>())
}

pub(super) async fn make(args: MakeArgs, json: bool) -> Result<(), Error> {
    let MakeArgs { name, role, expires: expires_at, remote } = args;
    let client = Client::new(&remote)?;
    let request = client.request(Method::POST, &["tokens"], &[]);
    let answer = client.send(request.json(&MakeToken { name, role, expires_at })).await?;
    if json {
        return Ok(print::json(&answer.json()?)?);
    }
    let MadeToken { made: TokenBody { name, role, expires_at, .. }, token } = answer.read()?;
    let end = expires_at.map(|end| format!(", until {end}")).unwrap_or_default();
    let lines = [
        format!("The token of {name}, role {}, counts from now on{end}.", role.name()),
        "It is not shown again, so give it to its holder now:".to_owned(),
        String::new(),
        format!("    {token}"),
    ];
    Ok(lines.iter().try_for_each(print::line)?)
}

pub(super) async fn list(remote: &Remote, json: bool) -> Result<(), Error> {
    let client = Client::new(remote)?;
    let (mut all, mut raw) = (Vec::new(), Vec::new());
    let mut after: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let answer = client.send(client.request(Method::GET, &["tokens"], &query)).await?;
        let page: TokenPage = answer.read()?;
        all.extend(page.tokens);
        let mut whole = answer.json()?;
        let tokens = whole.get_mut("tokens").and_then(Value::as_array_mut).map(std::mem::take);
        raw.extend(tokens.unwrap_or_default());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return Ok(print::json(&object!({ "tokens": raw }))?);
    }
    Ok(table(&all).iter().try_for_each(print::line)?)
}

pub(super) async fn revoke(args: &RevokeArgs, json: bool) -> Result<(), Error> {
    let RevokeArgs { name, force, remote } = args;
    let client = Client::new(remote)?;
    let query: &[_] = if *force { &[("force", "true")] } else { &[] };
    client.send(client.request(Method::DELETE, &["tokens", name], query)).await?;
    if json {
        return Ok(print::json(&object!({ "name": name, "revoked": true }))?);
    }
    Ok(print::line(format_args!("the token of {name} is revoked: it is refused from now on"))?)
}

/// Tokens, in columns as wide as they have to be.
fn table(tokens: &[TokenBody]) -> Vec<String> {
    let head = ["name", "role", "source", "made", "by", "last used", "expires"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(tokens.iter().map(row)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..7).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(token: &TokenBody) -> [String; 7] {
    let moment = |at: Option<Moment>| {
        at.map_or_else(|| "-".to_owned(), |at| humantime::format_rfc3339_seconds(at.0).to_string())
    };
    let source = match token.source {
        TokenSource::Configuration => "configuration",
        TokenSource::Store => "store",
    };
    let over = if token.expired { " (over)" } else { "" };
    [
        token.name.clone(),
        token.role.name().to_owned(),
        source.to_owned(),
        moment(token.created_at),
        token.created_by.clone().unwrap_or_else(|| "-".to_owned()),
        moment(token.last_used_at),
        format!("{}{over}", moment(token.expires_at)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_of_each_token_what_is_known() {
        let tokens = r#"[
            {"name":"alice","role":"admin","source":"configuration","created_at":null,"created_by":null,
                "expires_at":null,"expired":false,"last_used_at":"2030-01-31T12:00:00.5Z"},
            {"name":"envoy-1","role":"filter","source":"store","created_at":"2030-01-01T00:00:00Z",
                "created_by":"alice","expires_at":"2030-01-02T00:00:00Z","expired":true,"last_used_at":null}
        ]"#;
        let expected = "\
name     role    source         made                  by     last used             expires
alice    admin   configuration  -                     -      2030-01-31T12:00:00Z  -
envoy-1  filter  store          2030-01-01T00:00:00Z  alice  -                     2030-01-02T00:00:00Z (over)";
        assert_eq!(table(&serde_json::from_str::<Vec<_>>(tokens).unwrap()).join("\n"), expected);
    }
}
