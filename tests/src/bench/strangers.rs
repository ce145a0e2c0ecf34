//! Section `strangers`: what those who are let in, and our own services, notice of a crowd that is not.
//!
//! ```text
//!  crowd ───── TLS without a certificate, refused once, idle ──► b.com's ingress
//!        └──── half a request ─────────────────────────────────► its control plane's three listeners
//!  partner ─── on kept connections, and on fresh ones ─────────► its ingress
//!  service ────────────────────────────────────────────────────► its egress ──► a.com
//! ```
//!
//! Whoever of the crowd is shown out comes again, as fast as [`PACE`] lets them. Once with the reference as it is;
//! and once with a lobby that has room and patience for all of them, so that all are there, and idle.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use fedgate_tests::caller::CallError;
use fedgate_tests::control_plane::{ADMIN_PORT, ControlPlane, VERDICTS_PORT, XDS_PORT};
use fedgate_tests::pki::Authority;
use h2::client::SendRequest;
use http::Request;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::cores::Cores;
use super::egress::Way;
use super::filters::{PARTNER, PARTNER_HOST};
use super::load::{Connections, client_config, failed, open_tls};
use super::report::{Report, progress, quantile, rounded};
use super::usage;

/// Half requests at each listener of the control plane.
const HALVES: usize = 2_000;
/// How often one of the crowd connects: 200 times a second at the ingress, and as often at the control plane.
const PACE: Duration = Duration::from_millis(5);
/// How long the crowd is given to come, where it stays.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long it comes at least before anything is measured: by then each half request has come once.
const ARRIVING: Duration = Duration::from_secs(35);
/// What is measured: requests, so many of them at any time.
const REQUESTS: usize = 2_000;
const STREAMS: usize = 4;
/// How soon a removal is to count.
const REMOVAL: Duration = Duration::from_secs(10);

/// A lobby as the reference has it, and one where everybody may stay.
const REFERENCE: (&str, &[(&str, &str)]) = ("reference", &[]);
const ROOM_FOR_ALL: (&str, &[(&str, &str)]) = (
    "all inside",
    &[
        (r#""patience_s": 10, "places": 1000"#, r#""patience_s": 3600, "places": 30000"#),
        ("federation_ingress.connection_limit: 10000", "federation_ingress.connection_limit: 30000"),
    ],
);

/// Measures both.
pub(crate) fn measure(
    runtime: &Runtime,
    cores: Option<&Cores>,
    strangers: usize,
) -> Result<Report, CallError> {
    let mut json = Map::new();
    let mut table = String::from(
        "strangers                   there  partner p99 µs  fresh p99 µs  egress p99 µs  removal ms  control plane MiB\n",
    );
    for (name, edits) in [REFERENCE, ROOM_FOR_ALL] {
        cores.inspect(|cores| cores.be_server());
        let way = Way::with_edits(edits);
        cores.inspect(|cores| cores.be_client());
        let stays = !edits.is_empty();
        let [rest, crowd] = besiege(runtime, &way, strangers, stays)?;
        for (when, seen) in [("at rest", &rest), ("crowd", &crowd)] {
            let _ = writeln!(table, "{:<22} {}", format!("{name}, {when}"), seen.row());
        }
        let ratios = crowd.p99.iter().zip(rest.p99).map(|(crowd, rest)| rounded(crowd / rest));
        let ratios: Vec<Value> = ratios.collect();
        let _ =
            writeln!(table, "  p99 with the crowd, of that at rest: {}", Value::from(ratios.clone()));
        let of = json!({"rest": rest.json(), "crowd": crowd.json(), "p99_ratios": ratios});
        json.insert(name.replace(' ', "_"), of);
    }
    Ok(Report { json: Map::from_iter([("strangers".to_owned(), json.into())]), table })
}

/// What was seen at one time.
struct Seen {
    there: usize,
    /// Of a partner on kept connections, of one on fresh ones, and of our own services; in µs.
    p99: [f64; 3],
    removal: Duration,
    control_plane_mib: f64,
}

fn besiege(runtime: &Runtime, way: &Way, strangers: usize, stays: bool) -> Result<[Seen; 2], CallError> {
    let peer = &way.peer;
    let client = client_config(&peer.authority, &peer.identity(&[PARTNER_HOST]));
    let ingress = peer.envoy.address();
    let kept = runtime.block_on(Connections::open_tls(ingress, 2, &client))?;
    let fresh = Connections::fresh(ingress, vec![client]);
    let egress = runtime.block_on(Connections::open_plain(peer.envoy.egress(), 2))?;
    let loads = [(&kept, PARTNER, 1), (&fresh, PARTNER, 4), (&egress, PARTNER, 1)];
    let see = |there| {
        let mut p99 = [0.0; 3];
        for (p99, (connections, domain, fewer)) in p99.iter_mut().zip(loads) {
            let domains = vec![domain.to_owned(); REQUESTS / fewer];
            let burst = runtime.block_on(connections.burst(domains, STREAMS))?;
            *p99 = quantile(&burst.latencies, 0.99);
        }
        let control_plane =
            peer.control_plane.as_ref().and_then(ControlPlane::id).map(usage::memory_mib);
        let removal = removal(runtime, way, &kept)?;
        Ok::<_, CallError>(Seen {
            there,
            p99,
            removal,
            control_plane_mib: control_plane.unwrap_or_default(),
        })
    };
    see(0)?;
    let rest = see(0)?;

    let crowd = Crowd::gather(way, strangers);
    let begun = Instant::now();
    let comes = || stays && crowd.there() < strangers && begun.elapsed() < PATIENCE;
    while begun.elapsed() < ARRIVING || comes() {
        runtime.block_on(async { tokio::time::sleep(Duration::from_secs(1)).await });
        progress(&format!("strangers: {} are there", crowd.there()));
    }
    let seen = see(crowd.there())?;
    crowd.disperse();
    Ok([rest, seen])
}

/// How long the partner is let in after it was removed from the list, to which it comes back.
fn removal(runtime: &Runtime, way: &Way, partner: &Connections) -> Result<Duration, CallError> {
    let control_plane =
        way.peer.control_plane.as_ref().ok_or_else(|| failed("there is a control plane"))?;
    control_plane.cli(&["domain", "remove", PARTNER]).map_err(failed)?;
    let removed = Instant::now();
    while runtime.block_on(partner.call(0, PARTNER))? == 200 {
        if removed.elapsed() > REMOVAL {
            return Err(failed("a removal does not count"));
        }
    }
    let took = removed.elapsed();
    control_plane.add(&[PARTNER]);
    while runtime.block_on(partner.call(0, PARTNER))? != 200 {
        if removed.elapsed() > REMOVAL.saturating_mul(2) {
            return Err(failed("the partner is not let in again"));
        }
    }
    Ok(took)
}

// === impl Seen ===

impl Seen {
    fn row(&self) -> String {
        let [kept, fresh, egress] = self.p99;
        format!(
            "{:>9} {kept:>15.0} {fresh:>13.0} {egress:>14.0} {:>11.1} {:>18.1}",
            self.there,
            self.removal.as_secs_f64() * 1e3,
            self.control_plane_mib
        )
    }

    fn json(&self) -> Value {
        let [kept, fresh, egress] = self.p99.map(rounded);
        json!({
            "there": self.there, "partner_p99_us": kept, "fresh_p99_us": fresh, "egress_p99_us": egress,
            "removal_ms": rounded(self.removal.as_secs_f64() * 1e3),
            "control_plane_mib": rounded(self.control_plane_mib),
        })
    }
}

// === the crowd ===

/// Strangers, on a thread of their own.
struct Crowd {
    there: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Crowd {
    /// So many at the ingress, and [`HALVES`] at each listener of the control plane.
    fn gather(way: &Way, strangers: usize) -> Self {
        let there = Arc::<AtomicUsize>::default();
        let (end, ended) = oneshot::channel();
        let config = anonymous(&way.peer.authority);
        let (ingress, ip) = (way.peer.envoy.address(), way.peer.ip());
        let counted = Arc::clone(&there);
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let [ingress_pace, control_pace] = [0, 1].map(|_| pace());
                for _ in 0..strangers {
                    let come = idle(
                        ingress,
                        Arc::clone(&config),
                        Arc::clone(&ingress_pace),
                        Arc::clone(&counted),
                    );
                    tokio::spawn(come);
                }
                for port in [ADMIN_PORT, VERDICTS_PORT, XDS_PORT] {
                    for _ in 0..HALVES {
                        tokio::spawn(half((ip, port).into(), Arc::clone(&control_pace)));
                    }
                }
                let _ = ended.await;
            });
        });
        Self { there, thread, end }
    }

    /// How many of them have a connection at the ingress that is open.
    fn there(&self) -> usize {
        self.there.load(Ordering::Relaxed)
    }

    fn disperse(self) {
        let _ = self.end.send(());
        self.thread.join().expect("the crowd has no trouble of its own");
    }
}

/// Connects, is refused once, and stays for as long as it may; and comes again.
async fn idle(
    ingress: SocketAddr,
    config: Arc<ClientConfig>,
    pace: Arc<Mutex<Interval>>,
    there: Arc<AtomicUsize>,
) {
    loop {
        turn(&pace).await;
        let Ok(stranger) = open_tls(ingress, &config).await else { continue };
        there.fetch_add(1, Ordering::Relaxed);
        let _ = refused(stranger).await;
        there.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes one request, and waits for the end of the connection.
async fn refused(sender: SendRequest<Bytes>) -> Result<(), h2::Error> {
    let mut sender = sender.ready().await?;
    let request = Request::post("https://infra.b.com/federation/brig/x").body(()).expect("a request");
    let (response, _) = sender.send_request(request, true)?;
    let mut body = response.await?.into_body();
    while body.data().await.is_some() {}
    // Nothing is sent any more; that the connection is over shows when one would.
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sender = sender.ready().await?;
    }
}

/// Sends the beginning of a request, and waits for the end of the connection; and comes again.
async fn half(listener: SocketAddr, pace: Arc<Mutex<Interval>>) {
    loop {
        turn(&pace).await;
        let Ok(mut stranger) = TcpStream::connect(listener).await else { continue };
        let _ = stranger.write_all(b"GET /v1/domains HTTP/1.1\r\nhost: fedgate\r\nx-").await;
        let _ = stranger.read_to_end(&mut vec![]).await;
    }
}

fn pace() -> Arc<Mutex<Interval>> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Arc::new(Mutex::new(pace))
}

async fn turn(pace: &Mutex<Interval>) {
    pace.lock().await.tick().await;
}

fn anonymous(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM");
    roots.add(root).expect("a root certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
