//! xDS: tells Envoy how to reach the backends that we federate with, when it asks.
//!
//! ```text
//!  Envoy's on_demand ── subscribe federation/a.com ─► stream ─► interest ─► book ─► keeper of a.com
//!        ▲                                              ▲                    ▲        │ allowed?
//!        │                                              │                    │        ▼
//!        └────── cluster, endpoints, removed ───────────┴───── changes ──────┘    verdicts, hosts
//! ```
//!
//! The delta variant of ADS, of which we speak two kinds of resources: the cluster of a backend domain
//! (CDS), which says how to connect, and its endpoints (EDS), which say where to. A name that is not
//! allowed, or not discovered, is answered at once, as removed; and again if that changes.

mod book;
mod cluster;
mod endpoints;
mod entry;
mod hosts;
mod keeper;
mod knock;
mod order;
mod reach;
mod resource;
mod stream;
mod subscription;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use fedgate_discovery::{Resolve, Target};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::Stream as Responses;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::{Guard, Refused, Role};
use crate::listener::Peer;
use crate::partners::Attendance;
use crate::telemetry;
use crate::verdicts::{PATIENCE, Verdicts};
use book::Book;
pub(crate) use cluster::Egress;
pub(crate) use reach::Reach;
use stream::Stream;

/// Streams open at one time; each Envoy has one.
const MAX_STREAMS: usize = 1024;
/// The longest request, in bytes: 10,000 of the longest names, with the versions that Envoy has.
const MAX_REQUEST: usize = 8 << 20;
/// Responses that wait for an Envoy that does not read.
const UNREAD: usize = 4;
/// The shortest pause between two looks at the same thing, whatever its TTL.
const SHORTEST: Duration = Duration::from_millis(100);

/// The service behind the listener `xds`.
pub(crate) struct Xds {
    book: Arc<Book>,
    guard: Guard,
    slots: Arc<Semaphore>,
    /// Who has a stream.
    streams: Attendance,
    stopped: watch::Receiver<bool>,
}

/// Tells how targets are to be reached.
#[derive(Clone)]
pub(crate) struct Targets {
    book: Arc<Book>,
    streams: Attendance,
}

type Sent<T> = Pin<Box<dyn Responses<Item = Result<T, Status>> + Send>>;

// === impl Xds ===

impl Xds {
    /// The service, for those whom the guard lets in, until it is `stopped`; who has a stream is noted.
    pub(crate) fn new(
        verdicts: &Verdicts,
        resolve: Arc<dyn Resolve>,
        egress: Egress,
        guard: Guard,
        streams: Attendance,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { book: Book::new(verdicts, resolve, egress), guard, slots, streams, stopped }
    }

    /// Tells how targets are to be reached, by the same lookups as Envoy is told.
    pub(crate) fn targets(&self) -> Targets {
        Targets { book: self.book.clone(), streams: self.streams.clone() }
    }

    /// What the listener serves.
    pub(crate) fn router(self) -> Router {
        let service = AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST);
        Routes::new(service).into_axum_router()
    }
}

// === impl Targets ===

impl Targets {
    /// How each of these targets is to be reached. Hosts that no Envoy uses are looked up for it, which is
    /// waited for, up to [`PATIENCE`].
    pub(crate) async fn reach(&self, targets: &[Target]) -> Vec<Reach> {
        let looks = targets.iter().map(async |target| {
            let host = self.book.hosts().host(&target.host);
            let mut known = host.watch();
            // Whether or not it comes to that in time: what is known then is told.
            let _ = tokio::time::timeout(PATIENCE, known.wait_for(hosts::Known::is_asked)).await;
            let known = known.borrow().clone();
            Reach::of(target, &known)
        });
        futures_util::future::join_all(looks).await
    }

    /// Has the hosts of these targets that some Envoy uses looked up and knocked at anew, now. Addresses at which
    /// nobody opened are forgotten to be so; these are returned.
    pub(crate) fn retry(&self, targets: &[Target]) -> Vec<SocketAddr> {
        let hosts = targets.iter().filter_map(|target| self.book.hosts().in_use(&target.host));
        let mut silent: Vec<_> = hosts.flat_map(|host| host.again()).collect();
        silent.sort_unstable();
        silent.dedup();
        silent
    }

    /// Which address of these targets opens first, of those that are known of hosts that some Envoy uses; none where
    /// nobody does within two seconds.
    pub(crate) async fn opens(&self, targets: &[Target]) -> Option<SocketAddr> {
        let of = |target: &Target| {
            let known = self.book.hosts().in_use(&target.host)?.watch();
            let sockets = known.borrow().sockets(target.port);
            Some(sockets)
        };
        let sockets: Vec<_> = targets.iter().filter_map(of).flatten().collect();
        knock::opens(&sockets).await
    }

    /// Who is told, and of how much.
    pub(crate) fn facts(&self) -> telemetry::Xds {
        telemetry::Xds {
            streams: self.streams.count(),
            clusters: self.book.len(),
            rejected: self.book.rejected(),
        }
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Xds {
    type StreamAggregatedResourcesStream = Sent<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Sent<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only the delta protocol is spoken here: set api_type: DELTA_GRPC"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = request.extensions().get::<Peer>();
        let shown = request.metadata().as_ref();
        let caller = self.guard.admit(shown, &[Role::Filter], peer).await?;
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{MAX_STREAMS} streams are open, which is the most"))
        })?;
        let (out, responses) = mpsc::channel(UNREAD);
        let (guard, over) = (self.guard.clone(), out.clone());
        let visit = self.streams.enter(&caller.0, peer.map(Peer::address), Instant::now());
        let stream = Stream::new(self.book.clone(), caller.0.clone(), visit, out);
        let stop = until_stopped(self.stopped.clone());
        tracing::info!(by = %caller.0, "xDS stream opened");
        tokio::spawn(async move {
            tokio::select! {
                () = stream.run(request.into_inner()) => {}
                () = stop => {}
                refused = guard.revoked(&caller) => {
                    // The other end may be gone already.
                    let _ = over.try_send(Err(refused.into()));
                }
            }
            tracing::info!(by = %caller.0, "xDS stream closed");
            drop(slot);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match &refused {
            Refused::NoToken | Refused::Unknown | Refused::Expired { .. } => {
                Self::unauthenticated(refused.to_string())
            }
            Refused::Role { .. } => Self::permission_denied(refused.to_string()),
        }
    }
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end also.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests;
