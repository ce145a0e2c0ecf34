//! What passes the connection manager of the ingress, and how much of it.

use serde_json::Value;

use super::codes;
use super::door::Door;
use super::findings::Findings;
use super::shape::{at, flag, has, is_limited, items, number, text, typed};
use super::view::View;
use crate::ledger::Ledger;

/// More streams than that at a time are no limit.
const MANY_STREAMS: u64 = 1000;

/// Looks at all of it.
pub(super) fn lint(view: &View<'_>, door: &Door<'_>, ledger: &mut Ledger<'_>) {
    claims(door.manager).tell(
        ledger,
        "nothing that a caller says of itself counts",
        "XFCC, underscores, addresses",
    );
    let mut found = Findings::default();
    let escaped = text(door.manager, "path_with_escaped_slashes_action");
    for (is_right, seen) in [
        (flag(door.manager, "normalize_path"), "normalize_path is not true"),
        (flag(door.manager, "merge_slashes"), "merge_slashes is not true"),
        (
            !["", "KEEP_UNCHANGED", "IMPLEMENTATION_SPECIFIC_DEFAULT"].contains(&escaped),
            "escaped slashes are kept",
        ),
    ] {
        found.add_if(!is_right, &codes::PATHS, seen);
    }
    found.tell(ledger, "a path has one spelling", "normalised");
    let codec = text(door.manager, "codec_type");
    let mut found = Findings::default();
    found.add_if(
        ["HTTP1", "HTTP3"].contains(&codec),
        &codes::HTTP2_OFF,
        format!("codec_type is {codec}"),
    );
    found.tell(ledger, "HTTP/2 is spoken", "it is");
    limits(view, door).tell(ledger, "nobody can take all room", "limits are set");
    let mut found = Findings::default();
    found.add_if(!door.has_lobby(), &codes::NO_LOBBY, "no network filter of Fedgate");
    found.tell(ledger, "strangers' connections end soon", "the lobby is there");
}

/// What a caller says of itself.
fn claims(manager: &Value) -> Findings {
    let mut found = Findings::default();
    let details = text(manager, "forward_client_cert_details");
    found.add_if(
        !["", "SANITIZE", "SANITIZE_SET"].contains(&details),
        &codes::XFCC,
        format!("forward_client_cert_details is {details}"),
    );
    let underscores = text(manager, "common_http_protocol_options/headers_with_underscores_action");
    found.add_if(
        !["REJECT_REQUEST", "DROP_HEADER"].contains(&underscores),
        &codes::UNDERSCORES,
        format!(
            "headers_with_underscores_action is {}",
            if underscores.is_empty() { "ALLOW" } else { underscores }
        ),
    );
    // An extension, such as the one for a header of a trusted proxy, says by itself what it believes.
    let has_extension = !items(manager, "original_ip_detection_extensions").is_empty();
    found.add_if(
        !flag(manager, "use_remote_address") && !has_extension,
        &codes::ADDRESS_BELIEVED,
        "use_remote_address is not true",
    );
    // A proxy that could be trusted would end TLS.
    let hops = number(manager, "xff_num_trusted_hops").unwrap_or_default();
    found.add_if(hops > 0, &codes::ADDRESS_BELIEVED, format!("xff_num_trusted_hops is {hops}"));
    found
}

fn limits(view: &View<'_>, door: &Door<'_>) -> Findings {
    let mut found = Findings::default();
    let manager = door.manager;
    let streams = number(manager, "http2_protocol_options/max_concurrent_streams");
    found.add_if(
        streams.is_none_or(|streams| streams > MANY_STREAMS),
        &codes::NO_STREAM_LIMIT,
        streams.map_or("max_concurrent_streams is not set".to_owned(), |many| {
            format!("max_concurrent_streams is {many}")
        }),
    );
    found.add_if(
        !has_connection_limit(view, door),
        &codes::NO_CONNECTION_LIMIT,
        "neither in the runtime, nor by a filter or the overload manager",
    );
    let is_timed =
        ["request_headers_timeout", "request_timeout"].iter().any(|name| is_limited(manager, name));
    found.add_if(
        !is_timed,
        &codes::UNTIMED_REQUEST,
        "neither request_headers_timeout nor request_timeout",
    );
    for name in ["stream_idle_timeout", "common_http_protocol_options/idle_timeout"] {
        // Not set, it is Envoy's default: five minutes, and an hour.
        found.add_if(
            has(manager, name) && !is_limited(manager, name),
            &codes::UNTIMED_STREAM,
            format!("{name} is 0s"),
        );
    }
    found.add_if(
        !is_limited(door.chain, "transport_socket_connect_timeout"),
        &codes::UNTIMED_HANDSHAKE,
        "transport_socket_connect_timeout is not set",
    );
    found.add_if(
        number(door.listener, "per_connection_buffer_limit_bytes").is_none(),
        &codes::LARGE_BUFFERS,
        "per_connection_buffer_limit_bytes is not set",
    );
    found.add_if(
        !is_limited(manager, "common_http_protocol_options/max_connection_duration"),
        &codes::AGELESS,
        "max_connection_duration is not set",
    );
    found
}

/// There are several ways to have one.
fn has_connection_limit(view: &View<'_>, door: &Door<'_>) -> bool {
    let Some(bootstrap) = view.bootstrap else { return false };
    let listener = text(door.listener, "name");
    let ours = format!("envoy.resource_limits.listener.{listener}.connection_limit");
    // The runtime takes dots for steps, too.
    let keys: [&[&str]; 4] = [
        &[&ours],
        &["envoy", "resource_limits", "listener", listener, "connection_limit"],
        &["overload.global_downstream_max_connections"],
        &["overload", "global_downstream_max_connections"],
    ];
    let mut layers =
        items(bootstrap, "layered_runtime/layers").iter().map(|layer| at(layer, "static_layer"));
    let by_runtime = layers.any(|layer| {
        keys.iter().any(|key| key.iter().try_fold(layer, |layer, name| layer.get(name)).is_some())
    });
    let monitors = items(bootstrap, "overload_manager/resource_monitors");
    let by_overload = !flag(door.listener, "ignore_global_conn_limit")
        && monitors
            .iter()
            .any(|it| text(it, "name") == "envoy.resource_monitors.global_downstream_max_connections");
    let by_filter = items(door.chain, "filters")
        .iter()
        .any(|filter| typed(at(filter, "typed_config")).0 == "ConnectionLimit");
    by_runtime || by_overload || by_filter
}
