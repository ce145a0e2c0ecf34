//! What is written, told and noted in each case.

#![allow(
    clippy::option_option,
    clippy::too_many_lines,
    clippy::unnecessary_wraps,
    reason = "a table of cases, in which each part may be missing"
)]

use fedgate_allow_list::terms::SearchPolicy;

use super::*;

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

/// Policies that are told apart.
fn full() -> Policy {
    Policy { search_policy: SearchPolicy::FullSearch, ..Policy::default() }
}

/// One domain: what our list says, brig's row, and what the ledger has.
struct Case {
    wish: Option<Option<Policy>>,
    row: Option<Policy>,
    written: Option<Written>,
}

fn planned(case: &Case, claim: Claim, held: bool, pending: bool) -> Plan {
    let d = domain("d.com");
    let wishes = case.wish.iter().map(|wish| (d.clone(), wish.clone())).collect();
    let rows = case.row.iter().map(|row| (d.clone(), row.clone())).collect();
    let ledger = case.written.iter().map(|written| (d.clone(), written.clone())).collect();
    plan(&Facts {
        wishes: &wishes,
        seen: &Seen { rows, ..Seen::default() },
        ledger: &ledger,
        held: &|_, _| held.then(|| "brig said no".to_owned()),
        pending: &|_| pending,
        claim,
    })
}

/// Policy and whether there is a row; kind; whether it is still listed; what is noted.
type Told = (Option<(Policy, bool)>, Option<Kind>, bool, Option<Option<bool>>);

fn told(plan: &Plan) -> Told {
    assert!(plan.writes.len() <= 1 && plan.drift.len() <= 1 && plan.settled.len() <= 1);
    (
        plan.writes.first().map(|write| (write.policy.clone(), write.exists)),
        plan.drift.first().map(|it| it.kind),
        !plan.still_listed.is_empty(),
        plan.settled.first().map(|(_, written)| written.as_ref().map(|written| written.confirmed)),
    )
}

fn ours(policy: Policy) -> Option<Written> {
    Some(Written { policy, confirmed: true })
}

fn intended(policy: Policy) -> Option<Written> {
    Some(Written { policy, confirmed: false })
}

#[test]
fn each_case_has_its_write_and_what_is_told() {
    let usual = Policy::default;
    let closed = Policy::closed;
    let listed = |policy| Some(Some(policy));
    let no_entry = None;
    let blocked = Some(None);
    for (name, wish, row, written, expected) in [
        ("new", listed(usual()), None, None, (Some((usual(), false)), Some(Kind::Missing), false, None)),
        (
            "ours, gone from brig",
            listed(usual()),
            None,
            ours(usual()),
            (Some((usual(), false)), Some(Kind::Missing), false, None),
        ),
        ("in step, ours", listed(usual()), Some(usual()), ours(usual()), (None, None, false, None)),
        (
            "in step, intended",
            listed(usual()),
            Some(usual()),
            intended(usual()),
            (None, None, false, Some(Some(true))),
        ),
        ("in step, not ours", listed(usual()), Some(usual()), None, (None, None, false, None)),
        (
            "changed, ours",
            listed(full()),
            Some(usual()),
            ours(usual()),
            (Some((full(), true)), Some(Kind::Differing), false, None),
        ),
        (
            "changed by hand in brig, ours",
            listed(usual()),
            Some(full()),
            ours(usual()),
            (Some((usual(), true)), Some(Kind::Differing), false, None),
        ),
        (
            "differs, not ours",
            listed(full()),
            Some(usual()),
            None,
            (None, Some(Kind::NotOurs), false, None),
        ),
        (
            "listed, closed by others",
            listed(full()),
            Some(closed()),
            None,
            (None, Some(Kind::NotOurs), false, None),
        ),
        // Killed between the note and the write, and somebody else wrote it meanwhile.
        (
            "intended, others were first",
            listed(full()),
            Some(usual()),
            intended(full()),
            (None, Some(Kind::NotOurs), false, Some(None)),
        ),
        (
            "intended, changed since",
            listed(full()),
            Some(usual()),
            intended(usual()),
            (Some((full(), true)), Some(Kind::Differing), false, Some(Some(true))),
        ),
        (
            "removed, ours",
            no_entry.clone(),
            Some(usual()),
            ours(usual()),
            (Some((closed(), true)), Some(Kind::Open), false, None),
        ),
        (
            "blocked, ours",
            blocked.clone(),
            Some(usual()),
            ours(usual()),
            (Some((closed(), true)), Some(Kind::Open), false, None),
        ),
        (
            "removed, not ours",
            no_entry.clone(),
            Some(usual()),
            None,
            (None, Some(Kind::NotOurs), false, None),
        ),
        (
            "blocked, not ours",
            blocked.clone(),
            Some(usual()),
            None,
            (None, Some(Kind::NotOurs), false, None),
        ),
        ("closed", no_entry.clone(), Some(closed()), ours(closed()), (None, None, true, None)),
        ("closed, blocked", blocked, Some(closed()), ours(closed()), (None, None, true, None)),
        ("closed by others", no_entry.clone(), Some(closed()), None, (None, None, false, None)),
        (
            "listed again after it was closed",
            listed(usual()),
            Some(closed()),
            ours(closed()),
            (Some((usual(), true)), Some(Kind::Differing), false, None),
        ),
        ("nowhere", no_entry.clone(), None, ours(usual()), (None, None, false, Some(None))),
        ("nowhere, intended", no_entry, None, intended(usual()), (None, None, false, Some(None))),
    ] {
        let plan = planned(&Case { wish, row, written }, Claim::Written, false, false);
        assert_eq!(told(&plan), expected, "{name}");
    }
}

#[test]
fn to_overwrite_takes_rows_of_listed_domains_and_no_others() {
    let closed = Policy::closed;
    let usual = Policy::default;
    for (name, wish, row, expected) in [
        (
            "differs",
            Some(Some(full())),
            usual(),
            (Some((full(), true)), Some(Kind::Differing), false, None),
        ),
        ("same", Some(Some(usual())), usual(), (None, None, false, Some(Some(true)))),
        ("blocked", Some(None), usual(), (Some((closed(), true)), Some(Kind::Open), false, None)),
        // An empty list of ours is no word on what brig has.
        ("no entry", None, usual(), (None, Some(Kind::NotOurs), false, None)),
    ] {
        let plan = planned(&Case { wish, row: Some(row), written: None }, Claim::Listed, false, false);
        assert_eq!(told(&plan), expected, "{name}");
    }
}

#[test]
fn what_brig_does_not_take_is_told_and_not_tried_for_now() {
    for (row, kind) in [(Some(Policy::default()), Kind::OfTheFile), (None, Kind::Missing)] {
        let case = Case { wish: Some(Some(full())), row, written: ours(Policy::default()) };
        let plan = planned(&case, Claim::Written, true, false);
        assert!(plan.writes.is_empty());
        let [it] = &plan.drift[..] else { panic!("{plan:?}") };
        assert_eq!((it.kind, it.cause.as_deref()), (kind, Some("brig said no")));
    }
}

#[test]
fn a_write_that_may_still_come_is_not_forgotten() {
    for row in [None, Some(full())] {
        let case = Case { wish: None, row, written: intended(Policy::default()) };
        assert!(planned(&case, Claim::Written, false, true).settled.is_empty());
        assert_eq!(planned(&case, Claim::Written, false, false).settled.len(), 1);
    }
}

#[test]
fn a_row_that_cannot_be_read_is_left_alone() {
    let d = domain("d.com");
    for wish in [Some(full()), None] {
        let seen = Seen { unreadable: [d.clone()].into(), ..Seen::default() };
        let ledger = ours(Policy::default()).into_iter().map(|it| (d.clone(), it)).collect();
        let plan = plan(&Facts {
            wishes: &[(d.clone(), wish)].into(),
            seen: &seen,
            ledger: &ledger,
            held: &|_, _| None,
            pending: &|_| false,
            claim: Claim::Listed,
        });
        assert_eq!(
            (plan.writes.len(), plan.settled.len(), plan.drift[0].kind),
            (0, 0, Kind::Unreadable)
        );
    }
}

#[test]
fn what_closes_comes_first_and_nothing_new_beyond_the_limit() {
    let rows = (0..9998).map(|n| (domain(&format!("r{n}.com")), Policy::default()));
    let seen = Seen { rows: rows.collect(), ..Seen::default() };
    let mut wishes: Wishes = (0..5).map(|n| (domain(&format!("a{n}.com")), Some(full()))).collect();
    wishes.insert(domain("r1.com"), Some(full()));
    let ledger = ["r0.com", "r1.com"].into_iter();
    let ledger = ledger.map(|name| (domain(name), ours(Policy::default()).unwrap())).collect();
    let plan = plan(&Facts {
        wishes: &wishes,
        seen: &seen,
        ledger: &ledger,
        held: &|_, _| None,
        pending: &|_| false,
        claim: Claim::Written,
    });
    let writes: Vec<_> = plan.writes.iter().map(|write| write.domain.as_str()).collect();
    assert_eq!(writes, ["r0.com", "r1.com", "a0.com", "a1.com"]);
    let full =
        plan.drift.iter().filter(|it| it.cause.as_deref().is_some_and(|it| it.contains("10,000")));
    assert_eq!(full.map(|it| it.domain.as_str()).collect::<Vec<_>>(), ["a2.com", "a3.com", "a4.com"]);
}
