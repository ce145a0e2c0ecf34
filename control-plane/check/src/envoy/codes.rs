//! The kinds of findings about an Envoy's configuration.

use crate::code::{Code, Severity};

macro_rules! codes {
    ($($id:ident = $severity:ident $name:literal, $expected:literal, $cure:literal;)*) => {
        $(pub(super) static $id: Code = Code {
            name: $name, severity: Severity::$severity, expected: $expected, cure: $cure,
        };)*
        /// All of them.
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    // Who calls: TLS of the ingress.
    TLS_MISSING = Error "tls-missing",
        "TLS ends on this listener",
        "Give the filter chain a transport_socket with a DownstreamTlsContext; a balancer in front has to pass TLS on.";
    NOT_VALIDATED = Error "client-certificate-not-validated",
        "a validation context with trusted_ca, so that client certificates are asked for and verified",
        "Set validation_context_sds_secret_config to a secret whose trusted_ca holds your partners' roots.";
    UNTRUSTED_ACCEPTED = Error "untrusted-certificate-accepted",
        "trust_chain_verification is VERIFY_TRUST_CHAIN, which is its default",
        "Take `trust_chain_verification: ACCEPT_UNTRUSTED` out.";
    EXPIRED_ACCEPTED = Warning "expired-certificate-accepted",
        "certificates that have expired fail the handshake",
        "Take `allow_expired_certificate: true` out.";
    NO_REVOCATION = Info "revocation-not-checked",
        "revocation lists, where your partners' authorities publish any",
        "Add `crl` to the validation context; with one, every issuer needs one.";
    RESUMPTION = Error "session-resumption-on",
        "both kinds of session resumption are off, so that each connection's certificate is verified",
        "Set disable_stateless_session_resumption and disable_stateful_session_resumption to true.";
    NO_ALPN = Warning "alpn-without-http2",
        "alpn_protocols offers h2, as other backends speak it",
        "Set `alpn_protocols: [h2, http/1.1]`.";
    OLD_TLS = Warning "tls-version-old",
        "TLS 1.2 at least",
        "Set `tls_minimum_protocol_version: TLSv1_2`.";
    NO_TLS_1_3 = Warning "tls-1-3-off",
        "TLS 1.3 is offered",
        "Set `tls_maximum_protocol_version: TLSv1_3`, or leave it out.";
    WEAK_SUITE = Warning "cipher-suite-weak",
        "for TLS 1.2 only AEAD suites with forward secrecy: ECDHE with GCM or CHACHA20",
        "Take the others out of cipher_suites.";
    GROUPS = Warning "key-exchange-groups",
        "ecdh_curves has X25519MLKEM768, and X25519 or P-256 for older peers",
        "Set `ecdh_curves: [X25519MLKEM768, X25519, P-256, P-384]`.";
    STATIC_SECRET = Warning "secret-not-reloaded",
        "certificate and trust bundle come by SDS, so that new ones count without a restart",
        "Put them into secrets with a watched_directory, as envoy/secrets does, and name these with sds_secret_configs.";
    NOT_WATCHED = Warning "secret-not-watched",
        "a secret out of files names the watched_directory that they are moved into",
        "Add `watched_directory` to the secret, beside the file names.";
    NOT_DELIVERED = Error "secret-not-delivered",
        "the secrets that the listener names have come",
        "Look at the path or the SDS server that the sds_config names, and at Envoy's log.";
    CERTIFICATE_ENDED = Error "listener-certificate-expired",
        "the listener's certificate is valid",
        "Put a new certificate in its place.";
    CERTIFICATE_ENDS = Warning "listener-certificate-ends-soon",
        "the listener's certificate is valid for two weeks, or a fourth of its life if that is less",
        "Renew it now, and see why that did not happen by itself.";

    // The filter.
    MISSING = Error "filter-missing",
        "a listener for other backends, with Fedgate's filter",
        "Add the entry `fedgate` from envoy/ingress.yaml as the first of http_filters.";
    DISABLED = Error "filter-disabled",
        "the filter is on",
        "Take `disabled: true` off the filter, or switch the filter on for every route.";
    DISABLED_ON_ROUTE = Error "filter-disabled-on-route",
        "the filter is on for every route that leads to a backend",
        "Take the filter's entry out of the route's or virtual host's typed_per_filter_config, or switch it on there.";
    CONDITIONAL = Warning "filter-conditional",
        "the filter decides on every request",
        "Take the filter out of the matcher that it is wrapped in.";
    FILTER_NOT_DELIVERED = Error "filter-not-delivered",
        "the filter's configuration has come",
        "Look at what delivers extension configurations (ECDS), and at Envoy's log.";
    AFTER_ROUTER = Error "filter-after-router",
        "the filter stands before the router, which is last",
        "Move the filter to the front of http_filters.";
    LATE = Warning "filter-late",
        "nothing that trusts the origin, or writes headers, stands before the filter",
        "Move the filter to the front of http_filters.";
    FAILS_OPEN = Error "filter-fails-open",
        "a crashed VM refuses: failure_policy is FAIL_RELOAD or FAIL_CLOSED",
        "Set `failure_policy: FAIL_RELOAD`, and take fail_open out.";
    SHADOW = Warning "filter-in-shadow",
        "refusals are carried out: mode is \"enforce\"",
        "Set `\"mode\": \"enforce\"` once the log shows no refusal that should not be.";
    WRONG_CONFIGURATION = Error "filter-configuration-wrong",
        "a configuration that the filter can read",
        "Mend it by the table in docs/envoy.md, \"The filter's configuration\".";
    WRONG_ROLE = Error "filter-role-wrong",
        "role \"ingress\" where other backends call, role \"egress\" where our own services do",
        "Set the role that fits the listener's routes.";
    NO_TOKEN = Error "token-not-passed",
        "the variable that token_env names is in the VM's host_env_keys",
        "List it in vm_config.environment_variables.host_env_keys, and set it for Envoy.";
    TOKEN_SHOWN = Warning "token-in-configuration",
        "the token comes from Envoy's environment",
        "Name the variable in host_env_keys instead of key_values, and make a new token.";
    NOT_PINNED = Error "filter-not-pinned",
        "code that is fetched is pinned by its sha256",
        "Set vm_config.code.remote.sha256, or ship the file with Envoy.";
    SHORT_TIMEOUT = Warning "verdict-timeout-short",
        "timeout_ms is above 4000, after which the control plane says what it knows",
        "Set `\"timeout_ms\": 5000`, or leave it out.";
    UNTOLD_CHAIN = Error "chain-validation-untold",
        "a filter that takes the listener's word where Envoy, below 1.39, does not tell of the chain",
        "Set what docs/envoy.md, \"Versions\", says for this Envoy.";
    CHAIN_BY_LISTENER = Info "chain-validation-by-listener",
        "Envoy's own word on each connection's chain, which 1.39 and later give",
        "Take `\"chain_validation\": \"listener\"` out.";
    NO_LOBBY = Info "lobby-missing",
        "the network filter fedgate_lobby, so that strangers cannot take the room of partners",
        "Add the entry `fedgate_lobby` from envoy/ingress.yaml before the connection manager.";

    // What passes, and where to.
    XFCC = Error "xfcc-forwarded",
        "forward_client_cert_details is SANITIZE or SANITIZE_SET",
        "Set `forward_client_cert_details: SANITIZE`.";
    UNDERSCORES = Error "underscores-pass",
        "headers_with_underscores_action is REJECT_REQUEST: to some backends Wire_Origin_Domain is Wire-Origin-Domain",
        "Set `headers_with_underscores_action: REJECT_REQUEST` in common_http_protocol_options.";
    PATHS = Warning "path-not-normalised",
        "one spelling for each path: normalize_path and merge_slashes are true, escaped slashes are not kept",
        "Set both to true, and `path_with_escaped_slashes_action: REJECT_REQUEST`.";
    ADDRESS_BELIEVED = Warning "remote-address-believed",
        "use_remote_address is true, and no hop is trusted: what a caller says of its address does not count",
        "Set `use_remote_address: true`, and take xff_num_trusted_hops out.";
    HTTP2_OFF = Warning "http2-off",
        "codec_type is AUTO or HTTP2",
        "Set `codec_type: AUTO`.";
    NO_STREAM_LIMIT = Warning "streams-unlimited",
        "a connection has 1000 streams at a time at most",
        "Set `http2_protocol_options: {max_concurrent_streams: 100}`.";
    NO_CONNECTION_LIMIT = Warning "connections-unlimited",
        "a limit on the listener's connections",
        "Set envoy.resource_limits.listener.NAME.connection_limit in layered_runtime.";
    UNTIMED_REQUEST = Warning "requests-untimed",
        "a caller has so long to send a request, or its headers",
        "Set `request_headers_timeout: 10s` and `request_timeout: 60s`.";
    UNTIMED_STREAM = Warning "idle-untimed",
        "streams and connections on which nothing moves end",
        "Set `stream_idle_timeout: 60s`, and `idle_timeout: 300s` in common_http_protocol_options; 0s is no limit.";
    UNTIMED_HANDSHAKE = Info "handshake-untimed",
        "a caller has so long for the TLS handshake",
        "Set `transport_socket_connect_timeout: 5s` on the filter chain.";
    LARGE_BUFFERS = Info "buffers-large",
        "per_connection_buffer_limit_bytes is set; Envoy's default is 1 MiB for each connection",
        "Set `per_connection_buffer_limit_bytes: 65536` on the listener.";
    AGELESS = Info "connections-ageless",
        "connections end some time, so that new roots and revocations count for all",
        "Set `max_connection_duration: 3600s` in common_http_protocol_options.";
    WAY_AROUND = Error "way-around-filter",
        "only the federation listener leads to the federation routes of the backends",
        "Give that listener the filter, or routes that lead to no path below /federation/.";
    BEYOND = Error "route-beyond-federation",
        "partners reach paths below /federation/ and no other",
        "Have the route match `prefix: /federation/` or a path below it, and rewrite it to none but such.";

    // The control plane.
    NO_VERDICTS = Error "verdict-cluster-missing",
        "the cluster that the filter asks exists",
        "Add the cluster fedgate_verdicts from envoy/ingress.yaml, or name the right one in control_plane.cluster.";
    EMPTY_VERDICTS = Error "verdict-cluster-empty",
        "the cluster that the filter asks has an endpoint",
        "Give the cluster the address of the control plane's verdict API.";
    SLOW_VERDICTS = Warning "verdict-cluster-without-http2",
        "HTTP/2 to the control plane, so that lookups share a connection",
        "Set http2_protocol_options for the cluster, as envoy/ingress.yaml does.";
    DEAF_VERDICTS = Info "verdict-cluster-without-keepalive",
        "connection_keepalive, so that a control plane that hangs is noticed in 15 s instead of 35",
        "Set `connection_keepalive: {interval: 10s, timeout: 5s}` in the cluster's http2_protocol_options.";
    PLAIN = Info "control-plane-in-plain",
        "TLS to a control plane on another host, unless the network between is trusted",
        "See \"TLS to the control plane\" in docs/envoy.md.";

    // The egress.
    PUBLIC = Error "egress-public",
        "only our own services reach the egress",
        "Have it listen on 127.0.0.1, or in plain HTTP on a network of your own.";
    BEYOND_HOST = Info "egress-beyond-host",
        "nobody but our own services reaches the egress: who does speaks to other backends in our name",
        "See that a firewall or NetworkPolicy says who may connect.";
    NO_ON_DEMAND = Error "on-demand-missing",
        "the filter on_demand with odcds stands between Fedgate's filter and the router",
        "Add envoy.filters.http.on_demand as envoy/egress.yaml has it.";
    NO_XDS = Error "xds-missing",
        "an ads_config, from which the clusters of other backends come",
        "Add dynamic_resources.ads_config as envoy/egress.yaml has it.";
    NOT_DELTA = Error "xds-not-delta",
        "api_type is DELTA_GRPC, the only one that the control plane speaks",
        "Set `api_type: DELTA_GRPC` in ads_config.";
    NO_XDS_CLUSTER = Error "xds-cluster-missing",
        "the cluster that ads_config names exists, with an endpoint",
        "Add the cluster fedgate_xds from envoy/egress.yaml.";
    NO_XDS_TOKEN = Error "xds-token-missing",
        "the xDS cluster sends the token: a header_mutation that sets authorization",
        "Give the cluster the http_filters of fedgate_xds in envoy/egress.yaml.";
    NO_XDS_HTTP2 = Error "xds-cluster-without-http2",
        "HTTP/2 to the control plane's xDS, which is gRPC",
        "Set http2_protocol_options for the cluster, as envoy/egress.yaml does.";
    NO_CALL_ROUTE = Error "egress-route-missing",
        "a route whose cluster is named by the header x-fedgate-cluster",
        "Take the routes of envoy/egress.yaml.";
    OPEN_CALL_ROUTE = Error "egress-route-open",
        "a route by header takes only values that begin with federation/, which the filter sets",
        "Have the route match `{name: x-fedgate-cluster, string_match: {prefix: federation/}}`.";
    NO_REWRITE = Error "egress-rewrite-missing",
        "calls leave with the path below /federation/, and with the target's name as Host",
        "Set regex_rewrite and `auto_host_rewrite: true` as envoy/egress.yaml has them.";
    REPEATS = Warning "egress-repeats-calls",
        "only a call that was not carried out is tried again: connect-failure, refused-stream",
        "Set `retry_on: connect-failure,refused-stream`.";

    // Envoy itself.
    ADMIN_OPEN = Error "admin-open",
        "the admin interface, which can stop this Envoy, listens on loopback",
        "Set its address to 127.0.0.1.";
    REJECTED = Error "update-rejected",
        "Envoy has taken the last version of everything that was sent to it",
        "Mend what Envoy says of it; until then it goes on with the version before, or with none.";
    WARMING = Warning "update-warming",
        "everything that was sent to Envoy is in use",
        "See what it waits for: a secret, a cluster, routes, an extension; Envoy's log may say.";
}
