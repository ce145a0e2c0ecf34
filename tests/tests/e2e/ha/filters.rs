//! Filters behind several control planes: what they decide while one of these, or of etcd's members, is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fedgate_tests::World;
use fedgate_tests::control_plane::ControlPlane;
use fedgate_tests::etcd::{Etcd, MEMBERS};
use fedgate_tests::process::eventually;
use fedgate_tests::rng::Rng;
use fedgate_tests::several::Several;

use super::{harmed, is_campaign, tell, time_until_written, within, write};
use crate::claim::origin;

/// Within this a filter whose control plane is gone is with another.
const MOVED: Duration = Duration::from_secs(2);
/// Calls on one connection.
const CALLS: usize = 100;
/// Within this writes are taken again.
const BACK: Duration = Duration::from_secs(5);

/// How many control planes an Envoy knows to be ready: it was there before they were.
fn ready(world: &World) -> u64 {
    world.envoy.stat("cluster.fedgate_verdicts.membership_healthy").unwrap_or(0)
}

fn resets(world: &World) -> u64 {
    world.envoy.stat("wasmcustom.fedgate.ingress.feed_resets").unwrap_or(0)
}

#[test]
fn a_removal_by_one_control_plane_is_refused_by_the_filters_of_the_others() {
    let etcd = Etcd::shared();
    let mut several = Several::start(&etcd.url(), &[]);
    assert_eq!(write(several.control_planes()[0], "a.com", Some("n")), Some(201));
    several.until("a.com", "");
    for _ in 0..3 {
        assert_eq!(write(&several.third, "a.com", None), Some(204));
        let took = several.until("a.com", "federation-denied");
        assert!(took < within(Duration::from_secs(1)), "{took:?}");
        assert_eq!(write(&several.third, "a.com", Some("n")), Some(201));
        several.until("a.com", "");
    }
    several.worlds.iter().for_each(|world| world.envoy.assert_vm_alive());
}

/// In a campaign, which has bounds: until no filter is patient any more with control planes that were not there yet when
/// it began to ask.
fn until_calm() {
    let until = Instant::now() + Duration::from_secs(11);
    eventually("filters have forgotten", || (!is_campaign() || Instant::now() > until).then_some(()));
}

/// An Envoy whose control plane is gone in this way goes on with another, and keeps its table.
fn goes_on(harm: fn(&mut ControlPlane)) {
    let etcd = Etcd::shared();
    let mut several = Several::start(&etcd.url(), &[]);
    assert_eq!(write(&several.third, "a.com", Some("n")), Some(201));
    several.until("a.com", "");
    eventually("all control planes are ready", || {
        several.worlds.iter().all(|world| ready(world) == 3).then_some(())
    });
    let before: Vec<_> = several.worlds.iter().map(resets).collect();
    until_calm();
    let gone = Instant::now();
    harm(several.control_planes()[0]);
    assert_eq!(write(&several.third, "c.com", Some("n")), Some(201));
    several.until("c.com", "");
    let took = gone.elapsed();
    tell(&format!("with another after {took:?}"));
    assert!(took < within(MOVED), "{took:?}");
    assert_eq!(several.worlds.iter().map(resets).collect::<Vec<_>>(), before, "no table begins anew");
}

#[test]
fn a_filter_whose_control_plane_is_killed_goes_on_with_another_and_keeps_its_table() {
    goes_on(ControlPlane::kill);
}

#[test]
fn a_filter_whose_control_plane_is_frozen_goes_on_with_another_and_keeps_its_table() {
    goes_on(ControlPlane::freeze);
}

#[test]
fn filters_of_control_planes_without_a_store_refuse_after_the_bound_and_pass_again_when_it_is_back() {
    let etcd = harmed();
    let bound = "\"max_staleness_s\": 8";
    let mut several = Several::start(&etcd.url_of("fedgate"), &[("\"max_staleness_s\": 900", bound)]);
    assert_eq!(write(several.control_planes()[0], "a.com", Some("n")), Some(201));
    several.until("a.com", "");
    (1..MEMBERS).for_each(|member| etcd.kill(member));
    let cut = Instant::now();
    several.until("a.com", "verdict-unavailable");
    let took = cut.elapsed();
    assert!(took > Duration::from_secs(7) && took < within(Duration::from_secs(14)), "{took:?}");
    (1..MEMBERS).for_each(|member| etcd.start_member(member));
    several.until("a.com", "");
    several.until("c.com", "federation-denied");
}

/// How many rounds of harm; a campaign has more.
fn rounds() -> usize {
    std::env::var("FEDGATE_HA_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Says that it is over, when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Two Envoys and three control planes, where `a.com` may pass and `c.com` may not.
fn staged(etcd: &Etcd) -> Several {
    let several = Several::start(&etcd.url_of("fedgate"), &[]);
    assert_eq!(write(&several.third, "a.com", Some("n")), Some(201));
    several.until("a.com", "");
    several.until("c.com", "federation-denied");
    several
}

/// Calls both Envoys while `what` goes on, and holds every answer against what is right; how many there were.
fn while_calls_flow(several: &mut Several, what: impl FnOnce(&mut Several)) -> usize {
    let (is_over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let callers = several.callers();
    let runtimes: Vec<_> = several.worlds.iter().map(|world| world.runtime().handle().clone()).collect();
    std::thread::scope(|scope| {
        for (runtime, caller) in runtimes.iter().zip(&callers) {
            for (domain, expected) in [("a.com", ""), ("c.com", "federation-denied")] {
                let (is_over, calls) = (&is_over, &calls);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        // Envoy ends a connection after so many requests, or so long.
                        let connection = runtime.block_on(caller.http2()).unwrap();
                        for _ in 0..CALLS {
                            let answer = runtime.block_on(connection.call("flow", &[origin(domain)]));
                            assert_eq!(answer.unwrap().label(), expected, "{domain}");
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        }
        // Also where that panics: the calls are waited for.
        let _end = Ends(&is_over);
        what(several);
    });
    several.worlds.iter().for_each(|world| world.envoy.assert_vm_alive());
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls > 100);
    calls
}

#[test]
fn whatever_is_lost_nobody_is_refused_who_may_pass_and_nobody_passes_who_may_not() {
    let etcd = harmed();
    let (mut several, mut rng, mut longest) = (staged(&etcd), Rng::new(1402), Duration::ZERO);
    let calls = while_calls_flow(&mut several, |several| {
        for round in 0..rounds() {
            let leader = eventually("etcd has a leader", || etcd.leader());
            let way = rng.between(0, 5);
            match way {
                0 => etcd.kill(leader),
                1 => etcd.freeze(leader),
                2 => etcd.cut(leader),
                3 => several.control_planes()[0].kill(),
                _ => several.control_planes()[1].freeze(),
            }
            let begun = Instant::now();
            let domain = format!("round{round}.com");
            eventually("writes are back", || {
                matches!(write(&several.third, &domain, Some("n")), Some(200 | 201)).then_some(())
            });
            longest = longest.max(begun.elapsed());
            match way {
                0 => etcd.start_member(leader),
                1 => etcd.thaw(leader),
                2 => etcd.join(leader),
                3 => several.control_planes()[0].restart(),
                _ => several.control_planes()[1].thaw(),
            }
            etcd.wait();
        }
    });
    tell(&format!("{calls} calls; writes were back after {longest:?} at the latest"));
    assert!(longest < within(BACK), "{longest:?}");
}

#[test]
fn control_planes_are_replaced_one_after_the_other_and_no_call_is_refused() {
    let etcd = harmed();
    let mut several = staged(&etcd);
    let before: Vec<_> = several.worlds.iter().map(resets).collect();
    while_calls_flow(&mut several, |several| {
        for number in 0..3 {
            several.control_planes()[number].terminate();
            let other = &several.control_planes()[(number + 1) % 3];
            // Whoever starts has not heard of it, and neither has a filter that comes back at once.
            assert!(time_until_written(other, &format!("meanwhile{number}.com")) < within(BACK));
            several.control_planes()[number].restart();
        }
    });
    assert_eq!(several.worlds.iter().map(resets).collect::<Vec<_>>(), before, "no table begins anew");
}
