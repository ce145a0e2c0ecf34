//! The service over a real socket, with a client that speaks the protocol as Envoy does.

mod world;

use std::sync::atomic::Ordering;
use std::time::Instant;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::google::rpc;
use fedgate_allow_list::Condition;
use fedgate_allow_list::testing::us;
use fedgate_discovery::Family;
use fedgate_policy::Strategy;
use prost::Name;
use tonic::Code;

use super::subscription::MAX_NAMES;
use super::*;
use crate::listener::drain;
use world::{PATIENCE, World, addresses};

#[tokio::test]
async fn only_the_bearer_of_a_filters_token_gets_a_stream() {
    let world = World::listing(&[]).await;
    for (authorization, code, message) in [
        ("", Code::Unauthenticated, "this needs a token"),
        ("Basic filter", Code::Unauthenticated, "this needs a token"),
        ("Bearer other", Code::Unauthenticated, "we do not know this token"),
        ("Bearer admin", Code::PermissionDenied, "has the role admin, and this needs filter"),
        ("Bearer viewer", Code::PermissionDenied, "has the role viewer, and this needs filter"),
    ] {
        let status = world.open(authorization).await.map(drop).unwrap_err();
        assert_eq!(status.code(), code, "{authorization}");
        assert!(status.message().contains(message), "{status}");
    }
    world.envoy().await.nothing_more().await;
}

#[tokio::test]
async fn the_other_protocol_is_refused_with_the_cure() {
    let world = World::listing(&[]).await;
    let mut client = world.client().await;
    let status = client.stream_aggregated_resources(tokio_stream::empty()).await.map(drop).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("DELTA_GRPC"), "{status}");
}

#[tokio::test]
async fn what_there_is_not_is_removed_at_once_and_each_time() {
    let world = World::listing(&["gone.com"]).await;
    world.zones.target("gone.com", None);
    let mut envoy = world.envoy().await;
    for name in ["federation/b.com", "federation/gone.com", "federation/a..com", "other", "federation/"]
    {
        for _ in 0..2 {
            envoy.subscribe::<Cluster>(&[name]).await;
            assert_eq!(envoy.removed::<Cluster>().await, [name]);
        }
        envoy.subscribe::<ClusterLoadAssignment>(&[name]).await;
        assert_eq!(envoy.removed::<ClusterLoadAssignment>().await, [name]);
    }
    assert_eq!(world.zones.lookups.load(Ordering::SeqCst), 1, "who is not allowed is not looked up");
    envoy.nothing_more().await;
}

#[tokio::test]
async fn a_discovered_domain_has_a_cluster_and_endpoints() {
    let world = World::listing(&["a.com"]).await;
    world.zones.target("a.com", Some(("Fed.Infra.A.com", 8443)));
    world.zones.addresses("fed.infra.a.com", Some(&["9.9.9.9", "8.8.8.8"]));
    let mut envoy = world.envoy().await;
    let (_, assignment) = envoy.connect("federation/a.com").await;
    assert_eq!(addresses(&assignment), ["fed.infra.a.com 9.9.9.9 8.8.8.8"]);
    envoy.subscribe::<Cluster>(&["federation/a.com"]).await;
    envoy.one::<Cluster>().await;
    envoy.subscribe::<ClusterLoadAssignment>(&["federation/a.com"]).await;
    envoy.one::<ClusterLoadAssignment>().await;
    envoy.nothing_more().await;
}

#[tokio::test]
async fn another_address_changes_the_endpoints_alone() {
    let world = World::listing(&["a.com"]).await;
    *world.zones.ttl.lock().unwrap() = Duration::from_millis(100);
    let mut envoy = world.envoy().await;
    envoy.connect("federation/a.com").await;
    world.zones.addresses("fed.a.com", Some(&["8.8.8.8"]));
    assert_eq!(envoy.addresses().await, ["fed.a.com 8.8.8.8"]);

    // DNS that does not answer changes nothing; a name that has no addresses any more does.
    world.zones.addresses("fed.a.com", None);
    let before = world.zones.resolutions.load(Ordering::SeqCst);
    world.until(|world| world.zones.resolutions.load(Ordering::SeqCst) > before).await;
    envoy.nothing_more().await;
    world.zones.addresses("fed.a.com", Some(&[]));
    assert!(envoy.addresses().await.is_empty());
    envoy.nothing_more().await;
}

#[tokio::test]
async fn remembered_addresses_serve_while_dns_does_not_answer_and_are_looked_up_anew() {
    let world = World::listing(&["a.com"]).await;
    *world.zones.remembered.lock().unwrap() = Some("8.8.4.4");
    world.zones.addresses("fed.a.com", None);
    let mut envoy = world.envoy().await;
    let (_, endpoints) = envoy.connect("federation/a.com").await;
    assert_eq!(addresses(&endpoints), ["fed.a.com 8.8.4.4"]);
    world.until(|world| world.zones.resolutions.load(Ordering::SeqCst) > 1).await;
    envoy.nothing_more().await;
    world.zones.addresses("fed.a.com", Some(&["9.9.9.9"]));
    assert_eq!(envoy.addresses().await, ["fed.a.com 9.9.9.9"]);
}

#[tokio::test]
async fn addresses_are_told_as_they_come() {
    for (silent, known) in [(Family::V6, "fed.a.com 1.1.1.1"), (Family::V4, "fed.a.com 2606::1")] {
        let world = World::listing(&["a.com"]).await;
        world.zones.addresses("fed.a.com", Some(&["1.1.1.1", "2606::1"]));
        world.zones.silence("fed.a.com", silent);
        let begun = Instant::now();
        let mut envoy = world.envoy().await;
        let (_, assignment) = envoy.connect("federation/a.com").await;
        assert_eq!(addresses(&assignment), [known]);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_target_in_trouble_holds_no_other_and_follows_when_it_comes() {
    let world = World::listing(&["a.com"]).await;
    world.zones.targets("a.com", &[("late.a.com", 443), ("fed.a.com", 443)]);
    world.zones.addresses("late.a.com", None);
    let begun = Instant::now();
    let mut envoy = world.envoy().await;
    let (_, assignment) = envoy.connect("federation/a.com").await;
    assert_eq!(addresses(&assignment), ["fed.a.com 1.1.1.1"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    world.zones.addresses("late.a.com", Some(&["8.8.8.8"]));
    assert_eq!(envoy.addresses().await, ["late.a.com 8.8.8.8", "fed.a.com 1.1.1.1"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_silent_dns_hears_in_time_that_there_is_nothing() {
    let world = World::listing(&["a.com"]).await;
    for family in [Family::V4, Family::V6] {
        world.zones.silence("fed.a.com", family);
    }
    let begun = tokio::time::Instant::now();
    let mut envoy = world.envoy().await;
    let (_, assignment) = envoy.connect("federation/a.com").await;
    assert!(addresses(&assignment).is_empty());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let world = World::listing(&["a.com"]).await;
    world.zones.silence_domain("a.com");
    let begun = tokio::time::Instant::now();
    let mut envoy = world.envoy().await;
    for _ in 0..3 {
        envoy.subscribe::<Cluster>(&["federation/a.com"]).await;
        assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(world.zones.lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn another_target_changes_the_endpoints_alone() {
    let world = World::listing(&["a.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.connect("federation/a.com").await;
    world.zones.target("a.com", Some(("new.a.com", 443)));
    world.verdicts.refresh(&"a.com".parse().unwrap()).await;
    assert_eq!(envoy.addresses().await, ["new.a.com 1.1.1.1"]);
    world.zones.target("a.com", Some(("new.a.com", 0)));
    world.verdicts.refresh(&"a.com".parse().unwrap()).await;
    assert!(envoy.addresses().await.is_empty(), "port 0 is none");
    world.zones.target("a.com", None);
    world.verdicts.refresh(&"a.com".parse().unwrap()).await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
    assert_eq!(envoy.removed::<ClusterLoadAssignment>().await, ["federation/a.com"]);
    envoy.nothing_more().await;
}

#[tokio::test]
async fn a_domain_that_is_no_longer_allowed_loses_its_cluster_and_gets_it_back() {
    let world = World::listing(&["a.com", "b.com"]).await;
    let mut envoy = world.envoy().await;
    let (cluster, _) = envoy.connect("federation/a.com").await;
    envoy.connect("federation/b.com").await;
    world.remove("a.com").await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
    assert_eq!(envoy.removed::<ClusterLoadAssignment>().await, ["federation/a.com"]);
    envoy.nothing_more().await;
    world.put("a.com").await;
    assert_eq!(envoy.one::<Cluster>().await.0, cluster);
    assert_eq!(envoy.addresses().await, ["fed.a.com 1.1.1.1"]);
    envoy.nothing_more().await;
}

#[tokio::test]
async fn a_strategy_counts_at_once() {
    let world = World::listing(&["a.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.connect("federation/a.com").await;
    envoy.subscribe::<Cluster>(&["federation/b.com"]).await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/b.com"]);
    world.list.set_strategy(Strategy::AllowNone, Condition::None, us()).await.unwrap();
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
    assert_eq!(envoy.removed::<ClusterLoadAssignment>().await, ["federation/a.com"]);
    world.list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
    let mut clusters = std::collections::BTreeSet::new();
    while clusters.len() < 2 {
        let response = envoy.next().await;
        assert!(response.removed_resources.is_empty());
        let of_clusters = response.type_url == Cluster::type_url();
        clusters.extend(response.resources.into_iter().filter(|_| of_clusters).map(|it| it.name));
    }
    assert_eq!(clusters.into_iter().collect::<Vec<_>>(), ["federation/a.com", "federation/b.com"]);
}

#[tokio::test]
async fn a_domain_that_is_not_listed_is_looked_up_until_it_has_a_federator() {
    let world = World::listing(&[]).await;
    world.list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
    world.zones.target("a.com", None);
    let mut envoy = world.envoy().await;
    envoy.subscribe::<Cluster>(&["federation/a.com"]).await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
    world.zones.target("a.com", Some(("fed.a.com", 443)));
    assert_eq!(envoy.one::<Cluster>().await.0.name, "federation/a.com");
}

/// The first request of an Envoy that has these resources in this version.
fn again(type_url: String, version: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    let names = names.iter().map(|name| (*name).to_owned());
    DeltaDiscoveryRequest {
        type_url,
        resource_names_subscribe: names.clone().collect(),
        initial_resource_versions: names.map(|name| (name, version.to_owned())).collect(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_cluster_that_changes_brings_its_endpoints_along() {
    let world = World::listing(&["a.com"]).await;
    let name = "federation/a.com";
    let mut envoy = world.envoy().await;
    envoy.subscribe::<ClusterLoadAssignment>(&[name]).await;
    let (_, endpoints) = envoy.one::<ClusterLoadAssignment>().await;
    for clusters_first in [true, false] {
        let mut envoy = world.envoy().await;
        let cluster = again(Cluster::type_url(), "old", &[name]);
        let endpoints = again(ClusterLoadAssignment::type_url(), &endpoints, &[name]);
        if clusters_first {
            envoy.send(cluster).await;
            envoy.one::<Cluster>().await;
            envoy.send(endpoints).await;
        } else {
            envoy.send(endpoints).await;
            envoy.nothing_more().await;
            envoy.send(cluster).await;
            envoy.one::<Cluster>().await;
        }
        assert_eq!(envoy.addresses().await, ["fed.a.com 1.1.1.1"]);
        envoy.nothing_more().await;
    }
}

#[tokio::test]
async fn who_comes_back_gets_only_what_he_does_not_have() {
    let world = World::listing(&["a.com", "b.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.subscribe::<Cluster>(&["federation/a.com"]).await;
    let (_, cluster) = envoy.one::<Cluster>().await;
    envoy.subscribe::<ClusterLoadAssignment>(&["federation/a.com"]).await;
    let (_, endpoints) = envoy.one::<ClusterLoadAssignment>().await;
    drop(envoy);
    world.until(|world| world.book.len() == 0).await;

    let mut envoy = world.envoy().await;
    envoy.send(again(Cluster::type_url(), &cluster, &["federation/a.com"])).await;
    envoy.send(again(ClusterLoadAssignment::type_url(), &endpoints, &["federation/a.com"])).await;
    world.until(|world| world.book.len() == 1 && world.book.is_settled()).await;
    envoy.nothing_more().await;
    world.zones.addresses("fed.a.com", None);
    world.remove("a.com").await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
    drop(envoy);
    world.until(|world| world.book.len() == 0).await;

    // What has changed meanwhile comes; what is gone, goes; what is in doubt stays.
    world.zones.addresses("fed.b.com", None);
    let names = ["federation/a.com", "federation/b.com"];
    let mut envoy = world.envoy().await;
    envoy.send(again(ClusterLoadAssignment::type_url(), "old", &["federation/b.com"])).await;
    envoy.send(again(Cluster::type_url(), "old", &names)).await;
    let (mut removed, mut sent) = (Vec::new(), Vec::new());
    while removed.len() + sent.len() < 2 {
        let response = envoy.next().await;
        assert_eq!(response.type_url, Cluster::type_url());
        removed.extend(response.removed_resources);
        sent.extend(response.resources.into_iter().map(|resource| resource.name));
    }
    assert_eq!((removed[0].as_str(), sent[0].as_str()), ("federation/a.com", "federation/b.com"));
    world.until(|world| world.book.is_settled()).await;
    envoy.nothing_more().await;
}

#[tokio::test]
async fn what_envoy_rejects_is_not_sent_again_until_it_changes() {
    let world = World::listing(&["a.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.connect("federation/a.com").await;
    let rejected = rpc::Status { code: 13, message: "no such thing".to_owned(), ..Default::default() };
    for type_url in [Cluster::type_url(), ClusterLoadAssignment::type_url()] {
        let response_nonce = "1".to_owned();
        let error_detail = Some(rejected.clone());
        envoy
            .send(DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..Default::default() })
            .await;
    }
    envoy.nothing_more().await;
    world.zones.target("a.com", Some(("new.a.com", 443)));
    world.verdicts.refresh(&"a.com".parse().unwrap()).await;
    assert_eq!(envoy.addresses().await, ["new.a.com 1.1.1.1"]);
}

#[tokio::test]
async fn everything_and_what_we_do_not_know_is_nothing() {
    let world = World::listing(&["a.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.subscribe::<Cluster>(&[]).await;
    assert!(envoy.removed::<Cluster>().await.is_empty());
    envoy.subscribe::<Cluster>(&["*"]).await;
    assert!(envoy.removed::<Cluster>().await.is_empty());
    envoy.nothing_more().await;
    envoy.connect("federation/a.com").await;
}

#[tokio::test]
async fn a_domain_is_kept_while_somebody_wants_it_and_looked_up_once_for_all() {
    let world = World::listing(&["a.com"]).await;
    let mut envoys = Vec::new();
    for _ in 0..5 {
        let mut envoy = world.envoy().await;
        envoy.connect("federation/a.com").await;
        envoys.push(envoy);
    }
    assert_eq!(world.book.len(), 1);
    assert_eq!(world.zones.lookups.load(Ordering::SeqCst), 1);
    assert_eq!(world.zones.resolutions.load(Ordering::SeqCst), 2, "one for each family");
    let last = envoys.pop().unwrap();
    drop(envoys);
    for type_url in [Cluster::type_url(), ClusterLoadAssignment::type_url()] {
        assert_eq!(world.book.len(), 1);
        let resource_names_unsubscribe = vec!["federation/a.com".to_owned()];
        last.send(DeltaDiscoveryRequest { type_url, resource_names_unsubscribe, ..Default::default() })
            .await;
    }
    world.until(|world| world.book.len() == 0).await;
}

#[tokio::test]
async fn a_flood_of_names_is_bounded_and_those_that_are_good_stay() {
    let world = World::listing(&["a.com", "b.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.connect("federation/a.com").await;
    for batch in 0..3 {
        let names: Vec<_> =
            (0..MAX_NAMES / 2).map(|n| format!("federation/d{n}.x{batch}.com")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        envoy.subscribe::<Cluster>(&names).await;
        let mut removed = 0;
        while removed < names.len() {
            removed += envoy.removed::<Cluster>().await.len();
            assert!(world.book.len() <= MAX_NAMES);
        }
    }
    envoy.subscribe::<Cluster>(&["federation/b.com"]).await;
    envoy.one::<Cluster>().await;
    world.remove("a.com").await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/a.com"]);
}

#[tokio::test]
async fn of_too_many_good_names_the_first_are_kept() {
    let world = World::listing(&[]).await;
    world.list.set_strategy(Strategy::AllowAll, Condition::None, us()).await.unwrap();
    let mut envoy = world.envoy().await;
    let names: Vec<_> = (0..MAX_NAMES).map(|n| format!("federation/d{n}.com")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    envoy.subscribe::<Cluster>(&names).await;
    let mut sent = 0;
    while sent < MAX_NAMES {
        // So many take a while, and some may be said not to be there until they are.
        sent += envoy.next().await.resources.len();
    }
    envoy.subscribe::<Cluster>(&["federation/one.more.com"]).await;
    assert_eq!(envoy.removed::<Cluster>().await, ["federation/one.more.com"]);
    assert_eq!(world.book.len(), MAX_NAMES);
}

#[tokio::test]
async fn the_end_ends_streams_that_are_open() {
    let world = World::listing(&["a.com"]).await;
    let mut envoy = world.envoy().await;
    envoy.connect("federation/a.com").await;
    world.stop.send_replace(true);
    let end = tokio::time::timeout(PATIENCE, envoy.responses.message()).await.unwrap();
    assert!(end.unwrap().is_none());
    drop(envoy);
    tokio::time::timeout(PATIENCE, drain([world.server])).await.unwrap();
}
