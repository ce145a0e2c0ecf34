//! What clients of three control planes see of the list is what one list would have said.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fedgate_tests::control_plane::ControlPlane;
use fedgate_tests::etcd::{Etcd, MEMBERS};
use fedgate_tests::linear::{Deed, Operation, check};
use fedgate_tests::process::eventually;
use fedgate_tests::rng::Rng;

use super::{Trio, harmed, note, tell, write};

/// The registers.
const DOMAINS: [&str; 3] = ["a.com", "b.com", "c.com"];
/// How many write at each control plane.
const WRITERS: u64 = 2;

/// For how long; a campaign takes longer.
fn time() -> Duration {
    let seconds = std::env::var("FEDGATE_HA_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// Writes and removes, from one client, until it is over.
fn write_on(
    control_plane: &ControlPlane,
    mut rng: Rng,
    until: Instant,
    history: &Mutex<Vec<Operation>>,
) {
    let mut count = 0_u64;
    let name = rng.draw();
    while Instant::now() < until {
        count += 1;
        let key = DOMAINS[usize::try_from(rng.between(0, 3)).unwrap()].to_owned();
        let value = (!rng.coin()).then(|| format!("{name:x}-{count}"));
        let begun = Instant::now();
        let status = write(control_plane, &key, value.as_deref());
        let ended = Some(Instant::now());
        let (deed, ended) = match status {
            Some(200 | 201 | 204) => (Deed::Write(value), ended),
            // There was nothing to remove.
            Some(404) => (Deed::Read(None), ended),
            // It may have been written all the same, or be yet.
            Some(503) | None => (Deed::Write(value), None),
            Some(other) => panic!("a write of {key} came to {other}"),
        };
        history.lock().unwrap().push(Operation { key, deed, begun, ended });
    }
}

/// Kills, freezes and cuts off one member after the other, until it is over.
fn harm(etcd: &Etcd, mut rng: Rng, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let member = usize::try_from(rng.between(0, MEMBERS as u64)).unwrap();
        let way = rng.between(0, 3);
        [Etcd::kill, Etcd::freeze, Etcd::cut][usize::try_from(way).unwrap()](etcd, member);
        let until = Instant::now() + Duration::from_secs(2);
        eventually("the harm has lasted", || (Instant::now() > until).then_some(()));
        [Etcd::start_member, Etcd::thaw, Etcd::join][usize::try_from(way).unwrap()](etcd, member);
        etcd.wait();
    }
}

#[test]
fn writers_at_three_control_planes_see_one_list_while_members_are_lost() {
    let etcd = harmed();
    let trio = Trio::on(&etcd.url_of("fedgate"));
    let (history, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let until = Instant::now() + time();
    let mut rng = Rng::new(14);
    std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for control_plane in &trio.control_planes {
            for _ in 0..WRITERS {
                let (rng, history) = (rng.fork(), &history);
                writers.push(scope.spawn(move || write_on(control_plane, rng, until, history)));
            }
        }
        let (rng, etcd, is_over) = (rng.fork(), &etcd, &is_over);
        scope.spawn(move || harm(etcd, rng, is_over));
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    // A conditional write that changes nothing is decided on what etcd has: then all have heard of all before.
    for control_plane in &trio.control_planes {
        assert_eq!(eventually("a write is taken", || write(control_plane, "last.com", Some("x"))), 201);
        assert_eq!(eventually("and taken back", || write(control_plane, "last.com", None)), 204);
    }
    let mut history = history.into_inner().unwrap();
    for control_plane in &trio.control_planes {
        for key in DOMAINS {
            let begun = Instant::now();
            let deed = Deed::Read(note(control_plane, key));
            history.push(Operation { key: key.to_owned(), deed, begun, ended: Some(Instant::now()) });
        }
    }
    let done = history.iter().filter(|it| it.ended.is_some()).count();
    let unknown = history.len() - done;
    tell(&format!("{done} operations, and {unknown} of which nobody knows"));
    assert!(done > 50, "{done} operations, {unknown} unknown");
    check(&history).unwrap();
}
