//! A target's addresses: some that do not answer, some that DNS does not tell.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::address::Address;
use fedgate_tests::peer::Peer;
use fedgate_tests::process::eventually;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::BinDecodable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{self, TcpListener, TcpSocket};

use super::egress::{announce, caller, list};

/// The port of all targets here.
const PORT: u16 = 7001;

/// An address that swallows what is sent to it: its queue of connections is full.
struct Swallower {
    _queue: (TcpListener, TcpStream),
}

impl Swallower {
    fn start(world: &World, ip: Ipv4Addr) -> Self {
        let at = SocketAddr::from((ip, PORT));
        let listener = world.run(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(at).unwrap();
            socket.listen(0).unwrap()
        });
        let first = TcpStream::connect(at).unwrap();
        let second = TcpStream::connect_timeout(&at, Duration::from_millis(100));
        assert_eq!(second.unwrap_err().kind(), ErrorKind::TimedOut);
        Self { _queue: (listener, first) }
    }
}

/// Carries questions to BIND, but for those that are to be never answered.
struct SilentDns {
    address: SocketAddr,
    upstream: Arc<OnceLock<SocketAddr>>,
}

impl SilentDns {
    /// Never answers what is asked of these names, for these kinds of records.
    fn start(silent: &'static [(&str, RecordType)]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let upstream = Arc::new(OnceLock::<SocketAddr>::new());
        let asked = upstream.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let question = Message::from_bytes(&buffer[..length]).unwrap().queries[0].clone();
                let name = question.name().to_ascii().to_lowercase();
                if !silent.iter().any(|(host, kind)| name == *host && question.query_type() == *kind) {
                    let onward = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                    onward.send_to(&buffer[..length], asked.wait()).unwrap();
                    let length = onward.recv(&mut buffer).unwrap();
                    socket.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        Self { address, upstream }
    }

    /// A world that asks it, and waits for it longer than anybody else waits.
    fn world(&self) -> World {
        let world = caller().ask(self.address).discovery("timeout = \"20s\"\n").start();
        self.upstream.set(world.dns.address()).unwrap();
        world
    }
}

/// A peer at this address, for which each call needs a new connection.
fn peer(world: &World, ip: Ipv4Addr) -> Peer {
    let at = SocketAddr::from((ip, PORT));
    Peer::echo_once(at, "infra.b.com", &world.identity(&["infra.b.com"]), world.authority.pem())
}

/// Addresses in the order in which BIND names them, lowest first.
fn addresses<const N: usize>() -> [Address; N] {
    let mut addresses = std::array::from_fn(|_| Address::claim());
    addresses.sort_unstable_by_key(Address::ip);
    addresses
}

/// Lays a long way to this world's peer, which begins at `ip`: all that is sent arrives so much later.
fn lay_far(world: &World, ip: Ipv4Addr, later: Duration) {
    async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, later: Duration) {
        let mut buffer = [0; 16384];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            tokio::time::sleep(later).await;
            if to.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    }
    let peer = SocketAddr::from((world.ip(), PORT));
    let listener = world.run(TcpListener::bind((ip, PORT))).unwrap();
    world.runtime().spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = net::TcpStream::connect(peer).await.unwrap();
            let ((near_out, near_in), (far_out, far_in)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_out, far_in, later));
            tokio::spawn(carry(far_out, near_in, later));
        }
    });
}

/// Announces one more address of the target.
fn announce_also(world: &World, kind: &str, address: IpAddr) {
    world.dns.update(&[&format!("update add infra.b.com. 5 {kind} {address}")]);
}

/// Calls so often, and gives how long each call took.
fn calls(world: &World, count: usize) -> Vec<Duration> {
    let local = world.local().unexplained("it is timed");
    let call = |_| {
        let begun = Instant::now();
        let answer = local.call("b.com", "search-users").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        begun.elapsed()
    };
    (0..count).map(call).collect()
}

/// What so many percent of them took less than.
fn percentile(took: &[Duration], percent: usize) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted[took.len() * percent / 100]
}

#[test]
fn of_nine_addresses_the_one_that_has_a_route_answers_every_call() {
    let world = caller().start();
    let peer = peer(&world, world.ip());
    announce(&world, "infra.b.com", 10, 10, peer.address());
    for n in 1..=8 {
        // Link-local, and no link is named: the system finds no way to it.
        announce_also(&world, "AAAA", Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n).into());
    }
    list(&world);
    let took = calls(&world, 200);
    assert_eq!(peer.calls(), 200);
    assert!(percentile(&took, 99) < Duration::from_secs(1), "{took:?}");
    assert!(percentile(&took[20..], 90) < Duration::from_millis(100), "{took:?}");
}

#[test]
fn addresses_that_swallow_are_passed_over_in_fractions_of_a_second_and_remembered() {
    let world = caller().start();
    let addresses: [_; 4] = addresses();
    let ips = addresses.each_ref().map(Address::ip);
    let _swallowers = [Swallower::start(&world, ips[0]), Swallower::start(&world, ips[1])];
    let _peers = [peer(&world, ips[2]), peer(&world, ips[3])];
    announce(&world, "infra.b.com", 10, 10, (ips[0], PORT).into());
    for ip in &ips[1..] {
        announce_also(&world, "A", (*ip).into());
    }
    list(&world);
    let took = calls(&world, 100);
    assert!(took[0] > Duration::from_millis(300), "nothing was in the way: {took:?}");
    // Twice 300 ms, and as much again for a machine that is busy.
    assert!(took[0] < Duration::from_millis(1500), "{took:?}");
    assert!(percentile(&took[20..], 90) < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_partner_that_is_far_away_is_reached_past_addresses_that_swallow() {
    let world = caller().start();
    let addresses: [_; 3] = addresses();
    let ips = addresses.each_ref().map(Address::ip);
    let _swallowers = [Swallower::start(&world, ips[0]), Swallower::start(&world, ips[1])];
    let _peer = peer(&world, world.ip());
    // In each direction, so that the handshake takes as long as it and TCP's do at 300 ms there and back.
    lay_far(&world, ips[2], Duration::from_millis(300));
    announce(&world, "infra.b.com", 10, 10, (ips[0], PORT).into());
    for ip in &ips[1..] {
        announce_also(&world, "A", (*ip).into());
    }
    list(&world);
    let took = calls(&world, 1);
    assert!(took[0] > Duration::from_millis(1200), "nothing was in the way: {took:?}");
}

#[test]
fn a_target_that_swallows_costs_its_time_once_and_rests() {
    let world = caller().start();
    let address = Address::claim();
    let _swallower = Swallower::start(&world, address.ip());
    let peer = peer(&world, world.ip());
    announce(&world, "swallows.b.com", 5, 10, (address.ip(), PORT).into());
    announce(&world, "infra.b.com", 10, 10, peer.address());
    list(&world);
    let took = calls(&world, 21);
    assert!(took[0] < Duration::from_secs(4), "{took:?}");
    assert!(percentile(&took[1..], 90) < Duration::from_millis(100), "{took:?}");
}

#[test]
fn an_address_that_cannot_prove_the_targets_name_is_passed_over() {
    let world = caller().start();
    let addresses: [_; 2] = addresses();
    let at = SocketAddr::from((addresses[0].ip(), PORT));
    let stranger =
        Peer::echo(at, "infra.b.com", &world.identity(&["infra.c.com"]), world.authority.pem());
    let _peer = peer(&world, addresses[1].ip());
    announce(&world, "infra.b.com", 10, 10, at);
    announce_also(&world, "A", addresses[1].ip().into());
    list(&world);
    calls(&world, 20);
    assert_eq!(stranger.calls(), 0);
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_eq!(answer.header("wire-remote-ip"), Some(addresses[1].ip().to_string().as_str()));
}

#[test]
fn addresses_that_change_all_the_time_fail_no_call() {
    let world = caller().discovery("min_ttl = \"1s\"\n").start();
    let addresses: [_; 3] = addresses();
    let [before, at, after] = addresses.each_ref().map(Address::ip);
    let peer = peer(&world, at);
    announce(&world, "infra.b.com", 10, 10, peer.address());
    list(&world);
    thread::scope(|scope| {
        let callers: [_; 4] = std::array::from_fn(|_| scope.spawn(|| calls(&world, 800)));
        // Nobody is at the others: one comes before the peer, and one after it.
        for other in [before, after].into_iter().cycle() {
            if callers.iter().all(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            world.dns.update(&[
                "update delete infra.b.com. A",
                &format!("update add infra.b.com. 1 A {at}"),
                &format!("update add infra.b.com. 1 A {other}"),
            ]);
        }
    });
}

#[test]
fn an_address_that_comes_beside_the_first_is_known_when_that_dies() {
    let world = caller().start();
    let addresses: [_; 2] = addresses();
    let first = peer(&world, addresses[0].ip());
    let second = peer(&world, addresses[1].ip());
    announce(&world, "infra.b.com", 10, 10, first.address());
    list(&world);
    calls(&world, 1);
    announce_also(&world, "A", addresses[1].ip().into());
    eventually("Envoy knows both", || {
        let endpoints = world.envoy.ask("/config_dump?include_eds").unwrap();
        endpoints.contains(&addresses[1].ip().to_string()).then_some(())
    });
    drop(first);
    calls(&world, 20);
    assert_eq!(second.calls(), 20);
}

#[test]
fn addresses_of_a_family_that_is_never_answered_delay_no_call() {
    let dns = SilentDns::start(&[("infra.b.com.", RecordType::AAAA)]);
    let world = dns.world();
    let peer = peer(&world, world.ip());
    announce(&world, "infra.b.com", 10, 10, peer.address());
    list(&world);
    let took = calls(&world, 1);
    assert!(took[0] < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_target_whose_name_servers_are_silent_delays_no_call() {
    let dns = SilentDns::start(&[("silent.b.com.", RecordType::A), ("silent.b.com.", RecordType::AAAA)]);
    let world = dns.world();
    let peer = peer(&world, world.ip());
    announce(&world, "silent.b.com", 5, 10, peer.address());
    announce(&world, "infra.b.com", 10, 10, peer.address());
    list(&world);
    let took = calls(&world, 1);
    assert!(took[0] < Duration::from_secs(1), "{took:?}");
}

#[test]
fn dns_that_is_silent_is_named_before_anybody_gives_up_waiting() {
    for (silent, status, label, cause) in [
        (
            &[("_wire-server-federator._tcp.b.com.", RecordType::SRV)][..],
            400,
            "discovery-failure",
            "it is still being asked",
        ),
        (
            &[("infra.b.com.", RecordType::A), ("infra.b.com.", RecordType::AAAA)],
            521,
            "federation-connection-refused",
            "no address of theirs is known",
        ),
    ] {
        let dns = SilentDns::start(silent);
        let world = dns.world();
        let peer = peer(&world, world.ip());
        announce(&world, "infra.b.com", 10, 10, peer.address());
        list(&world);
        let local = world.local().unexplained("it is timed");
        let begun = Instant::now();
        let answer = local.call("b.com", "search-users").unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!((answer.status, answer.label().as_str()), (status, label), "{}", answer.json());
        assert!(answer.json()["message"].as_str().unwrap().contains(cause), "{}", answer.json());
        let log = world.control_plane.as_ref().unwrap().log();
        assert!(log.contains("is longer than whoever asks waits"), "{log}");
        let lack = "no target has an address to connect to domain=b.com \
                    targets=\"infra.b.com (A: no answer yet, AAAA: no answer yet)\"";
        assert_eq!(log.matches(lack).count(), usize::from(status == 521), "{log}");
    }
}
