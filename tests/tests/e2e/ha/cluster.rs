//! What becomes of control planes when etcd loses members, its history, or its mind.

use std::io::Write;
use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::disk::Disk;
use fedgate_tests::etcd::{Etcd, MEMBERS};
use fedgate_tests::process::{eventually, is_ok};

use super::{Trio, all_have, get, harmed, note, page, time_until_written, within, write};

/// Within this writes are taken again.
const BACK: Duration = Duration::from_secs(5);

type Harm = fn(&Etcd, usize);

#[test]
fn with_one_member_lost_in_any_way_writes_are_back_within_five_seconds() {
    let etcd = harmed();
    let trio = Trio::on(&etcd.url_of("fedgate"));
    assert_eq!(write(&trio.control_planes[0], "a.com", Some("before")), Some(201));
    let ways: [(&str, Harm, Harm); 3] = [
        ("killed", Etcd::kill, Etcd::start_member),
        ("frozen", Etcd::freeze, Etcd::thaw),
        ("cut off", Etcd::cut, Etcd::join),
    ];
    for (way, harm, heal) in ways {
        let leader = eventually("etcd has a leader", || etcd.leader());
        harm(&etcd, leader);
        for (number, control_plane) in trio.control_planes.iter().enumerate() {
            let took = time_until_written(control_plane, &format!("by{number}.com"));
            assert!(took < within(BACK), "leader {way}, control plane {number}: {took:?}");
        }
        let name = format!("{}.example.com", way.replace(' ', "-"));
        assert_eq!(write(&trio.control_planes[1], &name, Some(way)), Some(201));
        all_have(&trio, &name, Some(way));
        heal(&etcd, leader);
        etcd.wait();
    }
    let audits =
        trio.control_planes.iter().map(|it| it.cli(&["audit", "--json", "--since", "1d"]).unwrap());
    let audits: Vec<_> = audits.collect();
    assert!(audits.iter().all(|audit| *audit == audits[0]));
}

#[test]
fn with_a_members_disk_full_it_is_as_with_any_that_is_lost() {
    let etcd = harmed();
    for number in 0..MEMBERS {
        match Disk::mount(192) {
            Ok(disk) => etcd.move_to(number, disk),
            Err(reason) => {
                let words =
                    format!("SKIPPED with_a_members_disk…: no disk can be mounted here: {reason}\n");
                return std::io::stderr().write_all(words.as_bytes()).unwrap();
            }
        }
    }
    let trio = Trio::on(&etcd.url_of("fedgate"));
    assert_eq!(write(&trio.control_planes[0], "a.com", Some("before")), Some(201));
    let leader = eventually("etcd has a leader", || etcd.leader());
    etcd.fill_disk(leader);
    for (number, control_plane) in trio.control_planes.iter().enumerate() {
        let took = time_until_written(control_plane, &format!("by{number}.com"));
        assert!(took < within(BACK), "control plane {number}: {took:?}");
    }
    all_have(&trio, "by2.com", Some("again"));
    etcd.make_room(leader);
    etcd.wait();
    // It has caught up with the others, so that another may be lost.
    etcd.kill((leader + 1) % MEMBERS);
    assert!(time_until_written(&trio.control_planes[0], "later.com") < within(BACK));
    all_have(&trio, "by0.com", Some("again"));
    all_have(&trio, "later.com", Some("again"));
}

#[test]
fn without_a_majority_what_is_known_is_served_with_its_age_and_no_write_is_taken() {
    let etcd = harmed();
    let trio = Trio::on(&etcd.url_of("fedgate"));
    let control_plane = &trio.control_planes[0];
    assert_eq!(write(control_plane, "a.com", Some("kept")), Some(201));
    (1..MEMBERS).for_each(|member| etcd.kill(member));
    eventually("it is no longer ready", || {
        (!is_ok(&format!("{}/readyz", control_plane.url()))).then_some(())
    });
    let (status, problem) = {
        let url = format!("{}/v1/domains/b.com", control_plane.url());
        let put = fedgate_tests::process::http().put(url);
        let put = put.header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let put = put.header("content-type", "application/json").send("{}").unwrap();
        (put.status().as_u16(), put.into_body().read_to_string().unwrap())
    };
    assert_eq!(status, 503, "{problem}");
    assert!(
        problem.contains("the store cannot be reached") && problem.contains("majority"),
        "{problem}"
    );
    assert_eq!(note(control_plane, "a.com").as_deref(), Some("kept"));
    let age = || page(control_plane, "")["age_ms"].as_u64().unwrap();
    let first = age();
    assert!(first > 2_000, "{first}");
    eventually("its age goes on", || (age() > first + 500).then_some(()));
    (1..MEMBERS).for_each(|member| etcd.start_member(member));
    etcd.wait();
    eventually("it is ready again", || is_ok(&format!("{}/readyz", control_plane.url())).then_some(()));
    eventually("and knows the present", || (age() < 1_500).then_some(()));
    assert_eq!(note(control_plane, "b.com"), None, "what was refused was not done");
    let log = control_plane.log();
    assert!(
        log.contains("the store does not answer") && log.contains("the store answers again"),
        "{log}"
    );
}

#[test]
fn a_history_that_is_compacted_away_costs_a_control_plane_nothing() {
    let etcd = harmed();
    let mut trio = Trio::on(&etcd.url_of("fedgate"));
    assert_eq!(write(&trio.control_planes[0], "a.com", Some("first")), Some(201));
    all_have(&trio, "a.com", Some("first"));
    let cursor = super::table(&trio.control_planes[2]).1;
    trio.control_planes[2].freeze();
    for number in 0..5 {
        let domain = format!("d{number}.com");
        assert_eq!(write(&trio.control_planes[0], &domain, Some("n")), Some(201));
    }
    assert_eq!(write(&trio.control_planes[1], "a.com", None), Some(204));
    etcd.compact();
    // Its connections are over, and what it has not read of its watch with them.
    (0..MEMBERS).for_each(|member| etcd.cut(member));
    (0..MEMBERS).for_each(|member| etcd.join(member));
    etcd.wait();
    etcd.compact();
    trio.control_planes[2].thaw();
    all_have(&trio, "a.com", None);
    all_have(&trio, "d4.com", Some("n"));
    let page = page(&trio.control_planes[2], &cursor);
    assert_eq!((&page["reset"], page["removed"][0].as_str()), (&false.into(), Some("a.com")), "{page}");
}

#[test]
fn a_backup_that_is_restored_counts_everywhere_and_no_filter_keeps_what_it_took_back() {
    let etcd = harmed();
    let trio = Trio::on(&etcd.url_of("fedgate"));
    let [one, other, third] = &trio.control_planes;
    assert_eq!(write(one, "kept.com", Some("n")), Some(201));
    all_have(&trio, "kept.com", Some("n"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot");
    etcd.snapshot(&file);
    for number in 0..3 {
        assert_eq!(write(one, &format!("later{number}.com"), Some("n")), Some(201));
    }
    all_have(&trio, "later2.com", Some("n"));
    let cursors: Vec<_> = trio.control_planes.iter().map(|it| super::table(it).1).collect();
    etcd.restore(&file);
    for it in &trio.control_planes {
        eventually("what came after the backup is gone", || {
            note(it, "later0.com").is_none().then_some(())
        });
        assert!(it.log().contains("the store is older than it was"), "{}", it.log());
    }
    // As many writes as were lost, and one more: numbers that were there before name something else now.
    for number in 0..4 {
        assert_eq!(write(other, &format!("new{number}.com"), Some("n")), Some(201));
    }
    all_have(&trio, "new3.com", Some("n"));
    let own = page(third, &cursors[2]);
    let mut removed: Vec<_> =
        own["removed"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    removed.sort_unstable();
    assert_eq!(
        (&own["reset"], removed),
        (&false.into(), vec!["later0.com", "later1.com", "later2.com"])
    );
    assert_eq!(page(third, &cursors[0])["reset"], true, "a cursor of a history that is no more");
    let strategy = get(&format!("{}/v1/strategy", one.url()), ADMIN_TOKEN);
    assert_eq!(strategy.0, 200);
}

#[test]
fn a_control_plane_starts_where_a_member_is_dead_and_waits_for_a_majority() {
    let etcd = harmed();
    let url = etcd.url_of("fedgate");
    etcd.kill(0);
    let begun = Instant::now();
    let trio = Trio::on(&url);
    assert!(begun.elapsed() < within(Duration::from_secs(20)), "{:?}", begun.elapsed());
    assert_eq!(write(&trio.control_planes[0], "a.com", Some("n")), Some(201));
    etcd.kill(1);
    let address = Address::claim();
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(fedgate_tests::artifacts::fedgate())
        .args(["serve", "--store-url", &url, "--discovery-servers", &address.dns().to_string()])
        .args(fedgate_tests::control_plane::ANY_PORTS)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("the store cannot be reached"), "{said}");
}
