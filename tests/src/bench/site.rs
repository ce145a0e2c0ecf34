//! What surrounds the Envoys of a section: certificates, BIND, and the control plane.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fedgate_tests::address::Address;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, Store, VERDICTS_PORT};
use fedgate_tests::dns::Bind;
use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::http;
use rusqlite::Connection;
use rustix::process::Signal;
use rustls::ClientConfig;
use tempfile::TempDir;

use super::load::{INGRESS, client_config};
use super::proxy::{Proxy, Settings};

/// The first Envoy's port; the others' follow. Below them there is the rest of the world.
const LISTENERS: u16 = 20_000;
/// As [`LISTENERS`], of the admin interfaces.
const ADMINS: u16 = 21_000;

/// A control plane with DNS; fields are in the order in which they are to end.
#[derive(Debug)]
pub(crate) struct Site {
    /// `fedgate serve`.
    pub(crate) control_plane: ControlPlane,
    /// BIND.
    pub(crate) dns: Bind,
    authority: Authority,
    dir: TempDir,
    address: Address,
}

/// How the admin API is spoken to, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    agent: ureq::Agent,
    url: String,
}

// === impl Site ===

impl Site {
    /// Starts BIND with these records, and a control plane that asks it. `discovery` holds lines of
    /// that section of its configuration.
    pub(crate) fn start(records: &[String], discovery: &str) -> Self {
        Self::start_on(records, discovery, Store::File)
    }

    /// The same, with the list kept there.
    pub(crate) fn start_on(records: &[String], discovery: &str, store: Store) -> Self {
        let address = Address::claim();
        let dir = tempfile::Builder::new().prefix("fedgate-bench-").tempdir().expect("a folder");
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let dns = Bind::start(address.dns(), dir.path(), &records);
        let servers = [dns.address()];
        let control_plane =
            ControlPlane::with_store(&[], address.ip(), dir.path(), &servers, discovery, store);
        let authority = Authority::root("the authority that b.com trusts");
        write_certificates(dir.path(), &authority);
        Self { control_plane, dns, authority, dir, address }
    }

    /// Puts domains on the list of a control plane that runs, all at once, and leaves it stopped.
    pub(crate) fn fill(&mut self, domains: &[String]) {
        self.control_plane.process().signal(Signal::TERM);
        let status = self.control_plane.process().wait();
        assert!(status.success(), "the control plane ended with {status}");
        insert(&self.control_plane.dir().join("fedgate.db"), domains).expect("the store takes domains");
    }

    /// Starts the Envoy number `n` of this site.
    pub(crate) fn proxy(&self, n: u16, name: &str, settings: Settings) -> Proxy {
        let at = |port| SocketAddr::from((self.address.ip(), port));
        Proxy::start(name, self.dir.path(), at(LISTENERS + n), at(ADMINS + n), settings)
    }

    /// The verdict API.
    pub(crate) fn verdicts(&self) -> SocketAddr {
        (self.address.ip(), VERDICTS_PORT).into()
    }

    /// A client with a new certificate for `host`, which trusts the ingress.
    pub(crate) fn client(&self, host: &str) -> Arc<ClientConfig> {
        client_config(&self.authority, &self.authority.issue(&Leaf::of([host])))
    }

    /// The admin API.
    pub(crate) fn admin(&self) -> Admin {
        Admin::of(&self.control_plane)
    }
}

/// Writes what the control plane would have written, had somebody added one domain after the other.
fn insert(store: &Path, domains: &[String]) -> rusqlite::Result<()> {
    let mut store = Connection::open(store)?;
    let transaction = store.transaction()?;
    let mut revision: i64 = transaction.query_row("SELECT revision FROM list", [], |row| row.get(0))?;
    {
        let mut add = transaction.prepare(
            "INSERT INTO domain (name, revision, created_at, updated_at) VALUES (?1, ?2, 0, 0)",
        )?;
        for domain in domains {
            revision += 1;
            add.execute((domain, revision))?;
        }
    }
    transaction.execute("UPDATE list SET revision = ?1", [revision])?;
    transaction.commit()
}

fn write_certificates(dir: &Path, authority: &Authority) {
    let server = authority.issue(&Leaf::of([INGRESS]));
    let trust = authority.pem().to_owned();
    for (name, pem) in [("server.pem", server.chain), ("server.key", server.key), ("trust.pem", trust)] {
        fs::write(dir.join(name), pem).expect("a PEM file");
    }
}

// === impl Admin ===

impl Admin {
    /// That of a control plane.
    pub(crate) fn of(control_plane: &ControlPlane) -> Self {
        Self { agent: http(), url: control_plane.url() }
    }

    /// The same, for what takes its time.
    pub(crate) fn patient(control_plane: &ControlPlane) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(120))).build().into();
        Self { agent, url: control_plane.url() }
    }

    /// Puts a domain on the list.
    pub(crate) fn list(&self, domain: &str) -> Result<(), String> {
        let url = format!("{}/v1/domains/{domain}", self.url);
        done(self.agent.put(url).header("authorization", bearer()).send_empty())
    }

    /// Puts many domains on the list at once, and with `prune` takes all others off it.
    pub(crate) fn put_all(&self, domains: &serde_json::Value, prune: bool) -> Result<(), String> {
        let url = format!("{}/v1/domains?prune={prune}", self.url);
        done(self.agent.put(url).header("authorization", bearer()).send_json(domains))
    }

    /// Reads a page of the list.
    pub(crate) fn page(&self, query: &str) -> Result<(), String> {
        let url = format!("{}/v1/domains?limit=100&{query}", self.url);
        done(self.agent.get(url).header("authorization", bearer()).call())
    }

    /// Takes a domain off the list.
    pub(crate) fn remove(&self, domain: &str) -> Result<(), String> {
        let url = format!("{}/v1/domains/{domain}", self.url);
        done(self.agent.delete(url).header("authorization", bearer()).call())
    }

    /// Has a domain looked up anew.
    pub(crate) fn refresh(&self, domain: &str) -> Result<(), String> {
        let url = format!("{}/v1/domains/{domain}/refresh", self.url);
        done(self.agent.post(url).header("authorization", bearer()).send_empty())
    }

    /// Sets the strategy.
    pub(crate) fn set_strategy(&self, strategy: &str) -> Result<(), String> {
        let url = format!("{}/v1/strategy", self.url);
        let body = serde_json::json!({"strategy": strategy});
        done(self.agent.put(url).header("authorization", bearer()).send_json(body))
    }
}

fn bearer() -> String {
    format!("Bearer {ADMIN_TOKEN}")
}

fn done(answer: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<(), String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("{}: {text}", answer.status())) }
}
