//! The plugin's configuration: JSON, read whole, with every error named at once.
//!
//! ```json
//! {"role":"ingress",
//!  "own_domain":"b.com",
//!  "control_plane":{"cluster":"fedgate_verdicts","token_env":"FEDGATE_TOKEN","timeout_ms":5000},
//!  "max_staleness_s":900,
//!  "mode":"enforce",
//!  "forward_certificate":false,
//!  "chain_validation":"connection",
//!  "reports":true}
//!
//! {"role":"lobby","patience_s":10,"places":1000}
//! ```

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use fedgate_policy::Domain;
use serde_json::{Map, Value};

/// Above the control plane's own limit for a discovery, so that its answer, and not a time-out,
/// says what is wrong with a domain's DNS.
const DEFAULT_TIMEOUT_MS: u64 = 5_000;
const DEFAULT_MAX_STALENESS_S: u64 = 900;
const DEFAULT_PATIENCE_S: u64 = 10;
const DEFAULT_PLACES: u64 = 1000;

/// What the plugin is to be.
#[derive(Debug)]
pub(crate) enum Plan {
    /// A gate for requests.
    Gate(Config),
    /// The lobby for connections.
    Lobby(LobbyConfig),
}

/// How long, and how many, connections may wait on which nothing was permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LobbyConfig {
    /// In seconds.
    pub(crate) patience_s: u64,
    /// For each worker.
    pub(crate) places: usize,
}

/// A configuration that holds together.
#[derive(Debug)]
pub(crate) struct Config {
    /// Which side of the border this filter guards.
    pub(crate) role: Role,
    /// Where verdicts come from.
    pub(crate) control_plane: ControlPlane,
    /// The longest that a verdict serves without a word from the control plane.
    pub(crate) max_staleness: Duration,
    /// Whether refusals are carried out.
    pub(crate) mode: Mode,
    /// Whether a permitted request carries its peer's certificate on, for a federator that asks for it.
    pub(crate) forward_certificate: bool,
    /// Whose word it is that a certificate can be trusted.
    pub(crate) chain_validation: ChainValidation,
    /// Whether the control plane is told what was seen.
    pub(crate) reports: bool,
}

/// Which requests the filter decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Requests from other backends to ours.
    Ingress,
    /// Calls of our own services to other backends.
    Egress {
        /// The backend domain that they speak for.
        own_domain: Rc<Domain>,
    },
}

/// What happens on a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The request is refused.
    Enforce,
    /// The refusal is logged, and the request passes untouched.
    Shadow,
}

/// Who sees to it that a peer's certificate leads to a trusted root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainValidation {
    /// Envoy tells of each connection whether it did (1.39 and later).
    Connection,
    /// The listener lets no other in; for Envoys that do not tell.
    Listener,
}

/// How to reach the control plane.
pub(crate) struct ControlPlane {
    /// The Envoy cluster.
    pub(crate) cluster: String,
    /// How long to wait for a verdict.
    pub(crate) timeout: Duration,
    bearer: String,
}

/// One thing that is wrong, with the key that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigError(String);

// === impl Plan ===

impl Plan {
    /// Reads the plugin's `configuration`; `environment` gives variables that Envoy hands in.
    pub(crate) fn parse(
        json: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<ConfigError>> {
        let value = serde_json::from_slice(json)
            .map_err(|error| vec![ConfigError(format!("is not JSON: {error}"))])?;
        let mut keys = Keys::new("", value);
        let roles = [("ingress", Some(false)), ("egress", Some(true)), ("lobby", None)];
        let role = keys.choice("role", &roles, None);
        if role == Some(None) {
            return keys.lobby();
        }
        let is_egress = role.flatten();
        let own_domain = keys.own_domain(is_egress == Some(true)).map(Rc::new);
        let control_plane = keys.control_plane(environment);
        let max_staleness = keys.number("max_staleness_s", 0..=86_400, DEFAULT_MAX_STALENESS_S);
        let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
        let mode = keys.choice("mode", &modes, Some(Mode::Enforce));
        let validations =
            [("connection", ChainValidation::Connection), ("listener", ChainValidation::Listener)];
        let chain_validation =
            keys.choice("chain_validation", &validations, Some(ChainValidation::Connection));
        let forward_certificate = keys.flag("forward_certificate", false);
        let reports = keys.flag("reports", true);
        if is_egress == Some(true) && mode == Some(Mode::Shadow) {
            keys.error("mode", "is \"shadow\"; a call that is not decided has nowhere to go");
        }
        let role = match (is_egress, own_domain) {
            (Some(false), _) => Some(Role::Ingress),
            (Some(true), own_domain) => own_domain.map(|own_domain| Role::Egress { own_domain }),
            (None, _) => None,
        };
        let errors = keys.finish();
        match (role, control_plane, mode, chain_validation) {
            (Some(role), Some(control_plane), Some(mode), Some(chain_validation))
                if errors.is_empty() =>
            {
                let max_staleness = Duration::from_secs(max_staleness);
                Ok(Self::Gate(Config {
                    role,
                    control_plane,
                    max_staleness,
                    mode,
                    forward_certificate,
                    chain_validation,
                    reports,
                }))
            }
            _ => Err(errors),
        }
    }
}

// === impl Role ===

impl Role {
    /// Its name in the configuration, and in the names of metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress { .. } => "egress",
        }
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    /// The value of the `authorization` header.
    pub(crate) fn bearer(&self) -> &str {
        &self.bearer
    }
}

/// Without the token.
impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane")
            .field("cluster", &self.cluster)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === reading ===

/// The members of one JSON object: each is taken once, and what is left over is an error.
struct Keys {
    prefix: &'static str,
    members: Map<String, Value>,
    errors: Vec<ConfigError>,
}

/// A value as an error repeats it. (JSON's own writer would be 4 KB more.)
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| "another number".to_owned(), |number| number.to_string())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

impl Keys {
    fn new(prefix: &'static str, value: Value) -> Self {
        let mut keys = Self { prefix, members: Map::new(), errors: Vec::new() };
        match value {
            Value::Object(members) => keys.members = members,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                keys.errors.push(ConfigError(format!("{prefix}is not a JSON object")));
            }
        }
        keys
    }

    fn error(&mut self, key: &str, what: impl fmt::Display) {
        self.errors.push(ConfigError(format!("{}{key} {what}", self.prefix)));
    }

    fn string(&mut self, key: &str) -> Option<String> {
        match self.members.remove(key) {
            None => self.error(key, "is required"),
            Some(Value::String(text)) if !text.is_empty() => return Some(text),
            Some(_) => self.error(key, "is not a text"),
        }
        None
    }

    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)], default: Option<T>) -> Option<T> {
        if default.is_some() && !self.members.contains_key(key) {
            return default;
        }
        let text = self.string(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|&(_, value)| value);
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            self.error(key, format_args!("is {text:?}; it can be {}", names.join(" or ")));
        }
        chosen
    }

    fn number(&mut self, key: &str, range: std::ops::RangeInclusive<u64>, default: u64) -> u64 {
        let Some(value) = self.members.remove(key) else { return default };
        if let Some(number) = value.as_u64().filter(|number| range.contains(number)) {
            return number;
        }
        let (least, most) = range.into_inner();
        self.error(
            key,
            format_args!("is {}; it is a whole number from {least} to {most}", shown(&value)),
        );
        default
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.members.remove(key) {
            None => default,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                self.error(key, format_args!("is {}; it is true or false", shown(&other)));
                default
            }
        }
    }

    /// The ingress knows our domain only to check it: a typing error should not wait for egress.
    fn own_domain(&mut self, is_required: bool) -> Option<Domain> {
        if !is_required && !self.members.contains_key("own_domain") {
            return None;
        }
        match self.string("own_domain")?.parse() {
            Ok(domain) => Some(domain),
            Err(error) => {
                self.error("own_domain", error);
                None
            }
        }
    }

    fn control_plane(&mut self, environment: impl Fn(&str) -> Option<String>) -> Option<ControlPlane> {
        let Some(value) = self.members.remove("control_plane") else {
            self.error("control_plane", "is required");
            return None;
        };
        let mut keys = Keys::new("control_plane.", value);
        let cluster = keys.string("cluster");
        let token_env = keys.string("token_env");
        let timeout_ms = keys.number("timeout_ms", 1..=60_000, DEFAULT_TIMEOUT_MS);
        let bearer = token_env.and_then(|name| match environment(&name) {
            Some(token) if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) => {
                Some(format!("Bearer {token}"))
            }
            Some(_) => {
                keys.error("token_env", format_args!("names {name}, which holds no token"));
                None
            }
            None => {
                keys.error(
                    "token_env",
                    format_args!(
                        "names {name}, which is not set; set it for Envoy, and list it in the \
                         filter's vm_config.environment_variables.host_env_keys"
                    ),
                );
                None
            }
        });
        self.errors.extend(keys.finish());
        Some(ControlPlane {
            cluster: cluster?,
            timeout: Duration::from_millis(timeout_ms),
            bearer: bearer?,
        })
    }

    fn lobby(mut self) -> Result<Plan, Vec<ConfigError>> {
        let patience_s = self.number("patience_s", 1..=3_600, DEFAULT_PATIENCE_S);
        let places = self.number("places", 1..=1_000_000, DEFAULT_PLACES);
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        let errors = self.finish();
        if errors.is_empty() { Ok(Plan::Lobby(LobbyConfig { patience_s, places })) } else { Err(errors) }
    }

    fn finish(mut self) -> Vec<ConfigError> {
        for key in std::mem::take(&mut self.members).keys() {
            self.error(key, "is not a known key");
        }
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<Plan, Vec<String>> {
        Plan::parse(json.as_bytes(), |name| (name == "TOKEN").then(|| "secret".to_owned()))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    fn parse(json: &str) -> Result<Config, Vec<String>> {
        plan(json).map(|plan| match plan {
            Plan::Gate(config) => config,
            Plan::Lobby(_) => panic!("a lobby"),
        })
    }

    #[test]
    fn a_lobby_needs_no_control_plane() {
        let lobby = |rest: &str| -> Result<_, Vec<String>> {
            match plan(&format!(r#"{{"role":"lobby"{rest}}}"#))? {
                Plan::Lobby(LobbyConfig { patience_s, places }) => Ok((patience_s, places)),
                Plan::Gate(_) => panic!("a gate"),
            }
        };
        assert_eq!(lobby(""), Ok((10, 1000)));
        assert_eq!(lobby(r#","patience_s":3,"places":8"#), Ok((3, 8)));
        let errors = lobby(r#","patience_s":0,"places":-1,"mode":"shadow""#).unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
    }

    #[test]
    fn the_least_configuration_enforces() {
        let config =
            parse(r#"{"role":"ingress","control_plane":{"cluster":"c","token_env":"TOKEN"}}"#).unwrap();
        assert_eq!((config.role, config.mode), (Role::Ingress, Mode::Enforce));
        assert_eq!(config.chain_validation, ChainValidation::Connection);
        assert_eq!(config.max_staleness, Duration::from_secs(900));
        assert!(config.reports && !config.forward_certificate);
        assert_eq!(config.control_plane.timeout, Duration::from_secs(5));
        assert_eq!(config.control_plane.bearer(), "Bearer secret");
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            r#"{"role":"ingress","own_domain":"b.com","mode":"shadow","max_staleness_s":60,
                "chain_validation":"listener","forward_certificate":true,"reports":false,
                "control_plane":{"cluster":"c","token_env":"TOKEN","timeout_ms":100}}"#,
        )
        .unwrap();
        assert_eq!(config.mode, Mode::Shadow);
        assert_eq!(config.chain_validation, ChainValidation::Listener);
        assert!(config.forward_certificate && !config.reports);
        assert_eq!(config.max_staleness, Duration::from_secs(60));
        assert_eq!(config.control_plane.timeout, Duration::from_millis(100));
    }

    #[test]
    fn an_egress_needs_its_own_domain_and_decides_in_earnest() {
        let egress = |rest: &str| {
            parse(&format!(
                r#"{{"role":"egress","control_plane":{{"cluster":"c","token_env":"TOKEN"}}{rest}}}"#
            ))
        };
        let own_domain = Rc::new("a.com".parse().unwrap());
        assert_eq!(egress(r#","own_domain":"a.com""#).unwrap().role, Role::Egress { own_domain });
        assert_eq!(egress("").unwrap_err(), ["own_domain is required"]);
        assert_eq!(egress(r#","own_domain":"a.com","mode":"shadow""#).unwrap_err().len(), 1);
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let errors = parse(
            r#"{"role":"sideways","own_domain":"b","mode":1,"max_staleness_s":-1,"colour":"red","forward_certificate":1,
                "control_plane":{"token_env":"NONE","timeout_ms":0,"retries":3}}"#,
        )
        .unwrap_err();
        for (error, start) in errors.iter().zip([
            "role is \"sideways\"",
            "own_domain has a single label",
            "control_plane.cluster is required",
            "control_plane.timeout_ms is 0; it is a whole number from 1 to 60000",
            "control_plane.token_env names NONE, which is not set",
            "control_plane.retries is not a known key",
            "max_staleness_s is -1",
            "mode is not a text",
            "forward_certificate is 1; it is true or false",
            "colour is not a known key",
        ]) {
            assert!(error.starts_with(start), "{error}");
        }
        assert_eq!(errors.len(), 10);
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for json in ["", "{", "[]", "null", "{}", r#"{"role":"ingress"}"#, r#"{"control_plane":[]}"#] {
            assert!(!parse(json).unwrap_err().is_empty(), "{json}");
        }
    }

    #[test]
    fn the_token_does_not_show() {
        let config =
            parse(r#"{"role":"ingress","control_plane":{"cluster":"c","token_env":"TOKEN"}}"#).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
