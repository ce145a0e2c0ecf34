//! Shows what Fedgate does: two backends talk to each other, and every wrong kind of request is
//! refused with its reason.

#![allow(clippy::print_stderr, reason = "a program for people, whose progress goes to stderr")]

#[path = "../demo_ha.rs"]
mod ha;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use fedgate_tests::caller::{Answer, CallError};
use fedgate_tests::checkup::{self, Outlook};
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::envoy::{self, EGRESS_PORT, INGRESS_PORT};
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::scenario::{self, ALLOWED, NO_ANSWER, Outcome, Scenario, Side, Stage};
use fedgate_tests::witness::Witness;
use fedgate_tests::world::accept_untrusted;
use fedgate_tests::{World, artifacts};
use tokio::runtime::Runtime;

/// Play federated requests between two real backends, and show what becomes of them.
///
/// The backends are a.com and b.com, each with Envoy, control plane and services of its own; BIND
/// knows both. Everything runs on loopback addresses of its own, and is gone afterwards.
#[derive(Debug, Parser)]
#[command(name = "scripts/demo")]
struct Args {
    /// Print one line for each scenario, `ok|FAIL <name> <status> <label>`, and fail if one fails
    #[arg(long)]
    check: bool,
    /// Leave everything running, and print commands to try
    #[arg(long, conflicts_with = "check")]
    keep: bool,
    /// Play with three control planes of b.com on three members of etcd, and two Envoys, and lose some of them
    #[arg(long, conflicts_with = "keep")]
    ha: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.ha {
        return ha::play();
    }
    eprintln!("demo: starting BIND, and for a.com and b.com each a control plane, Envoy and services");
    let mut backends = Backends::start();
    let mut scenarios = vec![];
    let mut tell = |scenario: Scenario| {
        eprintln!("demo: {}", scenario.story);
        scenarios.push(scenario);
    };
    rare_certificates(&backends.b, &mut tell);
    scenario::play(&mut backends, &mut tell);
    checkup::look(&backends, &mut tell);
    let told = if args.check { check(&scenarios) } else { show(&scenarios) };
    if let Err(error) = told {
        eprintln!("demo: cannot print: {error}");
        return ExitCode::FAILURE;
    }
    if args.keep {
        keep(&backends);
    }
    if scenarios.iter().all(Scenario::is_ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Two worlds with one authority and one BIND, which is that of `a`.
struct Backends {
    b: World,
    a: World,
}

impl Backends {
    fn start() -> Self {
        let [(_, allowed_by_a), (_, allowed_by_b)] = ALLOWED;
        let builder = || World::builder().egress().discovery("allow_private_addresses = true\n");
        let a = builder().backend("a.com").start();
        let b = builder().joins(&a).start();
        let backends = Self { b, a };
        // Names first, and then the lists, so that nothing is looked up before it is there.
        scenario::announce(&backends);
        for (world, domains) in [(&backends.a, allowed_by_a), (&backends.b, allowed_by_b)] {
            world.control_plane.as_ref().expect("a control plane").add(domains);
        }
        backends
    }

    fn world(&self, side: Side) -> &World {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn world_mut(&mut self, side: Side) -> &mut World {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }
}

impl Stage for Backends {
    fn ingress(&self, side: Side) -> SocketAddr {
        self.world(side).envoy.address()
    }

    fn egress(&self, side: Side) -> SocketAddr {
        self.world(side).envoy.egress()
    }

    fn announced(&self, side: Side) -> SocketAddr {
        self.ingress(side)
    }

    fn authority(&self) -> &Authority {
        &self.a.authority
    }

    fn administer(&self, side: Side, command: &[&str]) -> Result<String, String> {
        self.world(side).control_plane.as_ref().expect("a control plane").cli(command)
    }

    fn witness(&self, side: Side) -> Option<Witness> {
        self.world(side).witness()
    }

    fn outlook(&self, side: Side) -> Outlook {
        let world = self.world(side);
        let mut fedgate = Command::new(artifacts::fedgate());
        let url = world.control_plane.as_ref().expect("a control plane").url();
        fedgate.env("FEDGATE_URL", url).env("FEDGATE_TOKEN", ADMIN_TOKEN);
        Outlook {
            fedgate,
            certificates: world.envoy.certificates().display().to_string(),
            dns: self.a.dns.address(),
            envoy: format!("http://{}:{}", world.ip(), envoy::ADMIN_PORT),
        }
    }

    fn update_dns(&self, commands: &[&str]) {
        self.a.dns.update(commands);
    }

    fn kill_control_plane(&mut self, side: Side) {
        self.world_mut(side).control_plane().kill();
    }

    fn restart_control_plane(&mut self, side: Side) {
        self.world_mut(side).control_plane().restart();
    }

    fn runtime(&self) -> &Runtime {
        self.a.runtime()
    }
}

// === certificates that take some making ===

fn rare_certificates(world: &World, tell: &mut dyn FnMut(Scenario)) {
    let stranger = Authority::root("an authority of somebody else").issue(&Leaf::of(["infra.a.com"]));
    for (name, story, expected, request) in [
        (
            "untrusted-certificate",
            "an untrusted certificate, where Envoy was told to let such through",
            (403, "untrusted-certificate"),
            (|_, stranger| {
                let lenient = accept_untrusted(World::builder().allow(&["a.com"])).start();
                let caller = lenient.caller(stranger).untrusted();
                lenient.run(async { caller.call("search-users", &FROM_A).await })
            }) as fn(&World, &Identity) -> Result<Answer, CallError>,
        ),
        (
            "certificate-parse-error",
            "a certificate with the same extension twice, which Envoy lets through",
            (403, "certificate-parse-error"),
            |world, _| call(world, &repeated_extension(world)),
        ),
        (
            "certificate-expired",
            "a certificate that expires while its connection is open",
            (403, "certificate-expired"),
            |world, _| call_past_expiry(world),
        ),
    ] {
        let outcome = Outcome::Answer(request(world, &stranger));
        tell(Scenario { name, story, expected, outcome });
    }
}

/// Searches for a user in the name of a.com.
fn call(world: &World, identity: &Identity) -> Result<Answer, CallError> {
    let caller = world.caller(identity);
    world.run(async { caller.call("search-users", &FROM_A).await })
}

const FROM_A: [(&str, &[u8]); 1] = [("wire-origin-domain", b"a.com")];

fn repeated_extension(world: &World) -> Identity {
    let extension = (vec![1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    let extensions = vec![extension.clone(), extension];
    world.authority.issue(&Leaf { extensions, ..Leaf::of(["infra.a.com"]) })
}

/// Calls on one connection until the answer is another than 200.
fn call_past_expiry(world: &World) -> Result<Answer, CallError> {
    let identity = world.authority.issue(&Leaf { not_after: 3, ..Leaf::of(["infra.a.com"]) });
    let open = world.run(world.caller(&identity).http2())?;
    let started = Instant::now();
    loop {
        let answer = world.run(open.call("search-users", &FROM_A));
        let is_permitted = answer.as_ref().is_ok_and(|answer| answer.status == 200);
        if !is_permitted || started.elapsed() > Duration::from_secs(15) {
            return answer;
        }
    }
}

// === telling ===

/// For machines.
fn check(scenarios: &[Scenario]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    scenarios.iter().try_for_each(|scenario| writeln!(out, "{scenario}"))
}

/// For people.
fn show(scenarios: &[Scenario]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out)?;
    for scenario in scenarios {
        let (status, label) = scenario.outcome();
        let status = if status == NO_ANSWER.0 { "---".to_owned() } else { status.to_string() };
        let label = if label.is_empty() { "permitted" } else { &label };
        let surprise = if scenario.is_ok() { "" } else { "  <-- NOT AS EXPECTED" };
        writeln!(out, "{status}  {label:<30} {}{surprise}", scenario.story)?;
        writeln!(out, "{:36}{}", "", scenario.message())?;
    }
    Ok(())
}

/// Leaves the backends as they are until somebody presses Ctrl-C.
fn keep(backends: &Backends) {
    let Backends { a, b } = backends;
    let dir = b.dir();
    let identity = b.identity(&["infra.a.com"]);
    for (name, pem) in [
        ("ca.pem", b.authority.pem()),
        ("client.pem", identity.chain.as_str()),
        ("client.key", &identity.key),
    ] {
        if let Err(error) = std::fs::write(dir.join(name), pem) {
            eprintln!("demo: {name} cannot be written: {error}");
        }
    }
    let (a_ip, b_ip, a_dir, dir, dns) =
        (a.ip(), b.ip(), a.dir().display(), dir.display(), a.dns.address());
    let fedgate = artifacts::fedgate();
    let fedgate = fedgate.display();
    eprintln!(
        "
Everything is left running; a.com's files are in {a_dir}, b.com's in {dir}.

A call of a.com's brig to b.com, which it knows by its domain alone:

  curl -i --http2-prior-knowledge -X POST http://{a_ip}:{EGRESS_PORT}/rpc/b.com/brig/search-users

A request at b.com's ingress (change the header, leave out the certificate, …):

  curl --resolve infra.b.com:{INGRESS_PORT}:{b_ip} --cacert {dir}/ca.pem \\
    --cert {dir}/client.pem --key {dir}/client.key \\
    -X POST -H 'Wire-Origin-Domain: a.com' \\
    https://infra.b.com:{INGRESS_PORT}/federation/brig/search-users

b.com's allow list (a.com's is at http://{a_ip}:8600):

  export FEDGATE_URL=http://{b_ip}:8600 FEDGATE_TOKEN={ADMIN_TOKEN}
  {fedgate} domain list
  {fedgate} domain add c.com

DNS:

  dig @{dns_ip} -p {dns_port} SRV _wire-server-federator._tcp.b.com

Logs: envoy/log, control-plane/log, bind/query.log in both folders

Ctrl-C ends it.",
        dns_ip = dns.ip(),
        dns_port = dns.port(),
    );
    if let Err(error) = b.run(tokio::signal::ctrl_c()) {
        eprintln!("demo: cannot wait for Ctrl-C: {error}");
    }
}
