//! A balancer in front of the ingress: real nginx, which reads the name that a caller asks for and passes
//! the connection on, with its own word on the caller's address or without.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use fedgate_tests::artifacts;
use fedgate_tests::caller::Caller;
use fedgate_tests::dns::srv;
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::process::Process;
use fedgate_tests::{World, WorldBuilder};

use crate::claim::Expect::{Fail, Permit, Refuse};
use crate::claim::{check, check_http2, origin, received};

/// The balancer's port.
const PORT: u16 = 9443;
/// The port of the web server that shares it.
const WEB: u16 = 4443;

/// `examples/nginx/stream.conf`, in front of a world.
struct Nginx {
    address: SocketAddr,
    _process: Process,
}

impl Nginx {
    fn start(world: &World, edits: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from((world.ip(), PORT));
        let web = SocketAddr::from((world.ip(), WEB));
        let mut text = artifacts::read("examples/nginx/stream.conf");
        let places = [
            ("0.0.0.0:443", address),
            ("127.0.0.1:8443", world.envoy.address()),
            ("127.0.0.1:4443", web),
        ];
        let places = places.map(|(from, to)| (from.to_owned(), to.to_string()));
        let edits = edits.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        for (from, to) in places.into_iter().chain(edits) {
            assert_eq!(text.matches(&from).count(), 1, "stream.conf has this once: {from}");
            text = text.replace(&from, &to);
        }
        let dir = world.dir().join("nginx");
        fs::create_dir(&dir).unwrap();
        let head = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
                    daemon off;\nmaster_process off;\npid nginx.pid;\nevents {}\n";
        fs::write(dir.join("nginx.conf"), format!("{head}{text}")).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(&dir);
        let mut process = Process::start(&mut command, &dir.join("log"));
        process.wait_until("nginx listens", || std::net::TcpStream::connect(address).is_ok());
        Self { address, _process: process }
    }

    /// Somebody who calls the balancer, for the ingress, from an address of his own.
    fn caller(&self, world: &World, identity: Option<&Identity>) -> Caller {
        let caller = world.caller_at(self.address, identity);
        caller.from(world.ip())
    }
}

fn world() -> WorldBuilder {
    World::builder().records([srv("a.com", 60, "infra.a.com.")]).allow(&["a.com"])
}

/// A world whose ingress takes PROXY protocol: what stands commented out in the reference.
fn world_behind_proxy_protocol() -> World {
    let reference = artifacts::read("envoy/ingress.yaml");
    let comments =
        reference.lines().skip_while(|line| !line.ends_with("# listener_filters:")).take_while(|line| {
            ["# listener_filters", "# - ", "#   "].iter().any(|start| line.trim().starts_with(start))
        });
    let comments: Vec<_> = comments.collect();
    assert_eq!(comments.len(), 4, "{comments:?}");
    let comments = comments.join("\n");
    world().edit(&comments, &comments.replace("# ", "")).start()
}

/// What the component hears of the caller's address.
fn origin_ip(world: &World, caller: &Caller) -> Vec<String> {
    let answer = world.run(async { caller.call("whence", &[origin("a.com")]).await }).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    received(&answer, "wire-origin-ip")
}

#[test]
fn certificates_are_checked_end_to_end_through_a_balancer_that_passes_tls_on() {
    let world = world().start();
    let nginx = Nginx::start(&world, &[]);
    let identity = world.identity(&["infra.a.com"]);
    let partner = nginx.caller(&world, Some(&identity));
    check(&world, &partner, "passed_on", &[origin("a.com")], Permit("a.com"));
    // Without PROXY protocol the connection is nginx's own.
    assert_eq!(origin_ip(&world, &partner), ["127.0.0.1"]);

    let forged =
        [origin("a.com"), ("x-ssl-certificate", &b"forged"[..]), ("wire-origin-ip", b"192.0.2.1")];
    let stranger = nginx.caller(&world, Some(&world.identity(&["infra.evil.example"])));
    check(&world, &stranger, "stranger", &forged, Refuse(403, "authentication-failure"));
    check(&world, &nginx.caller(&world, None), "nobody", &forged, Refuse(403, "no-client-certificate"));
    let other = Authority::root("nobody trusts this").issue(&Leaf::of(["infra.a.com"]));
    check(&world, &nginx.caller(&world, Some(&other)), "untrusted", &forged, Fail);
}

#[test]
fn another_name_at_the_same_balancer_goes_elsewhere() {
    let world = world().start();
    let nginx = Nginx::start(&world, &[]);
    let identity = world.identity(&["infra.a.com"]);
    let web = SocketAddr::from((world.ip(), WEB));
    let peer = Peer::echo(web, "web", &world.identity(&["www.b.com"]), world.authority.pem());
    let caller = Caller::new(nginx.address, "www.b.com", world.authority.pem(), Some(&identity))
        .unexplained("a web server answers");
    let answer = world.run(async { caller.call("elsewhere", &[origin("a.com")]).await }).unwrap();
    assert_eq!((answer.status, &answer.json()["peer"]), (200, &"web".into()));
    check(&world, &nginx.caller(&world, Some(&identity)), "here", &[origin("a.com")], Permit("a.com"));
    assert_eq!(peer.calls(), 1);
    assert!(!world.backend.saw("elsewhere"));
}

#[test]
fn with_proxy_protocol_the_callers_address_is_the_callers() {
    let world = world_behind_proxy_protocol();
    let nginx = Nginx::start(&world, &[("# proxy_protocol on;", "proxy_protocol on;")]);
    let partner = nginx.caller(&world, Some(&world.identity(&["infra.a.com"])));
    check(&world, &partner, "behind_proxy", &[origin("a.com")], Permit("a.com"));
    assert_eq!(origin_ip(&world, &partner), [world.ip().to_string()]);
    let peer = world.envoy.access_log("behind-proxy-h2")["peer"].as_str().unwrap().to_owned();
    assert!(peer.starts_with(&format!("{}:", world.ip())), "{peer}");
    check(
        &world,
        &nginx.caller(&world, None),
        "nobody",
        &[origin("a.com")],
        Refuse(403, "no-client-certificate"),
    );
}

#[test]
fn both_versions_of_proxy_protocol_are_taken_and_nothing_else() {
    let world = world_behind_proxy_protocol();
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap());
    let line = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 8443\r\n".as_slice();
    for (header, address) in [(line, v4), (&version_2(v4), v4), (&version_2(v6), v6)] {
        assert_eq!(origin_ip(&world, &caller.clone().beginning_with(header)), [address.to_string()]);
    }
    check(&world, &caller, "no_header", &[origin("a.com")], Fail);
    for (name, header) in [
        ("half_a_header", b"PROXY TCP4 192.0.2.7\r\n".as_slice()),
        ("no_address", b"PROXY TCP4 x y 40000 8443\r\n"),
        ("http", b"GET / HTTP/1.1\r\n\r\n"),
    ] {
        let caller = caller.clone().beginning_with(header);
        check_http2(&world, &caller, name, &[origin("a.com")], Fail);
    }
}

/// The header in its binary form, of a connection from this address, port 40000, to port 8443 of the same.
fn version_2(address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (0x11, address.octets().to_vec()),
        IpAddr::V6(address) => (0x21, address.octets().to_vec()),
    };
    let ports = [40000u16.to_be_bytes(), 8443u16.to_be_bytes()].concat();
    let block = [&octets[..], &octets, &ports].concat();
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21".as_slice(), &[family], &length, &block].concat()
}
