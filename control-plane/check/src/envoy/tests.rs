use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::report::Report;

/// Each mistake, as changes (RFC 6902) of a configuration that is right; `$ingress` and the like stand for places in
/// it. `running` are those that only a running Envoy shows; the end-to-end tests make all of them in real dumps.
const MISTAKES: &str = include_str!("mistakes.json");
const BOTH: &str = include_str!("../../../../envoy/both.yaml");
const NOW: UnixTime = UnixTime(1_800_000_000);

/// Where things stand in the reference.
const PLACES: [(&str, &str); 11] = [
    ("$ingress", "/static_resources/listeners/0"),
    ("$egress", "/static_resources/listeners/1"),
    ("$chain", "$ingress/filter_chains/0"),
    ("$tls", "$chain/transport_socket/typed_config"),
    ("$http", "$chain/filters/1/typed_config"),
    ("$gate", "$http/http_filters/0"),
    ("$wasm", "$gate/typed_config/config"),
    ("$host", "$http/route_config/virtual_hosts/0"),
    ("$calls", "$egress/filter_chains/0/filters/0/typed_config"),
    ("$verdicts", "/static_resources/clusters/0"),
    ("$xds", "/static_resources/clusters/1"),
];

fn reference() -> Configuration {
    Configuration::parse(BOTH.as_bytes()).unwrap()
}

fn look(configuration: &Configuration) -> Report {
    let mut ignore = |_: crate::Progress<'_>| ();
    let mut ledger = Ledger::new(&mut ignore);
    lint(configuration, NOW, &mut ledger);
    ledger.close("envoy")
}

fn codes(report: &Report) -> BTreeSet<&'static str> {
    report.findings().map(|finding| finding.code.name).collect()
}

/// The code of each, whether only a running Envoy shows it, and the changes.
fn mistakes() -> Vec<(String, bool, Value)> {
    let mut text = MISTAKES.replace("$bootstrap", "");
    for (name, place) in PLACES.iter().rev() {
        text = text.replace(name, place);
    }
    let mistakes: Vec<Value> = serde_json::from_str(&text).unwrap();
    let part = |it: &Value| {
        (it["code"].as_str().unwrap().to_owned(), it["running"] == true, it["edits"].clone())
    };
    mistakes.iter().map(part).collect()
}

/// The reference as a dump in which everything has come from elsewhere.
fn dump(bootstrap: &Value) -> Configuration {
    let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}");
    let resources = &bootstrap["static_resources"];
    let listeners = resources["listeners"].as_array().unwrap().iter();
    let clusters = resources["clusters"].as_array().unwrap().iter();
    let whole = json!({"configs": [
        {"@type": kind("BootstrapConfigDump"), "bootstrap": bootstrap},
        {"@type": kind("ClustersConfigDump"),
         "dynamic_active_clusters": clusters.map(|it| json!({"cluster": it})).collect::<Vec<_>>()},
        {"@type": kind("ListenersConfigDump"),
         "dynamic_listeners": listeners
             .map(|it| json!({"name": it["name"], "active_state": {"listener": it}}))
             .collect::<Vec<_>>()},
        {"@type": kind("SecretsConfigDump"), "dynamic_active_secrets": [
            {"name": "server_certificate", "secret": {"name": "server_certificate", "tls_certificate": {}}},
            {"name": "client_trust", "secret": {"name": "client_trust", "validation_context": {"trusted_ca": {}, "crl": {}}}},
        ]},
    ]});
    Configuration::parse(whole.to_string().as_bytes()).unwrap()
}

#[test]
fn nothing_is_wrong_with_the_reference_configurations() {
    for text in [
        BOTH,
        include_str!("../../../../envoy/ingress.yaml"),
        include_str!("../../../../envoy/egress.yaml"),
    ] {
        let report = look(&Configuration::parse(text.as_bytes()).unwrap());
        assert_eq!(codes(&report), BTreeSet::new(), "{report:?}");
        assert!(report.checks.len() > 10, "{report:?}");
    }
    let report = look(&dump(&reference().whole));
    assert_eq!(codes(&report), BTreeSet::new(), "{report:?}");
}

#[test]
fn each_mistake_is_found_by_its_code_and_as_nothing_else() {
    for (code, is_running, edits) in mistakes() {
        if is_running {
            continue;
        }
        let mut configuration = reference();
        let patch: json_patch::Patch = serde_json::from_value(edits).unwrap();
        json_patch::patch(&mut configuration.whole, &patch)
            .unwrap_or_else(|error| panic!("{code}: {error}"));
        let report = look(&configuration);
        assert_eq!(codes(&report), BTreeSet::from([code.as_str()]), "{patch} {report:?}");
    }
}

#[test]
fn where_routes_are_not_known_nobody_says_that_no_way_leads_around() {
    let unread = [
        json!({"rds": {"route_config_name": "elsewhere"}}),
        json!({"scoped_routes": {"name": "scopes"}}),
        json!({"route_config": {"virtual_hosts": [{"name": "tree", "matcher": {"matcher_tree": {}}}]}}),
    ];
    for routes in unread {
        let mut configuration = reference();
        let resources = configuration.whole.pointer_mut("/static_resources/listeners").unwrap();
        let manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let mut config = json!({"@type": manager});
        config.as_object_mut().unwrap().extend(routes.as_object().unwrap().clone());
        resources.as_array_mut().unwrap().push(json!({"name": "second", "filter_chains": [
            {"filters": [{"name": "http", "typed_config": config}]}]}));
        let report = look(&configuration);
        let check =
            report.checks.iter().find(|it| it.claim == "no way leads around the filter").unwrap();
        assert!(
            matches!(&check.outcome, crate::Outcome::NotLookedAt { because } if because.contains("second")),
            "{check:?}"
        );
    }
}

#[test]
fn a_rewrite_by_a_regular_expression_is_looked_at_too() {
    for (regex, substitution, expected) in [
        ("^/federation/brig/(.*)", "/i/\\1", true),
        ("^/federation/brig/(.*)", "\\1", true),
        ("/federation/(.*)", "/i/\\1", true),
        ("^/federation/brig/(.*)", "/federation/\\1", false),
        ("//+", "/", false),
    ] {
        let mut configuration = reference();
        let place = "/static_resources/listeners/0/filter_chains/0/filters/1/typed_config/route_config/virtual_hosts/0/routes/0/route";
        let route = configuration.whole.pointer_mut(place).unwrap();
        route.as_object_mut().unwrap().remove("prefix_rewrite");
        route["regex_rewrite"] = json!({"pattern": {"regex": regex}, "substitution": substitution});
        let found = codes(&look(&configuration)).contains("route-beyond-federation");
        assert_eq!(found, expected, "{regex} {substitution}");
    }
}

#[test]
fn every_code_has_a_mistake() {
    let made: BTreeSet<String> = mistakes().into_iter().map(|(code, ..)| code).collect();
    let codes: BTreeSet<String> = CODES.iter().map(|code| code.name.to_owned()).collect();
    assert_eq!(made, codes);
    assert_eq!(codes.len(), CODES.len(), "a name stands twice");
}

#[test]
fn envoy_gateway_may_switch_the_filter_on_for_each_route() {
    let mut whole = reference().whole;
    let http = whole
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/1/typed_config")
        .unwrap();
    http["http_filters"][0]["disabled"] = json!(true);
    let on = json!({"fedgate": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}});
    for route in http["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap() {
        route["typed_per_filter_config"] = on.clone();
    }
    let report = look(&dump(&whole));
    assert_eq!(codes(&report), BTreeSet::new(), "{report:?}");
}

/// Istio's filters come by ECDS, in a `TypedStruct`, and its routes by RDS.
#[test]
fn what_comes_from_elsewhere_is_found_by_its_name() {
    let mut whole = reference().whole;
    let http = whole
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/1/typed_config")
        .unwrap();
    let mut routes = http["route_config"].take();
    http.as_object_mut().unwrap().remove("route_config");
    http["rds"] = json!({"route_config_name": "https.8443"});
    routes["name"] = json!("https.8443");
    let mut filter = std::mem::replace(
        &mut http["http_filters"][0],
        json!({"name": "wire.fedgate", "config_discovery": {"config_source": {"ads": {}}}}),
    );
    filter["typed_config"]["config"]["failure_policy"] = json!("FAIL_OPEN");
    let mut dump = dump(&whole);
    let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}");
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    dump.whole["configs"].as_array_mut().unwrap().extend([
        json!({"@type": kind("EcdsConfigDump"), "ecds_filters": [{"ecds_filter": {
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "wire.fedgate",
            "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": wasm,
                "value": filter["typed_config"]}}}]}),
        json!({"@type": kind("RoutesConfigDump"), "dynamic_route_configs": [{"route_config": routes}]}),
    ]);
    let report = look(&dump);
    assert_eq!(codes(&report), BTreeSet::from(["filter-fails-open"]), "{report:?}");
    assert!(
        report.checks.iter().any(|check| check.claim.contains("/federation/ and nothing else")
            && matches!(&check.outcome, crate::Outcome::Passed { seen } if seen == "3 routes")),
        "{report:?}"
    );
}

#[test]
fn no_shape_of_any_part_makes_it_panic() {
    let odd = [
        json!(null),
        json!([]),
        json!({}),
        json!([[]]),
        json!("\u{1b}[2J\n"),
        json!(-1),
        json!(1e300),
        json!(true),
        json!("0s"),
        json!("[["),
    ];
    for whole in [reference().whole, dump(&reference().whole).whole] {
        let mut configuration = dump(&reference().whole);
        configuration.form = if whole.get("configs").is_some() { Form::Dump } else { Form::Bootstrap };
        for (index, place) in pointers(&whole).into_iter().enumerate() {
            // In turns, so that all come up at all kinds of places.
            configuration.whole = whole.clone();
            *configuration.whole.pointer_mut(&place).unwrap() = odd[index % odd.len()].clone();
            for finding in look(&configuration).findings() {
                assert!(!finding.seen.contains(char::is_control), "{place}: {finding:?}");
            }
        }
    }
}

fn pointers(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let mut all: Vec<_> = pointers(value).iter().map(|rest| format!("/{name}{rest}")).collect();
        all.push(format!("/{name}"));
        all
    };
    match value {
        Value::Object(members) => members.iter().flat_map(|(name, value)| below(name, value)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, value)| below(&index.to_string(), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    }
}
