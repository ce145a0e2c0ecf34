use fedgate_allow_list::Moment;
use fedgate_discovery::Target;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000)
}

fn bound(json: &str, now: Instant) -> Option<Binding> {
    let terms: Terms = serde_json::from_str(json).unwrap();
    Binding::of(&Arc::new(terms), now, wall())
}

/// Found at `now`, for ten seconds.
fn known(hosts: &[&str], now: Instant) -> Known {
    let hosts: Vec<_> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let target = |host: &fedgate_policy::HostName| Target {
        priority: 1,
        host: host.clone(),
        port: 443,
        weight: 1,
    };
    let targets = hosts.iter().map(target).collect();
    Known { targets, ..Known::answered(Outcome::Hosts(hosts), now, 10 * SECOND) }
}

fn a_com() -> Domain {
    "a.com".parse().unwrap()
}

/// What a filter is told, in a few words.
fn told(verdict: Option<Verdict>) -> String {
    let Some(Verdict { outcome, ttl_ms, shadow, .. }) = verdict else { return "nothing".to_owned() };
    let shadow = if shadow { " in shadow" } else { "" };
    match outcome {
        Outcome::Hosts(hosts) => {
            let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
            format!("{} for {ttl_ms}{shadow}", hosts.join(" "))
        }
        Outcome::Failure(failure) => format!("{} for {ttl_ms}{shadow}", failure.label.name()),
    }
}

#[test]
fn plain_terms_bind_nothing() {
    let now = Instant::now();
    for json in ["{}", r#"{"note":"n"}"#, r#"{"search_policy":"full_search"}"#] {
        assert_eq!(bound(json, now), None, "{json}");
    }
}

#[test]
fn terms_say_what_becomes_of_what_is_known() {
    let now = Instant::now();
    let both = known(&["h1.a.com", "h2.a.com"], now);
    let proven = Known { is_proven: true, ..both.clone() };
    for (json, known, expected) in [
        (r#"{"expires_at":"2030-01-01T00:00:03Z"}"#, &both, "h1.a.com h2.a.com for 3000"),
        (r#"{"expires_at":"2030-01-01T00:01:00Z"}"#, &both, "h1.a.com h2.a.com for 10000"),
        (r#"{"expires_at":"2030-01-01T00:00:00Z"}"#, &both, "nothing"),
        (r#"{"expires_at":"2029-01-01T00:00:00Z"}"#, &both, "nothing"),
        (r#"{"pinned_hosts":["h2.a.com"]}"#, &both, "h2.a.com for 10000"),
        (r#"{"pinned_hosts":["h3.a.com"]}"#, &both, "discovery-failure for 10000"),
        (
            r#"{"pinned_hosts":["h3.a.com"],"mode":"shadow"}"#,
            &both,
            "discovery-failure for 10000 in shadow",
        ),
        (r#"{"mode":"shadow"}"#, &both, "h1.a.com h2.a.com for 10000 in shadow"),
        (r#"{"dnssec":"require"}"#, &both, "nothing"),
        (r#"{"dnssec":"require"}"#, &proven, "h1.a.com h2.a.com for 10000"),
        (r#"{"action":"block"}"#, &both, "federation-denied for 9999999999"),
        (
            r#"{"action":"block","expires_at":"2030-01-01T00:00:03Z"}"#,
            &both,
            "federation-denied for 3000",
        ),
    ] {
        let binding = bound(json, now).unwrap();
        assert_eq!(told(binding.standing_verdict(&a_com(), Some(known), now)), expected, "{json}");
    }
    let block = bound(r#"{"action":"block"}"#, now).unwrap();
    assert_eq!(told(block.standing_verdict(&a_com(), None, now)), "federation-denied for 9999999999");
}

#[test]
fn an_end_is_an_end_by_our_own_clock() {
    let now = Instant::now();
    let binding = bound(r#"{"expires_at":"2030-01-01T00:00:03Z"}"#, now).unwrap();
    let later = |seconds| {
        told(Some(binding.verdict(a_com(), &known(&["h.a.com"], now), now + seconds * SECOND)))
    };
    assert_eq!(later(2), "h.a.com for 1000");
    assert_eq!(later(3), "h.a.com for 0");
    let fractions: Moment = "2030-01-01T00:00:00.5Z".parse().unwrap();
    assert_eq!(fractions.0.duration_since(wall()).unwrap(), SECOND / 2);
}

#[test]
fn calls_go_to_pinned_hosts_only_unless_in_shadow() {
    let now = Instant::now();
    let both = known(&["h1.a.com", "h2.a.com"], now);
    let called = |json: &str| {
        let known = bound(json, now).unwrap().for_calls(&both);
        let targets: Vec<_> = known.targets.iter().map(|target| target.host.to_string()).collect();
        (matches!(known.outcome, Outcome::Hosts(_)), targets.join(" "))
    };
    assert_eq!(called(r#"{"pinned_hosts":["h2.a.com"]}"#), (true, "h2.a.com".to_owned()));
    assert_eq!(called(r#"{"pinned_hosts":["h3.a.com"]}"#), (false, String::new()));
    let shadow = called(r#"{"pinned_hosts":["h3.a.com"],"mode":"shadow"}"#);
    assert_eq!(shadow, (true, "h1.a.com h2.a.com".to_owned()));
    assert_eq!(called(r#"{"dnssec":"require","mode":"shadow"}"#), (false, String::new()));
}

#[test]
fn a_pin_that_does_not_hold_is_told_with_both_sides() {
    let now = Instant::now();
    let binding = bound(r#"{"pinned_hosts":["h3.a.com"]}"#, now).unwrap();
    let verdict = binding.verdict(a_com(), &known(&["h1.a.com"], now), now);
    let Outcome::Failure(failure) = verdict.outcome else { panic!("{verdict:?}") };
    assert_eq!(failure.message, "DNS names [h1.a.com], and our entry pins the domain to [h3.a.com]");
}
