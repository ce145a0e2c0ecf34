//! A control plane alone, and its clients by hand: connections that are begun, xDS, frames of HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use fedgate_tests::address::Address;
use fedgate_tests::caller::Http2;
use fedgate_tests::control_plane::{ADMIN_PORT, ControlPlane, FILTER_TOKEN, VERDICTS_PORT, XDS_PORT};
use fedgate_tests::http2::next;
use futures_util::future::join_all;
use h2::client::SendRequest;
use http::Request;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// The ports of all listeners.
pub(crate) const PORTS: [u16; 3] = [ADMIN_PORT, VERDICTS_PORT, XDS_PORT];
/// What a connection has that nobody answers for, with room for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(25);

/// A control plane that nobody asks but the test.
pub(crate) struct Site {
    pub(crate) control_plane: ControlPlane,
    pub(crate) runtime: Runtime,
    _dir: tempfile::TempDir,
    address: Address,
}

impl Site {
    /// Starts it; the test may open as many files as the system lets it.
    pub(crate) fn start() -> Self {
        let files = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
        let (address, dir) = (Address::claim(), tempfile::tempdir().unwrap());
        let control_plane = ControlPlane::start(address.ip(), dir.path(), address.dns(), "");
        Self { control_plane, runtime: Runtime::new().unwrap(), _dir: dir, address }
    }

    /// The address of one of its listeners.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.address.ip(), port).into()
    }

    /// Opens so many connections, and sends this on each.
    pub(crate) fn flood(&self, port: u16, number: usize, octets: &[u8]) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        while streams.len() < number {
            let some = (number - streams.len()).min(100);
            let some = join_all((0..some).map(|_| open_with(self.at(port), octets)));
            streams.extend(self.runtime.block_on(some));
        }
        streams
    }

    /// Waits until the other end has closed them all.
    pub(crate) fn closed(&self, streams: Vec<TcpStream>) {
        let closed = join_all(streams.into_iter().map(gone));
        let closed = async { tokio::time::timeout(SOON, closed).await };
        self.runtime.block_on(closed).expect("they are closed within seconds");
    }

    /// The most memory that it ever held, in MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        let id = self.control_plane.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Opens a connection for HTTP/2.
    pub(crate) async fn http2(&self, port: u16) -> Http2 {
        let address = self.at(port);
        let stream = TcpStream::connect(address).await.unwrap();
        Http2::over(stream, &format!("http://{address}")).await.unwrap()
    }

    /// That each listener does its work: an operator's, a filter's, an Envoy's.
    pub(crate) fn serves(&self) {
        self.control_plane.cli(&["strategy", "set", "allowDynamic"]).unwrap();
        self.runtime.block_on(async {
            let token = format!("Bearer {FILTER_TOKEN}");
            let headers = [("authorization", token.as_bytes())];
            let verdicts = self.http2(VERDICTS_PORT).await;
            let answer =
                verdicts.request("GET", "/v1/verdicts/unlisted.example", &headers).await.unwrap();
            assert_eq!(answer.json()["failure"]["label"], "federation-denied");
            XdsStream::open(self, FILTER_TOKEN).await.unwrap().answers().await;
        });
    }
}

/// Opens a connection, and sends this on it.
pub(crate) async fn open_with(address: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may have been displaced already.
    let _ = stream.write_all(octets).await;
    stream
}

/// Reads until the other end has closed.
pub(crate) async fn gone(mut stream: TcpStream) {
    let mut octets = [0; 4096];
    while stream.read(&mut octets).await.is_ok_and(|read| read > 0) {}
}

/// A stream of xDS, spoken by hand.
pub(crate) struct XdsStream {
    requests: h2::SendStream<axum::body::Bytes>,
    responses: h2::RecvStream,
    _connection: SendRequest<axum::body::Bytes>,
}

impl XdsStream {
    /// Opens it with this token; else says with which gRPC status it was refused.
    pub(crate) async fn open(site: &Site, token: &str) -> Result<Self, String> {
        let address = site.at(XDS_PORT);
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let path = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
        let request = Request::post(format!("http://{address}/{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"));
        let (response, requests) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        let (head, responses) = response.await.unwrap().into_parts();
        match head.headers.get("grpc-status") {
            Some(status) => Err(status.to_str().unwrap().to_owned()),
            None => Ok(Self { requests, responses, _connection: sender }),
        }
    }

    /// Asks for resources of a kind that there is not, of which there are none.
    pub(crate) async fn answers(&mut self) {
        // `DeltaDiscoveryRequest { type_url: "x" }`, which is field 2, in a frame of gRPC.
        let request: &[u8] = &[0, 0, 0, 0, 3, 0x12, 1, b'x'];
        self.requests.send_data(request.into(), false).unwrap();
        assert!(next(&mut self.responses).await.unwrap().is_some(), "the stream has ended");
    }
}

impl XdsStream {
    /// Waits until the other end ends it; the gRPC status with which it does.
    pub(crate) async fn ended(mut self) -> String {
        while next(&mut self.responses).await.unwrap().is_some() {}
        let trailers = self.responses.trailers().await.unwrap().unwrap_or_default();
        trailers.get("grpc-status").unwrap().to_str().unwrap().to_owned()
    }
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
