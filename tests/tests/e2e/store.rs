//! The control plane's store: what was acknowledged is never lost, and trouble is told.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use fedgate_tests::World;
use fedgate_tests::artifacts;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ANY_PORTS, FILTER_TOKEN};
use fedgate_tests::dns::service;
use fedgate_tests::process::{PATIENCE, eventually, http, run};
use fedgate_tests::scripted::{Scripted, say};
use rustix::process::Signal;

#[test]
fn what_was_acknowledged_survives_a_kill_in_the_middle_of_writes() {
    let mut world = World::builder().start();
    let url = world.control_plane().url();
    let acknowledged = Mutex::new(vec![]);
    for round in 0..5 {
        let control_plane = world.control_plane.as_mut().unwrap();
        std::thread::scope(|scope| {
            let (url, acknowledged) = (&url, &acknowledged);
            for writer in 0..4 {
                scope.spawn(move || {
                    for n in 0.. {
                        let domain = format!("r{round}w{writer}n{n}.com");
                        let put = http()
                            .put(format!("{url}/v1/domains/{domain}"))
                            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
                            .send_empty();
                        match put {
                            Ok(answer) if answer.status() == 201 => {
                                acknowledged.lock().unwrap().push(domain);
                            }
                            Ok(_) | Err(_) => break,
                        }
                    }
                });
            }
            let enough = (round + 1) * 40;
            let started = Instant::now();
            while acknowledged.lock().unwrap().len() < enough {
                assert!(started.elapsed() < PATIENCE, "the writers make no progress");
                std::thread::yield_now();
            }
            control_plane.kill();
        });
        control_plane.restart();
        let list = control_plane.cli(&["domain", "list", "--json"]).unwrap();
        for domain in acknowledged.lock().unwrap().iter() {
            assert!(list.contains(&format!("\"{domain}\"")), "{domain} was acknowledged, and is lost");
        }
    }
}

#[test]
fn a_term_signal_ends_it_in_good_order() {
    let mut world = World::builder().start();
    let control_plane = world.control_plane();
    control_plane.add(&["a.com"]);
    control_plane.process().signal(Signal::TERM);
    let status = control_plane.process().wait();
    assert!(status.success(), "{status}");
    control_plane.restart();
    assert!(control_plane.cli(&["domain", "list"]).unwrap().contains("a.com"));
}

#[test]
fn a_term_signal_leaves_time_to_what_is_under_way() {
    let (asked, was_asked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let dns = Scripted::start(move |question| {
        asked.send(()).unwrap();
        // Once it may, it always may: the other end is gone.
        let _ = may_go_on.lock().unwrap().recv();
        say(&question.srv(&service("a.com"), "infra.a.com."))
    });
    let mut world = World::builder().ask(dns.address()).discovery("timeout = \"20s\"").start();
    world.control_plane().cli(&["strategy", "set", "allowAll"]).unwrap();
    let url = format!("{}/v1/verdicts/a.com", world.control_plane().verdicts_url());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let request = http().get(&url).header("authorization", format!("Bearer {FILTER_TOKEN}"));
            request.call().unwrap().body_mut().read_to_string().unwrap()
        });
        was_asked.recv_timeout(PATIENCE).unwrap();
        world.control_plane().process().signal(Signal::TERM);
        eventually("nobody new is let in", || http().get(&url).call().err());
        drop(go_on);
        let answer = asking.join().unwrap();
        assert!(answer.contains("infra.a.com"), "{answer}");
    });
    let status = world.control_plane().process().wait();
    assert!(status.success(), "{status}");
}

#[test]
fn a_second_control_plane_on_the_same_store_is_refused() {
    let mut world = World::builder().start();
    let dir = world.control_plane().dir().to_owned();
    let error = serve_elsewhere(&dir);
    assert!(error.contains("exit status: 1") && error.contains("fedgate.db"), "{error}");
}

#[test]
fn a_corrupt_store_is_told_and_left_as_it_is() {
    let mut world = World::builder().allow(&["a.com"]).start();
    let control_plane = world.control_plane();
    control_plane.process().signal(Signal::TERM);
    control_plane.process().wait();
    let dir = control_plane.dir().to_owned();
    let file = dir.join("fedgate.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[..4096].fill(0xab);
    fs::write(&file, &bytes).unwrap();
    let error = serve_elsewhere(&dir);
    assert!(error.contains("exit status: 1") && error.contains("fedgate.db"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing is overwritten");
}

/// What `fedgate serve` says of this folder's store, on ports of its own.
fn serve_elsewhere(dir: &std::path::Path) -> String {
    let mut command = Command::new(artifacts::fedgate());
    command.current_dir(dir).args(["serve", "--config", "fedgate.toml"]);
    command.args(ANY_PORTS);
    run(&mut command).expect_err("it does not start")
}
