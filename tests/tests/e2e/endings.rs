//! How calls end: after a time, in any case; and before the Envoy that they are on, when that is told to end.

use std::convert::Infallible;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::any;
use fedgate_tests::caller::{Answer, CallError};
use fedgate_tests::dns::srv;
use fedgate_tests::process::eventually;
use fedgate_tests::{World, WorldBuilder};
use futures_util::stream;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::claim::origin;
use crate::egress::{caller, peer};

/// The port of a brig of the test's own.
const OWN_BRIG: u16 = 8081;
/// Calls that are under way when Envoy is told to end.
const UNDER_WAY: usize = 50;

/// A body of which an octet comes now and then, without an end.
fn drip() -> Body {
    Body::from_stream(stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Some((Ok::<_, Infallible>("x"), ()))
    }))
}

/// Below `path`: takes a call to body, error or silence, and never ends an answer.
fn without_end(path: &str) -> Router {
    Router::new()
        .route(&format!("{path}/body"), any(|| async { drip() }))
        .route(&format!("{path}/error"), any(|| async { (StatusCode::BAD_GATEWAY, drip()) }))
        .route(&format!("{path}/silence"), any(std::future::pending::<StatusCode>))
}

#[test]
fn a_peer_that_drips_does_not_hold_a_call_for_ever() {
    let world = caller().edit("max_stream_duration: 60s", "max_stream_duration: 2s").start();
    let _peer = peer(&world, without_end("/federation/brig"));
    for rpc in ["body", "error", "silence"] {
        let began = Instant::now();
        let answer = world.local().call("b.com", rpc);
        assert!(began.elapsed() < Duration::from_secs(10), "{rpc}: {:?}", began.elapsed());
        match (rpc, answer) {
            ("silence", Ok(answer)) => {
                let told = answer.json();
                assert_eq!((answer.status, &told["label"]), (533, &json!("federation-http2-error")));
                let message = told["message"].to_string();
                assert!(
                    message.contains("infra.b.com at ") && message.contains("max_duration"),
                    "{message}"
                );
            }
            ("body" | "error", Err(_)) => {}
            (_, answer) => panic!("{rpc}: {answer:?}"),
        }
    }
    world.envoy.assert_vm_alive();
}

/// `b.com` with a brig of the test's own, which is to be served at [`OWN_BRIG`].
fn with_own_brig() -> WorldBuilder {
    let builder = World::builder().records([srv("a.com", 60, "infra.a.com.")]).allow(&["a.com"]);
    builder.edit("port_value: 8080}", &format!("port_value: {OWN_BRIG}}}"))
}

fn serve_brig(world: &World, router: Router) {
    let listener = world.run(TcpListener::bind((world.ip(), OWN_BRIG))).unwrap();
    world.runtime().spawn(async move { axum::serve(listener, router).await });
}

#[test]
fn a_component_that_drips_does_not_hold_a_request_for_ever() {
    let route = |limit| format!("prefix_rewrite: /federation/\n                  timeout: {limit}\n");
    let world = with_own_brig().edit(&route("60s"), &route("2s")).start();
    serve_brig(&world, without_end("/federation"));
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    for rpc in ["body", "silence"] {
        let began = Instant::now();
        let answer = world.run(caller.call(rpc, &[origin("a.com")]));
        assert!(began.elapsed() < Duration::from_secs(10), "{rpc}: {:?}", began.elapsed());
        assert!(answer.map_or(true, |answer| answer.status == 504), "{rpc}");
    }
}

// === an end without losses ===

/// Holds every call until it is told to answer; and is told of every call.
fn patient() -> (Router, watch::Sender<bool>, mpsc::Receiver<()>) {
    let (answer_now, may_answer) = watch::channel(false);
    let (arrived, arrivals) = mpsc::channel();
    let hold = move |_: Request| {
        let (mut may_answer, arrived) = (may_answer.clone(), arrived.clone());
        async move {
            arrived.send(()).unwrap();
            may_answer.wait_for(|may| *may).await.unwrap();
            "done"
        }
    };
    (Router::new().fallback(any(hold)), answer_now, arrivals)
}

/// Tells Envoy to end while calls are under way, and sees them answered.
fn ends_without_losses(
    world: &mut World,
    calls: Vec<JoinHandle<Result<Answer, CallError>>>,
    answer_now: &watch::Sender<bool>,
    arrivals: &mpsc::Receiver<()>,
    connect: impl Fn(&World) -> Option<CallError>,
) {
    (0..UNDER_WAY).for_each(|_| arrivals.recv_timeout(Duration::from_secs(20)).unwrap());
    world.envoy.terminate();
    eventually("no new connection is taken", || connect(world));
    answer_now.send_replace(true);
    for call in calls {
        let answer = world.run(call).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"done"[..]));
    }
    let ended = world.envoy.wait();
    assert!(ended.success(), "{ended}: {}", world.envoy.log());
    assert!(world.envoy.log().contains("no call is under way"));
}

#[test]
fn a_signal_to_stop_loses_no_call_that_is_under_way_on_one_connection() {
    let mut world = caller().draining().start();
    let (router, answer_now, arrivals) = patient();
    let _peer = peer(&world, router);
    let local = world.local();
    let connection = local.runtime().block_on(local.connect()).unwrap();
    let calls = (0..UNDER_WAY).map(|_| {
        let connection = connection.clone();
        let call = async move { connection.request("POST", "/rpc/b.com/brig/call", &[]).await };
        local.runtime().spawn(call)
    });
    let calls = calls.collect();
    ends_without_losses(&mut world, calls, &answer_now, &arrivals, |_| {
        local.runtime().block_on(local.connect()).err()
    });
}

#[test]
fn a_signal_to_stop_loses_no_request_that_is_under_way_on_many_connections() {
    let mut world = with_own_brig().draining().start();
    let (router, answer_now, arrivals) = patient();
    serve_brig(&world, router);
    let caller = world.caller(&world.identity(&["infra.a.com"]));
    let calls = (0..UNDER_WAY).map(|_| {
        let caller = caller.clone();
        world.runtime().spawn(async move { caller.call("held", &[origin("a.com")]).await })
    });
    let calls = calls.collect();
    ends_without_losses(&mut world, calls, &answer_now, &arrivals, |world| {
        world.run(caller.http2()).err()
    });
}
