//! The store's disk is full: writes are refused, and nothing else changes.

use std::io::Write;

use fedgate_tests::World;
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::disk::Disk;
use fedgate_tests::dns::srv;
use fedgate_tests::process::{eventually, http};
use serde_json::Value;

use crate::claim::Expect::{Permit, Refuse};
use crate::claim::{check_http2, origin};
use crate::control_plane::verdict;

/// Puts a domain on the list; status and body of the answer.
fn put(world: &World, domain: &str) -> (u16, Value) {
    let url = format!("{}/v1/domains/{domain}", world.control_plane.as_ref().unwrap().url());
    let request = http().put(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let mut answer = request.send_empty().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or_default())
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_heals() {
    let disk = match Disk::mount(1) {
        Ok(disk) => disk,
        Err(reason) => {
            // Past the harness, which keeps for itself what a test prints that passes.
            let words = format!("SKIPPED a_full_disk…: no disk can be mounted here: {reason}\n");
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return;
        }
    };
    let mut world = World::builder()
        .launcher(disk.launcher())
        .records(["a.com", "z.com"].map(|domain| srv(domain, 3600, "infra.x.com.")))
        .allow(&["a.com"])
        .start();
    assert!(disk.path("fedgate.db").exists(), "the store is on the tiny disk");
    let list = |world: &World| {
        world.control_plane.as_ref().unwrap().cli(&["domain", "list", "--json"]).unwrap()
    };

    disk.fill();
    // The store's files may have some room in them still.
    let (number, problem) = (0..10_000)
        .map(|n| (n, put(&world, &format!("d{n}.com"))))
        .find(|(_, (status, _))| *status != 201)
        .map(|(n, (status, problem))| {
            assert_eq!(status, 507, "{problem}");
            (n, problem)
        })
        .expect("a disk that is full");
    assert!(problem["detail"].as_str().unwrap().contains("disk is full"), "{problem}");
    let acknowledged: Vec<_> = (0..number).map(|n| format!("d{n}.com")).collect();
    let check = |world: &World| {
        let list = list(world);
        assert!(list.contains("\"a.com\""));
        for domain in &acknowledged {
            assert!(list.contains(&format!("\"{domain}\"")), "{domain} was acknowledged, and is lost");
        }
        assert!(!list.contains(&format!("\"d{number}.com\"")), "what was refused is not there");
        assert_eq!(verdict(world, "a.com")["hosts"][0], "infra.x.com");
    };
    check(&world);
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "full", &[origin("a.com")], Permit("a.com"));
    check_http2(&world, &caller, "full_unlisted", &[origin("z.com")], Refuse(400, "federation-denied"));

    // Killed, it starts and reads from a disk that is full.
    world.control_plane().kill();
    world.control_plane().restart();
    check(&world);
    assert_eq!(put(&world, "more.com").0, 507, "it is full still");

    disk.make_room();
    assert_eq!(put(&world, "z.com").0, 201);
    check(&world);
    eventually("the new domain passes", || {
        let answer = world.run(async { caller.call("room", &[origin("z.com")]).await });
        (answer.unwrap().status == 200).then_some(())
    });
}
