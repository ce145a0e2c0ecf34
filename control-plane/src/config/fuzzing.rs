//! For `fuzz/`: a configuration from the text of a file, and what it came to.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Config, Settings};

/// What a configuration came to.
#[derive(Debug)]
pub struct Configuration {
    /// The allow list's file.
    pub store: String,
    /// Where admin API, verdict API and xDS service listen.
    pub listeners: [SocketAddr; 3],
    /// DNS servers.
    pub servers: Vec<SocketAddr>,
    /// Between what bounds a TTL is honoured.
    pub ttl: (Duration, Duration),
    /// The longest that one discovery may take.
    pub timeout: Duration,
    /// How long Envoy may take to connect.
    pub connect_timeout: Duration,
    /// Files on Envoy's side.
    pub secrets: [String; 2],
    /// All of it, as a log would show it.
    pub shown: String,
}

/// Reads the text of a configuration file, and lists of servers and tokens as variables give them; or
/// says everything that is wrong.
pub fn configuration(
    file: &str,
    servers: Option<&str>,
    tokens: Option<&str>,
) -> Result<Configuration, Vec<String>> {
    let settings = Settings {
        discovery_servers: servers.map(str::to_owned),
        tokens: tokens.map(str::to_owned),
        ..Settings::default()
    };
    let config = Config::read(settings, Ok(file.to_owned())).map_err(|errors| errors.0)?;
    let shown = format!("{config:?}");
    Ok(Configuration {
        store: config.store.url.to_string(),
        listeners: [config.admin, config.verdicts, config.xds],
        servers: config.servers,
        ttl: (config.ttl.min, config.ttl.max),
        timeout: config.timeout,
        connect_timeout: config.egress.connect_timeout,
        secrets: [config.egress.client_certificate_sds, config.egress.trust_sds],
        shown,
    })
}
