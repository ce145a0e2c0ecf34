//! What a decision costs by itself: `cargo bench --package fedgate-policy`.
//!
//! Natively: in Envoy the same code runs as WebAssembly, which is slower, and a request costs far more
//! than the decision. For that there is `scripts/bench`.

use std::hint::black_box;

use criterion::Criterion;
use fedgate_policy::{Domain, HostName, Peer, PresentedIdentifier, UnixTime, Verdict, identify};
use fedgate_tests::pki::{Authority, Leaf};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    domains(&mut criterion);
    names(&mut criterion);
    decisions(&mut criterion);
    criterion.final_summary();
}

fn domains(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a domain");
    let long =
        format!("{}.example", ["sixty-three-octets-are-the-most-that-a-label-may-have"; 4].join("."));
    for (name, text) in
        [("usual", "company-a.example.com"), ("long", &long), ("not one", "company_a.com")]
    {
        group.bench_function(name, |bencher| bencher.iter(|| Domain::parse(black_box(text.as_bytes()))));
    }
}

fn names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match a name");
    let host = HostName::parse(b"federator.infra.a.com").expect("a host's name");
    for (name, presented) in [
        ("exact", "federator.infra.a.com"),
        ("wildcard", "*.infra.a.com"),
        ("wildcard of another", "*.infra.b.com"),
    ] {
        let presented = PresentedIdentifier::parse(presented).expect("a clean name");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&presented).matches(black_box(&host)));
        });
    }
    let others = (0..2_999).map(|n| format!("n{n}.a.com"));
    let Peer::Known(certificate) = peer(others.chain(["*.infra.a.com".to_owned()])) else {
        panic!("a good certificate is known");
    };
    group.bench_function("wildcard among 3,000", |bencher| {
        bencher.iter(|| black_box(&certificate).presents(black_box(&host)));
    });
}

/// As the filter decides on a kept connection: the peer and the verdict are at hand.
fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let good = peer(["federator.infra.a.com".to_owned()]);
    let Peer::Known(certificate) = &good else { panic!("a good certificate is known") };
    let (now, _) = certificate.validity();
    let hosts = |hosts| verdict(&serde_json::json!({"domain": "a.com", "hosts": hosts, "ttl_ms": 1}));
    let permitting = hosts(["federator.infra.a.com"]);
    let of_another = hosts(["federator.infra.b.com"]);
    let denied = Verdict::denied(Domain::parse(b"a.com").expect("a domain"), 1);
    for (name, header, verdict, permitted) in [
        ("permit", "a.com", &permitting, true),
        ("refusal: another's host", "a.com", &of_another, false),
        ("refusal: not listed", "a.com", &denied, false),
        ("refusal: no domain", "a.com,b.com", &permitting, false),
    ] {
        let decide = |header: &str, verdict, now: UnixTime| {
            identify(black_box(&good), Some(header.as_bytes()), now)?.judge(Some(verdict))
        };
        assert_eq!(decide(header, verdict, now).is_ok(), permitted, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide(black_box(header), black_box(verdict), black_box(now)));
        });
    }
}

fn peer(names: impl IntoIterator<Item = String>) -> Peer {
    let identity = Authority::root("an authority").issue(&Leaf::of(names));
    Peer::new(Some(identity.chain.as_bytes()), true)
}

fn verdict(json: &serde_json::Value) -> Verdict {
    serde_json::from_value(json.clone()).expect("a verdict")
}
