//! A call over HTTP/2, as Wire's own services make it: a body without a type.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use fedgate_policy::{HostName, legible};
use h2::RecvStream;
use http::{HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::alert::alert;

/// How much is kept of a body, in octets; an error of Wire's has a few hundred.
const MAX_BODY: usize = 16 << 10;
/// How many characters are told of an error.
const MAX_TOLD: usize = 200;
/// How much a list of headers may have, in octets.
const MAX_HEADERS: u32 = 16 << 10;

/// A call to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whom it is for.
    pub host: &'a HostName,
    /// Their port.
    pub port: u16,
    /// `/federation/brig/api-version`
    pub path: &'a str,
    /// Values of `Wire-Origin-Domain`; more than one is wrong, as a call may be that is to be refused.
    pub origins: &'a [&'a str],
    /// JSON.
    pub body: &'static str,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// When that was, by their clock.
    pub date: Option<SystemTime>,
    /// When it came, by ours.
    pub received: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallTrouble {
    /// They ended it with this TLS alert: in TLS 1.3, that is how a certificate is refused.
    #[error("they ended the connection with the alert {0}")]
    Alert(String),
    /// They closed the connection, and said nothing.
    #[error("they closed the connection, and said nothing")]
    Closed,
    /// Nothing came for so long.
    #[error("nothing came back within {0:?}")]
    Silent(Duration),
    /// What came is not HTTP/2.
    #[error("what came is not HTTP/2: {0}")]
    Broken(String),
}

/// Calls on a connection, within `patience`.
pub async fn call(
    stream: TlsStream<TcpStream>,
    call: Call<'_>,
    patience: Duration,
) -> Result<Answer, CallTrouble> {
    let alerts = Alerts::default();
    let stream = Listening { stream, alerts: alerts.clone() };
    match timeout(patience, exchange(stream, call)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(trouble)) => Err(alerts.take().map_or(trouble, CallTrouble::Alert)),
        Err(_) => Err(CallTrouble::Silent(patience)),
    }
}

async fn exchange(stream: Listening, call: Call<'_>) -> Result<Answer, CallTrouble> {
    let begun = Instant::now();
    let request = request(call)?;
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEADERS)
        .handshake::<_, &'static [u8]>(stream)
        .await
        .map_err(|error| trouble(&error))?;
    let conversation = async {
        let mut sender = sender.ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(call.body.as_bytes(), true)?;
        let (head, body) = response.await?.into_parts();
        let date = head.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let status = head.status.as_u16();
        let (took, received) = (begun.elapsed(), SystemTime::now());
        Ok(Answer { status, body: beginning(body).await, date, received, took })
    };
    tokio::pin!(connection, conversation);
    tokio::select! {
        biased;
        told = &mut conversation => told.map_err(|error: h2::Error| trouble(&error)),
        ended = &mut connection => match ended {
            // What has come before the end counts.
            Ok(()) => conversation.await.map_err(|error| trouble(&error)),
            Err(error) => Err(trouble(&error)),
        },
    }
}

fn request(call: Call<'_>) -> Result<Request<()>, CallTrouble> {
    let Call { host, port, path, .. } = call;
    let mut request = Request::post(format!("https://{host}:{port}{path}"))
        .version(http::Version::HTTP_2)
        .body(())
        .map_err(|error| CallTrouble::Broken(error.to_string()))?;
    for origin in call.origins {
        let origin =
            HeaderValue::from_str(origin).map_err(|error| CallTrouble::Broken(error.to_string()))?;
        request.headers_mut().append("wire-origin-domain", origin);
    }
    Ok(request)
}

/// As much as is kept; what ends in the middle is as good, since it is for people to read.
async fn beginning(mut body: RecvStream) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Some(Ok(part)) = body.data().await {
        let _ = body.flow_control().release_capacity(part.len());
        kept.extend(part.iter().take(MAX_BODY.saturating_sub(kept.len())));
        if kept.len() >= MAX_BODY {
            break;
        }
    }
    kept
}

fn trouble(error: &h2::Error) -> CallTrouble {
    let closed = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
    ];
    if error.get_io().is_some_and(|io| closed.contains(&io.kind())) {
        return CallTrouble::Closed;
    }
    // They may have had a say in it (GOAWAY).
    CallTrouble::Broken(legible(&error.to_string(), MAX_TOLD))
}

/// The alert that ended a connection: HTTP/2's errors do not keep it.
#[derive(Clone, Debug, Default)]
struct Alerts(Arc<Mutex<Option<String>>>);

/// A connection that keeps it.
struct Listening {
    stream: TlsStream<TcpStream>,
    alerts: Alerts,
}

// === impl Alerts ===

impl Alerts {
    fn note(&self, error: &io::Error) {
        if let Some(alert) = alert(error) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(alert);
        }
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

// === impl Listening ===

impl AsyncRead for Listening {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read {
            this.alerts.note(error);
        }
        read
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
