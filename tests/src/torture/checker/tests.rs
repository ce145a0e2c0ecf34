//! Histories that are right, and the same with one thing wrong: to each of those the checker has to object.

use super::super::facts::Door;
use super::*;

const DENIED: Truth = Truth::Never(Some("federation-denied"));

fn call(truth: Truth, from: Ms, outcome: Outcome) -> Call {
    Call { side: Side::B, door: Door::Ingress, truth, from, to: from + 20, outcome, seen: None }
}

fn listed(from: Ms, outcome: Outcome) -> Call {
    call(Truth::Listed("c.com".to_owned()), from, outcome)
}

fn refused(label: &str) -> Outcome {
    Outcome::Refused(400, label.to_owned())
}

fn wrong(checker: &Checker, call: &Call) -> Option<Wrong> {
    checker.ended(call).map(|violation| violation.kind)
}

/// On the list of b.com from 100 ms on, off it again at 20,000 ms.
fn added_and_removed() -> Checker {
    let mut checker = Checker::default();
    for (list, sent, answered) in [(true, 90, 100), (false, 19_990, 20_000)] {
        write(&mut checker, list, sent, answered, Written::Acknowledged);
    }
    checker
}

fn write(checker: &mut Checker, list: bool, sent: Ms, answered: Ms, written: Written) {
    let before = checker.sent(Side::B, "c.com", list, sent);
    checker.answered((Side::B, "c.com"), (list, before), written, answered);
}

fn fault(checker: &mut Checker, concern: Concern, from: Ms, lifted: Ms) {
    checker.hurt(&[(concern, from)]);
    checker.healed(&[(concern, from)], lifted, lifted + 300);
}

#[test]
fn whoever_is_never_to_be_admitted_is_a_violation_however_it_came_in() {
    let mut checker = Checker::default();
    checker.hurt(&[(Concern::Door(Side::B, Door::Ingress), 0), (Concern::Feed(Side::B), 0)]);
    let labels = [Some("federation-denied"), Some("authentication-failure"), None];
    for truth in labels.map(Truth::Never) {
        let passed = call(truth.clone(), 50, Outcome::Passed);
        assert_eq!(wrong(&checker, &passed), Some(Wrong::Admitted), "faults excuse nothing");
        // The caller heard nothing, or a refusal; the service behind the gate saw the call.
        for outcome in [Outcome::Broken("reset".to_owned()), refused("federation-denied"), Outcome::Hung]
        {
            let seen = Call { seen: Some(60), ..call(truth.clone(), 50, outcome) };
            assert_eq!(wrong(&checker, &seen), Some(Wrong::Admitted));
        }
        assert_eq!(wrong(&checker, &call(truth, 50, Outcome::Broken(String::new()))), None);
    }
}

#[test]
fn a_removal_counts_after_a_second() {
    let checker = added_and_removed();
    for (from, expected) in [
        (85, None),
        (10_000, None),
        (20_900, None),
        (21_001, Some(Wrong::Admitted)),
        (90_000, Some(Wrong::Admitted)),
    ] {
        let admitted = wrong(&checker, &listed(from, Outcome::Passed));
        assert_eq!(admitted, expected, "at {from}");
    }
}

#[test]
fn whoever_never_was_on_the_list_is_refused_from_the_first_second_on() {
    let mut checker = Checker::default();
    write(&mut checker, true, 5000, 5010, Written::Refused);
    assert_eq!(wrong(&checker, &listed(2000, Outcome::Passed)), Some(Wrong::Admitted));
    assert_eq!(wrong(&checker, &listed(7000, Outcome::Passed)), Some(Wrong::Admitted));
}

#[test]
fn a_fault_of_the_feed_delays_a_removal_until_it_has_healed_and_no_longer() {
    let mut checker = added_and_removed();
    fault(&mut checker, Concern::Feed(Side::B), 20_500, 23_000);
    assert_eq!(wrong(&checker, &listed(27_900, Outcome::Passed)), None);
    assert_eq!(wrong(&checker, &listed(28_001, Outcome::Passed)), Some(Wrong::Admitted));
}

#[test]
fn for_how_long_a_removal_is_outlived_is_measured() {
    let mut checker = added_and_removed();
    let seen = |from, seen| Call { seen, ..listed(from, Outcome::Passed) };
    assert_eq!(checker.outlived(&seen(19_000, Some(19_010))), None);
    assert_eq!(checker.outlived(&seen(20_100, Some(20_150))), Some((false, 150)));
    assert_eq!(checker.outlived(&listed(20_100, refused("federation-denied"))), None);
    fault(&mut checker, Concern::Feed(Side::B), 20_050, 21_000);
    assert_eq!(checker.outlived(&seen(20_100, None)), Some((true, 120)));
}

#[test]
fn a_fault_of_something_else_delays_nothing() {
    let mut checker = added_and_removed();
    fault(&mut checker, Concern::Names(Side::B), 20_500, 23_000);
    fault(&mut checker, Concern::Feed(Side::A), 20_500, 23_000);
    fault(&mut checker, Concern::Feed(Side::B), 21_100, 23_000);
    assert_eq!(wrong(&checker, &listed(21_050, Outcome::Passed)), Some(Wrong::Admitted));
}

#[test]
fn no_fault_delays_a_removal_for_longer_than_what_is_known_may_be_old() {
    let mut checker = added_and_removed();
    checker.hurt(&[(Concern::Feed(Side::B), 19_000)]);
    let last = 20_000 + Side::B.staleness() + ON_THE_WAY;
    assert_eq!(wrong(&checker, &listed(last, Outcome::Passed)), None);
    assert_eq!(wrong(&checker, &listed(last + 1, Outcome::Passed)), Some(Wrong::Admitted));
}

#[test]
fn a_removal_without_an_answer_leaves_either_right() {
    let mut checker = Checker::default();
    write(&mut checker, true, 90, 100, Written::Acknowledged);
    write(&mut checker, false, 20_000, 20_010, Written::Unknown);
    for outcome in [Outcome::Passed, refused("federation-denied")] {
        assert_eq!(wrong(&checker, &listed(60_000, outcome)), None);
    }
    assert_eq!(checker.read(Side::B, (70_000, 70_010), &[]), vec![]);
    assert_eq!(wrong(&checker, &listed(72_000, Outcome::Passed)), Some(Wrong::Admitted));
}

#[test]
fn a_host_that_dns_no_longer_names_is_refused_when_its_record_has_ended() {
    let mut checker = Checker::default();
    checker.moved(0, 0);
    checker.moved(1, 50_000);
    let passes = |host, from| wrong(&checker, &call(Truth::Host(host), from, Outcome::Passed));
    assert_eq!(passes(0, 50_000 + RECORD_LIVES - 1), None);
    assert_eq!(passes(0, 50_000 + RECORD_LIVES), Some(Wrong::Admitted));
    assert_eq!(passes(1, 40_000), Some(Wrong::Admitted));
    assert_eq!(passes(1, 60_000), None);
    let refused = |from| wrong(&checker, &call(Truth::Host(1), from, refused("authentication-failure")));
    assert_eq!(refused(60_000), None, "the earlier answer may stand");
    assert_eq!(refused(90_000), Some(Wrong::Needless));
}

#[test]
fn a_partner_is_refused_only_where_a_fault_may_hurt() {
    let mut checker = Checker::default();
    let door = Concern::Door(Side::B, Door::Ingress);
    fault(&mut checker, door, 10_000, 12_000);
    fault(&mut checker, Concern::Feed(Side::B), 30_000, 32_000);
    fault(&mut checker, Concern::Door(Side::A, Door::Ingress), 40_000, 42_000);
    for (from, expected) in [
        (5000, Some(Wrong::Needless)),
        (9990, None),
        (16_990, None),
        (17_001, Some(Wrong::Needless)),
        (31_000, Some(Wrong::Needless)),
        (41_000, Some(Wrong::Needless)),
    ] {
        for outcome in [refused("verdict-unavailable"), Outcome::Broken("reset".to_owned())] {
            assert_eq!(wrong(&checker, &call(Truth::Partner, from, outcome)), expected, "at {from}");
        }
        assert_eq!(wrong(&checker, &call(Truth::Partner, from, Outcome::Passed)), None);
    }
}

#[test]
fn two_faults_at_the_same_time_excuse_no_more_once_both_are_lifted() {
    let mut checker = added_and_removed();
    let feed = Concern::Feed(Side::B);
    checker.hurt(&[(feed, 20_100)]);
    checker.hurt(&[(feed, 20_200), (Concern::Names(Side::B), 20_200)]);
    checker.healed(&[(feed, 0)], 23_000, 23_300);
    assert_eq!(wrong(&checker, &listed(27_900, Outcome::Passed)), None);
    assert_eq!(wrong(&checker, &listed(28_001, Outcome::Passed)), Some(Wrong::Admitted));
}

#[test]
fn what_heals_late_is_told_once_and_excuses_no_longer_than_it_took() {
    let mut checker = added_and_removed();
    let door = (Concern::Door(Side::B, Door::Ingress), 20_000);
    checker.hurt(&[door]);
    checker.healed(&[door], 22_000, 31_000);
    let failed =
        |from| wrong(&checker, &call(Truth::Partner, from, Outcome::Broken("reset".to_owned())));
    assert_eq!(failed(30_900), None);
    assert_eq!(failed(31_001), Some(Wrong::Needless));
}

#[test]
fn an_addition_counts_within_seconds_where_names_can_be_found() {
    let mut checker = Checker::default();
    write(&mut checker, true, 90, 100, Written::Acknowledged);
    let denied = |checker: &Checker, from| wrong(checker, &listed(from, refused("federation-denied")));
    assert_eq!(denied(&checker, 5000), None);
    assert_eq!(denied(&checker, 5200), Some(Wrong::Needless));
    fault(&mut checker, Concern::Names(Side::B), 200, 2000);
    assert_eq!(denied(&checker, 6900), None);
    assert_eq!(denied(&checker, 7100), Some(Wrong::Needless));
}

#[test]
fn a_refusal_for_another_reason_is_told() {
    let mut checker = Checker::default();
    assert_eq!(wrong(&checker, &call(DENIED, 10, refused("federation-denied"))), None);
    assert_eq!(
        wrong(&checker, &call(DENIED, 10, refused("verdict-unavailable"))),
        Some(Wrong::Needless)
    );
    assert_eq!(wrong(&checker, &call(Truth::Never(None), 10, refused("x"))), Some(Wrong::Needless));
    fault(&mut checker, Concern::Feed(Side::B), 20, 30);
    assert_eq!(wrong(&checker, &call(DENIED, 40, refused("verdict-unavailable"))), None);
}

#[test]
fn a_call_that_takes_too_long_is_told_whatever_is_under_way() {
    let mut checker = Checker::default();
    checker.hurt(&[(Concern::Door(Side::B, Door::Ingress), 0)]);
    assert_eq!(wrong(&checker, &call(Truth::Partner, 10, Outcome::Hung)), Some(Wrong::Hung));
    let late = Call { to: 10 + CALL_WITHIN + 1, ..call(Truth::Partner, 10, Outcome::Passed) };
    assert_eq!(wrong(&checker, &late), Some(Wrong::Hung));
    let in_time = Call { to: 10 + CALL_WITHIN, ..call(Truth::Partner, 10, Outcome::Passed) };
    assert_eq!(wrong(&checker, &in_time), None);
}

#[test]
fn a_list_that_is_not_as_acknowledged_is_told() {
    let named = |domains: &[&str]| domains.iter().map(ToString::to_string).collect::<Vec<_>>();
    let lost = |checker: &mut Checker, span, domains: &[&str]| {
        let found = checker.read(Side::B, span, &named(domains));
        found.iter().filter(|violation| violation.kind == Wrong::Lost).count()
    };
    let mut checker = added_and_removed();
    assert_eq!(lost(&mut checker, (200, 210), &["c.com"]), 0);
    assert_eq!(lost(&mut checker, (200, 210), &[]), 1, "an acknowledged addition is lost");
    assert_eq!(lost(&mut checker, (19_980, 19_995), &["c.com"]), 0, "read while it is removed");
    assert_eq!(lost(&mut checker, (19_980, 19_995), &[]), 0, "read while it is removed");
    assert_eq!(lost(&mut checker, (30_000, 30_010), &[]), 0);
    assert_eq!(lost(&mut checker, (30_000, 30_010), &["c.com"]), 1, "a removed entry is back");
    assert_eq!(lost(&mut checker, (30_000, 30_010), &["d.com"]), 1, "nobody put it there");
    write(&mut checker, true, 40_000, 40_010, Written::Unknown);
    assert_eq!(lost(&mut checker, (50_000, 50_010), &["c.com"]), 0, "either is right");
    assert_eq!(lost(&mut checker, (60_000, 60_010), &[]), 1, "it was there before");
}
