//! The real thing, as much of it as a machine holds: etcd, control planes that share it, BIND, and readers of the feed in
//! the place of Envoys.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use fedgate_tests::caller::CallError;
use fedgate_tests::control_plane::{ControlPlane, Store, VERDICTS_PORT};
use fedgate_tests::dns::{Bind, srv};
use fedgate_tests::etcd::Etcd;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::super::cores::Cores;
use super::super::filters::PARTNER_HOST;
use super::super::load::failed;
use super::super::site::Admin;
use super::super::usage;
use super::super::watchers::{self, Seen, until};

/// Readers that connect at the same time.
const CONNECTING: usize = 50;
/// How long it may take until all domains are looked up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Control planes of one store; fields are in the order in which they are to end.
pub(crate) struct Group {
    planes: Vec<ControlPlane>,
    homes: Vec<(Address, tempfile::TempDir)>,
    dns: Bind,
    etcd: Etcd,
    discovery: String,
    cores: Option<Cores>,
}

/// CPU time, in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    at: Instant,
    /// Of each control plane.
    planes: Vec<f64>,
    /// Of all members of etcd.
    members: f64,
    /// Of this program.
    readers: f64,
}

/// What was computed for a while, in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    pub(crate) elapsed: f64,
    pub(crate) planes: Vec<f64>,
    pub(crate) members: f64,
    pub(crate) readers: f64,
}

// === impl Cpu ===

impl Cpu {
    /// Of the first control plane, since it began.
    pub(crate) fn plane(&self) -> f64 {
        self.planes.first().copied().unwrap_or_default()
    }

    pub(crate) fn members(&self) -> f64 {
        self.members
    }
}

/// The domain number `n`.
pub(crate) fn domain(n: usize) -> String {
    format!("d{n}.example")
}

// === impl Group ===

impl Group {
    /// So many control planes, with nothing listed, and a DNS server that knows so many domains. `discovery` holds
    /// lines of that section of their configuration.
    pub(crate) fn start(planes: usize, domains: usize, discovery: &str, cores: Option<&Cores>) -> Self {
        cores.inspect(|cores| cores.be_server());
        let (address, dir) = place();
        let host = format!("{PARTNER_HOST}.");
        let records: Vec<_> = (0..domains).map(|n| srv(&domain(n), 3600, &host)).collect();
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let dns = Bind::start(address.dns(), dir.path(), &records);
        let (etcd, cores) = (Etcd::start(), cores.copied());
        let homes = vec![(address, dir)];
        let mut group =
            Self { planes: vec![], homes, dns, etcd, discovery: discovery.to_owned(), cores };
        group.add(planes);
        group
    }

    /// So many more.
    pub(crate) fn add(&mut self, planes: usize) {
        self.cores.inspect(Cores::be_server);
        for _ in 0..planes {
            let (address, dir) = place();
            let store = Store::Shared(self.etcd.url_of("fedgate"));
            let dns = [self.dns.address()];
            let ip = address.ip();
            self.planes.push(ControlPlane::with_store(
                &[],
                ip,
                dir.path(),
                &dns,
                &self.discovery,
                store,
            ));
            self.homes.push((address, dir));
        }
        self.cores.inspect(Cores::be_client);
    }

    /// Lists domains at once, and waits until all have been looked up.
    pub(crate) fn list(&self, domains: usize) -> Result<(), CallError> {
        let expected = self.lookups() + domains;
        let list: Vec<_> = (0..domains).map(|n| serde_json::json!({ "domain": domain(n) })).collect();
        let list = serde_json::json!({ "domains": list });
        Admin::patient(&self.planes[0]).put_all(&list, false).map_err(failed)?;
        let deadline = Instant::now() + PATIENCE;
        // A second more, since what is looked up is written a second later.
        let mut done = false;
        while !std::mem::replace(&mut done, self.lookups() >= expected) {
            if Instant::now() > deadline {
                return Err(failed("waited in vain until all domains are looked up"));
            }
            pass(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Stops all control planes.
    pub(crate) fn stop(&mut self) {
        self.planes.iter_mut().for_each(ControlPlane::terminate);
    }

    /// Starts all control planes again, at the same time.
    pub(crate) fn restart(&mut self) {
        let cores = self.cores;
        std::thread::scope(|scope| {
            for plane in &mut self.planes {
                scope.spawn(move || {
                    cores.inspect(Cores::be_server);
                    plane.restart();
                });
            }
        });
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::of(&self.planes[0])
    }

    /// The number of lookups so far.
    pub(crate) fn lookups(&self) -> usize {
        self.dns.all_queries()
    }

    /// Has `readers` read the feed at each of the last `planes` control planes. Once all of them wait for changes, does
    /// `what`; returns that, and how long it took until all waited.
    pub(crate) fn watched<T>(
        &self,
        runtime: &Runtime,
        planes: usize,
        readers: usize,
        what: impl AsyncFnOnce(&RefCell<Seen>) -> Result<T, CallError>,
    ) -> Result<(T, Duration), CallError> {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let begun = Instant::now();
        runtime.block_on(LocalSet::new().run_until(async {
            let connecting = Rc::new(Semaphore::new(CONNECTING));
            for plane in self.planes.iter().rev().take(planes) {
                let at: SocketAddr = (plane.ip(), VERDICTS_PORT).into();
                for _ in 0..readers {
                    watchers::spawn(at, &connecting, &seen);
                }
            }
            until(&seen, "all readers wait", |seen| seen.ready == planes * readers).await?;
            let took = begun.elapsed();
            Ok((what(&seen).await?, took))
        }))
    }

    /// What was computed so far.
    pub(crate) fn cpu(&self) -> Cpu {
        let time = |process| usage::cpu_time(process).as_secs_f64();
        Cpu {
            at: Instant::now(),
            planes: self.planes.iter().filter_map(ControlPlane::id).map(time).collect(),
            members: self.etcd.ids().into_iter().map(time).sum(),
            readers: time(std::process::id()),
        }
    }

    /// What was computed since then.
    pub(crate) fn spent(&self, since: &Cpu) -> Spent {
        let now = self.cpu();
        Spent {
            elapsed: now.at.duration_since(since.at).as_secs_f64(),
            planes: now.planes.iter().zip(&since.planes).map(|(now, then)| now - then).collect(),
            members: now.members - since.members,
            readers: now.readers - since.readers,
        }
    }
}

fn place() -> (Address, tempfile::TempDir) {
    (Address::claim(), tempfile::tempdir().expect("a folder for a control plane"))
}

/// Lets time pass.
#[allow(clippy::disallowed_methods, reason = "what goes on meanwhile is what is measured")]
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}
