//! The two backends that are tortured: real programs, with a link before each of them.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::artifacts;
use fedgate_tests::backend::PORTS;
use fedgate_tests::clock::WallClock;
use fedgate_tests::control_plane::{ControlPlane, VERDICTS_PORT, XDS_PORT};
use fedgate_tests::disk::Disk;
use fedgate_tests::dns::service;
use fedgate_tests::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::fault::{Component, Fault, Kind, SHORT_STALENESS_S, Side};
use fedgate_tests::link::{Link, Mode, Tap};

/// What the control plane moves its ports up by, to leave the reference's to the links before it.
const BEHIND: u16 = 10_000;
/// Where the other backend finds the link before this ingress.
pub(crate) const PEER_PORT: u16 = 18_443;
/// Where the control plane finds the link before BIND.
const NAMES_PORT: u16 = 10_053;
/// As far as a clock is stepped, in seconds.
const STEP_S: i64 = 3600;
/// Room for the store: its journal takes 4 MiB.
const STORE_MIB: u32 = 24;

/// Both backends.
#[derive(Debug)]
pub(crate) struct Sites {
    pub(crate) b: Site,
    /// Its BIND is also that of `b`.
    pub(crate) a: Site,
}

/// One of the programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    component: Component,
    side: Side,
}

/// One backend with all around it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) side: Side,
    pub(crate) world: World,
    service: Process,
    links: Links,
    disk: Result<Disk, String>,
    clock: WallClock,
    /// The control plane on a store that cannot be written.
    reader: Option<Process>,
    home: Address,
}

#[derive(Debug)]
struct Links {
    verdicts: Link,
    xds: Link,
    peer: Link,
    names: Link,
    service: Link,
}

// === impl Sites ===

impl Sites {
    /// Starts both. `tap` hears of every call that a service receives.
    pub(crate) fn start(runtime: &Runtime, shadow: bool, tap: &Tap) -> Self {
        let a = Site::start(Side::A, None, runtime, shadow, tap);
        let b = Site::start(Side::B, Some(&a.world), runtime, shadow, tap);
        for site in [&a, &b] {
            let (domain, ip) = (site.side.domain(), site.world.ip());
            a.world.dns.update(&[
                &format!("update add {} 600 SRV 10 5 {PEER_PORT} infra.{domain}.", service(domain)),
                &format!("update add infra.{domain}. 600 A {ip}"),
            ]);
        }
        Self { b, a }
    }

    pub(crate) fn site(&mut self, side: Side) -> &mut Site {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// Why this machine cannot have this fault, if so.
    pub(crate) fn lacks(&self, fault: Fault) -> Option<&str> {
        let site = if fault.side == Side::A { &self.a } else { &self.b };
        match (fault.component, fault.kind) {
            (Component::Store, _) => site.disk.as_ref().err().map(String::as_str),
            _ => None,
        }
    }

    /// Makes a fault; `choice` is for what its kind leaves open.
    pub(crate) fn make(&mut self, fault: Fault, choice: u64) {
        let mode = match fault.kind {
            Kind::Slow => Mode::Slow(Duration::from_millis(100 + choice % 500)),
            Kind::Garbage => Mode::Garbage(choice),
            Kind::Away if choice.is_multiple_of(2) => Mode::Hang,
            Kind::Hang => Mode::Hang,
            Kind::Cut | Kind::Away => Mode::Cut,
            Kind::Kill
            | Kind::Stop
            | Kind::Restart
            | Kind::Full
            | Kind::ReadOnly
            | Kind::ClockForward
            | Kind::ClockBack => Mode::Pass,
        };
        if mode != Mode::Pass {
            return self.network(fault, mode);
        }
        if fault.component == Component::Bind {
            let bind = &mut self.a.world.dns;
            if fault.kind == Kind::Stop {
                bind.freeze();
            } else if fault.kind == Kind::Restart {
                bind.terminate();
            } else {
                bind.stop();
            }
            return;
        }
        self.site(fault.side).make(fault);
    }

    /// Undoes it.
    pub(crate) fn lift(&mut self, fault: Fault) {
        match (fault.component, fault.kind) {
            (_, Kind::Slow | Kind::Garbage | Kind::Hang | Kind::Cut | Kind::Away) => {
                self.network(fault, Mode::Pass);
            }
            (Component::Bind, Kind::Stop) => self.a.world.dns.thaw(),
            (Component::Bind, _) => self.a.world.dns.restart(),
            _ => self.site(fault.side).lift(fault),
        }
    }

    fn network(&mut self, fault: Fault, mode: Mode) {
        if fault.component == Component::Bind {
            for site in [&self.a, &self.b] {
                site.links.names.set(mode);
            }
            return;
        }
        let links = &self.site(fault.side).links;
        let links: &[&Link] = match fault.component {
            Component::ControlPlane | Component::NetworkFeed => &[&links.verdicts, &links.xds],
            Component::Envoy | Component::NetworkPeer => &[&links.peer],
            Component::Service => &[&links.service],
            Component::NetworkDns => &[&links.names],
            Component::Bind | Component::Store => &[],
        };
        for link in links {
            link.set(mode);
        }
    }

    /// All programs, with the process of each, if it has one.
    pub(crate) fn programs(&self) -> Vec<(Program, Option<u32>)> {
        let program = |component, side| Program { component, side };
        let mut programs = vec![(program(Component::Bind, Side::A), self.a.world.dns.id())];
        for site in [&self.a, &self.b] {
            let control_plane = site.world.control_plane.as_ref().and_then(ControlPlane::id);
            programs.push((program(Component::ControlPlane, site.side), control_plane));
            programs.push((program(Component::Envoy, site.side), Some(site.world.envoy.id())));
            programs.push((program(Component::Service, site.side), Some(site.service.id())));
        }
        programs
    }

    /// Starts a program again that has ended by itself.
    pub(crate) fn revive(&mut self, Program { component, side }: Program) {
        self.lift(Fault { component, kind: Kind::Kill, side });
    }

    /// Keeps what the programs wrote.
    pub(crate) fn keep_logs(&self, dir: &Path) {
        for site in [&self.a, &self.b] {
            let domain = site.side.domain();
            for (file, name) in [
                ("control-plane/log", "control-plane"),
                ("envoy/log", "envoy"),
                ("bind/named.log", "bind"),
            ] {
                // BIND is that of a.com alone; what is not there cannot be kept.
                let _ = fs::copy(site.world.dir().join(file), dir.join(format!("{name}-{domain}.log")));
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.component.name(), self.side.domain())
    }
}

// === impl Site ===

impl Site {
    fn start(side: Side, other: Option<&World>, runtime: &Runtime, shadow: bool, tap: &Tap) -> Self {
        let home = Address::claim();
        let disk = Disk::mount(STORE_MIB);
        let clock = WallClock::new();
        let mut launcher = vec!["env".to_owned()];
        launcher.extend(clock.environment().map(|(name, value)| format!("{name}={}", value.display())));
        if let Ok(disk) = &disk {
            launcher.extend(disk.launcher());
        }
        let mut builder = World::builder()
            .egress()
            .backend(side.domain())
            .launcher(launcher)
            .unexplained("faults come at random moments; `checker` judges");
        builder = builder.discovery("allow_private_addresses = true\n");
        if let Some(other) = other {
            builder = builder.joins(other);
        }
        if side == Side::B {
            let staleness = |seconds: u64| format!("\"max_staleness_s\": {seconds}");
            builder = builder.edit(&staleness(900), &staleness(SHORT_STALENESS_S));
        }
        if shadow {
            builder = builder.edit("\"mode\": \"enforce\"", "\"mode\": \"shadow\"");
        }
        let mut world = builder.start();
        let ip = world.ip();
        let dns = other.unwrap_or(&world).dns.address();
        let [brig, ..] = PORTS;
        let at = |ip: Ipv4Addr, port: u16| SocketAddr::from((ip, port));
        let tcp = |here, there| Link::tcp(runtime, here, there, None);
        world.control_plane().terminate();
        for port in [VERDICTS_PORT, XDS_PORT] {
            let own = |port: u16| format!("\"{ip}:{port}\"");
            world.control_plane().configure(&own(port), &own(port + BEHIND));
        }
        world.control_plane().configure(&dns.to_string(), &at(ip, NAMES_PORT).to_string());
        let envoy = world.dir().join("envoy/envoy.yaml");
        let text = fs::read_to_string(&envoy).expect("Envoy's configuration");
        let place = |ip: Ipv4Addr, port| format!("address: {ip}, port_value: {port}}}");
        assert!(text.contains(&place(ip, brig)), "Envoy's configuration says where brig is");
        let text = text.replace(&place(ip, brig), &place(home.ip(), brig + BEHIND));
        fs::write(envoy, text).expect("Envoy's configuration");
        let links = Links {
            verdicts: tcp(at(ip, VERDICTS_PORT), at(ip, VERDICTS_PORT + BEHIND)),
            xds: tcp(at(ip, XDS_PORT), at(ip, XDS_PORT + BEHIND)),
            peer: tcp(at(ip, PEER_PORT), world.envoy.address()),
            names: Link::dns(runtime, at(ip, NAMES_PORT), dns),
            service: Link::tcp(
                runtime,
                at(home.ip(), brig + BEHIND),
                at(home.ip(), brig),
                Some(Tap::clone(tap)),
            ),
        };
        let service = serve(home.ip(), world.dir());
        world.control_plane().restart();
        world.envoy.restart();
        Self { side, world, service, links, disk, clock, reader: None, home }
    }

    fn make(&mut self, fault: Fault) {
        let envoy = self.world.envoy.id();
        match (fault.component, fault.kind) {
            (Component::ControlPlane, Kind::Kill) => self.world.control_plane().kill(),
            (Component::ControlPlane, Kind::Stop) => self.world.control_plane().freeze(),
            (Component::ControlPlane, Kind::Restart) => {
                self.world.control_plane().process().signal(Signal::TERM);
            }
            (Component::ControlPlane, Kind::ClockForward) => self.clock.set(STEP_S),
            (Component::ControlPlane, Kind::ClockBack) => self.clock.set(-STEP_S),
            (Component::Envoy, Kind::Kill) => send(envoy, Signal::KILL),
            (Component::Envoy, Kind::Stop) => send(envoy, Signal::STOP),
            (Component::Envoy, Kind::Restart) => self.world.envoy.terminate(),
            (Component::Service, Kind::Kill) => self.service.kill(),
            (Component::Service, Kind::Stop) => self.service.signal(Signal::STOP),
            (Component::Service, Kind::Restart) => self.service.signal(Signal::TERM),
            (Component::Store, Kind::Full) => self.disk().fill(),
            (Component::Store, Kind::ReadOnly) => self.start_read_only(),
            _ => unreachable!("{fault} is made elsewhere"),
        }
    }

    fn lift(&mut self, fault: Fault) {
        match (fault.component, fault.kind) {
            (Component::ControlPlane, Kind::Stop) => self.world.control_plane().thaw(),
            (Component::ControlPlane, Kind::ClockForward | Kind::ClockBack) => self.clock.set(0),
            (Component::ControlPlane, Kind::Restart) => {
                let status = self.world.control_plane().process().wait();
                assert!(
                    status.success(),
                    "the control plane of {} ended with {status}",
                    self.side.domain()
                );
                self.world.control_plane().restart();
            }
            (Component::ControlPlane, _) => self.world.control_plane().restart(),
            (Component::Envoy, Kind::Restart) => {
                self.world.envoy.wait();
                self.world.envoy.restart();
            }
            (Component::Envoy, Kind::Stop) => send(self.world.envoy.id(), Signal::CONT),
            (Component::Envoy, _) => self.world.envoy.restart(),
            (Component::Service, Kind::Stop) => self.service.signal(Signal::CONT),
            (Component::Service, _) => self.service = serve(self.home.ip(), self.world.dir()),
            (Component::Store, Kind::Full) => self.disk().make_room(),
            (Component::Store, _) => {
                self.reader = None;
                self.disk().allow_writes(true).expect("the disk can be written again");
                self.world.control_plane().restart();
            }
            _ => unreachable!("{fault} is lifted elsewhere"),
        }
    }

    /// The store cannot be written, and the control plane is started on it, whatever it makes of that.
    fn start_read_only(&mut self) {
        self.world.control_plane().kill();
        self.disk().allow_writes(false).expect("nobody has the store open");
        let dir = self.world.control_plane().dir().to_owned();
        let words = self.disk().launcher();
        let (program, arguments) = words.split_first().expect("a command");
        let mut command = Command::new(program);
        command.args(arguments).arg(artifacts::fedgate()).args(["serve", "--config", "fedgate.toml"]);
        self.reader = Some(Process::start(command.current_dir(&dir), &dir.join("log")));
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a fault of the store is chosen only where there is a disk")
    }
}

/// The services of one backend, as a process.
fn serve(ip: Ipv4Addr, dir: &Path) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["component", &ip.to_string()]);
    let mut process = Process::start(&mut command, &dir.join("component.log"));
    let [brig, ..] = PORTS;
    process.wait_until("the service listens", || TcpStream::connect((ip, brig)).is_ok());
    process
}

fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a number of a process");
    kill_process(process, signal).expect("a child that runs can be signalled");
}
