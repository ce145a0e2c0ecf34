//! Wire's federator replaced, as `examples/kubernetes` does it: the names that its files share, and an Envoy
//! with the files that their commands make.

use std::collections::BTreeSet;
use std::path::Path;

use fedgate_tests::World;
use fedgate_tests::artifacts;
use fedgate_tests::backend::PORTS;
use fedgate_tests::caller::Caller;
use fedgate_tests::control_plane::{VERDICTS_PORT, XDS_PORT};
use fedgate_tests::envoy::{Deployed, EGRESS_PORT, INGRESS_PORT, SECRETS};
use fedgate_tests::peer::Peer;
use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::{eventually, http, is_ok, run};
use serde_json::{Value, json};

use crate::claim::Expect::{Fail, Permit};
use crate::claim::{check, origin};
use crate::egress::{announce, list};
use crate::manifest::{resource, text};

const CONTROL_PLANE: &str = "kubernetes/control-plane.yaml";
const ENVOY: &str = "kubernetes/envoy.yaml";
const FEDERATOR: &str = "kubernetes/federator.yaml";
const SCRIPT: &str = "examples/kubernetes/envoy.sed";
/// Those who call `federator:8080`.
const CALLERS: [&str; 4] = ["brig", "galley", "cargohold", "background-worker"];

#[test]
fn the_service_has_the_names_and_ports_that_wires_charts_expect_and_leads_to_our_envoy() {
    let service = resource(FEDERATOR, "Service");
    assert_eq!(text(&service, "/metadata/name"), "federator");
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port});
    assert_eq!(service["spec"]["ports"], json!([port("internal", 8080), port("federator-ext", 8081)]));
    // So that it is enough to swap the selector.
    let own = resource(ENVOY, "Service");
    assert_eq!(own["spec"], service["spec"]);

    let deployment = &resource(ENVOY, "Deployment")["spec"];
    let labels = &deployment["template"]["metadata"]["labels"];
    assert_eq!(labels, &service["spec"]["selector"]);
    let disruption = resource(ENVOY, "PodDisruptionBudget");
    for selector in [&deployment["selector"], &disruption["spec"]["selector"]] {
        assert_eq!(&selector["matchLabels"], labels);
    }
    let ports = container()["ports"].clone();
    let port = |name: &str, port: u16| json!({"name": name, "containerPort": port});
    assert_eq!(ports, json!([port("internal", 8080), port("federator-ext", 8081)]));

    let ingress = resource(FEDERATOR, "Ingress");
    assert_eq!(
        ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/ssl-passthrough"],
        "true"
    );
    let path = &ingress["spec"]["rules"][0]["http"]["paths"][0];
    assert_eq!(path["path"], "/");
    assert_eq!(
        path["backend"]["service"],
        json!({"name": "federator", "port": {"name": "federator-ext"}})
    );
}

#[test]
fn only_those_who_make_calls_reach_the_port_for_calls() {
    let policy = resource(ENVOY, "NetworkPolicy");
    let pods = &resource(ENVOY, "Deployment")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], pods);
    let from = json!([{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": CALLERS}]}}]);
    assert_eq!(
        policy["spec"]["ingress"],
        json!([{"from": from, "ports": [{"port": 8080}]}, {"ports": [{"port": 8081}]}])
    );
    // And the control plane lets our Envoy ask it, on the ports that it serves.
    let policy = resource(CONTROL_PLANE, "NetworkPolicy");
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let from = json!([{"podSelector": {"matchLabels": pods}}]);
    let rule = rules.iter().find(|rule| rule["from"] == from).unwrap();
    assert_eq!(rule["ports"], json!([{"port": 8601}, {"port": 8602}]));
}

#[test]
fn the_control_plane_serves_clusters_by_the_name_that_the_service_gives() {
    let service = resource(CONTROL_PLANE, "Service");
    let container = &resource(CONTROL_PLANE, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    for (n, (target, port)) in [("verdicts", 8601), ("xds", 8602)].into_iter().enumerate() {
        let variable = format!("FEDGATE_LISTEN_{}", target.to_uppercase());
        let listens = json!({"name": variable, "value": format!("0.0.0.0:{port}")});
        assert!(container["env"].as_array().unwrap().contains(&listens), "{listens}");
        assert_eq!(container["ports"][n], json!({"name": target, "containerPort": port}));
        let served = &service["spec"]["ports"][n];
        assert_eq!((&served["port"], &served["targetPort"]), (&json!(port), &json!(target)));
    }
}

#[test]
fn probes_ask_the_door_for_calls_and_the_end_has_time() {
    let container = container();
    let probe = json!({"path": "/i/status", "port": "internal"});
    assert_eq!(container["readinessProbe"]["httpGet"], probe);
    assert_eq!(container["livenessProbe"]["tcpSocket"], json!({"port": "internal"}));
    let command = format!("{} {}", words(&container["command"]), words(&container["args"]));
    let seconds = |flag: &str| -> u64 {
        let (_, rest) = command.split_once(flag).unwrap();
        rest.trim().split('s').next().unwrap().parse().unwrap()
    };
    let pod = &resource(ENVOY, "Deployment")["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= seconds("--notice") + seconds("--patience") + 15, "{grace} after {command}");
    assert!(command.starts_with("fedgate envoy --notice"), "{command}");
    let envoy =
        "-- envoy -c /etc/fedgate/gate/both.yaml --drain-strategy immediate --disable-hot-restart";
    assert!(command.ends_with(envoy), "{command}");
}

#[test]
fn every_certificate_that_envoy_reads_comes_from_what_wires_charts_made_or_the_commands() {
    let mut files = BTreeSet::new();
    for secret in SECRETS {
        let text = deployed_text(&format!("secrets/{secret}"));
        let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
        files.extend(lines.filter_map(|line| Some(line.split_once("filename: ")?.1.replace('}', ""))));
    }
    let volume = &resource(ENVOY, "Deployment")["spec"]["template"]["spec"]["volumes"][1];
    let (mut items, mut sources) = (BTreeSet::new(), vec![]);
    for source in volume["projected"]["sources"].as_array().unwrap() {
        let source = source.get("secret").or_else(|| source.get("configMap")).unwrap();
        sources.push(text(source, "/name").to_owned());
        let paths = source["items"].as_array().unwrap().iter().map(|item| text(item, "/path"));
        items.extend(paths.map(|path| format!("/etc/fedgate/tls/{path}")));
    }
    assert_eq!(files, items);
    assert_eq!(sources, ["federator-certificate-secret", "federator-ca-secret", "fedgate-outgoing"]);

    let mounts = json!([
        {"name": "configuration", "mountPath": "/etc/fedgate/gate"},
        {"name": "configuration", "mountPath": "/etc/fedgate/secrets"},
        {"name": "tls", "mountPath": "/etc/fedgate/tls"},
    ]);
    assert_eq!(container()["volumeMounts"], mounts);
    let listeners = deployed_text("both.yaml");
    for secret in &SECRETS[..2] {
        assert!(listeners.contains(&format!("path: /etc/fedgate/secrets/{secret}")), "{secret}");
    }
}

#[test]
fn the_gate_as_it_is_deployed_takes_calls_in_both_directions_and_tells_its_status() {
    let mut a = deployed("a.com").start();
    let b = deployed("b.com").joins(&a).start();
    a.announce(&a.dns);
    b.announce(&a.dns);
    list(&a);
    b.control_plane.as_ref().unwrap().add(&["a.com"]);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let status = format!("http://{}/i/status", from.envoy.egress());
        eventually("it can decide", || is_ok(&status).then_some(()));
        let answer = from.local().call(to.domain(), "search-users").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(answer.json()["component"], "brig");
    }
    let nobody = http().get(format!("http://{}/i/metrics", a.envoy.egress())).call().unwrap();
    assert_eq!(nobody.status(), 403);
    a.envoy.terminate();
    assert!(a.envoy.wait().success());
}

#[test]
fn an_authority_of_those_whom_we_call_is_none_of_those_who_call_us() {
    let world = deployed("a.com").allow(&["a.com"]).start();
    let public = Authority::root("an authority of the whole world");
    let at = (world.ip(), 7001).into();
    let server = public.issue(&Leaf::of(["infra.b.com"]));
    let _peer = Peer::echo(at, "b.com", &server, world.authority.pem());
    announce(&world, "infra.b.com", 10, 10, at);
    list(&world);
    let answer = world.local().call("b.com", "search-users").unwrap();
    assert_eq!((answer.status, answer.label().as_str()), (525, "federation-tls-error"));

    world.envoy.replace("outgoing.pem", &format!("{}\n{}", world.authority.pem(), public.pem()));
    eventually("the bundle is in force", || {
        let answer = world.local().call("b.com", "search-users").unwrap();
        (answer.status == 200).then_some(())
    });
    let stranger = public.issue(&Leaf::of(["infra.a.com"]));
    let trust = world.authority.pem();
    let caller = Caller::new(world.envoy.address(), "infra.a.com", trust, Some(&stranger))
        .explained_by(world.witness());
    check(&world, &caller, "public", &[origin("a.com")], Fail);
    world.announce(&world.dns);
    let partner = world.caller(&world.identity(&["infra.a.com"]));
    eventually("the partner's own records are known", || {
        let answer = world.run(async { partner.call("known", &[origin("a.com")]).await });
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    check(&world, &partner, "partner", &[origin("a.com")], Permit("a.com"));
}

/// A world whose Envoy has the files that the commands of `envoy.yaml` make. Where they point is said by the
/// examples' own names.
fn deployed(domain: &str) -> fedgate_tests::WorldBuilder {
    let service = resource(CONTROL_PLANE, "Service");
    let control_plane = host(text(&service, "/metadata/name"), text(&service, "/metadata/namespace"));
    let wire = text(&service, "/metadata/namespace");
    let mut places = vec![
        ("0.0.0.0".to_owned(), 8080, EGRESS_PORT),
        ("0.0.0.0".to_owned(), 8081, INGRESS_PORT),
        (control_plane.clone(), 8601, VERDICTS_PORT),
        (control_plane, 8602, XDS_PORT),
    ];
    places.extend(
        ["brig", "galley", "cargohold"]
            .into_iter()
            .zip(PORTS)
            .map(|(name, port)| (host(name, wire), 8080, port)),
    );
    World::builder()
        .backend(domain)
        .egress()
        .draining()
        .discovery("allow_private_addresses = true\n")
        .deployed(Deployed { script: SCRIPT.to_owned(), places })
}

fn host(service: &str, namespace: &str) -> String {
    format!("{service}.{namespace}.svc.cluster.local")
}

/// What the commands make of a file of `envoy/`.
fn deployed_text(file: &str) -> String {
    let head = artifacts::read(&format!("examples/{ENVOY}"));
    assert!(head.contains(&format!("sed --regexp-extended --file {SCRIPT}")), "the head of {ENVOY}");
    let mut sed = std::process::Command::new("sed");
    let file = Path::new("envoy").join(file);
    sed.current_dir(artifacts::repository()).args(["--regexp-extended", "--file", SCRIPT]).arg(file);
    run(&mut sed).unwrap()
}

fn container() -> Value {
    resource(ENVOY, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

fn words(list: &Value) -> String {
    let words: Vec<_> = list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.join(" ")
}
