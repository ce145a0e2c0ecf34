//! Spans on their way to the collector. It may be away, slow or ill, or not want them: nobody waits for it, what it does
//! not take is lost and counted, and the log says when that begins and when it is over. What waits is `queue.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message;
use reqwest::{Client, Url, redirect};
use tokio::runtime::Handle;

use super::TRACER;
use super::queue::Queue;
use crate::config::Config;
use crate::startup;
use crate::telemetry::Telemetry;

/// The longest that one request to the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that the last spans may keep us from ending.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The most of an answer that is read, in octets.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends spans, if they are wanted.
pub(crate) struct Traces(Option<SdkTracerProvider>);

/// The other end.
#[derive(Debug)]
struct Collector {
    http: Client,
    /// The thread that sends spans has none of its own.
    runtime: Handle,
    url: Url,
    is_away: AtomicBool,
    /// Spans of the last request that it did not want; whoever counts them takes them.
    rejected: Arc<AtomicU64>,
    rejects: AtomicBool,
}

// === impl Traces ===

impl Traces {
    /// From now on there are spans, for the collector that is configured; none without one.
    pub(crate) fn start(config: &Config, telemetry: Telemetry) -> Result<Self, String> {
        let Some(base) = &config.otlp_endpoint else { return Ok(Self(None)) };
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        let rejected = Arc::default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(url.clone(), Arc::clone(&rejected))?)
            .with_endpoint(url.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let us = Resource::builder().with_service_name("fedgate");
        let us = us.with_attribute(KeyValue::new("service.version", startup::VERSION));
        let queue = Queue::new(exporter, config.waiting_spans, rejected, telemetry);
        let provider =
            SdkTracerProvider::builder().with_span_processor(queue).with_resource(us.build()).build();
        // There is one process, which starts once.
        let _ = TRACER.set(provider.tracer("fedgate"));
        tracing::info!(%url, "traces are sent");
        Ok(Self(Some(provider)))
    }

    /// Sends what is still there, in time.
    pub(crate) async fn end(self) {
        let Some(provider) = self.0 else { return };
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_WORDS));
        if let Ok(Err(error)) = sent.await {
            tracing::warn!(%error, "the last traces are not sent");
        }
    }
}

// === impl Collector ===

impl Collector {
    fn new(url: Url, rejected: Arc<AtomicU64>) -> Result<Self, String> {
        // Already installed is as good as installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(TIMEOUT);
        // Without TLS, a small container image needs no authorities.
        let http = if url.scheme() == "http" { http.tls_certs_only([]) } else { http };
        let http = http.build().map_err(|error| error.to_string())?;
        let (is_away, rejects) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { http, runtime: Handle::current(), url, is_away, rejected, rejects })
    }

    /// Tells of news only.
    fn heard(&self, trouble: Option<&str>) {
        let was_away = self.is_away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(cause) if !was_away => tracing::warn!(
                url = %self.url, cause,
                "the collector takes no traces: they are lost until it does; all else goes on"
            ),
            None if was_away => tracing::info!(url = %self.url, "the collector takes traces again"),
            Some(_) | None => {}
        }
    }

    /// It took a request, and says how many of its spans it did not want. Its words are its own; the log has none of them.
    fn answered(&self, body: &[u8]) {
        // Whoever answers something else has taken all, as far as anybody knows.
        let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|it| it.partial_success);
        let rejected = partial.map_or(0, |it| u64::try_from(it.rejected_spans).unwrap_or_default());
        self.rejected.store(rejected, Ordering::Relaxed);
        let did = self.rejects.swap(rejected > 0, Ordering::Relaxed);
        if rejected > 0 && !did {
            tracing::warn!(
                url = %self.url, rejected,
                "the collector does not want all traces: some are lost; its own log says why"
            );
        } else if rejected == 0 && did {
            tracing::info!(url = %self.url, "the collector wants all traces again");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (http, (head, body)) = (self.http.clone(), request.into_parts());
        let request = http.request(head.method, self.url.clone()).headers(head.headers).body(body);
        let sent = self.runtime.spawn(async {
            let mut answer = request.send().await?;
            let mut body = Vec::new();
            // A connection whose answer was read is used again.
            while let Ok(Some(part)) = answer.chunk().await
                && body.len().saturating_add(part.len()) <= MAX_ANSWER
            {
                body.extend_from_slice(&part);
            }
            Ok::<_, reqwest::Error>((answer.status(), body))
        });
        let sent = match sent.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(crate::brig::innermost(&error)),
            Err(error) => Err(error.to_string()),
        };
        let trouble = match &sent {
            Ok((status, _)) if status.is_success() => None,
            Ok((status, _)) => Some(format!("status {}", status.as_u16())),
            Err(cause) => Some(cause.clone()),
        };
        self.heard(trouble.as_deref());
        let (status, body) = sent?;
        if status.is_success() {
            self.answered(&body);
        }
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = status;
        Ok(answer)
    }
}
