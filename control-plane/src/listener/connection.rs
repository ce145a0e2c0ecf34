//! One connection: TLS where it is asked for, then HTTP, within limits.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::peer::{HEAD, Peer, Turn};
use super::tls::Tls;
use super::{Listener, until};

/// Octets of a request's head.
const HEAD_SIZE: usize = 16 << 10;
/// Headers in it.
const HEADERS: usize = 100;
/// Requests under way on one HTTP/2 connection. The reference has Envoy send no more than 100.
const STREAMS: u32 = 128;
/// The same for xDS, of which each Envoy has one.
const XDS_STREAMS: u32 = 16;
/// Streams that their opener resets before we saw them; and streams that we reset for breaking rules.
const RESETS: (usize, usize) = (20, 64);
/// Octets of bodies that a peer may send before we have read them, for one stream and for all.
const WINDOWS: (u32, u32) = (64 << 10, 256 << 10);
/// Octets of answers that a stream keeps for a peer that reads slowly.
const UNSENT: usize = 64 << 10;
/// How often an HTTP/2 peer that is silent is asked whether it lives, and for how long it may not answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// The time to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all connections of a listener have in common.
pub(super) struct Front {
    pub(super) listener: Listener,
    tls: Option<TlsAcceptor>,
    http: Builder<TokioExecutor>,
    router: Router,
}

// === impl Front ===

impl Front {
    pub(super) fn new(listener: Listener, tls: Option<&Tls>, router: Router) -> Self {
        let tls = tls.map(|tls| TlsAcceptor::from(tls.server(listener)));
        // A router that still waits for its state would be copied for every connection, with all its
        // routes and their documentation: 140 KB for each filter that waits.
        Self { listener, tls, http: http(listener), router: router.with_state(()) }
    }

    /// Serves a connection to its end.
    pub(super) async fn attend(
        &self,
        stream: TcpStream,
        peer: Peer,
        mut stopped: watch::Receiver<bool>,
    ) {
        let Some(tls) = &self.tls else { return self.speak(stream, peer, stopped).await };
        // Boxed, so that connections without TLS do not make room for it.
        let shaken = Box::pin(tokio::time::timeout(HEAD, tls.accept(stream)));
        let shaken = tokio::select! {
            shaken = shaken => shaken,
            () = peer.displaced() => return,
            () = until(&mut stopped) => return,
        };
        match shaken {
            Ok(Ok(stream)) => Box::pin(self.speak(stream, peer, stopped)).await,
            Ok(Err(error)) => {
                tracing::debug!(listener = self.listener.name(), peer = %peer.address(), %error, "no TLS");
            }
            Err(_) => {}
        }
    }

    async fn speak<S>(&self, stream: S, peer: Peer, mut stopped: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let answers = Answers { router: self.router.clone(), peer: peer.clone() };
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), answers));
        let (mut cut, mut stopping) = (None, false);
        loop {
            let (ends, _) = peer.ends();
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        let listener = self.listener.name();
                        tracing::debug!(listener, peer = %peer.address(), %error, "a connection broke off");
                    }
                    return;
                }
                () = peer.displaced() => return,
                () = until(&mut stopped), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    cut = cut.or_else(|| peer.is_idle().then(|| Instant::now() + FAREWELL));
                }
                () = tokio::time::sleep_until(cut.unwrap_or(ends).into()) => {
                    if cut.is_some() {
                        return;
                    }
                    // It may have done something since.
                    match peer.ends() {
                        (ends, _) if ends > Instant::now() => {}
                        (_, false) => return,
                        (_, true) => {
                            connection.as_mut().graceful_shutdown();
                            cut = Some(Instant::now() + FAREWELL);
                        }
                    }
                }
            }
        }
    }
}

/// HTTP within limits: 1.1 and 2 with prior knowledge, whatever the peer begins with; of xDS, 2.
fn http(listener: Listener) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .max_headers(HEADERS)
        .max_buf_size(HEAD_SIZE)
        // A half head is nothing under way, and ends as idleness does.
        .header_read_timeout(None);
    let streams = match listener {
        Listener::Admin | Listener::Verdicts | Listener::Wire => STREAMS,
        Listener::Xds => XDS_STREAMS,
    };
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(u32::try_from(HEAD_SIZE).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS.0)
        .max_local_error_reset_streams(RESETS.1)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(UNSENT)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    match listener {
        Listener::Admin | Listener::Verdicts | Listener::Wire => http,
        Listener::Xds => http.http2_only(),
    }
}

/// Answers the requests of one connection, and counts them.
struct Answers {
    router: Router,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for Answers {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let turn = self.peer.begin();
        request.extensions_mut().insert(self.peer.clone());
        // A router is always ready.
        let answer = self.router.clone().call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Counted { body, _turn: turn })) })
    }
}

/// An answer's body, until which has been sent the request is under way.
struct Counted {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
