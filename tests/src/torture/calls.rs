//! The calls that flow all the time, in both directions: partners, strangers, impostors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fedgate_tests::World;
use fedgate_tests::caller::{Answer, CallError, Caller};
use fedgate_tests::http2::Http2;
use fedgate_tests::pki::{Authority, Leaf};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::book::Book;
use super::checker::CALL_WITHIN;
use super::facts::{Door, Outcome, Truth};
use super::fault::{Ms, Side};
use fedgate_tests::link::CALL;

/// Domains that come and go at the ingress; all of one host.
pub(crate) const FLICKERING: [&str; 5] = ["f0.com", "f1.com", "f2.com", "f3.com", "f4.com"];
/// One that does so at the egress: another name of the other backend.
pub(crate) const OUTSIDE: [(Side, &str); 2] = [(Side::A, "out-b.com"), (Side::B, "out-a.com")];
/// Comes and goes after each fault.
pub(crate) const PROBE: &str = "probe.com";
/// Its SRV record moves from one host to the other.
pub(crate) const MOVING: &str = "moving.com";
/// The host of the domains that come and go.
pub(crate) const HOST: &str = "infra.f.com";
/// The hosts that [`MOVING`] moves between.
pub(crate) const HOSTS: [&str; 2] = ["infra.m0.com", "infra.m1.com"];
/// On no list, with an SRV record and a certificate of its own.
pub(crate) const STRANGER: &str = "stranger.com";

/// At most so many calls of one kind wait at one time; more would only be more of the same.
const AT_ONCE: u32 = 30;

/// A kind of call, again and again.
#[derive(Clone)]
pub(crate) struct Flow {
    side: Side,
    truth: Truth,
    way: Way,
    every: Ms,
}

#[derive(Clone)]
enum Way {
    /// Another backend calls, in the name of this domain.
    In(Box<Caller>, String),
    /// One of our own services calls this domain.
    Out(SocketAddr, String),
}

/// All flows of one backend.
pub(crate) fn flows(side: Side, world: &World) -> Vec<Flow> {
    let other = side.other().domain();
    let showing = |name: &str| world.caller(&world.identity(&[name]));
    let elsewhere = Authority::root("an authority that nobody trusts");
    let forged = elsewhere.issue(&Leaf::of([format!("infra.{other}").as_str()]));
    let own = format!("infra.{other}");
    let inward = |truth, caller, origin: &str, every| Flow {
        side,
        truth,
        way: Way::In(Box::new(caller), origin.to_owned()),
        every,
    };
    let egress = world.envoy.egress();
    let outward = |truth, domain: &str, every| Flow {
        side,
        truth,
        way: Way::Out(egress, domain.to_owned()),
        every,
    };
    let denied = Truth::Never(Some("federation-denied"));
    let mut flows = vec![
        inward(Truth::Partner, showing(&own), other, 330),
        inward(denied.clone(), showing("infra.stranger.com"), STRANGER, 1000),
        inward(Truth::Never(Some("authentication-failure")), showing("infra.stranger.com"), other, 1000),
        inward(Truth::Never(Some("no-client-certificate")), world.anonymous(), other, 2000),
        inward(Truth::Never(None), world.caller(&forged), other, 2000),
        outward(Truth::Partner, other, 330),
        outward(denied, STRANGER, 1000),
    ];
    for domain in FLICKERING {
        flows.push(inward(Truth::Listed(domain.to_owned()), showing(HOST), domain, 800));
    }
    for (host, name) in HOSTS.into_iter().enumerate() {
        flows.push(inward(Truth::Host(host), showing(name), MOVING, 1000));
    }
    for (at, domain) in OUTSIDE {
        if at == side {
            flows.push(outward(Truth::Listed(domain.to_owned()), domain, 800));
        }
    }
    flows
}

/// The call that shows whether the list counts.
pub(crate) fn probe(side: Side, world: &World) -> Flow {
    let caller = world.caller(&world.identity(&[HOST]));
    let way = Way::In(Box::new(caller), PROBE.to_owned());
    Flow { side, truth: Truth::Listed(PROBE.to_owned()), way, every: 0 }
}

// === impl Flow ===

impl Flow {
    /// Lets it flow until the runtime ends.
    pub(crate) fn start(self, runtime: &Runtime, book: &Arc<Book>) {
        let book = Arc::clone(book);
        runtime.spawn(async move {
            let mut ticks = interval(Duration::from_millis(self.every));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let waiting = Arc::new(AtomicU32::new(0));
            loop {
                ticks.tick().await;
                if waiting.load(Ordering::Relaxed) >= AT_ONCE {
                    continue;
                }
                waiting.fetch_add(1, Ordering::Relaxed);
                let (flow, book, waiting) = (self.clone(), Arc::clone(&book), Arc::clone(&waiting));
                tokio::spawn(async move {
                    flow.call(&book).await;
                    waiting.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    }

    /// One call, written down.
    pub(crate) async fn call(&self, book: &Book) -> Outcome {
        let door = match self.way {
            Way::In(..) => Door::Ingress,
            Way::Out(..) => Door::Egress,
        };
        let id = book.call(self.side, door, &self.truth);
        let outcome = match timeout(Duration::from_millis(CALL_WITHIN), self.way.call(id)).await {
            Err(_) => Outcome::Hung,
            Ok(Err(CallError(error))) => Outcome::Broken(error),
            Ok(Ok(answer)) if answer.status == 200 => Outcome::Passed,
            Ok(Ok(answer)) => Outcome::Refused(answer.status, answer.label()),
        };
        book.ended(id, outcome.clone());
        outcome
    }
}

// === impl Way ===

impl Way {
    async fn call(&self, id: u64) -> Result<Answer, CallError> {
        let rpc = format!("{CALL}{id:08}");
        match self {
            Self::In(caller, origin) => {
                caller.call(&rpc, &[("wire-origin-domain", origin.as_bytes())]).await
            }
            Self::Out(egress, domain) => {
                let stream = TcpStream::connect(egress).await;
                let stream = stream.map_err(|error| CallError(error.to_string()))?;
                let connection = Http2::over(stream, "http://federator:8080").await?;
                connection.request("POST", &format!("/rpc/{domain}/brig/{rpc}"), &[]).await
            }
        }
    }
}
