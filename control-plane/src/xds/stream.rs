//! One stream of one Envoy: requests in, news out.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::config::core::v3::{BuildVersion, Node};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Sent,
};
use fedgate_policy::{Domain, legible};
use prost::{Message, Name};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tonic::{Status, Streaming};

use super::book::Book;
use super::subscription::{Kind, News, Subscription};
use crate::partners::Visit;

/// Bytes of resources that one response carries, unless a single one is longer.
const RESPONSE: usize = 1 << 20;
/// Characters of a message of Envoy's that are logged.
const MESSAGE: usize = 2000;

/// Where responses go.
pub(super) type Outbound = mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>;

/// Characters of what Envoy says of itself that are kept, for each part.
const INTRODUCTION: usize = 64;

/// A stream.
pub(super) struct Stream {
    book: Arc<Book>,
    by: Arc<str>,
    /// That it is there; what Envoy says of itself is noted with its first request.
    visit: Visit,
    is_introduced: bool,
    out: Outbound,
    clusters: Subscription,
    endpoints: Subscription,
    nonce: u64,
}

/// The other end, or its request, is gone.
struct Gone;

// === impl Stream ===

impl Stream {
    /// A stream of the token's bearer `by`.
    pub(super) fn new(book: Arc<Book>, by: Arc<str>, visit: Visit, out: Outbound) -> Self {
        let (clusters, endpoints) =
            (Subscription::to(Kind::Clusters), Subscription::to(Kind::Endpoints));
        Self { book, by, visit, is_introduced: false, out, clusters, endpoints, nonce: 0 }
    }

    /// Answers requests and tells of changes, until the other end goes.
    pub(super) async fn run(mut self, mut requests: Streaming<DeltaDiscoveryRequest>) {
        let mut changes = self.book.changes();
        while self.turn(&mut requests, &mut changes).await.is_ok() {}
    }

    async fn turn(
        &mut self,
        requests: &mut Streaming<DeltaDiscoveryRequest>,
        changes: &mut broadcast::Receiver<Domain>,
    ) -> Result<(), Gone> {
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(request)) => self.request(request).await?,
                Ok(None) => return Err(Gone),
                Err(status) => {
                    tracing::debug!(by = %self.by, %status, "a stream broke off");
                    return Err(Gone);
                }
            },
            change = changes.recv() => match change {
                Ok(domain) => self.changed(&domain),
                Err(RecvError::Lagged(_)) => self.all_changed(),
                Err(RecvError::Closed) => return Err(Gone),
            },
        }
        // What else has changed by now goes with it.
        loop {
            match changes.try_recv() {
                Ok(domain) => self.changed(&domain),
                Err(TryRecvError::Lagged(_)) => self.all_changed(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        // Clusters first: Envoy has no use for the endpoints of one that it does not know. For one that
        // is replaced, it waits for endpoints anew, and does not ask for them: they have the same name.
        let news = self.clusters.news();
        news.replaced.iter().for_each(|domain| self.endpoints.renew(domain));
        self.send(&Cluster::type_url(), news).await?;
        let news = self.endpoints.news();
        self.send(&ClusterLoadAssignment::type_url(), news).await
    }

    async fn request(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Gone> {
        if let Some(node) = request.node.as_ref().filter(|_| !self.is_introduced) {
            self.visit.says(introduction(node).into());
            self.is_introduced = true;
        }
        if let Some(error) = &request.error_detail {
            let message: String = error.message.chars().take(MESSAGE).collect();
            self.book.reject();
            // It is not sent again before it has changed: Envoy would say the same again.
            tracing::error!(
                by = %self.by, r#type = ?request.type_url, nonce = ?request.response_nonce, says = ?message,
                "Envoy rejects what we sent"
            );
        }
        tracing::debug!(
            by = %self.by, r#type = ?request.type_url, nonce = ?request.response_nonce,
            subscribe = ?request.resource_names_subscribe, unsubscribe = ?request.resource_names_unsubscribe,
            "request"
        );
        if request.type_url == Cluster::type_url() {
            self.clusters.request(request, &self.book, |_| false);
        } else if request.type_url == ClusterLoadAssignment::type_url() {
            self.endpoints.request(request, &self.book, |domain| self.clusters.has_replaced(domain));
        } else if request.response_nonce.is_empty() {
            // We have nothing of this kind, and who asks for it is not to wait.
            let nothing = News { owed: true, ..News::default() };
            self.send(&request.type_url, nothing).await?;
        }
        Ok(())
    }

    fn changed(&mut self, domain: &Domain) {
        self.clusters.changed(domain);
        self.endpoints.changed(domain);
    }

    fn all_changed(&mut self) {
        self.clusters.all_changed();
        self.endpoints.all_changed();
    }

    /// Sends news, if there are any, in responses of bearable size.
    async fn send(&mut self, type_url: &str, news: News) -> Result<(), Gone> {
        if news.is_nothing() {
            return Ok(());
        }
        let mut removed = news.removed;
        let mut resources = news.resources.into_iter().peekable();
        loop {
            let mut part: Vec<Sent> = Vec::new();
            let mut size = 0_usize;
            while let Some(next) =
                resources.next_if(|next| part.is_empty() || size + next.encoded_len() <= RESPONSE)
            {
                size += next.encoded_len();
                part.push(next);
            }
            self.nonce = self.nonce.wrapping_add(1);
            let response = DeltaDiscoveryResponse {
                type_url: type_url.to_owned(),
                nonce: self.nonce.to_string(),
                resources: part,
                removed_resources: std::mem::take(&mut removed),
                ..DeltaDiscoveryResponse::default()
            };
            tracing::debug!(
                by = %self.by, r#type = type_url, nonce = response.nonce, resources = response.resources.len(),
                removed = ?response.removed_resources, "response"
            );
            self.out.send(Ok(response)).await.map_err(|_| Gone)?;
            if resources.peek().is_none() {
                return Ok(());
            }
        }
    }
}

/// Which Envoy it is, in its own words: `envoy-1, envoy 1.40.0`.
fn introduction(node: &Node) -> String {
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(text)) => legible(text, INTRODUCTION),
        Some(UserAgentVersionType::UserAgentBuildVersion(BuildVersion {
            version: Some(it), ..
        })) => {
            format!("{}.{}.{}", it.major_number, it.minor_number, it.patch)
        }
        Some(UserAgentVersionType::UserAgentBuildVersion(_)) | None => String::new(),
    };
    let [id, agent] = [&node.id, &node.user_agent_name].map(|text| legible(text, INTRODUCTION));
    let agent = format!("{agent} {version}");
    [id.as_str(), agent.trim()].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
}
