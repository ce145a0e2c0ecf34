//! Peers of the control plane that show no token: they get little, for seconds, and keep nobody out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fedgate_tests::control_plane::{
    ADMIN_PORT, ADMIN_TOKEN, FILTER_TOKEN, VERDICTS_PORT, VIEWER_TOKEN, XDS_PORT,
};
use fedgate_tests::process::{eventually, http, is_ok};
use http::Request;
use rustix::process::{Resource, Rlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{PORTS, SOON, Site, XdsStream, frame, open_with};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The memory that the control plane may take, in MiB.
const MEMORY: u64 = 300;

/// The beginnings of requests, none of which ever goes on.
fn beginnings() -> [(&'static str, Vec<u8>); 5] {
    let settings = frame(4, 0, 0, &[]);
    // GET, http, and no end of headers.
    let half = frame(1, 1, 1, &[0x82, 0x86]);
    [
        ("nothing", vec![]),
        ("half a head", b"DELETE /v1/domains/a.com HTTP/1.1\r\nhost: x\r\nx-a".to_vec()),
        ("half a preface", PREFACE[..20].to_vec()),
        ("a preface, and no request", [PREFACE, &settings].concat()),
        ("a preface, and half a request", [PREFACE, &settings, &half].concat()),
    ]
}

#[test]
fn what_is_begun_and_not_gone_on_with_is_closed_at_every_listener() {
    let site = Site::start();
    let mut all = Vec::new();
    for (_, octets) in beginnings() {
        all.extend(PORTS.map(|port| site.flood(port, 5, &octets)).into_iter().flatten());
    }
    site.closed(all);
    site.serves();
}

#[test]
fn thousands_of_half_requests_keep_nobody_out_and_cost_little() {
    let site = Site::start();
    site.control_plane.add(&["a.com"]);
    // Those who are here already: a filter that waits for news, and an Envoy.
    let (removal, mut xds) = site.runtime.block_on(async {
        let filter = site.http2(VERDICTS_PORT).await;
        let removal = tokio::spawn(async move {
            let token = format!("Bearer {FILTER_TOKEN}");
            let mut cursor = String::new();
            loop {
                let path = format!("/v1/verdicts?wait=60&cursor={cursor}");
                let headers = [("authorization", token.as_bytes())];
                let page = filter.request("GET", &path, &headers).await.unwrap().json();
                if let Some(domain) = page["removed"][0].as_str() {
                    return domain.to_owned();
                }
                cursor = page["cursor"].as_str().unwrap().to_owned();
            }
        });
        (removal, XdsStream::open(&site, FILTER_TOKEN).await.unwrap())
    });
    let beginnings = beginnings();
    let floods = [
        (ADMIN_PORT, &beginnings[1].1),
        (VERDICTS_PORT, &beginnings[1].1),
        (XDS_PORT, &beginnings[4].1),
    ];
    let all = floods.into_iter().flat_map(|(port, octets)| site.flood(port, 2000, octets)).collect();
    // And they go on coming.
    let more = floods.map(|(port, octets)| {
        let (address, octets) = (site.at(port), octets.clone());
        site.runtime.spawn(async move {
            let mut open = Vec::new();
            loop {
                open.push(open_with(address, &octets).await);
                open.drain(..open.len().saturating_sub(600));
            }
        })
    });
    site.serves();
    site.closed(all);
    // What happens at the admin listener counts at the filter.
    site.runtime.block_on(xds.answers());
    let started = Instant::now();
    site.control_plane.cli(&["domain", "remove", "a.com"]).unwrap();
    assert_eq!(site.runtime.block_on(removal).unwrap(), "a.com");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "a removal counted after {took:?}");
    assert!(is_ok(&format!("{}/readyz", site.control_plane.url())));
    let told = "connections give way to others";
    assert!(site.control_plane.log().contains(told), "{}", site.control_plane.log());
    more.iter().for_each(tokio::task::JoinHandle::abort);
    let memory = site.memory_mib();
    assert!(memory < MEMORY, "{memory} MiB");
}

/// Sends the octets again and again, until the other end has closed; how many it took.
async fn endless(address: SocketAddr, begin: Vec<u8>, again: Vec<u8>) -> usize {
    let mut stream = open_with(address, &begin).await;
    let mut sent = 0;
    while stream.write_all(&again).await.is_ok() {
        sent += again.len();
        assert!(sent < 64 << 20, "the headers never end");
    }
    sent
}

#[test]
fn headers_without_end_come_to_one() {
    let site = Site::start();
    let head = b"GET /healthz HTTP/1.1\r\nhost: x\r\n".to_vec();
    let line = format!("x-{}: y\r\n", "a".repeat(1000)).into_bytes();
    let open = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 1, 1, &[0x82, 0x86])].concat();
    // CONTINUATION of a literal header that is not indexed, without END_HEADERS; and of nothing at all.
    let literal = frame(9, 0, 1, &[&[0, 1, b'a', 100][..], &[b'b'; 100]].concat());
    let empty = frame(9, 0, 1, &[]);
    let many = |frame: &[u8]| frame.repeat(100);
    site.runtime.block_on(async {
        for port in [ADMIN_PORT, VERDICTS_PORT] {
            endless(site.at(port), head.clone(), line.clone()).await;
        }
        for port in PORTS {
            endless(site.at(port), open.clone(), many(&literal)).await;
            endless(site.at(port), open.clone(), many(&empty)).await;
        }
    });
    let memory = site.memory_mib();
    assert!(memory < 100, "{memory} MiB");
    site.serves();
}

#[test]
fn streams_are_limited_and_rapid_resets_harm_nobody() {
    let site = Site::start();
    site.runtime.block_on(async {
        for (port, streams) in PORTS.into_iter().zip([128, 128, 16]) {
            let stream = TcpStream::connect(site.at(port)).await.unwrap();
            let (mut sender, mut connection) = h2::client::handshake(stream).await.unwrap();
            let request = || Request::get(format!("http://{}/healthz", site.at(port))).body(()).unwrap();
            // Once there is an answer, the server's settings have come.
            let (answer, _) = sender.send_request(request(), true).unwrap();
            tokio::select! { _ = answer => {}, _ = &mut connection => {} }
            assert_eq!(connection.max_concurrent_send_streams(), streams, "{port}");
        }
        for port in PORTS {
            // GET, http, "/", and no authority; and the end of it at once.
            let pairs = (0..5000_u32).flat_map(|pair| {
                let stream = pair * 2 + 1;
                let reset = frame(3, 0, stream, &8_u32.to_be_bytes());
                [frame(1, 5, stream, &[0x82, 0x86, 0x84]), reset].concat()
            });
            let octets: Vec<u8> =
                [PREFACE, &frame(4, 0, 0, &[])].concat().into_iter().chain(pairs).collect();
            for _ in 0..10 {
                open_with(site.at(port), &octets).await;
            }
        }
    });
    let memory = site.memory_mib();
    assert!(memory < 100, "{memory} MiB");
    site.serves();
}

#[test]
fn a_body_that_comes_slowly_is_not_waited_for() {
    let site = Site::start();
    let head = |token: &str| {
        format!(
            "PUT /v1/domains/slow.example HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: 100\r\n\r\n{{"
        )
    };
    for (token, status) in [("unknown", "HTTP/1.1 401"), (ADMIN_TOKEN, "HTTP/1.1 408")] {
        let answer = site.runtime.block_on(async {
            let mut stream = open_with(site.at(ADMIN_PORT), head(token).as_bytes()).await;
            let mut answer = Vec::new();
            tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
            String::from_utf8(answer).unwrap()
        });
        assert!(answer.starts_with(status), "{answer}");
    }
}

#[test]
fn refused_calls_are_logged_counted_and_slowed_and_nobody_else_waits() {
    let site = Site::start();
    let url = format!("{}/v1/domains", site.control_plane.url());
    let call = |token: &str, method: &str| {
        let request = Request::builder().method(method).uri(&url);
        let request = request.header("authorization", format!("Bearer {token}")).body(()).unwrap();
        let started = Instant::now();
        let status = http().run(request).unwrap().status().as_u16();
        (status, started.elapsed())
    };
    let mut slowest = Duration::ZERO;
    for _ in 0..30 {
        let (status, took) = call("wrong", "GET");
        assert_eq!(status, 401);
        slowest = took;
    }
    assert!(slowest >= Duration::from_millis(400), "{slowest:?}");
    let fastest = (0..20).map(|_| call(ADMIN_TOKEN, "GET")).min_by_key(|(_, took)| *took).unwrap();
    assert!(fastest.0 == 200 && fastest.1 < Duration::from_millis(300), "{fastest:?}");
    assert_eq!(call(FILTER_TOKEN, "GET").0, 403);
    assert_eq!(http().get(&url).call().unwrap().status(), 401);
    let refused = site.runtime.block_on(XdsStream::open(&site, VIEWER_TOKEN));
    assert_eq!(refused.err().as_deref(), Some("7"), "PERMISSION_DENIED");
    let log = site.control_plane.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("a call is refused")).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (line, words) in lines.iter().zip([
        "listener=\"admin\" reason=we do not know this token",
        "listener=\"admin\" token=\"filter\" reason=the token 'filter' has the role filter",
        "listener=\"admin\" reason=this needs a token",
        "listener=\"xds\" token=\"viewer\" reason=the token 'viewer' has the role viewer",
    ]) {
        assert!(line.contains(words) && line.contains("WARN") && line.contains("peer=127."), "{line}");
    }
    assert!(!log.contains("wrong"), "the log tells a token");
    let ready = http().get(format!("{}/readyz", site.control_plane.url())).call();
    let ready = ready.unwrap().body_mut().read_to_string().unwrap();
    assert_eq!(ready, "ok\nrefused: 33 calls without a right token since the start\n");
}

#[test]
fn open_files_that_run_out_cost_strangers_their_place_and_nobody_else() {
    let site = Site::start();
    let id = site.control_plane.id().unwrap();
    let few = Rlimit { current: Some(120), maximum: Some(120) };
    let process = rustix::process::Pid::from_raw(i32::try_from(id).unwrap());
    rustix::process::prlimit(process, Resource::Nofile, few).unwrap();
    let all: Vec<_> = PORTS.map(|port| site.flood(port, 200, b"GET ")).into_iter().flatten().collect();
    eventually("it is told", || {
        site.control_plane.log().contains("a connection cannot be accepted").then_some(())
    });
    site.closed(all);
    site.serves();
}
