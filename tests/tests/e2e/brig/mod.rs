//! In step with Wire's brig, over real HTTP; and Wire's own list API.

mod follow;
mod metrics;
mod push;
mod trouble;
mod wire_list;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use fedgate_tests::brig::Brig;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN};
use fedgate_tests::process::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ask::call;

const BRIG_PORT: u16 = 8090;
const WIRE_PORT: u16 = 8603;

/// A control plane, and the brig with which it keeps in step. DNS there is none.
struct Site {
    control_plane: ControlPlane,
    brig: Brig,
    address: Address,
    _dir: TempDir,
}

// === impl Site ===

impl Site {
    /// With more lines of the section `[brig]`, and what `prepare` does to brig before.
    fn start(more: &str, prepare: impl FnOnce(&Brig)) -> Self {
        let address = Address::claim();
        let dir = tempfile::Builder::new().prefix("fedgate-brig-").tempdir().unwrap();
        let brig = Brig::start(SocketAddr::from((address.ip(), BRIG_PORT)));
        prepare(&brig);
        let lines = format!("[brig]\nurl = \"{}\"\n{more}", brig.url());
        let control_plane = ControlPlane::start(address.ip(), dir.path(), address.dns(), &lines);
        Self { control_plane, brig, address, _dir: dir }
    }

    /// A call of the admin API; status and body.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(&format!("{}/v1/{path}", self.control_plane.url()), ADMIN_TOKEN, method, body)
    }

    /// Puts a domain on our list.
    fn put(&self, domain: &str, terms: &Value) {
        let (status, body) = self.call("PUT", &format!("domains/{domain}"), Some(terms));
        assert!([200, 201].contains(&status), "{domain}: {status} {body}");
    }

    /// Takes it off.
    fn remove(&self, domain: &str) {
        assert_eq!(self.call("DELETE", &format!("domains/{domain}"), None).0, 204, "{domain}");
    }

    /// How it stands with brig.
    fn status(&self) -> Value {
        self.call("GET", "brig", None).1
    }

    /// The kind of difference of a domain, if there is one.
    fn kind(&self, domain: &str) -> Option<String> {
        let status = self.status();
        let mut drift = status["drift"].as_array().unwrap().iter();
        drift.find(|it| it["domain"] == domain).map(|it| it["kind"].as_str().unwrap().to_owned())
    }

    /// Waits until `diff` is empty; says how long that took.
    fn in_step(&self) -> Duration {
        let started = Instant::now();
        eventually("both lists agree", || self.control_plane.cli(&["brig", "diff"]).ok());
        started.elapsed()
    }

    /// Our list as brig would have it: search policy and restriction of what is allowed.
    fn ours(&self) -> BTreeMap<String, Value> {
        let (_, page) = self.call("GET", "domains?limit=1000", None);
        let listed = page["domains"].as_array().unwrap().iter();
        let allowed = listed.filter(|it| it["action"] == "allow" && it["expired"] == false);
        allowed
            .map(|it| {
                let mut restriction = it["restriction"].clone();
                if restriction["tag"] == "allow_all" {
                    restriction["value"] = Value::Null;
                }
                let row = json!({"search_policy": it["search_policy"], "restriction": restriction});
                (it["domain"].as_str().unwrap().to_owned(), row)
            })
            .collect()
    }

    /// Brig's row of a domain.
    fn row(&self, domain: &str) -> Option<Value> {
        self.brig.rows().rows.get(domain).cloned()
    }

    /// The label with which filters refuse a domain; none where they do not for want of being listed.
    fn is_denied(&self, domain: &str) -> bool {
        let url = format!("{}/v1/verdicts/{domain}", self.control_plane.verdicts_url());
        call(&url, FILTER_TOKEN, "GET", None).1["failure"]["label"] == "federation-denied"
    }
}
