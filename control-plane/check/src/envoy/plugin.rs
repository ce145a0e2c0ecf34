//! Fedgate's filter as Envoy is told of it: the code, the environment, and the filter's own configuration.

use fedgate_policy::Domain;
use serde_json::{Map, Value};

use super::codes;
use super::findings::Findings;
use super::shape::{at, flag, has, number, shown, text, texts};

/// The keys that the filter knows.
const KEYS: &[&str] = &[
    "role",
    "own_domain",
    "control_plane",
    "max_staleness_s",
    "mode",
    "forward_certificate",
    "chain_validation",
];
const CONTROL_PLANE_KEYS: &[&str] = &["cluster", "token_env", "timeout_ms"];
/// After so long the control plane says what it knows.
const ANSWER_MS: u64 = 4000;

/// What Envoy is told of the filter.
pub(super) struct Plugin<'a> {
    /// Envoy's part of it.
    pub(super) config: &'a Value,
    /// The filter's, or why it has none.
    pub(super) keys: Result<Value, String>,
}

/// Which side of the border is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Ingress,
    Egress,
}

// === impl Plugin ===

impl<'a> Plugin<'a> {
    /// Of a Wasm filter; none where it is somebody else's.
    pub(super) fn read(name: &str, wasm: &'a Value) -> Option<Self> {
        let config = at(wasm, "config");
        let keys = keys(at(config, "configuration"));
        let has_role =
            keys.as_ref().is_ok_and(|keys| ["ingress", "egress", "lobby"].contains(&text(keys, "role")));
        let names =
            [name, text(config, "name"), text(config, "root_id"), text(config, "vm_config/vm_id")];
        let is_named = names.iter().any(|name| name.contains("fedgate"));
        (has_role || is_named).then_some(Self { config, keys })
    }

    /// A key of its configuration, or of a part of it.
    pub(super) fn key(&self, path: &str) -> &Value {
        self.keys.as_ref().map_or(&Value::Null, |keys| at(keys, path))
    }

    /// The same, where it is a text.
    pub(super) fn word(&self, path: &str) -> &str {
        self.key(path).as_str().unwrap_or_default()
    }

    /// Which side it is told to guard.
    pub(super) fn role(&self) -> Option<Role> {
        match self.word("role") {
            "ingress" => Some(Role::Ingress),
            "egress" => Some(Role::Egress),
            _ => None,
        }
    }

    /// What is wrong with its configuration.
    pub(super) fn configuration(&self) -> Findings {
        let mut found = Findings::default();
        let mut wrong = |seen: String| found.add(&codes::WRONG_CONFIGURATION, seen);
        let keys = match &self.keys {
            Ok(Value::Object(keys)) => keys,
            Ok(_) => {
                wrong("the configuration is no JSON object".to_owned());
                return found;
            }
            Err(why) => {
                wrong(why.clone());
                return found;
            }
        };
        let empty = Map::new();
        let control_plane = keys.get("control_plane").and_then(Value::as_object).unwrap_or(&empty);
        for (known, keys, prefix) in
            [(KEYS, keys, ""), (CONTROL_PLANE_KEYS, control_plane, "control_plane.")]
        {
            for key in keys.keys().filter(|key| !known.contains(&key.as_str())) {
                wrong(format!("{prefix}{key} is not a known key"));
            }
        }
        for key in ["cluster", "token_env"] {
            if control_plane.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
                wrong(format!("control_plane.{key} is missing"));
            }
        }
        if self.role().is_none() {
            wrong(format!("role is {}", self.key("role")));
        }
        match (self.key("own_domain"), self.role()) {
            (Value::Null, Some(Role::Egress)) => wrong("own_domain is missing".to_owned()),
            (Value::Null, _) => {}
            (domain, _) => {
                if let Err(error) = domain.as_str().unwrap_or_default().parse::<Domain>() {
                    wrong(format!("own_domain is {domain}: {error}"));
                }
            }
        }
        let mode = self.key("mode");
        match (mode.as_str(), self.role()) {
            (Some("shadow"), Some(Role::Egress)) => {
                wrong("mode is \"shadow\"; a call that is not decided has nowhere to go".to_owned());
            }
            (Some("shadow"), _) => found.add(&codes::SHADOW, "mode is \"shadow\": every request passes"),
            (Some("enforce"), _) => {}
            _ if mode.is_null() => {}
            _ => wrong(format!("mode is {mode}")),
        }
        let timeout = number(self.key("control_plane"), "timeout_ms");
        if let Some(timeout) = timeout.filter(|timeout| *timeout <= ANSWER_MS) {
            found.add(&codes::SHORT_TIMEOUT, format!("timeout_ms is {timeout}"));
        }
        found
    }

    /// Whether a VM that crashed lets requests pass.
    pub(super) fn failure(&self) -> Findings {
        let mut found = Findings::default();
        if text(self.config, "failure_policy") == "FAIL_OPEN" {
            found.add(&codes::FAILS_OPEN, "failure_policy is FAIL_OPEN");
        } else if flag(self.config, "fail_open") {
            found.add(&codes::FAILS_OPEN, "fail_open is true");
        }
        found
    }

    /// Whether the token reaches it.
    pub(super) fn token(&self) -> Findings {
        let mut found = Findings::default();
        let name = self.word("control_plane/token_env");
        let environment = at(self.config, "vm_config/environment_variables");
        if !at(environment, "key_values").get(name).unwrap_or(&Value::Null).is_null() {
            found.add(&codes::TOKEN_SHOWN, format!("{name} stands in key_values"));
        } else if !name.is_empty() && !texts(environment, "host_env_keys").contains(&name) {
            found.add(&codes::NO_TOKEN, format!("token_env is {name}, and host_env_keys has no such"));
        }
        found
    }

    /// Whether its code is what was meant.
    pub(super) fn code(&self) -> Findings {
        let mut found = Findings::default();
        let remote = at(self.config, "vm_config/code/remote");
        if !remote.is_null() && text(remote, "sha256").is_empty() {
            let uri = text(remote, "http_uri/uri");
            found.add(&codes::NOT_PINNED, format!("code from {uri} without sha256"));
        }
        found
    }

    /// Whether it gets from this Envoy what it needs of a connection (docs/envoy.md, "Versions").
    pub(super) fn chain_validation(&self, minor: Option<u64>, manager: &Value) -> Findings {
        let mut found = Findings::default();
        let is_listener = self.word("chain_validation") == "listener";
        let has_certificate = text(manager, "forward_client_cert_details") == "SANITIZE_SET"
            && flag(manager, "set_current_client_cert_details/cert");
        match minor {
            Some(minor) if minor < 39 && !is_listener => found.add(
                &codes::UNTOLD_CHAIN,
                format!("Envoy 1.{minor}, and chain_validation is not \"listener\""),
            ),
            Some(minor) if minor < 38 && !has_certificate => found.add(
                &codes::UNTOLD_CHAIN,
                format!("Envoy 1.{minor}, and the certificate is not in X-Forwarded-Client-Cert"),
            ),
            Some(39..) if is_listener => {
                found.add(&codes::CHAIN_BY_LISTENER, "chain_validation is \"listener\"");
            }
            Some(_) | None => {}
        }
        found
    }
}

/// The filter's configuration, whichever of the three ways it is handed over.
fn keys(configuration: &Value) -> Result<Value, String> {
    match text(configuration, "@type").rsplit('.').next() {
        Some("StringValue") => serde_json::from_str(text(configuration, "value"))
            .map_err(|error| format!("the configuration is no JSON: {error}")),
        Some("Struct") if has(configuration, "value") => Ok(at(configuration, "value").clone()),
        _ => Err(format!(
            "the configuration is {}, not a StringValue or Struct",
            match text(configuration, "@type") {
                "" => "missing".to_owned(),
                kind => shown(kind),
            }
        )),
    }
}
