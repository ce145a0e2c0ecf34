//! Several control planes on etcd: what one of them writes counts at all, whoever of them, or of etcd's members, is lost.

mod cluster;
mod filters;
mod findings;
mod history;
mod stores;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, Store};
use fedgate_tests::etcd::Etcd;
use fedgate_tests::process::{PATIENCE, eventually, http};
use serde_json::Value;

/// Three control planes of one store, without Envoys: what they say is asked of them.
pub(crate) struct Trio {
    pub(crate) control_planes: [ControlPlane; 3],
    _addresses: [Address; 3],
    _dir: tempfile::TempDir,
}

impl Trio {
    pub(crate) fn on(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addresses = std::array::from_fn(|_| Address::claim());
        let control_planes = std::array::from_fn(|number| {
            let (address, dir): (&Address, _) =
                (&addresses[number], dir.path().join(number.to_string()));
            start(address.ip(), &dir, addresses[0].dns(), url)
        });
        Self { control_planes, _addresses: addresses, _dir: dir }
    }
}

/// A control plane that nobody's DNS answers.
fn start(ip: Ipv4Addr, dir: &Path, dns: SocketAddr, url: &str) -> ControlPlane {
    ControlPlane::with_store(&[], ip, dir, &[dns], "", Store::Shared(url.to_owned()))
}

/// A write of one domain; its status, or none where nobody answered in time.
pub(crate) fn write(control_plane: &ControlPlane, domain: &str, note: Option<&str>) -> Option<u16> {
    let url = format!("{}/v1/domains/{domain}", control_plane.url());
    let token = format!("Bearer {ADMIN_TOKEN}");
    let answer = match note {
        Some(note) => http()
            .put(url)
            .header("authorization", token)
            .header("content-type", "application/json")
            .send(serde_json::json!({ "note": note }).to_string()),
        None => http().delete(url).header("authorization", token).call(),
    };
    answer.ok().map(|answer| answer.status().as_u16())
}

/// The note of a listed domain.
pub(crate) fn note(control_plane: &ControlPlane, domain: &str) -> Option<String> {
    let (status, entry) = get(&format!("{}/v1/domains/{domain}", control_plane.url()), ADMIN_TOKEN);
    (status == 200).then(|| entry["note"].as_str().unwrap().to_owned())
}

pub(crate) fn get(url: &str, token: &str) -> (u16, Value) {
    let answer = http().get(url).header("authorization", format!("Bearer {token}")).call().unwrap();
    let status = answer.status().as_u16();
    let text = answer.into_body().read_to_string().unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A page of a control plane's feed.
pub(crate) fn page(control_plane: &ControlPlane, cursor: &str) -> Value {
    let url = format!("{}/v1/verdicts?cursor={cursor}", control_plane.verdicts_url());
    get(&url, FILTER_TOKEN).1
}

/// The whole table, and the cursor behind it.
pub(crate) fn table(control_plane: &ControlPlane) -> (usize, String) {
    let (mut cursor, mut entries) = (String::new(), 0);
    loop {
        let page = page(control_plane, &cursor);
        entries += page["verdicts"].as_array().unwrap().len();
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        if page["more"] == false {
            return (entries, cursor);
        }
    }
}

/// Writes until one is taken; how long that took.
pub(crate) fn time_until_written(control_plane: &ControlPlane, domain: &str) -> Duration {
    let begun = Instant::now();
    eventually("a write is taken", || {
        matches!(write(control_plane, domain, Some("again")), Some(200 | 201)).then_some(())
    });
    begun.elapsed()
}

/// Waits until all say so.
pub(crate) fn all_have(trio: &Trio, domain: &str, expected: Option<&str>) {
    for control_plane in &trio.control_planes {
        eventually("each control plane has heard of it", || {
            (note(control_plane, domain).as_deref() == expected).then_some(())
        });
    }
}

/// A cluster for a test that does it harm.
pub(crate) fn harmed() -> Etcd {
    Etcd::start()
}

/// Whether this is a campaign, which has the machine to itself.
pub(crate) fn is_campaign() -> bool {
    std::env::var_os("FEDGATE_HA_ROUNDS").is_some()
}

/// How long something may take: that long in a campaign, else as long as anything.
pub(crate) fn within(limit: Duration) -> Duration {
    if is_campaign() { limit } else { PATIENCE }
}

/// For whoever runs a campaign.
#[allow(clippy::print_stderr, reason = "figures that a campaign is run for")]
pub(crate) fn tell(figures: &str) {
    eprintln!("{figures}");
}
