//! What DNS said holds until its end, through restarts while no DNS can be reached, at both doors; and
//! no longer than that, nor against the list.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use fedgate_tests::World;
use fedgate_tests::caller::Caller;
use fedgate_tests::dns::service;
use fedgate_tests::local::Local;
use fedgate_tests::peer::Peer;
use fedgate_tests::process::{PATIENCE, eventually};
use fedgate_tests::scripted::{Scripted, say};
use hickory_proto::op::ResponseCode;
use tokio::runtime::Runtime;

use crate::claim::origin;
use crate::egress::{caller, list};

/// A backend with one partner, `b.com`, which calls it and is called.
struct Stage {
    world: World,
    doors: Doors,
    _peer: Peer,
}

/// Calls from `b.com`, and to it.
#[derive(Clone)]
struct Doors {
    inbound: Caller,
    outbound: Local,
    runtime: Arc<Runtime>,
    number: Arc<AtomicUsize>,
}

/// Calls through both doors, one after the other, of which none may be refused.
struct Flow {
    calls: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Stage {
    /// `b.com` is announced with these TTLs, listed, and admitted.
    fn set(srv_ttl: u32, address_ttl: u32, discovery: &str) -> Self {
        let world = caller().discovery(discovery).start();
        let at = SocketAddr::from((world.ip(), 7001));
        let identity = world.identity(&["infra.b.com"]);
        let peer = Peer::echo(at, "infra.b.com", &identity, world.authority.pem());
        world.dns.update(&[
            &format!("update add {} {srv_ttl} SRV 1 1 {} infra.b.com.", service("b.com"), at.port()),
            &format!("update add infra.b.com. {address_ttl} A {}", at.ip()),
        ]);
        list(&world);
        let runtime = Arc::new(Runtime::new().unwrap());
        let (inbound, outbound) = (world.caller(&identity), world.local());
        let doors = Doors { inbound, outbound, runtime, number: Arc::default() };
        eventually("the partner is admitted", || doors.admits().ok());
        Self { world, doors, _peer: peer }
    }

    /// A filter may keep what it holds while the control plane finds nothing.
    fn unexplained(mut self) -> Self {
        const BECAUSE: &str = "a lookup that fails is no news for the filter";
        self.doors.inbound = self.doors.inbound.unexplained(BECAUSE);
        self.doors.outbound = self.doors.outbound.unexplained(BECAUSE);
        self
    }

    /// From now on whatever DNS is asked, it fails.
    fn dns_fails(&mut self) {
        self.world.dns.stop();
        let socket = UdpSocket::bind(self.world.dns.address()).unwrap();
        Scripted::on(socket, |question| {
            let mut answer = question.empty();
            answer.metadata.response_code = ResponseCode::ServFail;
            say(&answer)
        });
    }
}

impl Doors {
    /// The labels with which either door refuses; none where both admit.
    fn admits(&self) -> Result<(), String> {
        self.inbound()?;
        self.outbound()
    }

    fn inbound(&self) -> Result<(), String> {
        let rpc = format!("inbound-{}", self.number.fetch_add(1, Ordering::SeqCst));
        let answer = self.runtime.block_on(self.inbound.call(&rpc, &[origin("b.com")]));
        match answer {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("in: {} {}", answer.status, answer.label())),
            Err(error) => Err(format!("in: {error:?}")),
        }
    }

    fn outbound(&self) -> Result<(), String> {
        match self.outbound.call("b.com", "search-users") {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("out: {} {}", answer.status, answer.label())),
            Err(error) => Err(format!("out: {error:?}")),
        }
    }

    /// Waits until neither admits the partner any more, and says why.
    fn refuse(&self) -> [String; 2] {
        eventually("both doors are closed", || Some([self.inbound().err()?, self.outbound().err()?]))
    }

    /// Waits until neither finds the partner. On the way out Envoy may have nowhere to send a call to, before.
    fn discover_nothing(&self) {
        let [inbound, _] = self.refuse();
        assert_eq!(inbound, "in: 400 discovery-failure");
        eventually("discovery fails on the way out", || {
            self.outbound().is_err_and(|outbound| outbound.ends_with("discovery-failure")).then_some(())
        });
    }

    fn flow(&self) -> Flow {
        let (calls, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (doors, calls, ends) = (self.clone(), calls.clone(), ends.clone());
            std::thread::spawn(move || {
                let mut refused = Vec::new();
                while !ends.load(Ordering::SeqCst) {
                    refused.extend(doors.inbound().err());
                    refused.extend(doors.outbound().err());
                    calls.fetch_add(2, Ordering::SeqCst);
                }
                refused
            })
        };
        Flow { calls, ends, thread }
    }
}

impl Flow {
    /// Waits for as many more calls.
    fn goes_on(&self, calls: usize) {
        let (started, enough) = (Instant::now(), self.calls.load(Ordering::SeqCst) + calls);
        while self.calls.load(Ordering::SeqCst) < enough {
            assert!(started.elapsed() < 2 * PATIENCE, "calls make no progress");
            std::thread::yield_now();
        }
    }

    fn end(self) -> (usize, Vec<String>) {
        self.ends.store(true, Ordering::SeqCst);
        let refused = self.thread.join().unwrap();
        (self.calls.load(Ordering::SeqCst), refused)
    }
}

#[test]
fn nobody_is_refused_through_restarts_without_dns() {
    let mut stage = Stage::set(3600, 3600, "timeout = \"1s\"\n");
    stage.world.dns.stop();
    let flow = stage.doors.flow();
    flow.goes_on(100);
    let control_plane = stage.world.control_plane();
    control_plane.terminate();
    flow.goes_on(100);
    control_plane.restart();
    flow.goes_on(200);
    control_plane.kill();
    flow.goes_on(100);
    control_plane.restart();
    flow.goes_on(200);
    stage.dns_fails();
    flow.goes_on(100);
    let control_plane = stage.world.control_plane();
    control_plane.terminate();
    control_plane.restart();
    flow.goes_on(200);
    let (calls, refused) = flow.end();
    assert!(calls >= 1000, "{calls}");
    assert!(refused.is_empty(), "{} of {calls}: {:?}", refused.len(), &refused[..refused.len().min(9)]);
    stage.world.envoy.assert_vm_alive();
}

#[test]
fn a_new_envoy_and_a_new_control_plane_admit_without_dns_whom_the_ones_before_admitted() {
    let mut stage = Stage::set(3600, 5, "timeout = \"1s\"\n");
    stage.world.dns.stop();
    // Of the addresses DNS said that they live for five seconds; what they prove lives longer.
    stage.world.envoy.restart();
    eventually("the control plane is asked", || stage.doors.admits().ok());
    stage.world.control_plane().terminate();
    stage.world.control_plane().restart();
    stage.world.envoy.restart();
    for _ in 0..50 {
        assert_eq!(stage.doors.admits(), Ok(()));
    }
    stage.world.control_plane().kill();
    stage.world.control_plane().restart();
    stage.world.envoy.restart();
    for _ in 0..50 {
        assert_eq!(stage.doors.admits(), Ok(()));
    }
    stage.world.envoy.assert_vm_alive();
}

#[test]
fn a_removed_domain_is_forgotten_at_once_and_stays_so() {
    let mut stage = Stage::set(3600, 3600, "timeout = \"1s\"\n");
    stage.world.dns.stop();
    stage.world.control_plane().terminate();
    stage.world.control_plane().restart();
    assert_eq!(stage.doors.admits(), Ok(()));
    let control_plane = stage.world.control_plane();
    control_plane.cli(&["domain", "remove", "b.com"]).unwrap();
    let denied = ["in: 400 federation-denied".to_owned(), "out: 400 federation-denied".to_owned()];
    // Refused at once; for what reason, depends on whether the filter or Envoy hears of it first.
    eventually("the filters know why", || (stage.doors.refuse() == denied).then_some(()));
    let control_plane = stage.world.control_plane();
    control_plane.kill();
    control_plane.restart();
    stage.world.envoy.restart();
    assert_eq!(stage.doors.refuse(), denied);
    list(&stage.world);
    eventually("it is listed again, and not known", || {
        let [inbound, _] = stage.doors.refuse();
        (inbound == "in: 400 discovery-failure").then_some(())
    });
}

#[test]
fn an_answer_that_ended_while_dns_was_away_is_not_trusted() {
    let mut stage = Stage::set(20, 20, "timeout = \"1s\"\n");
    stage.world.dns.stop();
    stage.world.control_plane().terminate();
    stage.world.control_plane().restart();
    assert_eq!(stage.doors.admits(), Ok(()));
    stage.doors.discover_nothing();
    stage.world.control_plane().kill();
    stage.world.control_plane().restart();
    for _ in 0..10 {
        let [inbound, _] = stage.doors.refuse();
        assert_eq!(inbound, "in: 400 discovery-failure");
    }
}

#[test]
fn where_only_the_filter_remembers_it_holds_as_well() {
    let limits = "timeout = \"1s\"\nmin_ttl = \"1s\"\nmax_ttl = \"1d\"\n";
    let mut stage = Stage::set(3600, 3600, limits).unexplained();
    stage.world.dns.stop();
    let control_plane = stage.world.control_plane();
    control_plane.terminate();
    // What is remembered is older than that, soon, but rests on the same.
    control_plane.configure("max_ttl = \"1d\"", "max_ttl = \"1s\"");
    eventually("what is remembered is older", || {
        let log = control_plane.dir().join("log").metadata().unwrap().modified().unwrap();
        (log.elapsed().unwrap().as_millis() > 1500).then_some(())
    });
    control_plane.restart();
    eventually("the next table is there", || {
        let feed = stage.world.envoy.stat("wasmcustom.fedgate.ingress.feed_state");
        (feed == Some(1)).then_some(())
    });
    assert!(crate::control_plane::verdict(&stage.world, "b.com")["failure"].is_object());
    for _ in 0..50 {
        assert_eq!(stage.doors.inbound(), Ok(()));
    }
    stage.world.control_plane().cli(&["domain", "remove", "b.com"]).unwrap();
    let denied = eventually("the removal counts", || stage.doors.inbound().err());
    assert_eq!(denied, "in: 400 federation-denied");
}

#[test]
fn what_was_found_under_other_settings_is_not_trusted_under_these() {
    let mut stage = Stage::set(3600, 3600, "timeout = \"1s\"\ndnssec = \"off\"\n").unexplained();
    stage.world.dns.stop();
    let control_plane = stage.world.control_plane();
    control_plane.terminate();
    control_plane.configure("dnssec = \"off\"", "dnssec = \"require\"");
    control_plane.restart();
    stage.doors.discover_nothing();
    let control_plane = stage.world.control_plane();
    control_plane.terminate();
    control_plane.configure("dnssec = \"require\"", "dnssec = \"off\"");
    control_plane.restart();
    eventually("under the former ones it is", || stage.doors.admits().ok());
}
