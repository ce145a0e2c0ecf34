//! Shows what Fedgate does: a backend's ingress admits one request, and refuses every wrong kind.

#![allow(clippy::print_stderr, reason = "a program for people, whose progress goes to stderr")]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use fedgate_tests::caller::{Answer, CallError, Caller, Header};
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::dns::srv;
use fedgate_tests::envoy::INGRESS_PORT;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::world::accept_untrusted;
use fedgate_tests::{World, WorldBuilder, artifacts};

/// Play federated requests against real Envoy, BIND and control plane, and show what becomes of them.
///
/// The backend is b.com, its ingress infra.b.com. The caller is brig at infra.a.com, which speaks for
/// a.com and searches for a user. Everything runs on a loopback address of its own, and is gone
/// afterwards.
#[derive(Debug, Parser)]
#[command(name = "scripts/demo")]
struct Args {
    /// Print one line for each scenario, `ok|FAIL <name> <status> <label>`, and fail if one fails
    #[arg(long)]
    check: bool,
    /// Leave everything running, and print commands to try
    #[arg(long, conflicts_with = "check")]
    keep: bool,
}

/// One request, and what is to become of it.
struct Scenario {
    name: &'static str,
    story: &'static str,
    expected: (u16, &'static str),
    answer: Result<Answer, CallError>,
}

/// What stands for an answer where there is none, because the TLS handshake failed.
const NO_ANSWER: (u16, &str) = (0, "handshake-failed");

fn main() -> ExitCode {
    let args = Args::parse();
    eprintln!("demo: starting BIND, the control plane, Envoy and a backend");
    let mut world = world().start();
    let scenarios = play(&mut world);
    let told = if args.check { check(&scenarios) } else { show(&scenarios) };
    if let Err(error) = told {
        eprintln!("demo: cannot print: {error}");
        return ExitCode::FAILURE;
    }
    if args.keep {
        keep(&world);
    }
    if scenarios.iter().all(Scenario::is_ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn world() -> WorldBuilder {
    World::builder()
        .records([
            srv("a.com", 600, "infra.a.com."),
            srv("c.com", 600, "infra.c.com."),
            srv("moved.com", 5, "old.moved.com."),
            srv("closed.com", 600, "."),
        ])
        .allow(&["a.com", "moved.com", "closed.com", "absent.com", "x.broken.example"])
}

#[allow(clippy::too_many_lines, reason = "a list of scenarios, one after the other")]
fn play(world: &mut World) -> Vec<Scenario> {
    let brig = world.caller(&world.identity(&["infra.a.com"]));
    let mut scenarios = vec![];
    let mut tell = |name, story, expected, request: &dyn Fn() -> Result<Answer, CallError>| {
        eprintln!("demo: {story}");
        scenarios.push(Scenario { name, story, expected, answer: request() });
    };

    tell("permit", "brig at infra.a.com searches for a user of b.com", (200, ""), &|| {
        call(world, &brig, &from("a.com"))
    });
    tell(
        "no-client-certificate",
        "somebody without a certificate says to be a.com",
        (403, "no-client-certificate"),
        &|| call(world, &world.anonymous(), &from("a.com")),
    );
    tell(
        "other-authority",
        "a certificate for infra.a.com, of an authority that b.com does not trust",
        NO_ANSWER,
        &|| call(world, &world.caller(&stranger()), &from("a.com")),
    );
    tell(
        "untrusted-certificate",
        "the same, where Envoy was told to let untrusted certificates through",
        (403, "untrusted-certificate"),
        &|| call_lenient(&from("a.com")),
    );
    tell(
        "certificate-parse-error",
        "a certificate with the same extension twice, which Envoy lets through",
        (403, "certificate-parse-error"),
        &|| call(world, &world.caller(&repeated_extension(world)), &from("a.com")),
    );
    tell(
        "certificate-expired",
        "a certificate that expires while its connection is open",
        (403, "certificate-expired"),
        &|| call_past_expiry(world, &from("a.com")),
    );
    tell("no-origin-domain", "no Wire-Origin-Domain", (403, "no-origin-domain"), &|| {
        call(world, &brig, &[])
    });
    tell(
        "domain-parse-error",
        "two domains in Wire-Origin-Domain",
        (403, "domain-parse-error"),
        &|| call(world, &brig, &from("a.com,c.com")),
    );
    tell("federation-denied", "c.com is not on b.com's allow list", (400, "federation-denied"), &|| {
        call(world, &world.caller(&world.identity(&["infra.c.com"])), &from("c.com"))
    });
    tell(
        "invalid-domain",
        "absent.com is allowed, but has no SRV record",
        (422, "invalid-domain"),
        &|| call(world, &brig, &from("absent.com")),
    );
    tell(
        "service-not-offered",
        "closed.com's SRV record says: no federation here",
        (422, "invalid-domain"),
        &|| call(world, &brig, &from("closed.com")),
    );
    tell(
        "discovery-failure",
        "the name server of x.broken.example is broken (SERVFAIL)",
        (400, "discovery-failure"),
        &|| call(world, &brig, &from("x.broken.example")),
    );
    tell(
        "authentication-failure",
        "a trusted certificate for evil.example says to be a.com",
        (403, "authentication-failure"),
        &|| call(world, &world.caller(&world.identity(&["evil.example"])), &from("a.com")),
    );
    tell("moved", "moved.com moves its SRV record from old. to new.moved.com", (200, ""), &|| {
        call_after_move(world, &from("moved.com"))
    });
    world.control_plane().kill();
    tell(
        "without-control-plane",
        "the control plane is killed: the verdict on a.com is still valid",
        (200, ""),
        &|| call(world, &brig, &from("a.com")),
    );
    tell(
        "verdict-unavailable",
        "the control plane is killed: the verdict on moved.com ends",
        (503, "verdict-unavailable"),
        &|| call_until_refused(world, &from("moved.com")),
    );
    world.control_plane().restart();
    scenarios
}

// === requests ===

fn from(domain: &'static str) -> [Header<'static>; 1] {
    [("wire-origin-domain", domain.as_bytes())]
}

/// Searches for a user, as one backend's brig asks another's.
fn call(world: &World, caller: &Caller, headers: &[Header<'_>]) -> Result<Answer, CallError> {
    world.run(async { caller.http2().await?.call("search-users", headers).await })
}

fn stranger() -> Identity {
    Authority::root("an authority of somebody else").issue(&Leaf::of(["infra.a.com"]))
}

fn repeated_extension(world: &World) -> Identity {
    let extension = (vec![1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    let extensions = vec![extension.clone(), extension];
    world.authority.issue(&Leaf { extensions, ..Leaf::of(["infra.a.com"]) })
}

/// Calls an ingress that leaves the judgement of chains to the filter.
fn call_lenient(headers: &[Header<'_>]) -> Result<Answer, CallError> {
    let world = accept_untrusted(world()).start();
    call(&world, &world.caller(&stranger()), headers)
}

/// Calls on one connection until the answer is another than 200.
fn call_past_expiry(world: &World, headers: &[Header<'_>]) -> Result<Answer, CallError> {
    let identity = world.authority.issue(&Leaf { not_after: 3, ..Leaf::of(["infra.a.com"]) });
    let open = world.run(world.caller(&identity).http2())?;
    until(|| {
        let answer = world.run(open.call("search-users", headers));
        (!is_permitted(&answer)).then_some(answer)
    })
}

/// Moves the record, and calls with a certificate of the new host until that is admitted.
fn call_after_move(world: &World, headers: &[Header<'_>]) -> Result<Answer, CallError> {
    let old = world.caller(&world.identity(&["old.moved.com"]));
    let before = call(world, &old, headers);
    if !is_permitted(&before) {
        return before;
    }
    let new = world.caller(&world.identity(&["new.moved.com"]));
    world.dns.set_srv("moved.com", 5, "new.moved.com.");
    until(|| Some(call(world, &new, headers)).filter(is_permitted))
}

/// Calls until the verdict has ended.
fn call_until_refused(world: &World, headers: &[Header<'_>]) -> Result<Answer, CallError> {
    let caller = world.caller(&world.identity(&["new.moved.com"]));
    until(|| Some(call(world, &caller, headers)).filter(|answer| !is_permitted(answer)))
}

fn is_permitted(answer: &Result<Answer, CallError>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.status == 200)
}

fn until(mut step: impl FnMut() -> Option<Result<Answer, CallError>>) -> Result<Answer, CallError> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(15) {
        if let Some(answer) = step() {
            return answer;
        }
    }
    Err(CallError("it did not happen within 15 s".to_owned()))
}

// === impl Scenario ===

impl Scenario {
    fn is_ok(&self) -> bool {
        let (status, label) = self.outcome();
        (status, label.as_str()) == self.expected
    }

    /// Status and label.
    fn outcome(&self) -> (u16, String) {
        match &self.answer {
            Ok(answer) => (answer.status, answer.label()),
            Err(_) => (NO_ANSWER.0, NO_ANSWER.1.to_owned()),
        }
    }

    /// What the caller was told, or what the backend received.
    fn message(&self) -> String {
        match &self.answer {
            Ok(answer) => {
                let body = answer.json();
                let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                match text("message") {
                    none if none.is_empty() => {
                        format!(
                            "{} at b.com received {} {}",
                            text("component"),
                            text("method"),
                            text("path")
                        )
                    }
                    message => message,
                }
            }
            Err(CallError(error)) => error.clone(),
        }
    }
}

// === telling ===

/// For machines.
fn check(scenarios: &[Scenario]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for scenario in scenarios {
        let (status, label) = scenario.outcome();
        let verdict = if scenario.is_ok() { "ok" } else { "FAIL" };
        let label = if label.is_empty() { "-" } else { &label };
        writeln!(out, "{verdict} {} {status} {label}", scenario.name)?;
    }
    Ok(())
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
        writeln!(out, "{status}  {label:<24} {}{surprise}", scenario.story)?;
        writeln!(out, "{:30}{}", "", scenario.message())?;
    }
    Ok(())
}

/// Leaves the world as it is until somebody presses Ctrl-C.
fn keep(world: &World) {
    let dir = world.dir();
    let identity = world.identity(&["infra.a.com"]);
    for (name, pem) in [
        ("ca.pem", world.authority.pem()),
        ("client.pem", identity.chain.as_str()),
        ("client.key", &identity.key),
    ] {
        if let Err(error) = std::fs::write(dir.join(name), pem) {
            eprintln!("demo: {name} cannot be written: {error}");
        }
    }
    let (ip, dir, dns) = (world.ip(), dir.display(), world.dns.address());
    let fedgate = artifacts::fedgate();
    let fedgate = fedgate.display();
    eprintln!(
        "
Everything is left running; its files are in {dir}.

A request from a.com (change the header, leave out the certificate, …):

  curl --resolve infra.b.com:{INGRESS_PORT}:{ip} --cacert {dir}/ca.pem \\
    --cert {dir}/client.pem --key {dir}/client.key \\
    -H 'Wire-Origin-Domain: a.com' -H 'content-type: application/json' -d '{{}}' \\
    https://infra.b.com:{INGRESS_PORT}/federation/brig/search-users

The allow list:

  export FEDGATE_URL=http://{ip}:8600 FEDGATE_TOKEN={ADMIN_TOKEN}
  {fedgate} domain list
  {fedgate} domain add c.com

DNS:

  dig @{dns_ip} -p {dns_port} SRV _wire-server-federator._tcp.a.com

Logs: {dir}/envoy/log, {dir}/control-plane/log, {dir}/bind/query.log

Ctrl-C ends it.",
        dns_ip = dns.ip(),
        dns_port = dns.port(),
    );
    if let Err(error) = world.run(tokio::signal::ctrl_c()) {
        eprintln!("demo: cannot wait for Ctrl-C: {error}");
    }
}
