//! `fedgate check --envoy`: nothing is wrong with what a real Envoy tells of the reference, and each mistake is found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use fedgate_tests::World;
use fedgate_tests::artifacts;
use fedgate_tests::pki::{Authority, Leaf};
use fedgate_tests::process::{eventually, run};
use serde_json::Value;

use crate::manifest::parse;
use crate::slips::{complaint, fedgate};

const DUMP: &str = "/config_dump?include_eds";
/// Mistakes that open the border, or close it to everybody, and with which Envoy starts.
const OPEN_BORDERS: [&str; 13] = [
    "alpn-without-http2",
    "client-certificate-not-validated",
    "filter-disabled",
    "filter-disabled-on-route",
    "filter-fails-open",
    "filter-in-shadow",
    "route-beyond-federation",
    "session-resumption-on",
    "tls-version-old",
    "underscores-pass",
    "verdict-cluster-missing",
    "way-around-filter",
    "xfcc-forwarded",
];

/// What `fedgate check` came to.
struct Told {
    exit_code: Option<i32>,
    report: Value,
}

// === impl Told ===

impl Told {
    fn of(source: &str) -> Self {
        let output = fedgate(&["--json", "check", "--envoy", source]).output().unwrap();
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {}", complaint(&output)));
        Self { exit_code: output.status.code(), report }
    }

    fn codes(&self, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        findings
            .filter(|it| wanted(it["severity"].as_str().unwrap()))
            .map(|it| it["code"].as_str().unwrap().to_owned())
            .collect()
    }

    fn above_info(&self) -> BTreeSet<String> {
        self.codes(|severity| severity != "info")
    }
}

fn admin(world: &World) -> String {
    format!("http://{}:9901", world.ip())
}

#[test]
fn nothing_is_wrong_with_an_envoy_that_runs_the_reference() {
    for world in [World::builder().start(), World::builder().egress().start()] {
        for source in [admin(&world), format!("{}/", admin(&world))] {
            let told = Told::of(&source);
            assert_eq!(told.above_info(), BTreeSet::new(), "{}", told.report);
            assert_eq!(told.exit_code, Some(0));
            let checks = told.report["checks"].as_array().unwrap();
            assert!(checks.iter().all(|check| check["outcome"] != "not-looked-at"), "{}", told.report);
        }
    }
}

#[test]
fn nothing_is_wrong_with_the_files_that_are_shipped() {
    for file in ["ingress", "egress", "both"] {
        let path = artifacts::repository().join(format!("envoy/{file}.yaml"));
        let told = Told::of(path.to_str().unwrap());
        assert_eq!((told.above_info(), told.exit_code), (BTreeSet::new(), Some(0)), "{}", told.report);
    }
}

/// Both Envoys that call each other, once they have each other's clusters.
#[test]
fn nothing_is_wrong_with_two_backends_that_call_each_other() {
    let builder = || World::builder().egress().discovery("allow_private_addresses = true\n");
    let a = builder().backend("a.com").start();
    let b = builder().joins(&a).start();
    a.announce(&a.dns);
    b.announce(&a.dns);
    for (world, other) in [(&a, "b.com"), (&b, "a.com")] {
        world.control_plane.as_ref().unwrap().add(&[other]);
    }
    for (world, other) in [(&a, "b.com"), (&b, "a.com")] {
        assert_eq!(world.local().call(other, "api-version").unwrap().status, 200);
        assert_clean(world);
    }
}

#[test]
fn a_listener_that_envoy_did_not_take_is_found_beside_the_one_that_it_goes_on_with() {
    let world = World::builder().listener_from_file().start();
    assert_clean(&world);
    world.envoy.edit_listener(r#""role": "ingress""#, r#""role": "both""#);
    let told = eventually("Envoy tells of the update", || {
        Some(Told::of(&admin(&world))).filter(|told| !told.above_info().is_empty())
    });
    assert_eq!(told.above_info(), BTreeSet::from(["update-rejected".to_owned()]), "{}", told.report);
    assert_eq!(told.exit_code, Some(1));
}

/// The references as examples/kubernetes deploys them.
#[test]
fn nothing_is_wrong_with_the_example_for_kubernetes() {
    let mut sed = Command::new("sed");
    let files = ["examples/kubernetes/envoy.sed", "envoy/both.yaml"];
    sed.current_dir(artifacts::repository()).args(["--regexp-extended", "--file"]).args(files);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("envoy.yaml");
    fs::write(&file, run(&mut sed).unwrap()).unwrap();
    let told = Told::of(file.to_str().unwrap());
    assert_eq!((told.above_info(), told.exit_code), (BTreeSet::new(), Some(0)), "{}", told.report);
    let codes = told.codes(|_| true);
    assert!(
        codes.contains("egress-beyond-host") && codes.contains("control-plane-in-plain"),
        "{codes:?}"
    );
}

#[test]
fn what_is_no_configuration_is_said_with_what_to_give_instead() {
    let world = World::builder().without_control_plane().start();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let dump = world.envoy.ask(DUMP).unwrap();
    for (source, said) in [
        (file("cut", &dump[..dump.len() / 2]), "it ends in the middle"),
        (file("stats", &world.envoy.ask("/stats?format=json").unwrap()), "it has neither"),
        (file("page", &world.envoy.ask("/").unwrap()), "it is a web page"),
        (
            file("part", &world.envoy.ask("/config_dump?resource=static_listeners").unwrap()),
            "it is a part of a dump",
        ),
        (file("service", &artifacts::read("examples/kubernetes/control-plane.yaml")), "it has neither"),
        (dir.path().join("nothing").display().to_string(), "No such file"),
        (format!("http://{}:1", world.ip()), "admin interface"),
        (format!("http://{}:{}", world.ip(), fedgate_tests::backend::PORTS[0]), "admin interface"),
    ] {
        let output = fedgate(&["check", "--envoy", &source]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{source}");
        assert!(complaint(&output).contains(said), "{source}: {}", complaint(&output));
    }
}

/// Asserts that nothing is wrong with the Envoy of a world.
pub(crate) fn assert_clean(world: &World) {
    let told = Told::of(&admin(world));
    assert_eq!(told.above_info(), BTreeSet::new(), "{}", told.report);
}

/// `control-plane/check/src/envoy/mistakes.json` has them all, as changes of a configuration that is right.
#[test]
fn each_mistake_in_a_real_dump_is_found_by_its_code_and_as_nothing_else() {
    if !tells_of_chains() {
        return;
    }
    let world = World::builder().egress().start();
    let dump: Value = serde_json::from_str(&world.envoy.ask(DUMP).unwrap()).unwrap();
    let file = world.dir().join("dump.json");
    let usual = found_in(&file, &dump);
    let mistakes = mistakes(&places_in(&dump));
    assert!(mistakes.len() > 70, "{}", mistakes.len());
    for mistake in mistakes {
        let found = found_in(&file, &made(&mistake, &dump));
        assert_found(&mistake, &usual, &found);
    }
}

/// Of the same mistakes, those by which the border opens, each in an Envoy that runs with it.
#[test]
fn mistakes_that_envoy_takes_are_found_while_it_runs_with_them() {
    if !tells_of_chains() {
        return;
    }
    let mut world = World::builder().egress().start();
    let usual = Told::of(&admin(&world)).codes(|_| true);
    let file = world.dir().join("envoy/envoy.yaml");
    let right = parse(&fs::read_to_string(&file).unwrap()).remove(0);
    let mut left: BTreeSet<&str> = OPEN_BORDERS.into_iter().collect();
    for mistake in mistakes(&places_in_file()) {
        let code = mistake["code"].as_str().unwrap();
        if mistake["running"] == true || !left.remove(code) {
            continue;
        }
        fs::write(&file, made(&mistake, &right).to_string()).unwrap();
        world.envoy.restart();
        assert_found(&mistake, &usual, &Told::of(&admin(&world)).codes(|_| true));
    }
    assert_eq!(left, BTreeSet::new());
}

/// Filters in older ones are told that the listener validates chains; a mistake in their configuration that does not
/// say so would be a second finding.
fn tells_of_chains() -> bool {
    artifacts::envoy_minor() >= 39
}

/// The configuration with one mistake in it.
fn made(mistake: &Value, right: &Value) -> Value {
    let mut wrong = right.clone();
    let patch: json_patch::Patch = serde_json::from_value(mistake["edits"].clone()).unwrap();
    json_patch::patch(&mut wrong, &patch).unwrap_or_else(|error| panic!("{mistake}: {error}"));
    wrong
}

fn assert_found(mistake: &Value, usual: &BTreeSet<String>, found: &BTreeSet<String>) {
    let code = mistake["code"].as_str().unwrap();
    assert!(found.contains(code), "{mistake}: {found:?}");
    // One of them is found of the right configuration also, as good to know.
    let new: Vec<_> = found.difference(usual).filter(|it| *it != code).collect();
    assert_eq!(new, [""; 0], "{mistake}");
}

fn found_in(file: &Path, dump: &Value) -> BTreeSet<String> {
    fs::write(file, dump.to_string()).unwrap();
    Told::of(file.to_str().unwrap()).codes(|_| true)
}

/// All mistakes, at these places.
fn mistakes(places: &[(&str, String)]) -> Vec<Value> {
    let text = artifacts::read("control-plane/check/src/envoy/mistakes.json");
    let text = places.iter().fold(text, |text, (name, place)| text.replace(name, place));
    serde_json::from_str(&text).unwrap()
}

/// Where a dump has what mistakes are made in.
fn places_in(dump: &Value) -> Vec<(&'static str, String)> {
    let part = |kind: &str| {
        let parts = dump["configs"].as_array().unwrap();
        let has_kind = |part: &Value| part["@type"].as_str().unwrap().ends_with(kind);
        format!("/configs/{}", parts.iter().position(has_kind).unwrap())
    };
    let named = |kind: &str, list: &str, what: &str, name: &str| {
        let list = format!("{}/{list}", part(kind));
        let items = dump.pointer(&list).unwrap().as_array().unwrap();
        let place = items.iter().position(|item| item[what]["name"] == name).unwrap();
        format!("{list}/{place}/{what}")
    };
    let listener = |name| named("ListenersConfigDump", "static_listeners", "listener", name);
    let cluster = |name| named("ClustersConfigDump", "static_clusters", "cluster", name);
    let secret = |name| named("SecretsConfigDump", "dynamic_active_secrets", "secret", name);
    let bootstrap = format!("{}/bootstrap", part("BootstrapConfigDump"));
    let mut places = vec![
        ("$listeners", part("ListenersConfigDump")),
        ("$server_certificate", secret("server_certificate")),
        ("$client_trust", secret("client_trust")),
    ];
    places.extend(places_of(
        bootstrap,
        [listener("federation_ingress"), listener("federation_egress")],
        [cluster("fedgate_verdicts"), cluster("fedgate_xds")],
    ));
    places
}

/// Where the file has it that Envoy starts with.
fn places_in_file() -> Vec<(&'static str, String)> {
    let resource = |kind: &str, place: u8| format!("/static_resources/{kind}/{place}");
    places_of(
        String::new(),
        [resource("listeners", 0), resource("listeners", 1)],
        [resource("clusters", 0), resource("clusters", 1)],
    )
}

fn places_of(
    bootstrap: String,
    [ingress, egress]: [String; 2],
    [verdicts, xds]: [String; 2],
) -> Vec<(&'static str, String)> {
    let authority = Authority::root("an authority");
    let certificate = |first_day: i64, end: i64| {
        let leaf = Leaf { not_before: first_day * 86_400, not_after: end, ..Leaf::of(["infra.b.com"]) };
        // Within a text of JSON.
        authority.issue(&leaf).chain.replace('\n', "\\n")
    };
    let chain = format!("{ingress}/filter_chains/0");
    let http = format!("{chain}/filters/1/typed_config");
    vec![
        ("$bootstrap", bootstrap),
        ("$tls", format!("{chain}/transport_socket/typed_config")),
        ("$gate", format!("{http}/http_filters/0")),
        ("$wasm", format!("{http}/http_filters/0/typed_config/config")),
        ("$host", format!("{http}/route_config/virtual_hosts/0")),
        ("$http", http),
        ("$chain", chain),
        ("$ingress", ingress),
        ("$calls", format!("{egress}/filter_chains/0/filters/0/typed_config")),
        ("$egress", egress),
        ("$verdicts", verdicts),
        ("$xds", xds),
        ("$ended", certificate(-90, -60)),
        ("$ending", certificate(-85, 5 * 86_400)),
    ]
}
