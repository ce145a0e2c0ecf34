//! `fedgate serve`: puts the parts together, and takes them apart again.
//!
//! Clock, randomness, environment and signals come in here; the store and the resolver are chosen
//! here and named nowhere above.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::allow_list::sqlite::Sqlite;
use crate::allow_list::{AllowList, Change};
use crate::api::{self, Api};
use crate::auth::Guard;
use crate::config::{Config, LogFormat};
use crate::discovery::Discover;
use crate::discovery::dns::{DnsDiscovery, NoServers};
use crate::listener::{self, Budget, Listener};
use crate::memory::{self, Memory, Remembering};
use crate::stop::Stop;
use crate::store::StoreError;
use crate::store::sqlite::Database;
use crate::verdicts::{PATIENCE, Verdicts, refresher};
use crate::xds::Xds;

/// A time for connecting that is too short for some.
const SHORT_CONNECT: Duration = Duration::from_secs(1);

/// Why the service cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// An address cannot be had.
    #[error(
        "cannot listen on {address} ({listener}): {cause}; stop what uses it, or choose another with --listen-{listener}"
    )]
    Bind {
        /// `admin`, `verdicts` or `xds`.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The store cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// DNS cannot be asked.
    #[error(transparent)]
    Discovery(#[from] NoServers),
    /// The system lets us have no signals, or no connections.
    #[error("the system failed us: {0}")]
    System(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(config: Config) -> Result<(), ServeError> {
    let mut stop = Stop::listen()?;
    log_as(config.log_format, config.log);
    if config.tokens.is_empty() {
        tracing::warn!(
            "no tokens are configured, so every API call is refused: make one with `fedgate token new --name alice --role admin`"
        );
    }
    if config.timeout > PATIENCE {
        tracing::warn!(
            timeout = ?config.timeout, patience = ?PATIENCE,
            "discovery.timeout is longer than whoever asks waits: what DNS says later counts for those who ask later"
        );
    }
    if config.egress.connect_timeout < SHORT_CONNECT {
        tracing::warn!(
            timeout = ?config.egress.connect_timeout,
            "egress.connect_timeout is for all addresses of a target, tried 300 ms apart, and for TLS: below 1s, partners that are far away, or have addresses that do not answer, cannot be called"
        );
    }
    let admin = bind("admin", config.admin).await?;
    let verdicts = bind("verdicts", config.verdicts).await?;
    let xds = bind("xds", config.xds).await?;

    let path = config.store;
    let (store, identity, list) = blocking(move || {
        let store = Database::open(&path)?;
        let identity = store.identity()?;
        Ok::<_, StoreError>((store.clone(), identity, AllowList::open(Box::new(Sqlite(store)))?))
    })
    .await??;
    let discovery = DnsDiscovery::new(
        &config.servers,
        config.ttl,
        config.timeout,
        config.private_addresses,
        config.dnssec,
    )?;
    let memory = remember(&discovery, store, config.ttl.max, &list);
    let discovery = Arc::new(Remembering::new(discovery, memory.clone()));
    let epoch = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let judge = Verdicts::new(list.clone(), discovery.clone(), epoch, &identity);
    tracing::info!("to filters this is {}", judge.speaker());
    let recalling = memory.clone();
    for it in blocking(move || recalling.recall()).await? {
        judge.recall(it.domain, it.found, it.age).await;
    }
    let keeping = memory.clone();
    let keeper = tokio::spawn(async move { keeping.keep().await });
    let refresher = tokio::spawn(refresh(judge.clone()));

    let (stopping, stopped) = watch::channel(false);
    let resolve = judge.observe(discovery);
    let guard = Guard::new(config.tokens);
    let failures = guard.failures().clone();
    let teller = tokio::spawn(async move { failures.tell().await });
    let envoys = Xds::new(&judge, resolve, config.egress, guard.clone(), stopped.clone());
    let api = Api {
        list: list.clone(),
        verdicts: judge.clone(),
        targets: envoys.targets(),
        refresher: refresher.abort_handle(),
        guard,
    };
    let budget = Budget::secure();
    let serving = [
        (Listener::Admin, admin, api::admin(api.clone())),
        (Listener::Verdicts, verdicts, api::verdicts(api)),
        (Listener::Xds, xds, envoys.router()),
    ]
    .map(|(listener, socket, router)| {
        let tls = config.tls.of(listener);
        if let Some(tls) = tls {
            tokio::spawn(tls.clone().follow(listener));
        }
        listener::serve(listener, socket, tls, router, budget.limits(listener), stopped.clone())
    });
    tracing::info!("ready");

    let signal = stop.signalled().await;
    tracing::info!(signal, "stopping");
    // First this, so that a filter that waits is not only answered, but also let go.
    stopping.send_replace(true);
    judge.end_waiting();
    listener::drain(serving).await;
    teller.abort();
    refresher.abort();
    keeper.abort();
    memory.write().await;
    list.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// What discovery finds of the list's domains is kept in `store`, until they are removed.
fn remember(
    discovery: &impl Discover,
    store: Database,
    longest: Duration,
    list: &AllowList,
) -> Arc<Memory> {
    let (store, basis) = (Box::new(memory::sqlite::Sqlite(store)), discovery.basis());
    let listed = list.clone();
    let memory = Memory::new(store, basis, longest, move |domain| listed.lists(domain));
    let told = memory.clone();
    let forget = move |change: &Change| {
        match change {
            Change::Remove(domain, _) => told.forget(domain),
            Change::Put(..) | Change::Strategy(..) => {}
        }
        true
    };
    list.follow(|_| (), forget);
    memory
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::from)
}

async fn bind(listener: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await.map_err(|cause| ServeError::Bind {
        listener,
        address,
        cause,
    })?;
    tracing::info!(listener, address = %bound.local_addr()?, "listening");
    Ok(bound)
}

/// Runs the refresher, and says so if it ends: then `readyz` turns 503 for whoever supervises us,
/// while verdicts are still given, on demand.
async fn refresh(verdicts: Verdicts) {
    let ended = refresher::keep_fresh(verdicts, jitter).await;
    tracing::error!(?ended, "the task that keeps verdicts fresh has ended: restart fedgate");
}

/// A random number from 0 to 1; where the system has none to give, the middle will do.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

fn log_as(format: LogFormat, filter: EnvFilter) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}
