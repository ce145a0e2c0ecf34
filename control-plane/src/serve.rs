//! `fedgate serve`: puts the parts together, and takes them apart again.
//!
//! Clock, randomness, environment and signals come in here; the store and the resolver are chosen
//! here and named nowhere above.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fedgate_allow_list::{AllowList, Author, Change};
use fedgate_discovery::Discover;
use fedgate_discovery::dns::{self, DnsDiscovery, NoServers};
use fedgate_store::StoreError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{self, Api, Parts};
use crate::auth::bootstrap::{BootstrapError, bootstrap};
use crate::auth::{Guard, Issuer, Tokens};
use crate::backend::{self, Backend};
use crate::brig::{self, Brig};
use crate::config::{Config, ConfigErrors, Settings, StorePlace};
use crate::list_file::ListFile;
use crate::listener::{self, Budget, Crowds, Listener};
use crate::measured::Measured;
use crate::memory::{self, Memory, Remembering};
use crate::page;
use crate::partners::Partners;
use crate::reload::Reload;
use crate::signals::Signals;
use crate::telemetry::Telemetry;
use crate::traces::Traces;
use crate::upkeep::Upkeep;
use crate::verdicts::{Verdicts, refresher};
use crate::xds::Xds;
use crate::{logging, startup};

/// Why the service cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// An address cannot be had.
    #[error("cannot listen on {address} ({listener}): {cause}; {}", startup::cure(listener, *address, cause))]
    Bind {
        /// `admin`, `verdicts`, `xds` or `wire`.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The store cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Brig cannot be kept in step with.
    #[error(transparent)]
    Brig(#[from] brig::StartError),
    /// DNS cannot be asked.
    #[error(transparent)]
    Discovery(#[from] NoServers),
    /// There is nobody who could call, and nobody could be made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// Traces cannot be sent.
    #[error("telemetry.otlp_endpoint: cannot be used: {0}")]
    Traces(String),
    /// The system lets us have no signals, or no connections.
    #[error("the system failed us: {0}")]
    System(#[from] io::Error),
}

/// Serves until SIGTERM, SIGINT or SIGQUIT.
pub(crate) async fn serve(settings: Settings) -> Result<(), ServeError> {
    let started = Instant::now();
    let mut signals = Signals::listen()?;
    let mut config = Config::load(&settings)?;
    let set_filter = logging::start(config.log_format, config.log.clone());
    let telemetry = Telemetry::default();
    let traces = Traces::start(&config, telemetry.clone()).map_err(ServeError::Traces)?;
    for warning in startup::warnings(&config) {
        tracing::warn!("{warning}");
    }
    let admin = bind("admin", config.admin).await?;
    let verdicts = bind("verdicts", config.verdicts).await?;
    let xds = bind("xds", config.xds).await?;
    let wire = bind_wire(config.wire).await?;

    let (place, told) = (config.store.clone(), telemetry.clone());
    let (store, identity, list) = blocking(move || open(&place, told)).await??;
    let follower = tokio::spawn(follow_store(list.clone()));
    let tokens = Tokens::new(&config.tokens, &list).map_err(ConfigErrors::all)?;
    let issuer = Issuer::new(tokens.clone(), list.clone());
    let file = config.bootstrap_token_file.as_deref();
    let author = Author::system(SystemTime::now());
    bootstrap(&issuer, file, startup::show_first_token, author).await?;
    config.servers = dns::servers(&config.servers)?;
    let discovery = Measured::new(dns_of(&config)?, telemetry.clone());
    let in_step = keep_in_step(config.brig.clone(), list.clone(), store.rows()).await?;
    let memory = remember(&discovery, store.findings(), config.ttl.max, &list);
    let discovery = Arc::new(Remembering::new(discovery, memory.clone()));
    let epoch = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let judge = Verdicts::new(list.clone(), discovery.clone(), epoch, &identity);
    tracing::info!("to filters this is {}", judge.speaker());
    let listener = take_in(&judge, &memory).await?;
    let (keeper, refresher) = (tokio::spawn(keep(memory.clone())), tokio::spawn(refresh(judge.clone())));
    let guard = Guard::new(tokens.clone());
    let upkeep = Upkeep::start(&list, &guard, config.audit);

    let list_file = keep_file(config.list_file.clone(), &list).await;
    let (stopping, stopped) = watch::channel(false);
    let (resolve, egress) = (judge.observe(discovery), config.egress.clone());
    let partners = Partners::new(list.clone());
    let streams = partners.streams.clone();
    let envoys = Xds::new(&judge, resolve, egress, guard.clone(), streams, stopped.clone());
    tell_ready(&config, [&admin, &verdicts, &xds], wire.as_ref())?;
    let (certificates, dnssec) = (config.tls.clone(), config.dnssec.to_string());
    let tester = page::Tester::of(&config)?;
    let (require_match, wire_open) = (config.require_match, config.wire_open);
    let crowds = Crowds::new(&Budget::secure());
    let reload = Reload::new(settings, config, tokens, set_filter, list_file.clone());
    let api = Api::from(Parts {
        list: list.clone(),
        verdicts: judge.clone(),
        targets: envoys.targets(),
        reload: reload.clone(),
        refresher: refresher.abort_handle(),
        guard,
        issuer,
        rates: Arc::default(),
        require_match,
        started,
        dnssec,
        partners,
        brig: in_step.clone(),
        list_file: list_file.clone(),
        telemetry,
        crowds: crowds.clone(),
        certificates: certificates.clone(),
    });
    let wire = wire.map(|socket| (Listener::Wire, socket, api::wire(api.clone(), wire_open)));
    let serving = [
        (Listener::Admin, admin, api::admin(api.clone(), page::router(&api, tester, stopped.clone()))),
        (Listener::Verdicts, verdicts, api::verdicts(api)),
        (Listener::Xds, xds, envoys.router()),
    ]
    .into_iter()
    .chain(wire)
    .map(|(listener, socket, router)| {
        let (tls, crowd) = (certificates.of(listener), crowds.of(listener).clone());
        if let Some(tls) = tls {
            tokio::spawn(tls.clone().follow(listener));
        }
        listener::serve(listener, socket, tls, router, crowd, stopped.clone())
    });
    let serving: Vec<_> = serving.collect();
    let brig = in_step.map(|brig| tokio::spawn(async move { brig.run().await }));
    let keeping = [brig, list_file.map(|file| tokio::spawn(file.run()))];
    let signal = reload.until_stopped(&mut signals).await;
    tracing::info!(signal, "stopping");
    // First this, so that a filter that waits is not only answered, but also let go.
    stopping.send_replace(true);
    judge.end_waiting();
    listener::drain(serving).await;
    keeping.iter().flatten().for_each(JoinHandle::abort);
    refresher.abort();
    listener.inspect(JoinHandle::abort);
    memory.end();
    keeper.await.map_err(io::Error::from)?;
    upkeep.end().await;
    follower.abort();
    list.close().await?;
    traces.end().await;
    tracing::info!("stopped");
    Ok(())
}

/// The store, the name by which it is known again, and the list that is kept in it. Blocks.
fn open(place: &StorePlace, telemetry: Telemetry) -> Result<(Backend, String, AllowList), StoreError> {
    let store = Backend::open(place)?;
    let mut keep = store.list();
    let identity = keep.identity()?;
    let keep = Measured::new(keep, telemetry);
    let list = AllowList::open(Box::new(keep), SystemTime::now())?;
    Ok((store, identity, list))
}

/// Takes in what others write to the store.
async fn follow_store(list: AllowList) {
    list.follow_store().await;
}

/// Takes in what was found earlier; and what other control planes of the store find, from then on.
async fn take_in(judge: &Verdicts, memory: &Arc<Memory>) -> io::Result<Option<JoinHandle<()>>> {
    let recalling = memory.clone();
    let (recalled, watched) = blocking(move || (recalling.recall(), recalling.watch())).await?;
    for it in recalled {
        judge.recall(it.domain, it.found, it.age).await;
    }
    let Some(memory::Watched { before, mut news }) = watched else { return Ok(None) };
    for heard in before {
        hear(judge, memory, heard).await;
    }
    let (judge, memory) = (judge.clone(), memory.clone());
    Ok(Some(tokio::spawn(async move {
        while let Some(heard) = news.recv().await {
            hear(&judge, &memory, heard).await;
        }
    })))
}

/// Writes down what is found, until there is nothing more to find.
async fn keep(memory: Arc<Memory>) {
    memory.keep().await;
}

/// Takes in what other control planes of the store found.
async fn hear(judge: &Verdicts, memory: &Memory, heard: memory::Heard) {
    let memory::Heard { findings, revision } = heard;
    let mut age = Duration::ZERO;
    for it in memory.hear(findings) {
        age = it.age;
        judge.share(it.domain, it.found, it.age).await;
    }
    judge.mark(revision, age);
}

/// Says what runs here, and on what.
fn tell_ready(
    config: &Config,
    listeners: [&TcpListener; 3],
    wire: Option<&TcpListener>,
) -> io::Result<()> {
    let store = backend::display(&config.store.url);
    let servers = startup::listed(&config.servers);
    let [admin, verdicts, xds] = listeners.map(TcpListener::local_addr);
    let (version, dnssec) = (startup::VERSION, &config.dnssec);
    let (admin, verdicts, xds) = (admin?, verdicts?, xds?);
    let wire = wire.map(TcpListener::local_addr).transpose()?.map(tracing::field::display);
    tracing::info!(version, %store, servers, %dnssec, %admin, %verdicts, %xds, wire, "ready");
    Ok(())
}

/// Discovery by the servers that are configured.
fn dns_of(config: &Config) -> Result<DnsDiscovery, NoServers> {
    let Config { servers, ttl, timeout, private_addresses, dnssec, .. } = config;
    DnsDiscovery::new(servers, *ttl, *timeout, *private_addresses, dnssec.clone())
}

/// What discovery finds of the list's domains is kept in `store`, until they are removed.
fn remember(
    discovery: &impl Discover,
    store: Box<dyn memory::Keep>,
    longest: Duration,
    list: &AllowList,
) -> Arc<Memory> {
    let basis = discovery.basis();
    let listed = list.clone();
    let memory = Memory::new(store, basis, longest, move |domain| listed.lists(domain));
    let told = memory.clone();
    let forget = move |change: &Change| {
        match change {
            Change::Put(_, entry) if entry.allows() => {}
            Change::Put(domain, _) | Change::Remove(domain, _) | Change::Lapse(domain) => {
                told.forget(domain);
            }
            Change::Strategy(..) | Change::Token(_) | Change::Revoke(..) | Change::Seal(..) => {}
        }
        true
    };
    list.follow(|_| (), forget);
    memory
}

/// The list and its file, where it has one, from now on.
async fn keep_file(path: Option<PathBuf>, list: &AllowList) -> Option<ListFile> {
    let file = ListFile::new(path?, list.clone());
    file.look(true).await;
    Some(file)
}

/// Our list and brig's, from now on; the rows that we wrote are known from `store`.
async fn keep_in_step(
    settings: Option<brig::Settings>,
    list: AllowList,
    keep: Box<dyn brig::Keep>,
) -> Result<Option<Brig>, ServeError> {
    let Some(settings) = settings else { return Ok(None) };
    Ok(Some(blocking(move || Brig::new(settings, list, keep)).await??))
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

/// Wire's list API has an address only where it is to have one.
async fn bind_wire(address: Option<SocketAddr>) -> Result<Option<TcpListener>, ServeError> {
    let Some(address) = address else { return Ok(None) };
    bind("wire", address).await.map(Some)
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
