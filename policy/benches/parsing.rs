//! What is parsed once for a connection, or for a page of the feed: `cargo bench --package
//! fedgate-policy`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use fedgate_policy::{Certificate, FeedPage, MAX_PAGE};
use fedgate_tests::pki::{Authority, Leaf};
use serde_json::json;

/// What the control plane puts into a page.
const USUAL_PAGE: usize = 16 * 1024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    certificates(&mut criterion);
    pages(&mut criterion);
    criterion.final_summary();
}

fn certificates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a certificate");
    let authority = Authority::root("an authority");
    for names in [1, 50, 3_000] {
        let leaf = Leaf::of((0..names).map(|n| format!("federator-{n}.infra.a.com")));
        let pem = authority.issue(&leaf).chain;
        let certificate = Certificate::parse(pem.as_bytes()).expect("a good certificate");
        assert_eq!(certificate.presented().len(), names);
        group.bench_function(format!("{names} names"), |bencher| {
            bencher.iter(|| Certificate::parse(black_box(pem.as_bytes())));
        });
    }
}

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a page of the feed");
    for (name, size) in [("as it is sent", USUAL_PAGE), ("as large as may be", MAX_PAGE)] {
        let page = page(size);
        group.throughput(Throughput::Bytes(page.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| serde_json::from_slice::<FeedPage>(black_box(&page)).expect("a page"));
        });
    }
}

/// A page of as many verdicts as `size` bytes hold.
fn page(size: usize) -> Vec<u8> {
    let verdict = |n: usize| {
        json!({
            "domain": format!("partner-{n:06}.scale.example"),
            "hosts": ["federator.infra.scale.example"],
            "ttl_ms": 86_400_000,
        })
    };
    let page = |number: usize| {
        let verdicts: Vec<_> = (0..number).map(verdict).collect();
        json!({
            "cursor": "0123456789abcdef.100000.100000", "reset": false, "more": true,
            "strategy": "allowDynamic", "verdicts": verdicts, "removed": [],
        })
        .to_string()
        .into_bytes()
    };
    let empty = page(0).len();
    let each = page(1).len() - empty + 1;
    let full = page((size - empty) / each);
    assert!(full.len() <= size && full.len() + 2 * each > size, "{} bytes", full.len());
    full
}
