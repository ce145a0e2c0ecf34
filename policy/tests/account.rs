//! An account says of each row what the decision made of it, and is the decision.

use fedgate_policy::{
    Account, Facts, Handshake, Judgement, Looked, Peer, Refusal, RemoteCall, Row, UnixTime, Unseen,
    Verdict, identify,
};
use fedgate_tests::pki::{Authority, Leaf};
use serde_json::{Value, json};

fn verdict(json: Value) -> Verdict {
    serde_json::from_value(json).unwrap()
}

fn verdicts() -> Vec<Option<Verdict>> {
    let failure = |label: &str, shadow: bool| {
        let failure = json!({"label": label, "message": "why"});
        Some(verdict(json!({"domain": "a.com", "failure": failure, "ttl_ms": 9, "shadow": shadow})))
    };
    let hosts = |host: &str, shadow: bool| {
        Some(verdict(json!({"domain": "a.com", "hosts": [host], "ttl_ms": 9, "shadow": shadow})))
    };
    let mut all =
        vec![None, Some(verdict(json!({"domain": "b.com", "hosts": ["infra.a.com"], "ttl_ms": 9})))];
    for shadow in [false, true] {
        all.extend(
            ["federation-denied", "invalid-domain", "discovery-failure"].map(|it| failure(it, shadow)),
        );
        all.extend(["infra.a.com", "other.a.com"].map(|host| hosts(host, shadow)));
    }
    all
}

fn now() -> UnixTime {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    UnixTime(i64::try_from(since.as_secs()).unwrap())
}

fn peers() -> Vec<Peer> {
    let authority = Authority::root("an authority");
    let of = |leaf: &Leaf| authority.issue(leaf).chain;
    let good = of(&Leaf::of(["infra.a.com"]));
    let old = of(&Leaf { not_after: -60, ..Leaf::of(["infra.a.com"]) });
    vec![
        Peer::Anonymous,
        Peer::Untrusted,
        Peer::new(Some(b"x"), true),
        Peer::new(Some(old.as_bytes()), true),
        Peer::new(Some(good.as_bytes()), true),
    ]
}

const HEADERS: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"a.com,a.com"), Some(b"a.com")];

fn marks(account: &Account) -> String {
    let mark = |(_, looked): &(Row, Looked)| match looked {
        Looked::Passed => '+',
        Looked::Refused => 'x',
        Looked::Spared => '~',
        Looked::Not(Unseen::Behind(_)) => '.',
        Looked::Not(Unseen::NoCertificate) => 'c',
        Looked::Not(Unseen::TlsLayer) => 't',
        Looked::Not(Unseen::NoVerdict) => 'v',
        Looked::Not(Unseen::OwnCall) => ' ',
    };
    account.rows.iter().map(mark).collect()
}

#[test]
fn an_account_is_the_decision_that_the_filter_makes_and_its_row_is_the_refusals() {
    for peer in &peers() {
        for (header, verdict) in
            HEADERS.iter().flat_map(|it| verdicts().into_iter().map(move |v| (*it, v)))
        {
            let now = now();
            let facts = Facts { peer: Some(peer), handshake: None, origin_header: header, now };
            let account = facts.account(verdict.as_ref());
            let decided = identify(peer, header, now).and_then(|claim| claim.judge(verdict.as_ref()));
            let expected = match decided {
                Ok(permit) => Judgement::Permit(permit.spared),
                Err(refusal) => Judgement::Refusal(refusal),
            };
            assert_eq!(account.judgement, expected);
            let refused =
                account.rows.iter().find(|(_, it)| matches!(it, Looked::Refused | Looked::Spared));
            let refusal = match &account.judgement {
                Judgement::Permit(spared) | Judgement::Open(spared) => spared.as_ref(),
                Judgement::Refusal(refusal) => Some(refusal),
                Judgement::Ended(why) => panic!("{why}"),
            };
            assert_eq!(refused.map(|(row, _)| *row), refusal.and_then(Row::of), "{account:?}");
        }
    }
}

#[test]
fn without_a_certificate_that_alone_is_refused_which_a_good_one_would_not_mend() {
    let good = &peers()[4];
    for (header, verdict) in HEADERS.iter().flat_map(|it| verdicts().into_iter().map(move |v| (*it, v)))
    {
        let facts =
            |peer| Facts { peer, handshake: Some(&Handshake::Fit), origin_header: header, now: now() };
        let (with, without) =
            (facts(Some(good)).account(verdict.as_ref()), facts(None).account(verdict.as_ref()));
        let by_name = |judgement: &Judgement| match judgement {
            Judgement::Refusal(refusal) => Row::of(refusal) == Some(Row::Matched),
            Judgement::Permit(_) | Judgement::Open(_) | Judgement::Ended(_) => false,
        };
        match (&with.judgement, &without.judgement) {
            (Judgement::Permit(_), Judgement::Open(_)) => {}
            (refused, Judgement::Open(_)) if by_name(refused) => {}
            (one, other) => assert_eq!(one, other),
        }
    }
}

#[test]
fn rows_behind_the_one_that_decides_are_not_looked_at() {
    let peers = peers();
    let known = verdicts();
    let mark = |peer: Option<&Peer>, header: &[u8], verdict: &Option<Verdict>| {
        let facts =
            Facts { peer, handshake: Some(&Handshake::Fit), origin_header: Some(header), now: now() };
        marks(&facts.account(verdict.as_ref()))
    };
    let [nobody, untrusted, unreadable, old, good] = &peers[..] else { panic!("five peers") };
    let [none, _, denied, absent, failing, hosts, others, _, shadowed, ..] = &known[..] else {
        panic!("the verdicts")
    };
    for (peer, header, verdict, expected) in [
        (Some(good), "a.com", hosts, "+t++++++++"),
        (Some(nobody), "a.com", hosts, "x........."),
        (Some(untrusted), "a.com", hosts, "+x........"),
        (Some(unreadable), "a.com", hosts, "+tx......."),
        (Some(old), "a.com", hosts, "+t+x......"),
        (Some(good), "", hosts, "+t++x....."),
        (Some(good), "x", hosts, "+t+++x...."),
        (Some(good), "a.com", denied, "+t++++x..."),
        (Some(good), "a.com", absent, "+t+++++x.."),
        (Some(good), "a.com", failing, "+t++++++x."),
        (Some(good), "a.com", others, "+t+++++++x"),
        (Some(good), "a.com", shadowed, "+t+++++~.."),
        (Some(good), "a.com", none, "+t++++vvvv"),
        (None, "a.com", hosts, "cccc+++++c"),
        (None, "a.com", denied, "cccc++x..c"),
        (None, "", hosts, "ccccx....c"),
    ] {
        assert_eq!(mark(peer, header.as_bytes(), verdict), expected, "{peer:?} {header} {verdict:?}");
    }
}

#[test]
fn what_the_handshake_makes_of_a_certificate_comes_before_all_rows_of_a_request() {
    let good = &peers()[4];
    let verdict = verdict(json!({"domain": "a.com", "hosts": ["infra.a.com"], "ttl_ms": 9}));
    let account = |peer, handshake: &Handshake| {
        let origin_header = Some(&b"a.com"[..]);
        Facts { peer, handshake: Some(handshake), origin_header, now: now() }.account(Some(&verdict))
    };
    let withheld = account(Some(good), &Handshake::Withheld("on P-521".to_owned()));
    assert_eq!(withheld.judgement, Judgement::Refusal(Refusal::NoClientCertificate));
    assert_eq!(marks(&withheld), "x.........");
    let ended = account(Some(good), &Handshake::Ended("why"));
    assert_eq!(ended.judgement, Judgement::Ended("why"));
    assert_eq!(marks(&ended), "+x........");
    let none = account(None, &Handshake::Ended("why"));
    assert_eq!(none.judgement, Judgement::Open(None), "nobody has shown one");
}

#[test]
fn a_call_of_our_own_has_three_rows() {
    let call = RemoteCall::parse(b"POST", b"/rpc/a.com/brig/api-version").unwrap();
    let known = verdicts();
    for (verdict, expected) in [
        (&known[5], "      +++ "),
        (&known[2], "      x.. "),
        (&known[3], "      +x. "),
        (&known[8], "      +~. "),
    ] {
        let account = Account::of_call(&call, verdict.as_ref());
        assert_eq!(marks(&account), expected);
    }
}
