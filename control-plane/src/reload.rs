//! The configuration, read anew while we serve: on SIGHUP, and on `POST /v1/reload`.
//!
//! All of it is read, and checked as at start. If anything is wrong, nothing of it counts. Else tokens and the
//! log's filter count at once, and the list's file is looked at; and what has changed beyond that is named: it counts after a restart.

use std::sync::Arc;

use fedgate_discovery::dns;
use tokio::sync::Mutex;

use crate::auth::Tokens;
use crate::config::{Config, ConfigErrors, Settings, Told};
use crate::contract::Reloaded;
use crate::list_file::ListFile;
use crate::logging::SetFilter;
use crate::signals::{Signalled, Signals};

/// Reads the configuration anew.
#[derive(Clone)]
pub(crate) struct Reload(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// What counts.
    config: Mutex<Config>,
    /// What the listeners go by.
    tokens: Tokens,
    set_filter: SetFilter,
    list_file: Option<ListFile>,
}

// === impl Reload ===

impl Reload {
    /// Reads what `settings` name; `config` is what they said at start, with the servers that are asked.
    pub(crate) fn new(
        settings: Settings,
        config: Config,
        tokens: Tokens,
        set_filter: SetFilter,
        list_file: Option<ListFile>,
    ) -> Self {
        Self(Arc::new(Inner { settings, config: Mutex::new(config), tokens, set_filter, list_file }))
    }

    /// Does it, for `by`.
    pub(crate) async fn run(&self, by: &str) -> Result<Reloaded, ConfigErrors> {
        if let Some(file) = &self.0.list_file {
            file.ask();
        }
        let mut now = self.0.config.lock().await;
        let settings = self.0.settings.clone();
        let read = tokio::task::spawn_blocking(move || read(&settings)).await;
        let read = read.unwrap_or_else(|error| Err(ConfigErrors::one(error.to_string())));
        let complain = |errors: &ConfigErrors| {
            for error in errors.list() {
                tracing::error!(by, error, "the configuration cannot be used; the one before stays");
            }
        };
        let next = read.inspect_err(complain)?;
        let has_others = now.tokens != next.tokens;
        if has_others {
            let replaced = self.0.tokens.replace(&next.tokens).await;
            replaced.map_err(ConfigErrors::all).inspect_err(complain)?;
        }
        let needs_restart = now.needs_restart(&next);
        let mut applied = Vec::new();
        if now.log.to_string() != next.log.to_string() {
            (self.0.set_filter)(next.log.clone()).map_err(ConfigErrors::one)?;
            now.log = next.log;
            applied.push("log.filter");
        }
        if has_others {
            now.tokens = next.tokens;
            applied.push("token");
        }
        tracing::info!(by, applied = applied.join(", "), "configuration read anew");
        for key in &needs_restart {
            tracing::warn!(by, key, "this has changed, and does not count before a restart");
        }
        let named = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
        Ok(Reloaded { applied: named(applied), needs_restart: named(needs_restart) })
    }

    /// What counts now, key by key.
    pub(crate) async fn told(&self) -> Told {
        self.0.config.lock().await.told()
    }

    /// Does what signals ask for, until one asks to stop; its name.
    pub(crate) async fn until_stopped(&self, signals: &mut Signals) -> &'static str {
        loop {
            match signals.next().await {
                Signalled::Stop(signal) => return signal,
                Signalled::HangUp => {
                    let reload = self.clone();
                    // Not here, so that a file that cannot be read in time does not keep us from stopping.
                    tokio::spawn(async move { reload.run("SIGHUP").await });
                }
                Signalled::Other(signal) => tracing::warn!(signal, "a signal that means nothing to us"),
            }
        }
    }
}

fn read(settings: &Settings) -> Result<Config, ConfigErrors> {
    let mut config = Config::load(settings)?;
    config.servers =
        dns::servers(&config.servers).map_err(|error| ConfigErrors::one(error.to_string()))?;
    Ok(config)
}
