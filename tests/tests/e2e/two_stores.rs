//! Two control planes that know nothing of each other, behind one cluster: told, paced, and never yes and no in turn.

use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use fedgate_tests::caller::Http2;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane};
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};
use fedgate_tests::{World, WorldBuilder};

use crate::check_own::{admin, check_world};
use crate::feed::{delete, informed, label, time_until, told};

/// Those who poll: the worker, and Envoy's main thread.
const INSTANCES: u32 = 2;

/// Where Envoy looks for the second control plane, whose list is made before it is there.
const SECOND_PORT: u16 = 8612;

/// A world with a second control plane behind the same cluster.
struct Stage {
    world: World,
    second: ControlPlane,
    _address: Address,
}

impl Stage {
    /// Where filters poll, and report nothing, so that each poll reaches another than the one before.
    fn set(listed: &[&str], of_second: &[&str]) -> Self {
        let key = "\"max_staleness_s\": 900,";
        Self::built(World::builder().edit(key, &format!("{key} \"reports\": false,")), listed, of_second)
    }

    fn built(builder: WorldBuilder, listed: &[&str], of_second: &[&str]) -> Self {
        let address = Address::claim();
        let endpoints =
            "      cluster_name: fedgate_verdicts\n      endpoints:\n      - lb_endpoints:\n";
        let another = format!(
            "{endpoints}        - endpoint: {{address: {{socket_address: {{address: {}, port_value: {SECOND_PORT}}}}}}}\n",
            address.ip()
        );
        let names = ["one.com", "two.com", "both.com", "new.com"];
        let world = builder
            .unexplained("two control planes answer in turn")
            .records(names.map(|name| srv(name, 3600, "infra.x.com.")))
            .allow(listed)
            .edit(endpoints, &another)
            .start();
        let dir = world.dir().join("second");
        let mut second = ControlPlane::start(address.ip(), &dir, world.dns.address(), "");
        second.add(of_second);
        second.kill();
        second.configure(":8601\"", &format!(":{SECOND_PORT}\""));
        second.restart();
        Self { world, second, _address: address }
    }

    fn connection(&self) -> Http2 {
        let caller = self.world.caller(&self.world.identity(&["infra.x.com"]));
        self.world.run(caller.http2()).unwrap()
    }

    fn is_told(&self) {
        eventually("both tables tell of two control planes", || {
            let lines = told(&self.world, "error", "two control planes answer in turn");
            (lines >= 2).then_some(())
        });
    }
}

/// As a control plane names itself and its store, in its log.
fn names(control_plane: &ControlPlane) -> String {
    let log = control_plane.log();
    let (_, names) = log.rsplit_once("to filters this is ").unwrap();
    names.lines().next().unwrap().to_owned()
}

fn stat(world: &World, name: &str) -> u64 {
    world.envoy.stat(&format!("wasmcustom.fedgate.ingress.{name}")).unwrap_or(0)
}

#[test]
fn the_tester_of_our_own_side_finds_them() {
    let stage = Stage::set(&["one.com"], &["two.com"]);
    stage.is_told();
    // What the filters count is in Envoy's statistics a little later.
    eventually("the tester finds them", || {
        let found = check_world(&stage.world, &["--envoy-admin", admin(&stage.world).as_str()]);
        found.iter().any(|code| code == "second-control-plane").then_some(())
    });
}

#[test]
fn they_are_told_where_polls_reach_the_one_and_reports_the_other() {
    // A report may take the other's turn each time: so its answer says who it was, too.
    let stage = Stage::built(World::builder(), &["one.com"], &["two.com"]);
    let deadline = Instant::now() + Duration::from_secs(150);
    while told(&stage.world, "error", "two control planes answer in turn") < 2 {
        assert!(Instant::now() < deadline, "{}", stage.world.envoy.log());
        std::thread::yield_now();
    }
}

#[test]
fn two_stores_behind_one_cluster_are_told_and_paced_and_only_what_both_list_passes() {
    let mut stage = Stage::set(&["one.com", "both.com"], &["two.com", "both.com"]);
    let told_since = Instant::now();
    stage.is_told();
    let connection = stage.connection();
    let world = &stage.world;
    let log = world.envoy.log();
    for control_plane in [world.control_plane.as_ref().unwrap(), &stage.second] {
        let names = names(control_plane);
        assert!(log.lines().any(|line| line.contains("[error]") && line.contains(&names)), "{names}");
    }

    let polls = || world.envoy.stat("cluster.fedgate_verdicts.upstream_rq_total").unwrap();
    let (started, before) = (Instant::now(), polls());
    while polls() < before + 12 {
        assert_eq!(label(world, &connection, "both.com"), "");
        assert_eq!(label(world, &connection, "one.com"), "federation-denied");
        assert_eq!(label(world, &connection, "two.com"), "federation-denied");
        assert!(started.elapsed() < Duration::from_secs(30), "polls go on");
    }
    // Each may have made its first poll at once.
    let least = Duration::from_secs(1) * (12 - INSTANCES) / INSTANCES;
    assert!(started.elapsed() >= least, "12 polls took {:?}", started.elapsed());
    let minutes = told_since.elapsed().as_secs() / 60 + 1;
    let lines = u64::try_from(told(world, "error", "two control planes")).unwrap();
    assert!(lines <= minutes * u64::from(INSTANCES), "it is told once a minute, not {lines} times");
    assert!(stat(world, "disputed_answers") > 0 && stat(world, "feed_resets") > 4);

    let first = world.control_plane.as_ref().unwrap();
    for control_plane in [first, &stage.second] {
        control_plane.add(&["new.com"]);
    }
    delete(&stage.second, "both.com");
    time_until(world, &connection, "both.com", "federation-denied");
    let resets = stat(world, "feed_resets");
    while stat(world, "feed_resets") < resets + 4 {
        assert_eq!(label(world, &connection, "both.com"), "federation-denied");
        assert_eq!(
            label(world, &connection, "new.com"),
            "federation-denied",
            "nothing is added meanwhile"
        );
    }

    stage.second.kill();
    let world = &stage.world;
    for domain in ["one.com", "both.com", "new.com"] {
        eventually("what the one that is left lists passes", || {
            label(world, &connection, domain).is_empty().then_some(())
        });
    }
    assert_eq!(label(world, &connection, "two.com"), "federation-denied");
    assert!(told(world, "info", "a single control plane answers again") > 0);
    world.envoy.assert_vm_alive();
}

#[test]
fn a_table_of_many_pages_that_never_becomes_whole_passes_nobody() {
    let mut stage = Stage::set(&["both.com"], &["both.com"]);
    for control_plane in [stage.world.control_plane.as_ref().unwrap(), &stage.second] {
        let label = "l".repeat(60);
        for domain in (0..100).map(|n| format!("{label}.{label}.d{n}.example.com")) {
            let put = http().put(format!("{}/v1/domains/{domain}", control_plane.url()));
            let put = put.header("authorization", format!("Bearer {ADMIN_TOKEN}")).send_empty();
            assert_eq!(put.unwrap().status(), 201);
        }
    }
    let connection = stage.connection();
    stage.is_told();
    time_until(&stage.world, &connection, "both.com", "verdict-unavailable");
    stage.second.kill();
    eventually("it passes when there is one again", || {
        label(&stage.world, &connection, "both.com").is_empty().then_some(())
    });
}

#[test]
fn a_restart_and_a_store_that_was_replaced_are_no_second_store() {
    let records = [srv("one.com", 3600, "infra.x.com."), srv("two.com", 3600, "infra.x.com.")];
    let mut world = informed(World::builder().records(records).allow(&["one.com"]).start(), 1);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    let connection = world.run(caller.http2()).unwrap();
    let store = |world: &World| {
        let names = names(world.control_plane.as_ref().unwrap());
        names.rsplit_once(' ').unwrap().1.to_owned()
    };
    let before = store(&world);
    world.control_plane().kill();
    world.control_plane().restart();
    assert_eq!(store(&world), before, "a store keeps its name");
    delete(world.control_plane(), "one.com");
    let time = time_until(&world, &connection, "one.com", "federation-denied");
    assert!(time < Duration::from_secs(2), "it took {time:?}");
    assert_eq!(told(&world, "warning", "another store"), 0);

    world.control_plane().kill();
    world.control_plane().forget();
    world.control_plane().restart();
    assert_ne!(store(&world), before);
    world.control_plane().add(&["two.com"]);
    let time = time_until(&world, &connection, "two.com", "");
    assert!(time < Duration::from_secs(3), "it took {time:?}");
    eventually("both tables tell of it, once", || {
        (told(&world, "warning", "another store") == 2).then_some(())
    });
    assert_eq!(told(&world, "error", "two control planes") + told(&world, "error", "began anew"), 0);
    assert_eq!(stat(&world, "disputed_answers"), 0);
}
