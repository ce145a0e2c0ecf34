//! Real etcd: three members on loopback, each of which can be killed, stopped, and cut off.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::address::Address;
use crate::disk::Disk;
use crate::link::{Link, Mode};
use crate::process::{Process, eventually, run};

/// How many members a cluster has: one may be lost.
pub const MEMBERS: usize = 3;
/// What others reach a member by, where it can be cut off: its clients, and its peers.
const CLIENTS: u16 = 2400;
const PEERS: u16 = 2410;
/// Where it listens itself.
const OWN_CLIENTS: u16 = 2420;
const OWN_PEERS: u16 = 2430;

/// A cluster; gone when dropped.
#[derive(Debug)]
pub struct Etcd {
    members: [Mutex<Member>; MEMBERS],
    dir: TempDir,
    address: Address,
    prefixes: Mutex<u64>,
    /// Links end with it.
    _runtime: Runtime,
}

#[derive(Debug)]
struct Member {
    process: Option<Process>,
    /// That of its data, if it has one of its own.
    disk: Option<Disk>,
    links: [Link; 2],
}

// === impl Etcd ===

impl Etcd {
    /// Starts three members, and waits until they answer.
    pub fn start() -> Self {
        let (address, dir) = (Address::claim(), tempfile::tempdir().expect("a folder for etcd"));
        let runtime = Runtime::new().expect("a runtime");
        let member = |number: usize| {
            let link = |outside, own| {
                let at = |port: u16| SocketAddr::from((address.ip(), port + index(number)));
                Link::tcp(&runtime, at(outside), at(own), None)
            };
            let links = [link(CLIENTS, OWN_CLIENTS), link(PEERS, OWN_PEERS)];
            Mutex::new(Member { process: None, disk: None, links })
        };
        let members = std::array::from_fn(member);
        let etcd = Self { members, dir, address, prefixes: Mutex::new(0), _runtime: runtime };
        (0..MEMBERS).for_each(|number| etcd.start_member(number));
        etcd.wait();
        etcd
    }

    /// The cluster of the tests that do it no harm. It lives for as long as one of them holds it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Etcd>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// A store in it that nobody uses yet, as `store.url` names it.
    pub fn url(&self) -> String {
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        *prefixes += 1;
        self.url_of(&format!("test/{prefixes}"))
    }

    /// The store with this prefix.
    pub fn url_of(&self, prefix: &str) -> String {
        format!("etcd://{}/{prefix}", self.endpoints())
    }

    /// The members' addresses, as clients reach them.
    pub fn endpoints(&self) -> String {
        (0..MEMBERS).map(|number| self.place(CLIENTS, number).to_string()).collect::<Vec<_>>().join(",")
    }

    /// The address of one, as clients reach it.
    pub fn client(&self, number: usize) -> SocketAddr {
        self.place(CLIENTS, number)
    }

    /// `kill -9`.
    pub fn kill(&self, number: usize) {
        self.member(number).process = None;
    }

    /// Whether one was killed.
    pub fn is_dead(&self, number: usize) -> bool {
        self.member(number).process.is_none()
    }

    /// Starts one again, with what it has on its disk.
    pub fn start_member(&self, number: usize) {
        let url = |port| format!("http://{}", self.place(port, number));
        let cluster = (0..MEMBERS).map(|it| format!("m{it}=http://{}", self.place(PEERS, it)));
        let (data, inside) = match &self.member(number).disk {
            Some(disk) => (disk.dir().join("data"), disk.inside()),
            None => (self.data(number), vec!["env".to_owned()]),
        };
        let mut command = Command::new(&inside[0]);
        command
            .args(&inside[1..])
            .args(["etcd", "--name", &format!("m{number}"), "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &url(OWN_CLIENTS), "--advertise-client-urls", &url(CLIENTS)])
            .args(["--listen-peer-urls", &url(OWN_PEERS)])
            .args(["--initial-advertise-peer-urls", &url(PEERS)])
            .args(["--initial-cluster", &cluster.collect::<Vec<_>>().join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args([
                "--initial-cluster-state",
                "new",
                "--initial-cluster-token",
                &self.address.ip().to_string(),
            ]);
        let log = self.dir.path().join(format!("log{number}"));
        self.member(number).process = Some(Process::start(&mut command, &log));
    }

    /// The processes of those that run.
    pub fn ids(&self) -> Vec<u32> {
        (0..MEMBERS).filter_map(|number| self.member(number).process.as_ref().map(Process::id)).collect()
    }

    /// Moves one, and what it has, to a disk of its own.
    pub fn move_to(&self, number: usize, disk: Disk) {
        self.kill(number);
        run(Command::new("cp").arg("-a").arg(self.data(number)).arg(disk.path("data")))
            .expect("data can be copied");
        self.member(number).disk = Some(disk);
        self.start_member(number);
        self.wait();
    }

    /// Leaves no room on the disk of one, and has it written on until that ends it.
    pub fn fill_disk(&self, number: usize) {
        self.disk(number, Disk::fill);
        let value = "x".repeat(100_000);
        eventually("the member ends", || {
            // Others take it.
            let _ = self.ctl(&["put", "test-fills", &value]);
            self.member(number).process.as_mut()?.ended()
        });
    }

    /// Undoes [`Etcd::fill_disk`].
    pub fn make_room(&self, number: usize) {
        self.disk(number, Disk::make_room);
        self.start_member(number);
    }

    fn disk(&self, number: usize, act: impl FnOnce(&Disk)) {
        act(self.member(number).disk.as_ref().expect("it has a disk of its own"));
    }

    /// Stops one in its tracks: its ports are open, and nothing ever comes back.
    pub fn freeze(&self, number: usize) {
        self.signal(number, Signal::STOP);
    }

    /// Undoes [`Etcd::freeze`].
    pub fn thaw(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    /// Lets nobody reach one, other members among them.
    pub fn cut(&self, number: usize) {
        self.member(number).links.iter().for_each(|link| link.set(Mode::Cut));
    }

    /// Undoes [`Etcd::cut`].
    pub fn join(&self, number: usize) {
        self.member(number).links.iter().for_each(|link| link.set(Mode::Pass));
    }

    /// The member that leads, if one says so.
    pub fn leader(&self) -> Option<usize> {
        (0..MEMBERS).find(|number| {
            let status =
                self.ctl_of(*number, &["endpoint", "status", "-w", "json", "--command-timeout=1s"]);
            let status: Option<Value> = status.ok().and_then(|text| serde_json::from_str(&text).ok());
            status.is_some_and(|it| {
                let status = &it[0]["Status"];
                status["leader"] == status["header"]["member_id"] && !status["leader"].is_null()
            })
        })
    }

    /// Waits until the cluster takes writes.
    pub fn wait(&self) {
        eventually("etcd takes writes", || self.ctl(&["put", "test-waits", "1"]).ok());
    }

    /// Runs `etcdctl` against all members.
    pub fn ctl(&self, args: &[&str]) -> Result<String, String> {
        run(command(&self.endpoints()).args(args))
    }

    /// Runs `etcdctl` against one member.
    pub fn ctl_of(&self, number: usize, args: &[&str]) -> Result<String, String> {
        run(command(&self.place(CLIENTS, number).to_string()).args(args))
    }

    /// Saves all that it has in a file.
    pub fn snapshot(&self, file: &Path) {
        let path = file.display().to_string();
        self.ctl_of(0, &["snapshot", "save", &path]).expect("a snapshot can be saved");
    }

    /// Makes it what a snapshot says, all members anew.
    pub fn restore(&self, file: &Path) {
        (0..MEMBERS).for_each(|number| self.kill(number));
        for number in 0..MEMBERS {
            // There is none where it was never started.
            let _ = fs::remove_dir_all(self.data(number));
            let cluster = (0..MEMBERS).map(|it| format!("m{it}=http://{}", self.place(PEERS, it)));
            let (path, data) = (file.display().to_string(), self.data(number).display().to_string());
            self.ctl(&[
                "snapshot",
                "restore",
                &path,
                "--name",
                &format!("m{number}"),
                "--data-dir",
                &data,
                "--initial-cluster",
                &cluster.collect::<Vec<_>>().join(","),
                "--initial-cluster-token",
                &self.address.ip().to_string(),
                "--initial-advertise-peer-urls",
                &format!("http://{}", self.place(PEERS, number)),
            ])
            .expect("a snapshot can be restored");
        }
        (0..MEMBERS).for_each(|number| self.start_member(number));
        self.wait();
    }

    /// Forgets all history.
    pub fn compact(&self) {
        let status = self.ctl_of(0, &["endpoint", "status", "-w", "json"]).expect("a status");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let revision = &status[0]["Status"]["header"]["revision"];
        self.ctl(&["compact", &revision.to_string()]).expect("history can be compacted");
    }

    fn signal(&self, number: usize, signal: Signal) {
        if let Some(process) = &self.member(number).process {
            process.signal(signal);
        }
    }

    fn data(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("data{number}"))
    }

    fn place(&self, port: u16, number: usize) -> SocketAddr {
        (self.address.ip(), port + index(number)).into()
    }

    fn member(&self, number: usize) -> std::sync::MutexGuard<'_, Member> {
        self.members[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(number: usize) -> u16 {
    u16::try_from(number).expect("there are three")
}

fn command(endpoints: &str) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", endpoints]);
    command
}
