//! `fedgate check --self` finds each thing that is wrong on our side by its code, and nothing where nothing is. We are
//! a.com here.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use fedgate_tests::address::Address;
use fedgate_tests::clock::WallClock;
use fedgate_tests::control_plane::VIEWER_TOKEN;
use fedgate_tests::disk::Disk;
use fedgate_tests::dns::srv as record;
use fedgate_tests::envoy::ADMIN_PORT;
use fedgate_tests::pki::{Authority, Identity, Key, Leaf};
use fedgate_tests::process::{PATIENCE, eventually};
use fedgate_tests::{World, artifacts};
use rcgen::ExtendedKeyUsagePurpose as Purpose;
use serde_json::Value;

use crate::check_peer::site::{Ingress, PORT, Site, Told, answering};
use crate::claim::origin;

const DAYS: i64 = 86_400;

/// What lies in our files.
struct Files {
    server: Identity,
    client: Identity,
    trust: String,
    mode: u32,
}

fn leaf() -> Leaf {
    Leaf::of(["infra.a.com"])
}

fn good(site: &Site) -> (Ingress, Files) {
    // Who has no business with us gets no answer, as from the gate.
    let ingress = Ingress {
        router: answering(403, r#"{"code":403,"label":"federation-denied","message":"no"}"#),
        ..site.good()
    };
    let files = Files {
        server: ingress.identity.clone(),
        client: site.authority.issue(&leaf()),
        trust: site.authority.pem().to_owned(),
        mode: 0o640,
    };
    (ingress, files)
}

fn check(site: &Site, files: &Files) -> Told {
    let key = |name: &str, text: &str| {
        let path = site.file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(files.mode)).unwrap();
        path
    };
    let (server_key, client_key) =
        (key("server.key", &files.server.key), key("client.key", &files.client.key));
    let server = site.file("server.pem", &files.server.chain);
    let client = site.file("client.pem", &files.client.chain);
    let trust = site.file("trust.pem", &files.trust);
    crate::check_peer::site::check(
        "--self",
        site.dns.address(),
        &[
            "--own-domain",
            "a.com",
            "--server-certificate",
            &server,
            "--server-key",
            &server_key,
            "--certificate",
            &client,
            "--key",
            &client_key,
            "--trust",
            &trust,
        ],
    )
}

/// What is found where our files are changed like this.
#[track_caller]
fn planted(change: impl FnOnce(&Site, &mut Files), expected: &[&str]) {
    let site = Site::new();
    let (ingress, mut files) = good(&site);
    change(&site, &mut files);
    let _listening = site.serve(&ingress);
    check(&site, &files).is(expected);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    planted(|_, _| {}, &[]);
}

#[test]
fn the_key_of_another_certificate_is_found() {
    planted(|_, files| files.client.key = files.server.key.clone(), &["key-mismatch"]);
}

#[test]
fn a_key_that_all_may_read_is_found() {
    planted(|_, files| files.mode = 0o644, &["key-exposed"]);
}

#[test]
fn a_byte_order_mark_in_the_bundle_is_found() {
    planted(
        |site, files| {
            files.trust = format!("\u{feff}{0}{0}", site.authority.pem());
        },
        &["bundle-begins-with-bom"],
    );
}

/// What is found where our ingress presents this.
#[track_caller]
fn presented(leaf: &Leaf, expected: &[&str]) {
    let site = Site::new();
    let (mut ingress, mut files) = good(&site);
    ingress.identity = site.authority.issue(leaf);
    files.server = ingress.identity.clone();
    let _listening = site.serve(&ingress);
    check(&site, &files).is(expected);
}

#[test]
fn a_certificate_that_ends_in_five_days_is_found() {
    let soon = || Leaf { not_before: -85 * DAYS, not_after: 5 * DAYS, ..leaf() };
    presented(&soon(), &["certificate-ends-soon"]);
    planted(|site, files| files.client = site.authority.issue(&soon()), &["certificate-ends-soon"]);
}

#[test]
fn a_certificate_that_has_expired_is_found() {
    let ended = || Leaf { not_before: -90 * DAYS, not_after: -60, ..leaf() };
    presented(&ended(), &["certificate-expired"]);
    planted(|site, files| files.client = site.authority.issue(&ended()), &["certificate-expired"]);
}

#[test]
fn an_ingress_that_nobody_reaches_is_found() {
    let site = Site::new();
    let (_, files) = good(&site);
    check(&site, &files).is(&["target-dead"]);
}

#[test]
fn windows_line_ends_in_the_bundle_are_none_of_our_business() {
    planted(|_, files| files.trust = files.trust.replace('\n', "\r\n"), &[]);
}

#[test]
fn what_is_no_certificate_in_the_bundle_is_found() {
    planted(
        |_, files| {
            files.trust.push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        },
        &["bundle-part-unreadable"],
    );
}

#[test]
fn a_private_key_in_the_bundle_is_found() {
    planted(|_, files| files.trust.push_str(&files.client.key), &["bundle-has-key"]);
}

#[test]
fn an_expired_certificate_that_is_no_authority_is_found_in_the_bundle() {
    planted(
        |site, files| {
            let old = site.authority.issue(&Leaf { not_before: -20 * DAYS, not_after: -DAYS, ..leaf() });
            files.trust.push_str(&old.chain);
        },
        &["root-expired", "root-no-authority"],
    );
}

#[test]
fn a_root_that_stands_twice_in_the_bundle_is_good_to_know() {
    let site = Site::new();
    let (ingress, mut files) = good(&site);
    files.trust = files.trust.repeat(2);
    let _listening = site.serve(&ingress);
    check(&site, &files).is_info("root-twice");
}

#[test]
fn a_client_certificate_without_its_purpose_is_found() {
    planted(
        |site, files| {
            files.client = site.authority.issue(&Leaf { purposes: vec![Purpose::ServerAuth], ..leaf() });
        },
        &["client-purpose-missing"],
    );
}

#[test]
fn a_server_certificate_without_our_target_is_found() {
    planted(
        |site, files| {
            files.server = site.authority.issue(&Leaf::of(["other.a.com"]));
        },
        &["name-missing"],
    );
}

#[test]
fn a_machine_at_our_address_that_is_not_ours_is_found() {
    let site = Site::new();
    let (mut ingress, files) = good(&site);
    ingress.identity = site.authority.issue(&Leaf::of(["other.a.com"]));
    let _listening = site.serve(&ingress);
    check(&site, &files).is(&["name-missing", "srv-leads-elsewhere"]);
}

#[test]
fn two_machines_with_certificates_of_their_own_and_several_roots_are_right() {
    let other = Address::claim();
    let site = Site::of_two(&other);
    let (ingress, mut files) = good(&site);
    files.trust.push_str(Authority::root("of another partner").pem());
    let identity = site.authority.issue(&Leaf { key: Key::Rsa, ..leaf() });
    let second = Ingress { identity, ..ingress.clone() };
    let (_one, _two) = (site.serve(&ingress), second.serve((other.ip(), PORT).into()));
    check(&site, &files).is_info("another-certificate");
}

#[test]
fn a_bundle_that_cannot_be_used_is_not_told_as_one_that_nobody_named() {
    let site = Site::new();
    let (ingress, mut files) = good(&site);
    files.trust = format!("\u{feff}{}", site.authority.pem());
    let _listening = site.serve(&ingress);
    let told = check(&site, &files);
    told.is(&["bundle-begins-with-bom"]);
    let because = &told.outcome("it leads to a trusted authority")["because"];
    assert_eq!(because, "the trust bundle cannot be used");
}

#[test]
fn a_password_of_the_admin_interface_is_not_told() {
    let world = World::builder().start();
    let url = "http://me:secret@127.0.0.1:1/";
    let output = at_home(&world, &["--envoy-admin", url]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Envoy at http://me@127.0.0.1:1/") && !text.contains("secret"), "{text}");
}

#[test]
fn an_ingress_that_answers_forged_headers_is_found() {
    let site = Site::new();
    let (ingress, files) = good(&site);
    let _listening = site.serve(&Ingress { router: answering(200, "[]"), ..ingress });
    check(&site, &files).is(&["forged-origin-answered"]);
}

#[test]
fn a_missing_srv_record_of_ours_is_found() {
    let site = Site::with(|_| vec![]);
    let (_, files) = good(&site);
    check(&site, &files).is(&["own-srv-missing"]);
}

#[test]
fn an_authority_that_the_bundle_lacks_is_found() {
    planted(
        |_, files| {
            files.trust = Authority::root("another").pem().to_owned();
        },
        &["issuer-unknown"],
    );
}

/// What `--self` finds that is worse than good to know, of a world's control plane, and of what these words name.
pub(crate) fn check_world<W: AsRef<OsStr>>(world: &World, args: &[W]) -> Vec<String> {
    above_info(&mut at_home(world, args))
}

fn at_home<W: AsRef<OsStr>>(world: &World, args: &[W]) -> Command {
    let url = world.control_plane.as_ref().unwrap().url();
    let mut command = Command::new(artifacts::fedgate());
    command.args(["check", "--self", "--json", "--dns-server", &world.dns.address().to_string()]);
    command.args(args).env("FEDGATE_URL", url).env("FEDGATE_TOKEN", VIEWER_TOKEN);
    command
}

fn above_info(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter().filter(|it| it["severity"] != "info");
    findings.map(|it| it["code"].as_str().unwrap().to_owned()).collect()
}

/// Waits until exactly these are found.
#[track_caller]
fn eventually_found<W: AsRef<OsStr>>(world: &World, args: &[W], expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = check_world(world, args);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?}, and {expected:?} is expected");
    }
}

/// The admin interface of a world's Envoy.
pub(crate) fn admin(world: &World) -> String {
    format!("http://{}:{ADMIN_PORT}", world.ip())
}

#[test]
fn a_control_plane_with_its_envoy_is_in_order() {
    let world = World::builder().start();
    eventually_found(&world, &["--envoy-admin", admin(&world).as_str()], &[]);
}

#[test]
fn a_control_plane_that_is_away_is_found_and_the_feed_that_goes_stale() {
    let mut world = World::builder().start();
    eventually_found(&world, &["--envoy-admin", admin(&world).as_str()], &[]);
    world.control_plane().kill();
    eventually_found(
        &world,
        &["--envoy-admin", admin(&world).as_str()],
        &["control-plane-away", "feed-stale"],
    );
}

#[test]
fn an_envoy_that_is_gone_dns_that_fails_and_an_open_strategy_are_found() {
    let mut world = World::builder().strategy("allowAll").start();
    world.envoy.terminate();
    world.envoy.wait();
    world.dns.stop();
    world.control_plane().add(&["a.com", "b.com"]);
    eventually_found::<&str>(&world, &[], &["dns-failing", "strategy-unusual", "envoy-absent"]);
}

#[test]
fn a_gate_as_the_reference_has_it_is_in_order_and_one_without_the_filter_is_found() {
    let good = World::builder().start();
    eventually_found(&good, &at_the_gate(&good), &[]);
    let open = World::builder()
        .edit("          - name: fedgate\n", "          - name: fedgate\n            disabled: true\n")
        .start();
    let found = check_world(&open, &at_the_gate(&open));
    assert!(found.iter().any(|code| code == "forged-origin-answered"), "{found:?}");
}

const WRONG_NAME: &str = "it refuses a domain that the certificate does not prove";

/// What came of a claim about a world's ingress.
fn outcome(world: &World, more: &[&str], claim: &str) -> Value {
    let output = at_home(world, &at_the_gate(world)).args(more).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|it| it["claim"] == claim).unwrap_or_else(|| panic!("{claim}: {report:#}")).clone()
}

#[test]
fn the_gates_own_refusals_are_what_counts() {
    let world =
        World::builder().records([record("a.com", 600, "infra.a.com.")]).allow(&["a.com"]).start();
    // Nobody is tried who has not called.
    let quiet = outcome(&world, &[], WRONG_NAME);
    assert_eq!(quiet["outcome"], "not-looked-at", "{quiet:#}");
    let caller = world.caller(&world.authority.issue(&Leaf::of(["infra.a.com"])));
    let answer = world.run(caller.call("api-version", &[origin("a.com")])).unwrap();
    assert_eq!(answer.status, 200);
    eventually("its call is reported", || {
        (outcome(&world, &[], WRONG_NAME)["outcome"] == "passed").then_some(())
    });
    for (claim, seen) in [
        (WRONG_NAME, "403 authentication-failure"),
        ("it refuses a domain with a port", "domain-parse-error"),
        ("it refuses two domains at once", "domain-parse-error"),
    ] {
        let outcome = outcome(&world, &[], claim);
        let text = outcome["seen"].as_str().unwrap_or_default();
        assert!(
            outcome["outcome"] == "passed" && text.ends_with(seen.split(' ').next_back().unwrap()),
            "{outcome:#}"
        );
    }
}

#[test]
fn without_a_partner_nobody_knows_whether_names_are_compared() {
    let world = World::builder().start();
    let outcome = outcome(&world, &[], WRONG_NAME);
    assert_eq!(outcome["outcome"], "not-looked-at", "{outcome:#}");
    assert!(outcome["because"].as_str().unwrap().contains("--partner"), "{outcome:#}");
}

#[test]
fn an_envoy_that_looks_at_the_list_and_not_at_the_certificate_is_found() {
    let rules = r"{action: ALLOW, policies: {listed: {principals: [{any: true}], permissions: [{header: {name: wire-origin-domain, string_match: {exact: a.com}}}]}}}";
    let rbac = format!(
        "          - name: rbac\n            typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, rules: {rules}}}\n          - name: fedgate\n            disabled: true\n"
    );
    let world = World::builder()
        .records([record("a.com", 600, "infra.a.com.")])
        .allow(&["a.com"])
        .edit("          - name: fedgate\n", &rbac)
        .start();
    let words = [at_the_gate(&world), vec!["--partner".to_owned(), "a.com".to_owned()]].concat();
    let found = check_world(&world, &words);
    assert!(found.iter().any(|code| code == "forged-origin-answered"), "{found:?}");
    let other = outcome(&world, &[], "it refuses a domain with a port");
    assert_eq!(other["outcome"], "not-looked-at", "{other:#}");
}

/// As where NTP fails on a machine: its gate, its control plane, and whoever looks.
#[test]
fn a_machine_of_ours_whose_clock_is_off_is_found_by_a_partners_clock() {
    let clock = WallClock::new();
    let a = World::builder().backend("a.com").start();
    let b = World::builder().joins(&a).clock(&clock).allow(&["a.com"]).start();
    a.announce(&a.dns);
    a.announce(&b.dns);
    let words = at_the_gate(&b);
    for (seconds, expected) in [
        (0, None),
        (180, Some("clock-differs")),
        (-600, Some("clock-wrong")),
        (600, Some("clock-wrong")),
    ] {
        clock.set(seconds);
        // Envoy writes a date that it has looked up a moment ago.
        eventually("this alone is found", || {
            let found = above_info(at_home(&b, &words).envs(clock.environment()));
            (found == Vec::from_iter(expected)).then_some(())
        });
    }
}

#[test]
fn a_clock_of_ours_that_is_off_is_found() {
    let world = World::builder().start();
    let words = at_the_gate(&world);
    eventually_found(&world, &words, &[]);
    let clock = WallClock::new();
    for (seconds, expected) in [
        (0, None),
        (180, Some("clock-differs")),
        (-180, Some("clock-differs")),
        (600, Some("clock-wrong")),
        (-600, Some("clock-wrong")),
    ] {
        clock.set(seconds);
        let mut command = at_home(&world, &words);
        assert_eq!(above_info(command.envs(clock.environment())), Vec::from_iter(expected), "{seconds}");
    }
}

#[test]
fn a_store_that_cannot_be_written_to_is_found() {
    let disk = match Disk::mount(1) {
        Ok(disk) => disk,
        Err(reason) => {
            // Past the harness, which keeps for itself what a test prints that passes.
            let words = format!("SKIPPED a_store…: no disk can be mounted here: {reason}\n");
            return std::io::stderr().write_all(words.as_bytes()).unwrap();
        }
    };
    let world = World::builder().launcher(disk.launcher()).start();
    eventually_found::<&str>(&world, &[], &[]);
    disk.fill();
    // The store's files may have some room in them still.
    let cli = |domain: &str| world.control_plane.as_ref().unwrap().cli(&["domain", "add", domain]);
    let full = (0..10_000).any(|n| cli(&format!("d{n}.com")).is_err());
    assert!(full, "a disk that is full");
    eventually_found::<&str>(&world, &[], &["store-not-writable"]);
    disk.make_room();
    cli("z.com").unwrap();
    eventually_found::<&str>(&world, &[], &[]);
}

/// What names a world's certificates, keys and trust bundle; its SRV record is announced with that.
fn at_the_gate(world: &World) -> Vec<String> {
    world.announce(&world.dns);
    let tls = world.dir().join("envoy/tls");
    let mut words: Vec<String> =
        ["--own-domain", world.domain(), "--allow-private-addresses"].map(str::to_owned).into();
    for (flag, name) in [
        ("--server-certificate", "server.pem"),
        ("--server-key", "server.key"),
        ("--certificate", "client.pem"),
        ("--key", "client.key"),
        ("--trust", "trust.pem"),
    ] {
        let file = tls.join(name);
        words.extend([flag.to_owned(), file.to_str().unwrap().to_owned()]);
    }
    words
}

#[test]
fn a_token_that_does_not_count_is_no_verdict_on_the_control_plane() {
    let world = World::builder().start();
    let found = check_world(&world, &["--token-file", "/dev/null"]);
    assert_eq!(found, Vec::<String>::new());
}
