//! `fedgate check` on two backends that are as they should be: each looks at the other, at itself and at its Envoy, and
//! finds nothing above info.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scenario::{ALLOWED, Outcome, Scenario, Side, Stage};

/// How long what the play has broken may take to be forgotten.
const PATIENCE: Duration = Duration::from_secs(30);

/// What there is beside a backend's Envoy.
#[derive(Debug)]
pub struct Outlook {
    /// `fedgate`, with the administrator's token for its control plane.
    pub fedgate: Command,
    /// The folder of its certificates, as it is named there.
    pub certificates: String,
    /// The DNS server to ask.
    pub dns: SocketAddr,
    /// Envoy's admin interface.
    pub envoy: String,
}

/// What a check comes to.
#[derive(Debug)]
pub enum Findings {
    /// The codes above info.
    Codes(Vec<String>),
    /// There is no report, because of this.
    None(String),
}

/// Checks both backends, and tells of each look when it is over.
///
/// The domains that the play has trouble with are off the lists meanwhile, as partners in trouble would be found.
pub fn look(stage: &dyn Stage, tell: &mut dyn FnMut(Scenario)) {
    troubled(stage, "remove");
    for (side, names) in [
        (Side::A, ["check-other-a", "check-self-a", "check-envoy-a"]),
        (Side::B, ["check-other-b", "check-self-b", "check-envoy-b"]),
    ] {
        let stories = match side {
            Side::A => ["a.com checks b.com", "a.com checks itself", "a.com checks its Envoy"],
            Side::B => ["b.com checks a.com", "b.com checks itself", "b.com checks its Envoy"],
        };
        let kinds = [Look::Other, Look::Own, Look::Envoy];
        for ((name, story), look) in names.into_iter().zip(stories).zip(kinds) {
            let outcome = Outcome::Check(until_clean(&|| stage.outlook(side), side, look));
            tell(Scenario { name, story, expected: CLEAN, outcome });
        }
    }
    troubled(stage, "add");
}

/// Checks one more Envoy of a backend.
pub fn envoy(name: &'static str, side: Side, outlook: &dyn Fn() -> Outlook) -> Scenario {
    let outcome = Outcome::Check(until_clean(outlook, side, Look::Envoy));
    Scenario { name, story: name, expected: CLEAN, outcome }
}

/// Adds the domains of the play but for the two backends' own, or removes them.
fn troubled(stage: &dyn Stage, verb: &str) {
    for (side, domains) in ALLOWED {
        for domain in domains.iter().filter(|domain| **domain != side.other().domain()) {
            stage.administer(side, &["domain", verb, domain]).expect("the list can be changed");
        }
    }
}

/// As status and label.
const CLEAN: (u16, &str) = (0, "nothing-above-info");

/// What is looked at.
#[derive(Clone, Copy)]
enum Look {
    Other,
    Own,
    Envoy,
}

/// The last findings, once there are none or patience has ended.
fn until_clean(outlook: &dyn Fn() -> Outlook, side: Side, look: Look) -> Findings {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let findings = look.at(side, outlook());
        if findings.is_clean() || Instant::now() > deadline {
            return findings;
        }
    }
}

// === impl Look ===

impl Look {
    fn at(self, side: Side, outlook: Outlook) -> Findings {
        let Outlook { mut fedgate, certificates, dns, envoy } = outlook;
        let file = |name: &str| format!("{certificates}/{name}");
        fedgate.args(["check", "--json"]);
        match self {
            Self::Other => fedgate.arg(side.other().domain()),
            Self::Own => fedgate.args(["--self", "--envoy-admin", &envoy]).args([
                "--server-certificate",
                &file("server.pem"),
                "--server-key",
                &file("server.key"),
            ]),
            Self::Envoy => fedgate.args(["--envoy", &envoy]),
        };
        if !matches!(self, Self::Envoy) {
            let [certificate, key, trust] = ["client.pem", "client.key", "trust.pem"].map(file);
            fedgate.args(["--own-domain", side.domain(), "--certificate", &certificate, "--key", &key]);
            fedgate.args(["--trust", &trust, "--dns-server", &dns.to_string()]);
            fedgate.arg("--allow-private-addresses");
        }
        Findings::of(&mut fedgate)
    }
}

// === impl Findings ===

impl Findings {
    fn of(command: &mut Command) -> Self {
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => return Self::None(error.to_string()),
        };
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let (Some(findings), Some(checks)) =
            (report["findings"].as_array(), report["checks"].as_array())
        else {
            return Self::None(String::from_utf8_lossy(&output.stderr).into_owned());
        };
        if !checks.iter().any(|check| check["outcome"] == "passed") {
            return Self::None(format!("nothing was looked at: {report}"));
        }
        let above = findings.iter().filter(|finding| finding["severity"] != "info");
        Self::Codes(above.map(|it| it["code"].as_str().unwrap_or_default().to_owned()).collect())
    }

    fn is_clean(&self) -> bool {
        matches!(self, Self::Codes(codes) if codes.is_empty())
    }

    /// As status and label.
    pub(crate) fn outcome(&self) -> (u16, String) {
        match self {
            Self::Codes(codes) if codes.is_empty() => (CLEAN.0, CLEAN.1.to_owned()),
            Self::Codes(codes) => (1, codes.join(",")),
            Self::None(_) => (2, "no-report".to_owned()),
        }
    }

    /// For people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Codes(_) => "fedgate check".to_owned(),
            Self::None(because) => because.trim().to_owned(),
        }
    }
}
