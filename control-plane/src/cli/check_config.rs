//! `fedgate serve --check-config`: all that can be checked without serving, and without leaving a trace.

use std::io::ErrorKind;
use std::net::TcpListener;

use fedgate_discovery::dns;
use fedgate_store::rights;
use serde_json::json;

use super::{Error, print};
use crate::auth::{self, Role};
use crate::backend::{self, Backend};
use crate::config::{Config, ConfigErrors, Settings};
use crate::list_file;
use crate::plain::Plain;
use crate::serve::ServeError;

use crate::startup;

/// Prints what would be used, or fails with everything that is wrong.
pub(super) fn run(settings: &Settings, json: bool) -> Result<(), Error> {
    let config = Config::load(settings).map_err(ServeError::from)?;
    let mut errors = Vec::new();
    let mut warnings = startup::warnings(&config);
    if let Err(error) = Backend::look(&config.store) {
        errors.push(error.to_string());
    }
    if let Some(file) = &config.list_file
        && let Err(wrong) = list_file::read(file)
    {
        errors.extend(wrong.iter().map(|error| format!("list.file: {}: {error}", file.display())));
    }
    if !config.tokens.iter().any(|token| token.role == Role::Admin) {
        warnings.push("no token of role admin is configured: unless the store has one, it is made at start, and printed once, or put into api.bootstrap_token_file".to_owned());
    }
    let servers = dns::servers(&config.servers).unwrap_or_else(|error| {
        errors.push(error.to_string());
        Vec::new()
    });
    let listeners = [("admin", config.admin), ("verdicts", config.verdicts), ("xds", config.xds)];
    for (listener, address) in listeners.into_iter().chain(config.wire.map(|wire| ("wire", wire))) {
        match TcpListener::bind(address) {
            Ok(_) => {}
            // As it is while a control plane runs, whose configuration is checked before it is read anew.
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                warnings.push(format!("listen.{listener}: {address} is in use now"));
            }
            Err(cause) => errors.push(ServeError::Bind { listener, address, cause }.to_string()),
        }
    }
    if !errors.is_empty() {
        return Err(ServeError::Config(ConfigErrors::all(errors)).into());
    }
    let used = [
        ("version", startup::VERSION.to_owned()),
        ("checked as", rights::us()),
        ("store", backend::display(&config.store.url)),
        ("servers", startup::listed(&servers)),
        ("dnssec", config.dnssec.to_string()),
        ("admin", config.admin.to_string()),
        ("verdicts", config.verdicts.to_string()),
        ("xds", config.xds.to_string()),
        ("wire", config.wire.map_or_else(|| "off".to_owned(), |wire| wire.to_string())),
        ("brig", config.brig.map_or_else(|| "off".to_owned(), |brig| brig.to_string())),
        ("list file", config.list_file.map_or_else(|| "none".to_owned(), |it| it.display().to_string())),
        ("tokens", auth::listed(&config.tokens)),
        ("log", config.log.to_string()),
    ];
    if json {
        let mut all: serde_json::Map<_, _> =
            used.into_iter().map(|(name, value)| (name.replace(' ', "_"), value.into())).collect();
        all.insert("warnings".to_owned(), json!(warnings));
        return Ok(print::json(&all.into())?);
    }
    for (name, value) in used {
        print::line(format_args!("{name:<12}{}", Plain(value)))?;
    }
    for warning in warnings {
        print::remark(format_args!("warning: {warning}"));
    }
    Ok(())
}
