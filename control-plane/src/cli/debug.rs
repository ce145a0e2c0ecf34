//! `fedgate debug bundle`: what whoever helps asks for first, in one file, without secrets.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use clap::{Args, Subcommand};
use fedgate_policy::Domain;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::store::Draft;
use super::{Error, Remote, print};
use crate::startup;

/// How many records, domains and partners at most.
const MANY: (&str, &str) = ("limit", "1000");
/// Of how many domains in trouble the decision is explained.
const EXPLAINED: usize = 20;

/// What helps whoever is to find a fault.
#[derive(Debug, Subcommand)]
pub(super) enum DebugCommand {
    /// Gather what is known into a tar file: versions, configuration, status, audit, metrics, and the decision on
    /// partners in trouble
    #[command(after_help = "\
No token, digest or key is in it. Domains, notes, names of tokens and of certificates, addresses and paths are: look
through it before it leaves your house. What could not be had is named in manifest.json, with the reason.

Examples:
  fedgate debug bundle
  fedgate debug bundle /tmp/fedgate.tar")]
    Bundle(BundleArgs),
}

/// Where the bundle is to go.
#[derive(Debug, Args)]
pub(super) struct BundleArgs {
    /// The file to write; without it, fedgate-debug-TIME.tar in the working directory
    file: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Does what is asked for.
pub(super) async fn run(command: DebugCommand, json: bool) -> Result<(), Error> {
    let DebugCommand::Bundle(BundleArgs { file, replace, remote }) = command;
    let now = SystemTime::now();
    let name = format!("fedgate-debug-{}", humantime::format_rfc3339_seconds(now)).replace(':', "");
    let file = file.unwrap_or_else(|| format!("{name}.tar").into());
    let draft = Draft::new(&file, replace)?;
    let mut bundle = Bundle { tar: tar::Builder::new(&draft.file), name, now, parts: Vec::new() };
    bundle.gather(&Client::new(&remote)?).await?;
    let parts = bundle.close()?;
    let octets = draft.finish()?;
    if json {
        return Ok(print::json(&json!({ "file": file, "octets": octets, "parts": parts }))?);
    }
    for (name, cause) in parts.iter().filter_map(|(name, cause)| Some((name, cause.as_ref()?))) {
        print::remark(format_args!("{name} is not in it: {cause}"));
    }
    let whole = parts.iter().filter(|(_, cause)| cause.is_none()).count();
    Ok(print::line(format_args!("{} holds {whole} parts: {octets} octets", file.display()))?)
}

/// A bundle that is being written.
struct Bundle<W: io::Write> {
    tar: tar::Builder<W>,
    name: String,
    now: SystemTime,
    parts: Vec<Part>,
}

/// Its name, and why it is not there, if it is not.
type Part = (String, Option<String>);

// === impl Bundle ===

impl<W: io::Write> Bundle<W> {
    /// All that is known. What cannot be had is noted, and the rest goes on: it is in trouble that this is wanted.
    async fn gather(&mut self, client: &Client) -> io::Result<()> {
        self.get(client, "readyz.txt", client.beside("readyz")).await?;
        self.get(client, "metrics.txt", client.beside("metrics")).await?;
        let api = |segments, query| client.request(Method::GET, segments, query);
        self.get(client, "configuration.json", api(&["configuration"], &[])).await?;
        self.get(client, "strategy.json", api(&["strategy"], &[])).await?;
        self.get(client, "domains.json", api(&["domains"], &[MANY])).await?;
        self.get(client, "audit.json", api(&["audit"], &[MANY])).await?;
        self.get(client, "tokens.json", api(&["tokens"], &[])).await?;
        self.get(client, "brig.json", api(&["brig"], &[])).await?;
        self.get(client, "partners.json", api(&["partners"], &[MANY])).await?;
        let status = self.get(client, "status.json", api(&["status"], &[])).await?;
        for domain in in_trouble(status.as_deref()) {
            for direction in ["incoming", "outgoing"] {
                let question = json!({ "domain": domain, "direction": direction });
                let request = client.request(Method::POST, &["explain"], &[]).json(&question);
                self.get(client, &format!("explain/{domain}-{direction}.json"), request).await?;
            }
        }
        Ok(())
    }

    /// A part, as the control plane answers.
    async fn get(
        &mut self,
        client: &Client,
        name: &str,
        request: reqwest::RequestBuilder,
    ) -> io::Result<Option<Bytes>> {
        match client.send(request).await {
            Ok(answer) => {
                self.put(name, &answer.octets())?;
                self.parts.push((name.to_owned(), None));
                Ok(Some(answer.octets()))
            }
            Err(error) => {
                self.parts.push((name.to_owned(), Some(cause(&error))));
                Ok(None)
            }
        }
    }

    fn put(&mut self, name: &str, octets: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(octets.len().try_into().map_err(io::Error::other)?);
        header.set_mode(0o600);
        let since = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        header.set_mtime(since.as_secs());
        self.tar.append_data(&mut header, format!("{}/{name}", self.name), octets)
    }

    /// With a list of its parts, as the last of them.
    fn close(mut self) -> io::Result<Vec<Part>> {
        let parts: serde_json::Map<_, _> = self
            .parts
            .iter()
            .map(|(name, cause)| {
                (name.clone(), cause.as_ref().map_or(Value::Bool(true), |cause| json!(cause)))
            })
            .collect();
        let manifest = json!({
            "made_at": humantime::format_rfc3339_seconds(self.now).to_string(),
            "made_by": format!("fedgate {}", startup::VERSION),
            "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            "parts": parts,
        });
        self.put("manifest.json", format!("{manifest:#}\n").as_bytes())?;
        self.tar.finish()?;
        Ok(self.parts)
    }
}

/// The domains that the status finds something about, the worst first.
fn in_trouble(status: Option<&[u8]>) -> Vec<String> {
    let status: Value = status.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    let findings = status.get("findings").and_then(Value::as_array);
    let domains = findings.into_iter().flatten().filter_map(|it| it.get("domain")?.as_str());
    let mut named = Vec::new();
    for domain in domains {
        // They become names of files.
        if domain.parse::<Domain>().is_ok() && !named.iter().any(|it| it == domain) {
            named.push(domain.to_owned());
        }
    }
    named.truncate(EXPLAINED);
    named
}

/// One line.
fn cause(error: &ClientError) -> String {
    error.to_string().replace('\n', " ")
}
