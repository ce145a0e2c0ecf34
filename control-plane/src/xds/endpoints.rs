//! The endpoints of a backend domain: its SRV targets, with RFC 2782's priorities and weights as Envoy
//! understands them. A pure function.
//!
//! | SRV | Envoy |
//! |---|---|
//! | priorities, any numbers | 0, 1, 2, … without gaps |
//! | lower priorities are for when no target of a higher one can be reached | an overprovisioning factor of 100 |
//! | a target | one endpoint; its addresses are tried by the endpoint's connections, in [`order`](super::order) |
//! | weight 0: "a very small chance of being selected" | one unit, where another has its weight in units |

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, Locality, SocketAddress};
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::AdditionalAddress;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::google::protobuf::UInt32Value;
use fedgate_discovery::Target;
use fedgate_policy::{Domain, HostName};

use super::hosts::Known;
use super::resource::name_of;

/// A priority is good for all traffic while one in so many of its endpoints is.
const OVERPROVISIONING_PERCENT: u32 = 10_000;
/// What a weight of 1 is, so that a target of weight 0 has less. The weights of 64 targets stay below 2^32.
const UNIT: u32 = 960;

/// The endpoints of a domain with these targets, of whose hosts this is known.
pub(super) fn endpoints<'a>(
    domain: &Domain,
    targets: &[Target],
    known: impl Fn(&HostName) -> Option<&'a Known>,
) -> ClusterLoadAssignment {
    // Envoy knows an endpoint by its first address, which no other may have.
    let mut taken = BTreeSet::new();
    let mut priorities: BTreeMap<u16, Vec<(&Target, Vec<SocketAddr>)>> = BTreeMap::new();
    for target in targets.iter().filter(|target| target.port != 0) {
        let mut sockets =
            known(&target.host).map(|known| known.sockets(target.port)).unwrap_or_default();
        if let Some(first) = sockets.iter().position(|&socket| taken.insert(socket)) {
            sockets.rotate_left(first);
            priorities.entry(target.priority).or_default().push((target, sockets));
        }
    }
    let endpoints =
        (0..).zip(priorities.values()).flat_map(|(priority, targets)| localities(priority, targets));
    ClusterLoadAssignment {
        cluster_name: name_of(domain),
        endpoints: endpoints.collect(),
        policy: Some(Policy {
            overprovisioning_factor: Some(UInt32Value { value: OVERPROVISIONING_PERCENT }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The endpoints of one priority. Each is in a locality of its own, named by its host and addresses:
/// Envoy keeps an endpoint whose first address it knows as it was, host name and other addresses too,
/// unless the locality has changed.
fn localities(priority: u32, targets: &[(&Target, Vec<SocketAddr>)]) -> Vec<LocalityLbEndpoints> {
    let all_zero = targets.iter().all(|(target, _)| target.weight == 0);
    let endpoints = targets.iter().map(|(target, sockets)| {
        let units = if all_zero { 1 } else { u32::from(target.weight).max(1) };
        let lb_endpoints = vec![endpoint(&target.host, sockets, units.saturating_mul(UNIT))];
        let locality = Some(Locality {
            zone: sockets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            sub_zone: target.host.to_string(),
            ..Default::default()
        });
        LocalityLbEndpoints { locality, lb_endpoints, priority, ..Default::default() }
    });
    endpoints.collect()
}

fn endpoint(host: &HostName, sockets: &[SocketAddr], weight: u32) -> LbEndpoint {
    let mut addresses = sockets.iter().map(|&socket| address(socket));
    let endpoint = Endpoint {
        address: addresses.next(),
        additional_addresses: addresses
            .map(|address| AdditionalAddress { address: Some(address) })
            .collect(),
        hostname: host.to_string(),
        ..Default::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        load_balancing_weight: Some(UInt32Value { value: weight }),
        ..Default::default()
    }
}

fn address(socket: SocketAddr) -> Address {
    let address = AddressKind::SocketAddress(SocketAddress {
        address: socket.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(socket.port().into())),
        ..Default::default()
    });
    Address { address: Some(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(priority: u16, weight: u16, host: &str, port: u16) -> Target {
        Target { priority, host: host.parse().unwrap(), port, weight }
    }

    /// The endpoints as text: priority, host (locality and host name), address, weight.
    fn texts(targets: &[Target], addresses: &[(&str, &[&str])]) -> Vec<String> {
        let addresses =
            addresses.iter().map(|(host, ips)| (host.parse().unwrap(), Known::of_texts(ips)));
        let addresses: BTreeMap<HostName, Known> = addresses.collect();
        let assignment = endpoints(&"a.com".parse().unwrap(), targets, |host| addresses.get(host));
        assert_eq!(assignment.cluster_name, "federation/a.com");
        assert_eq!(assignment.policy.unwrap().overprovisioning_factor.unwrap().value, 10_000);
        let mut texts = Vec::new();
        for locality in assignment.endpoints {
            for endpoint in locality.lb_endpoints {
                let weight = endpoint.load_balancing_weight.unwrap().value;
                let Some(HostIdentifier::Endpoint(endpoint)) = endpoint.host_identifier else {
                    panic!()
                };
                assert_eq!(endpoint.hostname, locality.locality.as_ref().unwrap().sub_zone);
                let more = endpoint.additional_addresses.into_iter().map(|more| more.address);
                let addresses = std::iter::once(endpoint.address).chain(more).map(|address| {
                    let address = address.unwrap().address;
                    let Some(AddressKind::SocketAddress(socket)) = address else { panic!() };
                    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { panic!() };
                    format!("{}:{port}", socket.address)
                });
                let addresses = addresses.collect::<Vec<_>>().join(" ");
                let (priority, host) = (locality.priority, endpoint.hostname);
                texts.push(format!("{priority} {host} {addresses} {weight}"));
            }
        }
        texts
    }

    #[test]
    fn priorities_are_numbered_from_zero_without_gaps() {
        let targets = [
            target(10, 1, "a.x", 443),
            target(20, 1, "gone.x", 443),
            target(25, 1, "closed.x", 0),
            target(30, 1, "b.x", 8443),
        ];
        let found =
            texts(&targets, &[("a.x", &["1.1.1.1"]), ("b.x", &["2606::1"]), ("closed.x", &["1.1.1.2"])]);
        assert_eq!(found, ["0 a.x 1.1.1.1:443 960", "1 b.x 2606::1:8443 960"]);
    }

    #[test]
    fn a_target_is_one_endpoint_whatever_its_addresses() {
        let targets = [target(1, 60, "a.x", 443), target(1, 40, "b.x", 443)];
        let found =
            texts(&targets, &[("a.x", &["1.1.1.2", "1.1.1.1", "2606::1"]), ("b.x", &["1.1.1.3"])]);
        let expected = [
            format!("0 a.x 2606::1:443 1.1.1.2:443 1.1.1.1:443 {}", 60 * UNIT),
            format!("0 b.x 1.1.1.3:443 {}", 40 * UNIT),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn another_set_of_addresses_is_another_locality() {
        let locality = |ips: &[&str]| {
            let known = Known::of_texts(ips);
            let domain = "a.com".parse().unwrap();
            let assignment = endpoints(&domain, &[target(1, 1, "a.x", 443)], |_| Some(&known));
            assignment.endpoints.into_iter().next().unwrap().locality
        };
        assert_eq!(locality(&["1.1.1.1", "1.1.1.2"]), locality(&["1.1.1.1", "1.1.1.2"]));
        assert_ne!(locality(&["1.1.1.1", "1.1.1.2"]), locality(&["1.1.1.1", "1.1.1.3"]));
    }

    #[test]
    fn weight_zero_keeps_a_small_chance_and_all_zeros_are_equal() {
        let hosts: [(&str, &[&str]); 2] = [("a.x", &["1.1.1.1"]), ("b.x", &["1.1.1.2"])];
        let mixed = texts(&[target(1, 0, "a.x", 1), target(1, 99, "b.x", 1)], &hosts);
        assert_eq!(mixed, ["0 a.x 1.1.1.1:1 960", &format!("0 b.x 1.1.1.2:1 {}", 99 * UNIT)]);
        let equal = texts(&[target(1, 0, "a.x", 1), target(1, 0, "b.x", 1)], &hosts);
        assert_eq!(equal, ["0 a.x 1.1.1.1:1 960", "0 b.x 1.1.1.2:1 960"]);
    }

    #[test]
    fn the_greatest_weights_add_up_below_two_to_the_32() {
        let targets: Vec<_> = (0..64).map(|n| target(1, u16::MAX, &format!("h{n}.x"), 443)).collect();
        let ips: Vec<String> = (0..64).map(|n| format!("1.1.1.{n}")).collect();
        let names: Vec<_> = targets.iter().map(|target| target.host.to_string()).collect();
        let ips: Vec<[&str; 1]> = ips.iter().map(|ip| [ip.as_str()]).collect();
        let addresses: Vec<_> =
            names.iter().zip(&ips).map(|(name, ips)| (name.as_str(), &ips[..])).collect();
        let weights = texts(&targets, &addresses);
        let weight = |text: &String| text.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        assert_eq!(weights.len(), 64);
        assert!(u32::try_from(weights.iter().map(weight).sum::<u64>()).is_ok());
    }

    #[test]
    fn an_address_is_the_first_of_one_endpoint() {
        let targets = [
            target(1, 1, "a.x", 443),
            target(1, 1, "b.x", 443),
            target(1, 1, "b.x", 8443),
            target(2, 1, "a.x", 443),
        ];
        let found = texts(&targets, &[("a.x", &["1.1.1.1"]), ("b.x", &["1.1.1.1"])]);
        assert_eq!(found, ["0 a.x 1.1.1.1:443 960", "0 b.x 1.1.1.1:8443 960"]);
        let two = &["1.1.1.1", "1.1.1.2"][..];
        let found = texts(&targets[..2], &[("a.x", two), ("b.x", two)]);
        let expected = ["0 a.x 1.1.1.1:443 1.1.1.2:443 960", "0 b.x 1.1.1.2:443 1.1.1.1:443 960"];
        assert_eq!(found, expected);
    }

    #[test]
    fn no_addresses_are_no_endpoints() {
        assert!(texts(&[target(1, 1, "a.x", 443)], &[]).is_empty());
    }
}
