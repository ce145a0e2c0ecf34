//! Who calls: what the ingress' TLS demands of a caller, and offers.

use fedgate_policy::{Certificate, UnixTime};
use serde_json::Value;

use super::codes;
use super::findings::Findings;
use super::shape::{at, flag, has, items, list, text, texts, typed};
use super::view::View;
use crate::ledger::Ledger;

/// A certificate that ends within so long should have been renewed; one that lives for weeks only, in the last part
/// of its life.
const SOON_S: i64 = 14 * 86_400;
const LAST_PART: i64 = 4;

/// The settings of TLS on a filter chain, where it has any.
pub(super) fn context(chain: &Value) -> Option<&Value> {
    let (kind, config) = typed(at(chain, "transport_socket/typed_config"));
    match kind {
        "DownstreamTlsContext" => Some(config),
        "QuicDownstreamTransport" => Some(at(config, "downstream_tls_context")),
        _ => None,
    }
}

/// Looks at all of it.
pub(super) fn lint(view: &View<'_>, chain: &Value, now: UnixTime, ledger: &mut Ledger<'_>) {
    let mut found = Findings::default();
    let Some(tls) = context(chain) else {
        found.add(&codes::TLS_MISSING, "no DownstreamTlsContext");
        return found.tell(ledger, "TLS ends here", "");
    };
    found.tell(ledger, "TLS ends here", "it does");
    let common = at(tls, "common_tls_context");
    clients(view, tls, common, ledger);
    let mut found = Findings::default();
    for (kind, name) in [
        ("stateless", "disable_stateless_session_resumption"),
        ("stateful", "disable_stateful_session_resumption"),
    ] {
        found.add_if(
            !flag(tls, name),
            &codes::RESUMPTION,
            format!("{name} is not true: {kind} resumption is on"),
        );
    }
    found.tell(ledger, "no session is resumed", "both kinds are off");
    offers(common).tell(ledger, "versions, suites and groups are those of the reference", "they are");
    secrets(view, common).tell(
        ledger,
        "new certificates and roots count without a restart",
        "they come by SDS",
    );
    ends(view, common, now, ledger);
}

/// What is demanded of a client's certificate.
fn clients(view: &View<'_>, tls: &Value, common: &Value, ledger: &mut Ledger<'_>) {
    let claim = "client certificates are verified";
    let mut found = Findings::default();
    let contexts: Vec<_> = [
        at(common, "validation_context"),
        at(common, "combined_validation_context/default_validation_context"),
    ]
    .into_iter()
    .chain(trust(common).and_then(|config| secret(view, config)).map(|it| at(it, "validation_context")))
    .filter(|context| context.is_object())
    .collect();
    // What has not come is told with the secrets.
    let is_unknown = trust(common).is_some_and(|config| secret(view, config).is_none());
    let any = |name: &str| contexts.iter().any(|context| has(context, name));
    let roots = [
        "trusted_ca",
        "ca_certificate_provider_instance",
        "system_root_certs",
        "custom_validator_config",
    ];
    if !is_unknown && !roots.iter().any(|name| any(name)) {
        let seen = if contexts.is_empty() {
            "no validation context"
        } else {
            "a validation context without trusted_ca"
        };
        found.add(&codes::NOT_VALIDATED, seen);
    } else {
        found.add_if(!is_unknown && !any("crl"), &codes::NO_REVOCATION, "no `crl`");
    }
    for context in contexts {
        let verification = text(context, "trust_chain_verification");
        found.add_if(
            !["", "VERIFY_TRUST_CHAIN"].contains(&verification),
            &codes::UNTRUSTED_ACCEPTED,
            format!("trust_chain_verification is {verification}"),
        );
        found.add_if(
            flag(context, "allow_expired_certificate"),
            &codes::EXPIRED_ACCEPTED,
            "allow_expired_certificate is true",
        );
    }
    if is_unknown && found.is_empty() {
        return ledger.not_looked_at(claim, "the secret with the roots is not in the configuration");
    }
    let is_required = flag(tls, "require_client_certificate");
    found.tell(
        ledger,
        claim,
        if is_required { "required, and verified" } else { "verified where shown" },
    );
}

/// What is offered to a client.
fn offers(common: &Value) -> Findings {
    let mut found = Findings::default();
    let alpn = texts(common, "alpn_protocols");
    found.add_if(!alpn.contains(&"h2"), &codes::NO_ALPN, format!("alpn_protocols: {}", list(&alpn)));
    let params = at(common, "tls_params");
    let (least, most) =
        (text(params, "tls_minimum_protocol_version"), text(params, "tls_maximum_protocol_version"));
    let is_old = ["TLSv1_0", "TLSv1_1"].contains(&least);
    found.add_if(is_old, &codes::OLD_TLS, format!("tls_minimum_protocol_version is {least}"));
    let is_capped = !["", "TLS_AUTO", "TLSv1_3"].contains(&most);
    found.add_if(is_capped, &codes::NO_TLS_1_3, format!("tls_maximum_protocol_version is {most}"));
    let suites = texts(params, "cipher_suites");
    let suites = suites.iter().flat_map(|suites| suites.split(['[', ']', '|', ':']));
    let is_weak = |suite: &&str| {
        !suite.is_empty()
            && !(suite.starts_with("ECDHE-")
                && (suite.contains("-GCM-") || suite.contains("-CHACHA20-")))
    };
    let weak: Vec<_> = suites.filter(is_weak).collect();
    found.add_if(!weak.is_empty(), &codes::WEAK_SUITE, list(&weak));
    let groups = texts(params, "ecdh_curves");
    let has_classical = groups.contains(&"X25519") || groups.contains(&"P-256");
    let is_right = groups.contains(&"X25519MLKEM768") && has_classical;
    found.add_if(!is_right, &codes::GROUPS, format!("ecdh_curves: {}", list(&groups)));
    found
}

/// How certificate and roots come.
fn secrets(view: &View<'_>, common: &Value) -> Findings {
    let mut found = Findings::default();
    for (place, what) in [
        ("tls_certificates", "the certificate"),
        ("validation_context/trusted_ca", "the trust bundle"),
        ("combined_validation_context/default_validation_context/trusted_ca", "the trust bundle"),
    ] {
        found.add_if(
            has(common, place),
            &codes::STATIC_SECRET,
            format!("{what} stands in the listener"),
        );
    }
    for config in certificates(common).iter().chain(trust(common)) {
        let name = text(config, "name");
        // A secret of Envoy's own file comes with it.
        if !has(config, "sds_config") || view.secrets.is_none() {
            continue;
        }
        let Some(secret) = secret(view, config) else {
            found.add(&codes::NOT_DELIVERED, format!("{name} has not come"));
            continue;
        };
        let is_file = has(config, "sds_config/path_config_source") || has(config, "sds_config/path");
        let part = ["tls_certificate", "validation_context"].map(|part| at(secret, part));
        let is_watched = part.iter().any(|part| has(part, "watched_directory"));
        // What was read from a file shows as octets.
        let is_read = part.iter().any(|part| {
            has(part, "certificate_chain/inline_bytes") || has(part, "trusted_ca/inline_bytes")
        });
        found.add_if(
            is_file && is_read && !is_watched,
            &codes::NOT_WATCHED,
            format!("{name} names none"),
        );
    }
    found
}

/// When the certificates end that clients see.
fn ends(view: &View<'_>, common: &Value, now: UnixTime, ledger: &mut Ledger<'_>) {
    let claim = "the listener's certificate is valid for a while";
    let chains = certificates(common).iter().filter_map(|config| {
        let chain = at(secret(view, config)?, "tls_certificate/certificate_chain");
        Certificate::parse(&octets(chain)?).ok()
    });
    let Some((begin, first)) =
        chains.map(|certificate| certificate.validity()).min_by_key(|(_, end)| *end)
    else {
        return ledger.not_looked_at(claim, "the configuration does not show it");
    };
    let soon = SOON_S.min(first.0.saturating_sub(begin.0) / LAST_PART);
    let mut found = Findings::default();
    if first < now {
        found.add(&codes::CERTIFICATE_ENDED, format!("it ended at {first}"));
    } else if first.0.saturating_sub(now.0) < soon {
        found.add(&codes::CERTIFICATE_ENDS, format!("it ends at {first}"));
    }
    found.tell(ledger, claim, format!("until {first}"));
}

/// The secrets that hold certificates.
fn certificates(common: &Value) -> &[Value] {
    items(common, "tls_certificate_sds_secret_configs")
}

/// The secret that holds the roots.
fn trust(common: &Value) -> Option<&Value> {
    let places = [
        "validation_context_sds_secret_config",
        "combined_validation_context/validation_context_sds_secret_config",
    ];
    places.into_iter().map(|place| at(common, place)).find(|config| config.is_object())
}

fn secret<'a>(view: &View<'a>, config: &Value) -> Option<&'a Value> {
    view.secrets.as_ref()?.get(text(config, "name")).copied()
}

/// Octets that the configuration holds.
fn octets(source: &Value) -> Option<Vec<u8>> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    match text(source, "inline_bytes") {
        "" => Some(text(source, "inline_string").as_bytes().to_vec()),
        text => BASE64_STANDARD.decode(text).ok(),
    }
}
