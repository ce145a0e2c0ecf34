//! The cluster of a backend domain: how Envoy connects to its federators, whoever they are just now.
//!
//! It depends on our settings alone. What DNS says goes into the endpoints, because Envoy drains all
//! connections of a cluster that changes.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::common_lb_config::{
    LocalityConfigSpecifier, ZoneAwareLbConfig,
};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, ConfigSource, Http1ProtocolOptions, Http2ProtocolOptions,
    KeepaliveSettings, PathConfigSource, TransportSocket,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, SdsSecretConfig, TlsParameters, UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{self, UInt32Value};
use envoy_types::util::pack_any;
use fedgate_policy::Domain;

use super::resource::name_of;

/// The settings of connections to other backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Egress {
    /// How long connecting to one address may take, TLS included.
    pub(crate) connect_timeout: Duration,
    /// A file on Envoy's side: the secret `federation_client`, our certificate and its key.
    pub(crate) client_certificate_sds: String,
    /// A file on Envoy's side: the secret `federation_trust`, the authorities that we trust.
    pub(crate) trust_sds: String,
}

/// Connections, and requests, waiting or not, that a cluster may have at one time; and retries: the
/// three that are Envoy's default would be the end of failing over where a few requests come at once.
const CIRCUIT: u32 = 1024;

/// The groups of the key exchange, the wanted ones first: Wire's own ingress takes the first alone.
const KEY_EXCHANGES: [&str; 4] = ["X25519MLKEM768", "X25519", "P-256", "P-384"];
/// How much of an answer may be under way to us that the caller has not taken, on one stream and on all
/// of a connection, in octets: so much is kept in memory. Envoy's default is 16 MiB and more.
const WINDOWS: [u32; 2] = [1 << 20, 4 << 20];

/// The cluster of a domain.
pub(super) fn cluster(domain: &Domain, egress: &Egress) -> Cluster {
    let eds = source(ConfigSourceSpecifier::Ads(AggregatedConfigSource {}));
    Cluster {
        name: name_of(domain),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(eds), ..Default::default() }),
        lb_policy: LbPolicy::RoundRobin.into(),
        common_lb_config: Some(load_balancing()),
        connect_timeout: Some(time(egress.connect_timeout)),
        circuit_breakers: Some(circuit_breakers()),
        outlier_detection: Some(outlier_detection()),
        transport_socket: Some(TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(ConfigType::TypedConfig(pack_any(tls(egress)))),
        }),
        typed_extension_protocol_options: [(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
            pack_any(http()),
        )]
        .into(),
        ..Default::default()
    }
}

/// Mutual TLS: we show our certificate; the endpoint has to show one of its own host name, which is
/// the SRV target, from an authority that we trust.
fn tls(egress: &Egress) -> UpstreamTlsContext {
    let secret = |name: &str, path: &str| SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(source(ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
            path: path.to_owned(),
            ..Default::default()
        }))),
    };
    let trust = secret("federation_trust", &egress.trust_sds);
    let common = CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
            // Without it Envoy, as a client, offers nothing above TLS 1.2.
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ecdh_curves: KEY_EXCHANGES.map(str::to_owned).into(),
            ..Default::default()
        }),
        tls_certificate_sds_secret_configs: vec![secret(
            "federation_client",
            &egress.client_certificate_sds,
        )],
        validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(trust)),
        // No ALPN: that is for `auto_config` to offer.
        ..Default::default()
    };
    UpstreamTlsContext {
        common_tls_context: Some(common),
        auto_host_sni: true,
        auto_sni_san_validation: true,
        // A session that is resumed is not judged by the trust of now.
        max_session_keys: number(0),
        ..Default::default()
    }
}

/// HTTP/2 where the peer offers it, else HTTP/1.1. A peer that is silent for 40 seconds is gone.
fn http() -> HttpProtocolOptions {
    let [of_stream, of_connection] = WINDOWS;
    let http2 = Http2ProtocolOptions {
        max_concurrent_streams: number(100),
        initial_stream_window_size: number(of_stream),
        initial_connection_window_size: number(of_connection),
        connection_keepalive: Some(KeepaliveSettings {
            interval: Some(time(Duration::from_secs(30))),
            timeout: Some(time(Duration::from_secs(10))),
            ..Default::default()
        }),
        ..Default::default()
    };
    let auto = AutoHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(http2),
        ..Default::default()
    };
    HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::AutoConfig(auto)),
        ..Default::default()
    }
}

fn circuit_breakers() -> CircuitBreakers {
    let thresholds = Thresholds {
        max_connections: number(CIRCUIT),
        max_pending_requests: number(CIRCUIT),
        max_requests: number(CIRCUIT),
        max_retries: number(CIRCUIT),
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

/// A target that cannot be reached is left out at once, for 5 seconds at first. What a peer answers is its
/// own business: no answer makes it an outlier. Where all are left out, Envoy tries all (its panic
/// threshold).
///
/// At once, because it is by this that a call's next try finds the next priority.
fn outlier_detection() -> OutlierDetection {
    OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(1),
        enforcing_consecutive_local_origin_failure: number(100),
        enforcing_local_origin_success_rate: number(0),
        enforcing_consecutive_5xx: number(0),
        enforcing_consecutive_gateway_failure: number(0),
        enforcing_success_rate: number(0),
        interval: Some(time(Duration::from_secs(1))),
        base_ejection_time: Some(time(Duration::from_secs(5))),
        max_ejection_time: Some(time(Duration::from_secs(60))),
        max_ejection_percent: number(100),
        ..Default::default()
    }
}

/// Endpoints' localities say which target they are, not where it stands: no zone is preferred. A target that
/// is left out is so for all workers as soon as they can hear of it: by default, they would within a second.
fn load_balancing() -> CommonLbConfig {
    let never =
        ZoneAwareLbConfig { routing_enabled: Some(Percent { value: 0.0 }), ..Default::default() };
    CommonLbConfig {
        locality_config_specifier: Some(LocalityConfigSpecifier::ZoneAwareLbConfig(never)),
        update_merge_window: Some(time(Duration::ZERO)),
        ..Default::default()
    }
}

fn source(specifier: ConfigSourceSpecifier) -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(specifier),
        ..Default::default()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "every field that takes a number takes an Option of it")]
fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn time(duration: Duration) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use prost::{Message as _, Name as _};

    use super::super::resource::Resource;
    use super::*;

    fn settings() -> Egress {
        Egress {
            connect_timeout: Duration::from_millis(2500),
            client_certificate_sds: "/etc/client.yaml".to_owned(),
            trust_sds: "/etc/trust.yaml".to_owned(),
        }
    }

    fn made() -> Cluster {
        cluster(&"a.com".parse().unwrap(), &settings())
    }

    #[test]
    fn the_peers_name_is_proved_by_what_the_secrets_trust() {
        let Some(ConfigType::TypedConfig(any)) = made().transport_socket.unwrap().config_type else {
            panic!()
        };
        let tls = UpstreamTlsContext::decode(&*any.value).unwrap();
        assert_eq!(any.type_url, UpstreamTlsContext::type_url());
        assert!(tls.auto_host_sni && tls.auto_sni_san_validation && tls.sni.is_empty());
        assert_eq!(tls.max_session_keys.unwrap().value, 0);
        let common = tls.common_tls_context.unwrap();
        let parameters = common.tls_params.unwrap();
        assert_eq!(parameters.tls_minimum_protocol_version(), TlsProtocol::TlSv12, "nothing older");
        assert_eq!(parameters.tls_maximum_protocol_version(), TlsProtocol::TlSv13);
        assert_eq!(parameters.ecdh_curves[0], "X25519MLKEM768");
        let path = |secret: &SdsSecretConfig| {
            let source = secret.sds_config.clone().unwrap().config_source_specifier;
            let Some(ConfigSourceSpecifier::PathConfigSource(source)) = source else { panic!() };
            source.path
        };
        let [client] = &common.tls_certificate_sds_secret_configs[..] else { panic!() };
        assert_eq!(
            (client.name.as_str(), path(client).as_str()),
            ("federation_client", "/etc/client.yaml")
        );
        let Some(ValidationContextType::ValidationContextSdsSecretConfig(trust)) =
            common.validation_context_type
        else {
            panic!("a peer would not be verified")
        };
        assert_eq!(
            (trust.name.as_str(), path(&trust).as_str()),
            ("federation_trust", "/etc/trust.yaml")
        );
    }

    #[test]
    fn endpoints_come_over_the_same_stream() {
        let made = made();
        assert_eq!(made.name, "federation/a.com");
        let eds = made.eds_cluster_config.unwrap().eds_config.unwrap();
        assert!(matches!(eds.config_source_specifier, Some(ConfigSourceSpecifier::Ads(_))));
        let timeout = made.connect_timeout.unwrap();
        assert_eq!((timeout.seconds, timeout.nanos), (2, 500_000_000));
    }

    #[test]
    fn only_what_cannot_be_reached_is_ejected() {
        let outliers = made().outlier_detection.unwrap();
        assert!(outliers.split_external_local_origin_errors);
        let enforced = [
            (outliers.enforcing_consecutive_5xx, 0),
            (outliers.enforcing_consecutive_gateway_failure, 0),
            (outliers.enforcing_success_rate, 0),
            (outliers.enforcing_local_origin_success_rate, 0),
            (outliers.enforcing_consecutive_local_origin_failure, 100),
            (outliers.max_ejection_percent, 100),
        ];
        for (index, (value, expected)) in enforced.into_iter().enumerate() {
            assert_eq!(value.unwrap().value, expected, "{index}");
        }
        let [circuit] = &made().circuit_breakers.unwrap().thresholds[..] else { panic!() };
        assert_eq!(circuit.max_retries.unwrap().value, 1024, "three would be the end of failing over");
    }

    #[test]
    fn the_same_cluster_has_the_same_version_in_every_process() {
        let version = |settings: &Egress| {
            Resource::pack(cluster(&"a.com".parse().unwrap(), settings), false).version
        };
        assert_eq!(version(&settings()), version(&settings()));
        let other = Egress { connect_timeout: Duration::from_secs(1), ..settings() };
        assert_ne!(version(&settings()), version(&other));
    }
}
