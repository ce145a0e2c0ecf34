//! What `fedgate serve` is told: flag before environment variable before file before default.
//!
//! The whole of it is read before anything is said, so that one run shows every error.

mod brig;
mod changes;
mod egress;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod page;
mod settings;
mod store;
mod telemetry;
mod tls;
mod told;
mod url;

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use fedgate_allow_list::audit::Retention;
use fedgate_discovery::TtlBounds;
use fedgate_discovery::dnssec::anchors::Anchors;
use fedgate_discovery::dnssec::{Dnssec, Mode};
use fedgate_store::rights;
use reqwest::Url;
use tracing_subscriber::EnvFilter;

use crate::auth::{Token, TokenError};
use crate::portable::Format;
use crate::xds::Egress;
use file::File;

pub(crate) use settings::Settings;
pub(crate) use store::{StorePlace, StoreUrl};
pub(crate) use tls::Certificates;
pub(crate) use told::Told;

/// The port of DNS, where a server is given without one.
const DNS_PORT: u16 = 53;

/// What is logged.
const LOG: &str = "info";

/// What `fedgate serve` does.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where the allow list is kept.
    pub(crate) store: StorePlace,
    /// Address of the admin API.
    pub(crate) admin: SocketAddr,
    /// Address of the verdict API.
    pub(crate) verdicts: SocketAddr,
    /// Address of the xDS service.
    pub(crate) xds: SocketAddr,
    /// Address of Wire's list API, where there is one.
    pub(crate) wire: Option<SocketAddr>,
    /// Whether that needs no token.
    pub(crate) wire_open: bool,
    /// Brig, and how our list is kept in step with its.
    pub(crate) brig: Option<crate::brig::Settings>,
    /// Which listeners speak TLS.
    pub(crate) tls: Certificates,
    /// DNS servers; the system's where empty.
    pub(crate) servers: Vec<SocketAddr>,
    /// Between what bounds a TTL is honoured.
    pub(crate) ttl: TtlBounds,
    /// The longest that one discovery may take.
    pub(crate) timeout: Duration,
    /// Whether targets may have addresses that are not public.
    pub(crate) private_addresses: bool,
    /// How Envoy connects to other backends.
    pub(crate) egress: Egress,
    /// Whether answers are to be proven.
    pub(crate) dnssec: Dnssec,
    /// The file that the list is kept in step with, where there is one.
    pub(crate) list_file: Option<PathBuf>,
    /// The page, where there is one.
    pub(crate) page: Option<crate::page::Settings>,
    /// Whether the admin API takes a change of what is there only with a condition.
    pub(crate) require_match: bool,
    /// Who may call, beside those whose tokens are in the store.
    pub(crate) tokens: Vec<Token>,
    /// Where the first token is put, or is found.
    pub(crate) bootstrap_token_file: Option<PathBuf>,
    /// How long records are kept.
    pub(crate) audit: Retention,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// What is logged.
    pub(crate) log: EnvFilter,
    /// Where traces go, if there are any.
    pub(crate) otlp_endpoint: Option<Url>,
    /// Spans that may wait for their way there.
    pub(crate) waiting_spans: usize,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that is wrong with a configuration; at least one thing.
#[derive(Debug, thiserror::Error)]
pub(crate) struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// All of them; at least one.
    pub(crate) fn all(errors: Vec<String>) -> Self {
        Self(errors)
    }

    /// Just this.
    pub(crate) fn one(error: String) -> Self {
        Self(vec![error])
    }

    /// Each of them.
    pub(crate) fn list(&self) -> &[String] {
        &self.0
    }
}

/// A DNS server, as `ip` or `ip:port`.
pub(crate) fn dns_server(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map(|Server(address)| address)
}

/// A server, with DNS's port where none is given.
struct Server(SocketAddr);

// === impl Config ===

impl Config {
    /// Reads the file that the settings name, and everything else.
    pub(crate) fn load(settings: &Settings) -> Result<Self, ConfigErrors> {
        let file = match &settings.config {
            None => Ok(String::new()),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| cannot_read("config", path, &error))
            }
        };
        Self::read(settings.clone(), file)
    }

    fn read(mut settings: Settings, file: Result<String, String>) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut file = file.and_then(|text| File::parse(&text, &mut errors)).unwrap_or_else(|error| {
            errors.push(error);
            File::default()
        });
        let mut reader = Reader { errors };
        let store = store::read(&mut settings, &mut file, &mut reader);
        let tls = Certificates::read(&mut settings, &mut file, &mut reader);
        let brig = brig::read(&mut settings, &mut file, &mut reader);
        let egress = egress::read(&mut settings, &mut file, &mut reader);
        let (wire, wire_open) = brig::read_wire(&mut settings, &mut file, &mut reader);
        let list_file = reader.list_file(either(&mut settings.list_file, &mut file.kept_in));
        let page = page::read(&mut settings, &mut file, &mut reader);
        let (otlp_endpoint, waiting_spans) = telemetry::read(&mut settings, &mut file, &mut reader);
        // An empty value, as `FEDGATE_TOKENS=` in a unit file makes one, is none.
        let given = |flag: Option<String>| flag.filter(|text| !text.trim().is_empty());
        let one = |flag: Option<String>, file: Option<String>, default: &str| {
            given(flag).or(file).unwrap_or_else(|| default.to_owned())
        };
        let list =
            |flag: Option<String>, file: Vec<String>| given(flag).map_or(file, |text| split(&text));

        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = one(settings.listen_admin, file.listen_admin, "127.0.0.1:8600");
        let admin = reader.parse("listen.admin", &admin, loopback);
        let verdicts = one(settings.listen_verdicts, file.listen_verdicts, "127.0.0.1:8601");
        let verdicts = reader.parse("listen.verdicts", &verdicts, loopback);
        let xds = one(settings.listen_xds, file.listen_xds, "127.0.0.1:8602");
        let xds = reader.parse("listen.xds", &xds, loopback);
        let servers = list(settings.discovery_servers, file.servers)
            .iter()
            .map(|text| reader.parse("discovery.servers", text, Server(loopback)).0)
            .collect();
        let ttl = TtlBounds {
            min: reader.time("discovery.min_ttl", &one(settings.discovery_min_ttl, file.min_ttl, "5s")),
            max: reader.time("discovery.max_ttl", &one(settings.discovery_max_ttl, file.max_ttl, "1d")),
        };
        let timeout = one(settings.discovery_timeout, file.timeout, "3s");
        let timeout = reader.time("discovery.timeout", &timeout);
        let private = one(settings.discovery_allow_private_addresses, file.private_addresses, "false");
        let private_addresses = reader.parse("discovery.allow_private_addresses", &private, false);
        let require_match = one(settings.api_require_match, file.require_match, "false");
        let require_match = reader.parse("api.require_match", &require_match, false);
        let mode = reader.parse(
            "discovery.dnssec",
            &one(settings.discovery_dnssec, file.dnssec, "off"),
            Mode(None),
        );
        let anchors = reader.anchors(given(settings.discovery_trust_anchor).or(file.trust_anchor));
        let dnssec = Dnssec { demand: mode.0, anchors };
        let log_format = one(settings.log_format, file.log_format, "text");
        let log_format = reader.parse("log.format", &log_format, LogFormat::Text);
        let log = reader.parse("log.filter", &one(settings.log, file.log, LOG), EnvFilter::default());
        let tokens = match given(settings.tokens) {
            None => file.tokens,
            Some(text) => split(&text).iter().map(|text| text.parse()).collect(),
        };
        let tokens = reader.tokens(tokens);
        let bootstrap_token_file = given(settings.bootstrap_token_file).or(file.bootstrap_token);
        let audit = reader.audit(
            &one(settings.audit_max_age, file.audit_max_age, "400d"),
            &one(settings.audit_max_records, file.audit_max_records, "100000"),
        );
        let listeners = [("listen.admin", admin), ("listen.verdicts", verdicts), ("listen.xds", xds)];
        reader.check_addresses(listeners.into_iter().chain(wire.map(|wire| ("listen.wire", wire))));
        reader.check_discovery(ttl, timeout);
        if !reader.errors.is_empty() {
            return Err(ConfigErrors(reader.errors));
        }
        Ok(Self {
            store,
            admin,
            verdicts,
            xds,
            wire,
            wire_open,
            brig,
            tls,
            servers,
            ttl,
            timeout,
            private_addresses,
            egress,
            dnssec,
            list_file,
            page,
            require_match,
            tokens,
            bootstrap_token_file: bootstrap_token_file.map(PathBuf::from),
            audit,
            log_format,
            log,
            otlp_endpoint,
            waiting_spans,
        })
    }
}

/// Reads values, and remembers what is wrong with them.
struct Reader {
    errors: Vec<String>,
}

impl Reader {
    fn parse<T: FromStr<Err: fmt::Display>>(&mut self, key: &str, text: &str, instead: T) -> T {
        text.trim().parse().unwrap_or_else(|error| {
            self.errors.push(format!("{key}: '{}': {error}", text.escape_debug()));
            instead
        })
    }

    fn time(&mut self, key: &str, text: &str) -> Duration {
        humantime::parse_duration(text.trim()).unwrap_or_else(|error| {
            self.errors
                .push(format!("{key}: '{}': {error}; write e.g. 5s, 10m, 1d", text.escape_debug()));
            Duration::from_secs(1)
        })
    }

    fn accept<T, E: fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.errors.push(format!("{key}: {error}"))).ok()
    }

    fn check_discovery(&mut self, ttl: TtlBounds, timeout: Duration) {
        self.check("discovery.min_ttl", ttl.min <= ttl.max, "is above discovery.max_ttl");
        self.check(
            "discovery.timeout",
            (Duration::from_millis(100)..=Duration::from_secs(20)).contains(&timeout),
            "is not between 100ms and 20s",
        );
    }

    fn audit(&mut self, age: &str, count: &str) -> Retention {
        let age = self.time("audit.max_age", age);
        let count = self.parse("audit.max_records", count, 1);
        self.check("audit.max_age", !age.is_zero(), "is no time");
        self.check("audit.max_records", count > 0, "is not 1 or more");
        Retention { age, count }
    }

    /// No two have one address.
    fn check_addresses(&mut self, listeners: impl Iterator<Item = (&'static str, SocketAddr)>) {
        let mut before = Vec::new();
        for (key, address) in listeners {
            let is_taken = before.iter().any(|(_, other)| address.port() != 0 && *other == address);
            let others: Vec<_> = before.iter().map(|(key, _)| *key).collect();
            self.check(key, !is_taken, &format!("is the same address as {}", others.join(" or ")));
            before.push((key, address));
        }
    }

    /// The anchors in a file, which is read even where they are not used.
    fn anchors(&mut self, file: Option<String>) -> Anchors {
        let anchors = file.map(|file| {
            let text = fs::read_to_string(&file).map_err(|error| {
                format!("cannot be read: {}", rights::unreadable(file.as_ref(), &error))
            });
            text.and_then(|text| Anchors::parse(&text))
                .map_err(|error| format!("discovery.trust_anchor: {}: {error}", file.escape_debug()))
        });
        anchors.unwrap_or_else(|| Ok(Anchors::default())).unwrap_or_else(|error| {
            self.errors.push(error);
            Anchors::default()
        })
    }

    /// What is in it is looked at later, since it may change.
    fn list_file(&mut self, file: Option<String>) -> Option<PathBuf> {
        let file = PathBuf::from(file?);
        self.check("list.file", Format::of(&file).is_some(), "is neither a .toml nor a .jsonl file");
        Some(file)
    }

    fn tokens(&mut self, tokens: Vec<Result<Token, TokenError>>) -> Vec<Token> {
        let mut good: Vec<Token> = Vec::new();
        for token in tokens {
            let token = match token {
                Ok(token) => token,
                Err(error) => {
                    self.errors.push(format!("token: {error}"));
                    continue;
                }
            };
            let (name, twin) = (&token.name, good.iter().find(|other| other.is_shared_with(&token)));
            if good.iter().any(|other| other.name == *name) {
                self.errors.push(format!("token: the name '{name}' stands there twice"));
            } else if let Some(Token { name: other, .. }) = twin {
                self.errors.push(format!(
                    "token: '{other}' and '{name}' have the same sha256, so nobody could tell who calls: make each a token of its own with `fedgate token new`"
                ));
            }
            good.push(token);
        }
        good
    }

    fn check(&mut self, key: &str, holds: bool, otherwise: &str) {
        // A value that does not parse has been complained of already.
        if !holds && !self.errors.iter().any(|error| error.starts_with(key)) {
            self.errors.push(format!("{key}: {otherwise}"));
        }
    }
}

fn cannot_read(key: &str, path: &Path, error: &std::io::Error) -> String {
    format!("{key}: cannot read {}: {}", path.display(), rights::unreadable(path, error))
}

/// What is given in a flag or variable, or else in the file.
fn either(flag: &mut Option<String>, file: &mut Option<String>) -> Option<String> {
    flag.take().filter(|text| !text.trim().is_empty()).or_else(|| file.take())
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  - {error}"))
    }
}

impl FromStr for Server {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = |_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        text.parse().or_else(bare).map(Self).map_err(|_| "is neither `ip` nor `ip:port`")
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is neither `text` nor `json`"),
        }
    }
}

#[cfg(test)]
mod tests;
