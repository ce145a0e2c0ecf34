//! Calls that flow in both directions while what is between is replaced, and what becomes of each of them.
//!
//! This program is all that is around a gate: another backend, `a.com`, which calls our ingress and is called
//! through our egress; our own services, who call it; and our brig. Nothing is sent twice: current services
//! and federators of Wire do not do so either. Once a second, and at the end, a line on standard output says
//! what became of all calls so far ([`tally::Tally::json`]).

#![allow(clippy::print_stdout, reason = "a program for a test that reads it")]

mod http1;
mod tally;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::{Json, Router};
use clap::Parser;
use fedgate_tests::caller::Caller;
use fedgate_tests::http2::{Answer, CallError, Http2};
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::Identity;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::http1::{Pool, failed};
use self::tally::Tally;

/// An answer that takes longer is lost.
const CALL_WITHIN: Duration = Duration::from_secs(20);
/// Connections of each kind that keeps some.
const KEPT: usize = 4;

/// Calls in both directions until SIGTERM.
#[derive(Debug, Parser)]
struct Args {
    /// Where our own services find the egress
    #[arg(long)]
    egress: SocketAddr,
    /// Where other backends find our ingress
    #[arg(long)]
    ingress: SocketAddr,
    /// Where our brig is to listen
    #[arg(long)]
    brig: SocketAddr,
    /// Where the other backend's ingress is to listen
    #[arg(long)]
    other: SocketAddr,
    /// A folder with `trust.pem`, and the other backend's `other.pem` and `other.key`
    #[arg(long)]
    tls: PathBuf,
    /// Calls a second that are to pass, in each direction
    #[arg(long, default_value_t = 200)]
    rate: u32,
}

/// Calls of one kind.
struct Kind {
    name: &'static str,
    /// Of the path; `call` and a number follow.
    path: &'static str,
    /// The domain that a call from outside is of.
    origin: Option<&'static str>,
    way: Way,
    every: Duration,
}

/// On which connections.
enum Way {
    /// Each on a new one.
    New(Door),
    /// On one of some, in turn, until it takes no more: HTTP/2, with several calls at a time.
    Kept(Door, Vec<Mutex<Option<Http2>>>),
    /// HTTP/1.1, kept.
    Http1(Pool),
}

#[derive(Clone)]
enum Door {
    In(Box<Caller>),
    Out(SocketAddr),
}

fn main() {
    let args = Args::parse();
    let (trust, other) = (read(&args.tls, "trust.pem"), other(&args.tls));
    let _peer = Peer::echo(args.other, "a.com", &other, &trust);
    let caller = Caller::new(args.ingress, "infra.b.com", &trust, Some(&other));
    tokio::runtime::Runtime::new().expect("a runtime").block_on(until_stopped(&args, &caller));
}

async fn until_stopped(args: &Args, other: &Caller) {
    let brig = TcpListener::bind(args.brig).await.expect("a free port for brig");
    tokio::spawn(async move { axum::serve(brig, Router::new().fallback(echo)).await });

    let tally = Arc::new(Tally::new());
    // Each call has the one end, until it is over.
    let (running, mut over) = mpsc::channel::<()>(1);
    let flow = |kind| tokio::spawn(flow(Arc::new(kind), Arc::clone(&tally), running.clone()));
    let flows: Vec<_> = kinds(args, other).into_iter().map(flow).collect();
    let told = Arc::clone(&tally);
    let telling = tokio::spawn(async move {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            println!("{}", told.json());
        }
    });
    signal(SignalKind::terminate()).expect("SIGTERM can be waited for").recv().await;
    flows.iter().chain([&telling]).for_each(tokio::task::JoinHandle::abort);
    drop(running);
    over.recv().await;
    println!("{}", tally.json());
}

/// Half of the calls as Wire makes them, the others as those do who keep connections. `gone.com` is another
/// name of `a.com`, for the test to take off the list; `stranger.com` was never on it.
fn kinds(args: &Args, other: &Caller) -> Vec<Kind> {
    let inward = || Door::In(Box::new(other.clone()));
    let outward = || Door::Out(args.egress);
    let kept = |door| Way::Kept(door, (0..KEPT).map(|_| Mutex::default()).collect());
    let part = |parts: u32| Duration::from_secs(1) / (args.rate / parts).max(1);
    let federation = "/federation/brig/";
    let kind = |name, path, origin, way, every| Kind { name, path, origin, way, every };
    vec![
        kind("in, new", federation, Some("a.com"), Way::New(inward()), part(2)),
        kind("in, kept", federation, Some("a.com"), kept(inward()), part(2)),
        kind("out, new", "/rpc/a.com/brig/", None, Way::New(outward()), part(2)),
        kind("out, kept", "/rpc/a.com/brig/", None, kept(outward()), part(4)),
        kind("out, HTTP/1.1", "/rpc/a.com/brig/", None, Way::Http1(Pool::new(args.egress)), part(4)),
        kind("in, gone", federation, Some("gone.com"), Way::New(inward()), part(20)),
        kind("out, gone", "/rpc/gone.com/brig/", None, Way::New(outward()), part(20)),
        kind("in, stranger", federation, Some("stranger.com"), Way::New(inward()), part(20)),
        kind("out, stranger", "/rpc/stranger.com/brig/", None, Way::New(outward()), part(20)),
    ]
}

/// Makes the calls of a kind; what the machine kept us from is made up for.
async fn flow(kind: Arc<Kind>, tally: Arc<Tally>, running: mpsc::Sender<()>) {
    let mut ticks = interval(kind.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let (kind, tally, running) = (Arc::clone(&kind), Arc::clone(&tally), running.clone());
        tokio::spawn(async move {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            match timeout(CALL_WITHIN, kind.call(number)).await {
                Err(_) => tally.broken(kind.name, &format!("no answer within {CALL_WITHIN:?}")),
                Ok(Err(CallError(why))) => tally.broken(kind.name, &why),
                Ok(Ok(answer)) if answer.status != 200 || is_of(&answer, number) => {
                    tally.answered(kind.name, answer.status, &answer.label());
                }
                Ok(Ok(_)) => tally.broken(kind.name, "the answer to another call"),
            }
            drop(running);
        });
    }
}

/// Of calls.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Whether an answer that passed tells of this call.
fn is_of(answer: &Answer, number: u64) -> bool {
    answer.json()["path"].as_str().is_some_and(|path| path.ends_with(&format!("/call{number}")))
}

async fn echo(request: Request) -> Json<serde_json::Value> {
    Json(json!({"path": request.uri().path()}))
}

fn other(tls: &Path) -> Identity {
    Identity { chain: read(tls, "other.pem"), key: read(tls, "other.key") }
}

fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// === impl Kind ===

impl Kind {
    async fn call(&self, number: u64) -> Result<Answer, CallError> {
        let path = format!("{}call{number}", self.path);
        let origin = self.origin.map(|domain| ("wire-origin-domain", domain.as_bytes()));
        let headers = origin.as_slice();
        match &self.way {
            Way::New(door) => {
                let answer = door.open().await?.post_if_open(&path, headers, "{}".into()).await;
                answer.unwrap_or_else(|| Err(failed("a new connection takes no call")))
            }
            Way::Http1(pool) => pool.post(&path).await,
            Way::Kept(door, connections) => {
                let turn = usize::try_from(number).unwrap_or_default() % KEPT;
                let kept = connections.get(turn).ok_or_else(|| failed("there are no connections"))?;
                for _ in 0..3 {
                    let connection = door.kept(kept).await?;
                    match connection.post_if_open(&path, headers, "{}".into()).await {
                        Some(answer) => return answer,
                        None => *kept.lock().await = None,
                    }
                }
                Err(failed("no connection takes the call"))
            }
        }
    }
}

impl Door {
    async fn open(&self) -> Result<Http2, CallError> {
        match self {
            Self::In(caller) => caller.http2().await,
            Self::Out(egress) => {
                let stream = TcpStream::connect(egress).await.map_err(failed)?;
                Http2::over(stream, "http://federator:8080").await
            }
        }
    }

    /// The connection that is kept here, or a new one.
    async fn kept(&self, place: &Mutex<Option<Http2>>) -> Result<Http2, CallError> {
        let mut place = place.lock().await;
        if let Some(open) = &*place {
            return Ok(open.clone());
        }
        let open = self.open().await?;
        *place = Some(open.clone());
        Ok(open)
    }
}
