//! HTTP/2, as Wire speaks it: another backend's federator over TLS, our own services in plain text with
//! prior knowledge. What is sent has the headers that Wire's client sends, and no `Content-Type`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use h2::RecvStream;
use h2::client::{SendRequest, handshake};
use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::witness::Beside;

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(40);
/// What Wire's client sends with every call.
pub const WIRE_HEADERS: [Header<'static>; 2] =
    [("accept", b"application/json;charset=utf-8, application/json"), ("x-wire-api-version", b"v3")];

/// A header: name and raw value.
pub type Header<'a> = (&'a str, &'a [u8]);

/// One HTTP/2 connection; clones share it.
#[derive(Clone, Debug)]
pub struct Http2 {
    sender: SendRequest<Bytes>,
    origin: String,
    witness: Option<Arc<Beside>>,
}

/// An answer to one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case; with what follows the body (trailers).
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why a call brought no answer.
#[derive(Debug)]
pub struct CallError(pub String);

// === impl Http2 ===

impl Http2 {
    /// Speaks HTTP/2 on a stream that is open. `origin` is scheme and authority of what is asked for.
    pub async fn over<S>(stream: S, origin: &str) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = bounded(handshake(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, origin: origin.to_owned(), witness: None })
    }

    /// The same connection, on which each answer is compared.
    #[must_use]
    pub(crate) fn beside(self, witness: Option<Arc<Beside>>) -> Self {
        Self { witness, ..self }
    }

    /// Calls a remote procedure of brig, at its ingress.
    pub async fn call(&self, rpc: &str, headers: &[Header<'_>]) -> Result<Answer, CallError> {
        self.request("POST", &format!("/federation/brig/{rpc}"), headers).await
    }

    /// Sends a request of any method and path, and compares the answer.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
    ) -> Result<Answer, CallError> {
        self.send(method, path, headers, "{}".into()).await
    }

    /// Sends a request with this body, and compares the answer.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let answer = Answer::read(self.open(method, path, headers, body).await?).await?;
        if let Some(witness) = &self.witness {
            witness.confirm(path, headers, &answer).await;
        }
        Ok(answer)
    }

    /// Sends a request with this body, and gives the answer as it comes. It is not compared.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
        body: Bytes,
    ) -> Result<Response<RecvStream>, CallError> {
        let request = self.head(method, path, headers)?;
        let mut sender = bounded(self.sender.clone().ready()).await?;
        let (response, mut stream) =
            sender.send_request(request, body.is_empty()).map_err(CallError::from_display)?;
        if !body.is_empty() {
            // A server may answer, and end the stream, before it has the body: the answer counts.
            let _ = stream.send_data(body, true);
        }
        bounded(response).await
    }

    /// Posts this body, and reads the answer; `None` where the connection takes no more calls, so that
    /// nothing was sent. It is not compared.
    pub async fn post_if_open(
        &self,
        path: &str,
        headers: &[Header<'_>],
        body: Bytes,
    ) -> Option<Result<Answer, CallError>> {
        let request = match self.head("POST", path, headers) {
            Ok(request) => request,
            Err(error) => return Some(Err(error)),
        };
        let mut sender = bounded(self.sender.clone().ready()).await.ok()?;
        let (response, mut stream) = sender.send_request(request, false).ok()?;
        // As above: an answer may come before the body is sent, and counts.
        let _ = stream.send_data(body, true);
        Some(async { Answer::read(bounded(response).await?).await }.await)
    }

    /// Sends a request's headers, and resets the stream without waiting for an answer.
    pub async fn call_and_reset(&self, rpc: &str, headers: &[Header<'_>]) -> Result<(), CallError> {
        let request = self.head("POST", &format!("/federation/brig/{rpc}"), headers)?;
        let mut sender = bounded(self.sender.clone().ready()).await?;
        let (_, mut body) = sender.send_request(request, false).map_err(CallError::from_display)?;
        body.send_reset(h2::Reason::CANCEL);
        Ok(())
    }

    fn head(&self, method: &str, path: &str, headers: &[Header<'_>]) -> Result<Request<()>, CallError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in with_wires(headers) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(CallError::from_display)?;
            request =
                request.header(name, HeaderValue::from_bytes(value).map_err(CallError::from_display)?);
        }
        request.body(()).map_err(CallError::from_display)
    }
}

/// Those of Wire's client, and these; where both have one, these.
pub fn with_wires<'a>(headers: &'a [Header<'a>]) -> impl Iterator<Item = Header<'a>> {
    let own = |name: &str| headers.iter().any(|header| header.0.eq_ignore_ascii_case(name));
    WIRE_HEADERS.into_iter().filter(move |header| !own(header.0)).chain(headers.iter().copied())
}

// === impl Answer ===

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: Response<RecvStream>) -> Result<Self, CallError> {
        let (head, mut stream) = response.into_parts();
        let mut body = vec![];
        while let Some(data) = next(&mut stream).await? {
            body.extend_from_slice(&data);
        }
        let trailers = bounded(stream.trailers()).await?.unwrap_or_default();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let fields = head.headers.iter().chain(&trailers);
        let headers = fields.map(|(name, value)| (name.as_str().to_owned(), text(value)));
        Ok(Self { status: head.status.as_u16(), headers: headers.collect(), body })
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The label of a refusal; empty where there is none.
    pub fn label(&self) -> String {
        self.json()["label"].as_str().unwrap_or_default().to_owned()
    }
}

/// The next piece of an answer's body, which makes room for another.
pub async fn next(stream: &mut RecvStream) -> Result<Option<Bytes>, CallError> {
    let data = bounded(async { stream.data().await.transpose() }).await?;
    if let Some(data) = &data {
        stream.flow_control().release_capacity(data.len()).map_err(CallError::from_display)?;
    }
    Ok(data)
}

// === impl CallError ===

impl CallError {
    pub(crate) fn from_display(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Waits for one step of an exchange, and not for ever.
pub(crate) async fn bounded<T, E: fmt::Display>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(result) => result.map_err(CallError::from_display),
        Err(_) => Err(CallError(format!("nothing came within {TIMEOUT:?}"))),
    }
}
