//! Configurations: whatever is accepted keeps to its bounds, and opens nothing that it does not name.

use std::time::Duration;

use fedgate::fuzzing;
use serde_json::Value;

#[allow(dead_code, reason = "the filter needs all of it")]
#[path = "../../filter/src/config.rs"]
mod filter;

use filter::{ChainValidation, Mode, Plan, Role};

/// The control plane's TOML, with a list of servers and one of tokens behind zero octets; or, after a
/// first octet that is odd, the filter's JSON.
pub fn configuration(octets: &[u8]) -> bool {
    match octets.split_first() {
        Some((choice, json)) if choice % 2 == 1 => of_the_filter(json),
        Some((_, text)) => str::from_utf8(text).is_ok_and(of_the_control_plane),
        None => false,
    }
}

fn of_the_control_plane(text: &str) -> bool {
    let mut parts = text.split('\0');
    let (file, servers, tokens) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    // That would have a file read.
    if ["anchor", "tls"].iter().any(|key| file.contains(key)) {
        return false;
    }
    let config = match fuzzing::configuration(file, servers, tokens) {
        Ok(config) => config,
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.is_empty()));
            return false;
        }
    };
    let between =
        |time, min, max| (Duration::from_millis(min)..=Duration::from_millis(max)).contains(&time);
    assert!(config.ttl.0 <= config.ttl.1);
    assert!(between(config.timeout, 100, 20_000) && between(config.connect_timeout, 100, 60_000));
    assert!(config.secrets.iter().all(|path| path.starts_with('/')));
    assert!(!config.store.is_empty());
    let mut listeners: Vec<_> = config.listeners.iter().filter(|address| address.port() != 0).collect();
    listeners.sort();
    let count = listeners.len();
    listeners.dedup();
    assert_eq!(listeners.len(), count, "no two listen in one place");
    let shown = config.shown.to_ascii_lowercase();
    for digest in text.split(|c: char| !c.is_ascii_hexdigit()).filter(|part| part.len() == 64) {
        assert!(
            text.matches(digest).count() > 1 || !shown.contains(&digest.to_ascii_lowercase()),
            "{shown}"
        );
    }
    true
}

fn of_the_filter(json: &[u8]) -> bool {
    let token = |name: &str| (name == "TOKEN").then(|| "secret-token".to_owned());
    let plan = match Plan::parse(json, token) {
        Ok(plan) => plan,
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().is_empty()));
            return false;
        }
    };
    let tree: Value = serde_json::from_slice(json).expect("a configuration is JSON");
    let config = match plan {
        Plan::Gate(config) => config,
        Plan::Lobby(config) => {
            assert_eq!(tree["role"], "lobby");
            assert!(
                (1..=3_600).contains(&config.patience_s) && (1..=1_000_000).contains(&config.places)
            );
            return true;
        }
    };
    match &config.role {
        Role::Ingress => assert_eq!(tree["role"], "ingress"),
        Role::Egress { own_domain } => {
            assert_eq!(tree["role"], "egress");
            let text = tree["own_domain"].as_str().expect("an egress names its domain");
            assert_eq!(own_domain.as_str(), text.to_ascii_lowercase());
            assert_eq!(config.mode, Mode::Enforce);
        }
    }
    assert_eq!(config.mode == Mode::Shadow, tree["mode"] == "shadow");
    assert_eq!(
        config.chain_validation == ChainValidation::Listener,
        tree["chain_validation"] == "listener"
    );
    assert_eq!(config.forward_certificate, tree["forward_certificate"] == true);
    assert!(config.max_staleness <= Duration::from_secs(86_400));
    let timeout = config.control_plane.timeout;
    assert!((Duration::from_millis(1)..=Duration::from_secs(60)).contains(&timeout));
    assert_eq!(config.control_plane.cluster, tree["control_plane"]["cluster"].as_str().expect("a text"));
    assert_eq!(config.control_plane.bearer(), "Bearer secret-token");
    let shown = format!("{config:?}");
    assert!(!shown.contains("secret-token") || json.windows(12).any(|part| part == b"secret-token"));
    true
}
