//! Spans on their way to the collector. It may be away, slow or ill: nobody waits for it, what does not fit into the
//! queue is lost, and the log says when that begins and when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::{Client, Url, redirect};
use tokio::runtime::Handle;

use super::TRACER;
use crate::startup;

/// The longest that one request to the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that the last spans may keep us from ending.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
}

// === impl Traces ===

impl Traces {
    /// From now on there are spans, for the collector below `base`; none without it.
    pub(crate) fn start(base: Option<&Url>) -> Result<Self, String> {
        let Some(base) = base else { return Ok(Self(None)) };
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(url.clone())?)
            .with_endpoint(url.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let us = Resource::builder().with_service_name("fedgate");
        let us = us.with_attribute(KeyValue::new("service.version", startup::VERSION));
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(us.build()).build();
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
    fn new(url: Url) -> Result<Self, String> {
        // Already installed is as good as installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(TIMEOUT);
        // Without TLS, a small container image needs no authorities.
        let http = if url.scheme() == "http" { http.tls_certs_only([]) } else { http };
        let http = http.build().map_err(|error| error.to_string())?;
        Ok(Self { http, runtime: Handle::current(), url, is_away: AtomicBool::new(false) })
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
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (http, (head, body)) = (self.http.clone(), request.into_parts());
        let request = http.request(head.method, self.url.clone()).headers(head.headers).body(body);
        let sent = self.runtime.spawn(async {
            let mut answer = request.send().await?;
            // Nobody wants to know its words; but a connection whose answer was read is used again.
            let _ = answer.chunk().await;
            Ok::<_, reqwest::Error>(answer.status())
        });
        let sent = match sent.await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(crate::brig::innermost(&error)),
            Err(error) => Err(error.to_string()),
        };
        let trouble = match &sent {
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(format!("status {}", status.as_u16())),
            Err(cause) => Some(cause.clone()),
        };
        self.heard(trouble.as_deref());
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = sent?;
        Ok(answer)
    }
}
