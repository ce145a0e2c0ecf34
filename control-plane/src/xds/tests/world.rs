//! DNS that says what it is told, a control plane that serves xDS, and a client that speaks it as
//! Envoy does.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use fedgate_allow_list::testing::{listing, us};
use fedgate_allow_list::{AllowList, Condition, terms};
use fedgate_discovery::{
    Addresses, Certainty, Discover, Discovered, Discovering, Family, Proof, Resolving, TRANSIENT_TTL,
    Target,
};
use fedgate_policy::{Domain, HostName, Outcome};
use prost::{Message, Name};
use tokio::net::TcpListener;
use tonic::transport::Channel;

use super::super::*;
use crate::auth::{Digest, Token, Tokens};
use crate::listener::{Limits, Listener, Serving, SharedCrowd, serve};
use crate::partners::Attendance;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const FOREVER: Duration = Duration::from_secs(3600);

/// DNS, as far as it is told; each domain's one target is `fed.` before the domain, unless another is
/// told, and each host's address 1.1.1.1.
pub(super) struct Zones {
    /// No target for a domain that has no federator.
    targets: Mutex<HashMap<Domain, Vec<Target>>>,
    /// None for trouble.
    addresses: Mutex<HashMap<HostName, Option<Vec<&'static str>>>>,
    /// Domains whose lookup never ends.
    silent_domains: Mutex<HashSet<Domain>>,
    /// Hosts, and whether it is AAAA of theirs that is never answered, or A.
    silent: Mutex<HashSet<(HostName, bool)>>,
    pub(super) ttl: Mutex<Duration>,
    /// What is remembered of every host.
    pub(super) remembered: Mutex<Option<&'static str>>,
    pub(super) lookups: AtomicUsize,
    pub(super) resolutions: AtomicUsize,
}

impl Zones {
    pub(super) fn target(&self, of: &str, target: Option<(&str, u16)>) {
        self.targets(of, target.as_slice());
    }

    pub(super) fn targets(&self, of: &str, targets: &[(&str, u16)]) {
        let targets = targets.iter().map(|&(host, port)| Target {
            priority: 1,
            host: host.parse().unwrap(),
            port,
            weight: 1,
        });
        self.targets.lock().unwrap().insert(of.parse().unwrap(), targets.collect());
    }

    pub(super) fn addresses(&self, of: &str, addresses: Option<&[&'static str]>) {
        self.addresses.lock().unwrap().insert(of.parse().unwrap(), addresses.map(<[_]>::to_vec));
    }

    /// Has no lookup of the domain end.
    pub(super) fn silence_domain(&self, domain: &str) {
        self.silent_domains.lock().unwrap().insert(domain.parse().unwrap());
    }

    /// Has no lookup of the host's addresses of this family end that begins from now on.
    pub(super) fn silence(&self, of: &str, family: Family) {
        self.silent.lock().unwrap().insert((of.parse().unwrap(), family == Family::V6));
    }
}

impl Discover for Zones {
    fn discover<'a>(&'a self, domain: &'a Domain, _: Proof) -> Discovering<'a> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        if self.silent_domains.lock().unwrap().contains(domain) {
            return Box::pin(std::future::pending());
        }
        let told = self.targets.lock().unwrap().get(domain).cloned();
        let host = format!("fed.{domain}").parse().unwrap();
        let targets = told.unwrap_or_else(|| vec![Target { priority: 1, host, port: 443, weight: 1 }]);
        let found = if targets.is_empty() {
            Discovered {
                certainty: Certainty::Answered,
                ..Discovered::transient("there is no federator".to_owned())
            }
        } else {
            Discovered {
                outcome: Outcome::Hosts(targets.iter().map(|target| target.host.clone()).collect()),
                targets,
                passed_over: Vec::new(),
                ttl: FOREVER,
                certainty: Certainty::Answered,
                is_proven: false,
            }
        };
        Box::pin(std::future::ready(found))
    }

    fn servers(&self) -> String {
        String::new()
    }
}

impl Resolve for Zones {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        self.resolutions.fetch_add(1, Ordering::SeqCst);
        if self.silent.lock().unwrap().contains(&(host.clone(), family == Family::V6)) {
            return Box::pin(std::future::pending());
        }
        let told = self.addresses.lock().unwrap().get(host).cloned();
        let found = |usable, trouble| {
            let ttl = *self.ttl.lock().unwrap();
            Addresses { usable, private: Vec::new(), ttl, trouble }
        };
        Box::pin(std::future::ready(match told.unwrap_or_else(|| Some(vec!["1.1.1.1"])) {
            None => Addresses { ttl: TRANSIENT_TTL, ..found(Vec::new(), Some("SERVFAIL".to_owned())) },
            Some(ips) => {
                let ips = ips.iter().map(|ip| ip.parse().unwrap());
                found(ips.filter(|ip: &IpAddr| ip.is_ipv6() == (family == Family::V6)).collect(), None)
            }
        }))
    }

    fn remembered(&self, _: &HostName, family: Family) -> Option<Vec<IpAddr>> {
        let address: IpAddr = (*self.remembered.lock().unwrap())?.parse().unwrap();
        (address.is_ipv4() == (family == Family::V4)).then(|| vec![address])
    }
}

/// A control plane that serves xDS.
pub(super) struct World {
    pub(super) zones: Arc<Zones>,
    pub(super) list: AllowList,
    pub(super) verdicts: Verdicts,
    pub(super) book: Arc<Book>,
    address: SocketAddr,
    pub(super) stop: watch::Sender<bool>,
    pub(super) server: Serving,
}

impl World {
    pub(super) async fn listing(names: &[&str]) -> Self {
        let zones = Arc::new(Zones {
            targets: Mutex::default(),
            addresses: Mutex::default(),
            silent_domains: Mutex::default(),
            silent: Mutex::default(),
            ttl: Mutex::new(FOREVER),
            remembered: Mutex::default(),
            lookups: AtomicUsize::default(),
            resolutions: AtomicUsize::default(),
        });
        let list = listing(names).await;
        let verdicts = Verdicts::new(list.clone(), zones.clone(), 1, "store");
        let egress = Egress {
            connect_timeout: Duration::from_secs(2),
            client_certificate_sds: "/client.yaml".to_owned(),
            trust_sds: "/trust.yaml".to_owned(),
        };
        let token =
            |name: &str| Token::new(name, name, &Digest::of(name.as_bytes()).to_string()).unwrap();
        let guard = Guard::new(Tokens::of(&["admin", "viewer", "filter"].map(token)));
        let (stop, stopped) = watch::channel(false);
        let xds =
            Xds::new(&verdicts, zones.clone(), egress, guard, Attendance::default(), stopped.clone());
        let book = xds.book.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { connections: 2048, strangers: 1024 };
        let server =
            serve(Listener::Xds, listener, None, xds.router(), SharedCrowd::new(limits), stopped);
        Self { zones, list, verdicts, book, address, stop, server }
    }

    pub(super) async fn client(&self) -> AggregatedDiscoveryServiceClient<Channel> {
        let client = AggregatedDiscoveryServiceClient::connect(format!("http://{}", self.address));
        client.await.unwrap()
    }

    /// Opens a stream with this `authorization`.
    pub(super) async fn open(&self, authorization: &str) -> Result<Envoy, Status> {
        let (requests, outbound) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(outbound));
        if !authorization.is_empty() {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        let responses = self.client().await.delta_aggregated_resources(request).await?.into_inner();
        Ok(Envoy { requests, responses })
    }

    pub(super) async fn envoy(&self) -> Envoy {
        self.open("Bearer filter").await.unwrap()
    }

    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "this never holds");
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn put(&self, name: &str) {
        let put = self.list.put(name.parse().unwrap(), terms::Change::default(), Condition::None, us());
        put.await.unwrap();
    }

    pub(super) async fn remove(&self, name: &str) {
        self.list.remove(name.parse().unwrap(), Condition::None, us()).await.unwrap();
    }
}

/// The other end of a stream.
pub(super) struct Envoy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    pub(super) responses: Streaming<DeltaDiscoveryResponse>,
}

impl Envoy {
    pub(super) async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    pub(super) async fn subscribe<T: Name>(&self, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.send(DeltaDiscoveryRequest {
            type_url: T::type_url(),
            resource_names_subscribe: names,
            ..Default::default()
        })
        .await;
    }

    /// The next response, acknowledged.
    pub(super) async fn next(&mut self) -> DeltaDiscoveryResponse {
        let response = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        let response = response.expect("a response in time").unwrap().expect("a response");
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        })
        .await;
        response
    }

    /// The names that the next response removes; it holds nothing else.
    pub(super) async fn removed<T: Name>(&mut self) -> Vec<String> {
        let response = self.next().await;
        assert_eq!((response.type_url, response.resources.len()), (T::type_url(), 0));
        response.removed_resources
    }

    /// The one resource of the next response, and its version.
    pub(super) async fn one<T: Name + Message + Default>(&mut self) -> (T, String) {
        let response = self.next().await;
        assert_eq!(response.type_url, T::type_url());
        assert!(response.removed_resources.is_empty(), "{response:?}");
        let [resource] = &response.resources[..] else { panic!("{response:?}") };
        let any = resource.resource.as_ref().unwrap();
        assert_eq!(any.type_url, T::type_url());
        (T::decode(&*any.value).unwrap(), resource.version.clone())
    }

    /// The addresses that the next response has.
    pub(super) async fn addresses(&mut self) -> Vec<String> {
        addresses(&self.one::<ClusterLoadAssignment>().await.0)
    }

    /// Asks for something that we do not have: what there was to say is said before the answer to
    /// the second time.
    pub(super) async fn nothing_more(&mut self) {
        for _ in 0..2 {
            self.send(DeltaDiscoveryRequest { type_url: "ping".to_owned(), ..Default::default() }).await;
        }
        for _ in 0..2 {
            let response = self.next().await;
            assert_eq!(response.type_url, "ping", "{response:?}");
        }
    }

    /// Subscribes to a domain's cluster and endpoints, as Envoy does.
    pub(super) async fn connect(&mut self, name: &str) -> (Cluster, ClusterLoadAssignment) {
        self.subscribe::<Cluster>(&[name]).await;
        let (cluster, _) = self.one::<Cluster>().await;
        self.subscribe::<ClusterLoadAssignment>(&[name]).await;
        let (assignment, _) = self.one::<ClusterLoadAssignment>().await;
        assert_eq!((cluster.name.as_str(), assignment.cluster_name.as_str()), (name, name));
        (cluster, assignment)
    }
}

/// Each endpoint's host, and its addresses.
pub(super) fn addresses(assignment: &ClusterLoadAssignment) -> Vec<String> {
    let endpoints = assignment.endpoints.iter().flat_map(|locality| &locality.lb_endpoints);
    let text = |endpoint: &Option<HostIdentifier>| {
        let Some(HostIdentifier::Endpoint(endpoint)) = endpoint else { panic!() };
        let more = endpoint.additional_addresses.iter().map(|more| &more.address);
        std::iter::once(&endpoint.address).chain(more).fold(
            endpoint.hostname.clone(),
            |text, address| {
                let address = address.clone().unwrap().address;
                let Some(AddressKind::SocketAddress(socket)) = address else { panic!() };
                text + " " + &socket.address
            },
        )
    };
    endpoints.map(|endpoint| text(&endpoint.host_identifier)).collect()
}
