//! The configuration file, as far as it can be read without knowing what its values mean.
//!
//! It is walked by hand, because a derived reader stops at the first error, and we show them all.

use std::collections::HashMap;

use toml::{Table, Value};

use crate::auth::{Token, TokenError};

/// The keys of the section `[tls]`.
const TLS: [&str; 8] = [
    "admin_certificate",
    "admin_key",
    "verdicts_certificate",
    "verdicts_key",
    "xds_certificate",
    "xds_key",
    "wire_certificate",
    "wire_key",
];

/// What the file says; nothing is checked yet but the shape, and the tokens.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) store: Store,
    pub(super) listen_admin: Option<String>,
    pub(super) listen_verdicts: Option<String>,
    pub(super) listen_xds: Option<String>,
    pub(super) listen_wire: Option<String>,
    pub(super) wire_list_open: Option<String>,
    pub(super) brig: Brig,
    /// `admin_certificate`, `admin_key` and so on.
    pub(super) tls: HashMap<String, String>,
    pub(super) servers: Vec<String>,
    pub(super) min_ttl: Option<String>,
    pub(super) max_ttl: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) private_addresses: Option<String>,
    pub(super) connect_timeout: Option<String>,
    pub(super) client_certificate_sds: Option<String>,
    pub(super) trust_sds: Option<String>,
    pub(super) dnssec: Option<String>,
    pub(super) trust_anchor: Option<String>,
    pub(super) bootstrap_token: Option<String>,
    pub(super) audit_max_age: Option<String>,
    pub(super) audit_max_records: Option<String>,
    /// `file` of the section `[list]`.
    pub(super) kept_in: Option<String>,
    pub(super) page: Page,
    pub(super) require_match: Option<String>,
    pub(super) log_format: Option<String>,
    pub(super) log: Option<String>,
    pub(super) otlp_endpoint: Option<String>,
    pub(super) tokens: Vec<Result<Token, TokenError>>,
}

/// The section `[page]`.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) enabled: Option<String>,
    pub(super) own_domain: Option<String>,
    pub(super) own_ca: Option<String>,
    pub(super) trust: Option<String>,
}

/// The section `[brig]`.
#[derive(Debug, Default)]
pub(super) struct Brig {
    pub(super) url: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) overwrite: Option<String>,
}

/// The keys of `[store]`.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) url: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<String>,
}

impl File {
    /// Reads TOML; adds to `errors` what has the wrong shape, fails where it is no TOML at all.
    pub(super) fn parse(text: &str, errors: &mut Vec<String>) -> Result<Self, String> {
        let mut root: Table = text.parse().map_err(|error| format!("config: is not TOML: {error}"))?;
        let mut section = |name: &str| match root.remove(name) {
            None => Section { name: name.to_owned(), table: Table::new() },
            Some(Value::Table(table)) => Section { name: name.to_owned(), table },
            Some(_) => {
                errors.push(format!("{name}: is not a table: write [{name}]"));
                Section { name: name.to_owned(), table: Table::new() }
            }
        };
        let [mut store, mut listen, mut tls, mut api, mut audit, mut discovery, mut egress, mut log] =
            ["store", "listen", "tls", "api", "audit", "discovery", "egress", "log"].map(&mut section);
        let [mut list, mut wire_list, mut brig, mut page, mut telemetry] =
            ["list", "wire_list", "brig", "page", "telemetry"].map(&mut section);
        let tokens = root.remove("token");
        let file = Self {
            store: Store {
                url: store.string("url", errors),
                ca: store.string("ca", errors),
                certificate: store.string("certificate", errors),
                key: store.string("key", errors),
                user: store.string("user", errors),
                password_file: store.string("password_file", errors),
            },
            listen_admin: listen.string("admin", errors),
            listen_verdicts: listen.string("verdicts", errors),
            listen_xds: listen.string("xds", errors),
            listen_wire: listen.string("wire", errors),
            wire_list_open: wire_list.boolean("open", errors),
            brig: Brig {
                url: brig.string("url", errors),
                mode: brig.string("mode", errors),
                timeout: brig.string("timeout", errors),
                ca: brig.string("ca", errors),
                overwrite: brig.boolean("overwrite", errors),
            },
            tls: TLS
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), tls.string(key, errors)?)))
                .collect(),
            servers: discovery.strings("servers", errors),
            min_ttl: discovery.string("min_ttl", errors),
            max_ttl: discovery.string("max_ttl", errors),
            timeout: discovery.string("timeout", errors),
            private_addresses: discovery.boolean("allow_private_addresses", errors),
            connect_timeout: egress.string("connect_timeout", errors),
            client_certificate_sds: egress.string("client_certificate_sds", errors),
            trust_sds: egress.string("trust_sds", errors),
            dnssec: discovery.string("dnssec", errors),
            trust_anchor: discovery.string("trust_anchor", errors),
            bootstrap_token: api.string("bootstrap_token_file", errors),
            audit_max_age: audit.string("max_age", errors),
            audit_max_records: audit.number("max_records", errors),
            kept_in: list.string("file", errors),
            page: Page {
                enabled: page.boolean("enabled", errors),
                own_domain: page.string("own_domain", errors),
                own_ca: page.string("own_ca", errors),
                trust: page.string("trust", errors),
            },
            require_match: api.boolean("require_match", errors),
            log_format: log.string("format", errors),
            log: log.string("filter", errors),
            otlp_endpoint: telemetry.string("otlp_endpoint", errors),
            tokens: tokens.map_or_else(Vec::new, |value| read_tokens(value, errors)),
        };
        for section in [
            store, listen, tls, api, audit, discovery, egress, log, list, wire_list, brig, page,
            telemetry,
        ] {
            section.end(errors);
        }
        errors.extend(root.keys().map(|key| format!("{key}: there is no such key")));
        Ok(file)
    }
}

/// A table, from which each key is taken once; what remains is unknown.
struct Section {
    name: String,
    table: Table,
}

impl Section {
    fn string(&mut self, key: &str, errors: &mut Vec<String>) -> Option<String> {
        let Value::String(text) = self.table.remove(key)? else {
            errors.push(format!("{}.{key}: is not a string", self.name));
            return None;
        };
        Some(text)
    }

    /// A boolean, as flags and variables write it.
    fn boolean(&mut self, key: &str, errors: &mut Vec<String>) -> Option<String> {
        let Value::Boolean(value) = self.table.remove(key)? else {
            errors.push(format!("{}.{key}: is neither true nor false, without quotes", self.name));
            return None;
        };
        Some(value.to_string())
    }

    /// A whole number, as flags and variables write it.
    fn number(&mut self, key: &str, errors: &mut Vec<String>) -> Option<String> {
        let Value::Integer(value) = self.table.remove(key)? else {
            errors.push(format!("{}.{key}: is no whole number, without quotes", self.name));
            return None;
        };
        Some(value.to_string())
    }

    fn strings(&mut self, key: &str, errors: &mut Vec<String>) -> Vec<String> {
        let Some(value) = self.table.remove(key) else { return Vec::new() };
        value.try_into().unwrap_or_else(|_| {
            errors.push(format!("{}.{key}: is not a list of strings", self.name));
            Vec::new()
        })
    }

    fn end(self, errors: &mut Vec<String>) {
        let name = &self.name;
        errors.extend(self.table.keys().map(|key| format!("{name}.{key}: there is no such key")));
    }
}

fn read_tokens(value: Value, errors: &mut Vec<String>) -> Vec<Result<Token, TokenError>> {
    let Ok(tables) = value.try_into::<Vec<Table>>() else {
        errors.push("token: is not a list of tables: write [[token]]".to_owned());
        return Vec::new();
    };
    let mut read = |(table, number): (Table, u32)| {
        let mut section = Section { name: format!("token[{number}]"), table };
        let before = errors.len();
        let [name, role, sha256] = ["name", "role", "sha256"].map(|key| {
            section.table.contains_key(key).then(|| section.string(key, errors).unwrap_or_default())
        });
        for (key, part) in [("name", &name), ("role", &role), ("sha256", &sha256)] {
            if part.is_none() {
                errors.push(format!("token[{number}].{key}: is missing"));
            }
        }
        section.end(errors);
        let (name, role, sha256) = (name?, role?, sha256?);
        (errors.len() == before).then(|| Token::new(&name, &role, &sha256))
    };
    tables.into_iter().zip(1..).filter_map(&mut read).collect()
}
