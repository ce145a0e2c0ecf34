//! A control plane with its DNS, and reports as filters send them.

use std::path::Path;
use std::process::Command;

use fedgate_tests::address::Address;
use fedgate_tests::control_plane::{ADMIN_TOKEN, ControlPlane, FILTER_TOKEN, VIEWER_TOKEN};
use fedgate_tests::dns::Bind;
use fedgate_tests::process::http;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::{Chromium, shared};
use super::tab::Tab;

/// One control plane, and a browser. Fields are in the order in which they are to end.
pub(super) struct Site {
    pub(super) control_plane: ControlPlane,
    pub(super) chromium: std::sync::Arc<Chromium>,
    _dns: Bind,
    _dir: TempDir,
    _address: Address,
}

/// Who looks, and how.
pub(super) const READERS: [(&str, &str, bool); 4] = [
    ("admin", ADMIN_TOKEN, true),
    ("admin", ADMIN_TOKEN, false),
    ("viewer", VIEWER_TOKEN, true),
    ("viewer", VIEWER_TOKEN, false),
];

// === impl Site ===

impl Site {
    /// With these records in DNS.
    pub(super) fn start(records: &[&str]) -> Self {
        Self::configured(records, |_| String::new())
    }

    /// And with these sections more in the configuration, made in this folder.
    pub(super) fn configured(records: &[&str], sections: impl FnOnce(&Path) -> String) -> Self {
        let address = Address::claim();
        let dir = tempfile::Builder::new().prefix("fedgate-page-").tempdir().expect("a folder");
        let dns = Bind::start(address.dns(), dir.path(), records);
        let lines = format!("allow_private_addresses = true\n{}", sections(dir.path()));
        let control_plane = ControlPlane::start(address.ip(), dir.path(), dns.address(), &lines);
        Self { control_plane, chromium: shared(), _dns: dns, _dir: dir, _address: address }
    }

    /// A tab of somebody who is logged in, with scripts or without.
    pub(super) fn tab(&self, token: &str, has_script: bool) -> Tab {
        let tab = self.stranger(has_script);
        tab.log_in(token);
        tab
    }

    /// A tab of an administrator.
    pub(super) fn admin(&self, has_script: bool) -> Tab {
        self.tab(ADMIN_TOKEN, has_script)
    }

    /// A tab of somebody who is not logged in.
    pub(super) fn stranger(&self, has_script: bool) -> Tab {
        let tab = self.chromium.tab(&self.control_plane.url());
        if has_script { tab } else { tab.without_script() }
    }

    /// What a worker of a filter tells.
    pub(super) fn report(&self, role: &str, lines: &[Value]) {
        let report = json!({
            "worker": "of-a-test", "role": role, "version": "9.9.9",
            "feed": {"heard_ms": 10, "whole": true, "entries": 1}, "lines": lines,
        });
        let request = http()
            .post(format!("{}/v1/reports", self.control_plane.verdicts_url()))
            .header("authorization", format!("Bearer {FILTER_TOKEN}"));
        assert_eq!(request.send_json(report).unwrap().status(), 200);
    }

    /// Asks the admin API.
    pub(super) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}/v1/{path}", self.control_plane.url());
        let mut command = Command::new("curl");
        command.args(["-s", "-w", "\n%{http_code}", "-X", method, &url]);
        command.args(["-H", &format!("Authorization: Bearer {ADMIN_TOKEN}")]);
        if let Some(body) = body {
            command.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        let output = command.output().expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The names of those who did what, the last first.
    pub(super) fn deeds(&self) -> Vec<(String, String)> {
        let (_, page) = self.api("GET", "audit", None);
        let records = page["records"].as_array().expect("records").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        records.map(|it| (text(&it["by"]), text(&it["action"]))).collect()
    }
}

/// A line of a report about a domain, of this moment.
pub(super) fn line(domain: &str, label: &str) -> Value {
    json!({"domain": domain, "label": label, "count": 3, "first_ms": 0, "last_ms": 0})
}

/// The same, with the certificate that was presented.
pub(super) fn presenting(domain: &str, label: &str, names: &str) -> Value {
    let mut line = line(domain, label);
    line["certificate"] =
        json!({"names": names, "issuer": "CN=Root", "serial": "0a1b", "not_after": 1_900_000_000});
    line
}
