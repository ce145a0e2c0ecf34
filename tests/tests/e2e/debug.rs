//! What is gathered for whoever is to find a fault: all that helps, and no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fedgate_tests::World;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::dns::srv;
use fedgate_tests::pki::Leaf;
use fedgate_tests::process::eventually;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::claim::origin;

/// The parts of a bundle, by their names without the folder's.
fn bundle(control_plane: &ControlPlane, dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = dir.join("bundle.tar");
    control_plane.cli(&["debug", "bundle", file.to_str().unwrap(), "--replace"]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut archive = tar::Archive::new(fs::File::open(&file).unwrap());
    let parts = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let (_, name) = path.split_once('/').unwrap();
        let mut octets = Vec::new();
        entry.read_to_end(&mut octets).unwrap();
        (name.to_owned(), octets)
    });
    parts.collect()
}

/// Every line of every private key in a folder, and in the folders within.
fn keys(dir: &Path) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            lines.extend(keys(&entry.path()));
        } else if kind.is_file() {
            let text = fs::read(entry.path()).unwrap();
            let text = String::from_utf8_lossy(&text);
            let parts = text.split("-----BEGIN ").filter(|part| part.contains("PRIVATE KEY-----\n"));
            let inner = parts.filter_map(|part| part.split_once("-----\n")?.1.split_once("-----END"));
            lines.extend(inner.flat_map(|(lines, _)| lines.lines()).map(|line| line.trim().to_owned()));
        }
    }
    // The last line of a key may be a few letters, which stand anywhere.
    lines.retain(|line| line.len() > 20);
    lines
}

/// The secrets of which one stands in these octets.
fn told<'a>(secrets: &'a BTreeSet<String>, octets: &[u8]) -> Vec<&'a String> {
    let text = String::from_utf8_lossy(octets);
    secrets.iter().filter(|secret| text.contains(*secret)).collect()
}

#[test]
fn a_bundle_has_what_helps_and_none_of_the_secrets() {
    let mut world =
        World::builder().records([srv("a.com", 600, "infra.a.com.")]).allow(&["a.com"]).start();
    // A partner that is refused, and so is explained.
    let stranger = world.caller(&world.authority.issue(&Leaf::of(["other.a.com"])));
    let answer = world.run(stranger.call("api-version", &[origin("a.com")])).unwrap();
    assert_eq!(answer.label(), "authentication-failure");
    eventually("it is reported", || {
        let told = world.control_plane().cli(&["partner", "list", "--state", "refused"]).unwrap();
        told.contains("a.com").then_some(())
    });
    let (dir, own) = (tempfile::tempdir().unwrap(), world.dir().to_owned());
    let made = world.control_plane().cli(&["token", "make", "guest", "--role", "viewer", "--json"]);
    let made: Value = serde_json::from_str(&made.unwrap()).unwrap();
    let made = made["token"].as_str().unwrap();
    let tokens = [ADMIN_TOKEN, VIEWER_TOKEN, FILTER_TOKEN, made];
    let digests = tokens.map(|token| hex::encode(Sha256::digest(token)));
    let mut secrets = keys(&own);
    assert!(secrets.len() > 2, "the world has keys: {secrets:?}");
    secrets.extend(tokens.iter().map(ToString::to_string).chain(digests));
    // The search finds what is there: the configuration has three digests.
    let configuration = fs::read(world.control_plane().dir().join("fedgate.toml")).unwrap();
    assert_eq!(told(&secrets, &configuration).len(), 3);

    let parts = bundle(world.control_plane(), dir.path());
    for (name, octets) in &parts {
        assert_eq!(told(&secrets, octets), Vec::<&String>::new(), "in {name}");
    }
    let manifest: Value = serde_json::from_slice(&parts["manifest.json"]).unwrap();
    let absent: Vec<_> = manifest["parts"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, is_there)| **is_there != Value::Bool(true))
        .collect();
    assert!(absent.is_empty(), "{absent:?}");
    let json = |name: &str| serde_json::from_slice::<Value>(&parts[name]).unwrap();
    let keys = json("configuration.json")["keys"].as_array().unwrap().clone();
    let value = |key: &str| keys.iter().find(|it| it["key"] == key).map(|it| it["value"].clone());
    assert_eq!(value("discovery.timeout"), Some("3s".into()));
    assert_eq!(value("token"), Some("admin (admin), viewer (viewer), filter (filter)".into()));
    assert!(json("audit.json").to_string().contains("a.com"));
    let explained = json("explain/a.com-incoming.json");
    assert_eq!(explained["entry"]["domain"], "a.com");
    assert!(explained["discovery"]["targets"].to_string().contains("infra.a.com"), "{explained:#}");
    assert!(json("domains.json").to_string().contains("a.com"));
    let metrics = String::from_utf8(parts["metrics.txt"].clone()).unwrap();
    assert!(metrics.contains("fedgate_build_info"), "{metrics}");
}

#[test]
fn what_cannot_be_had_is_named_and_the_rest_is_there() {
    let mut world = World::builder().start();
    let dir = tempfile::tempdir().unwrap();
    world.control_plane().kill();
    let parts = bundle(world.control_plane(), dir.path());
    let manifest: Value = serde_json::from_slice(&parts["manifest.json"]).unwrap();
    let cause = manifest["parts"]["status.json"].as_str().unwrap();
    assert!(cause.contains("cannot reach the control plane"), "{cause}");
    assert_eq!(parts.len(), 1, "{:?}", parts.keys());
}
