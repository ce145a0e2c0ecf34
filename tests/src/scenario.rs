//! What federation is, told in requests between two backends, a.com and b.com: the demo's scenarios,
//! and those of whoever else can put two backends on a [`Stage`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::caller::{Answer, CallError, Caller};
use crate::checkup::{Findings, Outlook};
use crate::dns::service;
use crate::local::Local;
use crate::pki::{Authority, Identity, Leaf};
use crate::witness::Witness;

/// One of the two backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// a.com, at infra.a.com.
    A,
    /// b.com, at infra.b.com.
    B,
}

/// Two backends that can reach each other, and what there is around them.
pub trait Stage {
    /// Where the backend's ingress is, seen from here.
    fn ingress(&self, side: Side) -> SocketAddr;
    /// Where the backend's own services find its egress, seen from here.
    fn egress(&self, side: Side) -> SocketAddr;
    /// Where the backend's ingress is for other backends: what DNS says of it.
    fn announced(&self, side: Side) -> SocketAddr;
    /// The authority that both backends trust.
    fn authority(&self) -> &Authority;
    /// Runs the backend's command line as an administrator.
    fn administer(&self, side: Side, command: &[&str]) -> Result<String, String>;
    /// Whom to ask what is to become of a request at this backend's doors, where that can be asked from here.
    fn witness(&self, side: Side) -> Option<Witness>;
    /// Changes DNS; each line is a command of nsupdate.
    fn update_dns(&self, commands: &[&str]);
    /// Kills the backend's control plane.
    fn kill_control_plane(&mut self, side: Side);
    /// Starts it again, and waits until it is ready.
    fn restart_control_plane(&mut self, side: Side);
    /// What `fedgate check` goes by, where the backend's Envoy is.
    fn outlook(&self, side: Side) -> Outlook;
    /// What requests run on.
    fn runtime(&self) -> &Runtime;

    /// A service of one backend searches for a user of another.
    fn send(&self, from: Side, domain: &str) -> Result<Answer, CallError> {
        Local::new(self.egress(from)).explained_by(self.witness(from)).call(domain, "search-users")
    }

    /// Somebody searches for a user at a backend's ingress.
    fn receive(
        &self,
        at: Side,
        identity: Option<&Identity>,
        origin: Option<&str>,
    ) -> Result<Answer, CallError> {
        let (name, trust) = (at.infrastructure(), self.authority().pem());
        let caller = Caller::new(self.ingress(at), name, trust, identity).explained_by(self.witness(at));
        let headers: Vec<_> =
            origin.map(|origin| ("wire-origin-domain", origin.as_bytes())).into_iter().collect();
        self.runtime().block_on(async { caller.call("search-users", &headers).await })
    }

    /// A certificate with these names, of the authority that both backends trust.
    fn identity(&self, names: &[&str]) -> Identity {
        self.authority().issue(&Leaf::of(names))
    }
}

/// One request, and what is to become of it.
#[derive(Debug)]
pub struct Scenario {
    /// Short, for machines.
    pub name: &'static str,
    /// A sentence, for people.
    pub story: &'static str,
    /// Status and label.
    pub expected: (u16, &'static str),
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a scenario.
#[derive(Debug)]
pub enum Outcome {
    /// Of a request.
    Answer(Result<Answer, CallError>),
    /// Of a look at a backend.
    Check(Findings),
}

/// What stands for an answer where there is none, because the TLS handshake failed.
pub const NO_ANSWER: (u16, &str) = (0, "handshake-failed");

/// Each side's allow list, which has to be filled before the play. `x.broken.example` is of a zone
/// that its name server cannot serve; the other names are announced by [`records`].
pub const ALLOWED: [(Side, &[&str]); 2] = [
    (
        Side::A,
        &["b.com", "absent.com", "closed.com", "down.com", "false.com", "spare.com", "x.broken.example"],
    ),
    (Side::B, &["a.com", "moved.com", "closed.com", "absent.com", "x.broken.example"]),
];

/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(15);

/// The requests that are played.
pub struct Play<'a> {
    stage: &'a mut dyn Stage,
    tell: &'a mut dyn FnMut(Scenario),
}

/// Announces both backends, and a few domains that something is wrong with.
pub fn announce(stage: &dyn Stage) {
    let mut lines = vec![];
    let mut add = |line: String| lines.push(format!("update add {line}"));
    let (a, b) = (stage.announced(Side::A), stage.announced(Side::B));
    for (domain, ttl, at) in [("a.com", 600, a), ("b.com", 600, b)] {
        add(format!("{} {ttl} SRV 10 5 {} infra.{domain}.", service(domain), at.port()));
        add(format!("infra.{domain}. {ttl} A {}", at.ip()));
    }
    add(format!("{} 600 SRV 0 0 0 .", service("closed.com")));
    add(format!("{} 5 SRV 10 5 443 old.moved.com.", service("moved.com")));
    add(format!("{} 600 SRV 10 5 443 infra.c.com.", service("c.com")));
    // Nobody listens on port 9 there.
    add(format!("{} 600 SRV 10 5 9 infra.down.com.", service("down.com")));
    add(format!("infra.down.com. 600 A {}", b.ip()));
    add(format!("{} 600 SRV 10 5 {} infra.false.com.", service("false.com"), b.port()));
    add(format!("infra.false.com. 600 A {}", b.ip()));
    add(format!("{} 600 SRV 10 5 9 infra.down.com.", service("spare.com")));
    add(format!("{} 600 SRV 20 5 {} infra.b.com.", service("spare.com"), b.port()));
    stage.update_dns(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Plays all scenarios, and tells of each when it is over.
pub fn play(stage: &mut dyn Stage, tell: &mut dyn FnMut(Scenario)) {
    let mut play = Play { stage, tell };
    play.whole_way();
    play.ingress();
    play.egress();
    play.changes();
}

// === impl Play ===

impl Play<'_> {
    fn tell(
        &mut self,
        name: &'static str,
        story: &'static str,
        expected: (u16, &'static str),
        request: impl FnOnce(&Self) -> Result<Answer, CallError>,
    ) {
        let outcome = Outcome::Answer(request(self));
        (self.tell)(Scenario { name, story, expected, outcome });
    }

    fn whole_way(&mut self) {
        self.tell("search", "Alice's brig at a.com searches for a user of b.com", (200, ""), |play| {
            play.stage.send(Side::A, "b.com")
        });
        self.tell("search-back", "and a brig at b.com for a user of a.com", (200, ""), |play| {
            play.stage.send(Side::B, "a.com")
        });
    }

    fn ingress(&mut self) {
        let brig = self.stage.identity(&["infra.a.com"]);
        for (name, story, expected, header) in [
            ("permit", "infra.a.com calls in the name of a.com", (200, ""), Some("a.com")),
            (
                "no-origin-domain",
                "infra.a.com does not say in whose name",
                (403, "no-origin-domain"),
                None,
            ),
            (
                "domain-parse-error",
                "infra.a.com calls in the name of two domains",
                (403, "domain-parse-error"),
                Some("a.com,c.com"),
            ),
            (
                "invalid-domain",
                "absent.com is allowed, but has no SRV record",
                (422, "invalid-domain"),
                Some("absent.com"),
            ),
            (
                "service-not-offered",
                "closed.com's SRV record says: no federation here",
                (422, "invalid-domain"),
                Some("closed.com"),
            ),
            (
                "discovery-failure",
                "the name server of x.broken.example is broken (SERVFAIL)",
                (400, "discovery-failure"),
                Some("x.broken.example"),
            ),
        ] {
            self.tell(name, story, expected, |play| play.stage.receive(Side::B, Some(&brig), header));
        }
        self.tell(
            "no-client-certificate",
            "somebody without a certificate says to be a.com",
            (403, "no-client-certificate"),
            |play| play.stage.receive(Side::B, None, Some("a.com")),
        );
        self.tell(
            "other-authority",
            "a certificate for infra.a.com, of an authority that b.com does not trust",
            NO_ANSWER,
            |play| {
                let stranger = Authority::root("somebody else").issue(&Leaf::of(["infra.a.com"]));
                play.stage.receive(Side::B, Some(&stranger), Some("a.com"))
            },
        );
        self.tell(
            "federation-denied",
            "c.com is not on b.com's allow list",
            (400, "federation-denied"),
            |play| {
                play.stage.receive(Side::B, Some(&play.stage.identity(&["infra.c.com"])), Some("c.com"))
            },
        );
        self.tell(
            "authentication-failure",
            "a trusted certificate for evil.example says to be a.com",
            (403, "authentication-failure"),
            |play| {
                play.stage.receive(Side::B, Some(&play.stage.identity(&["evil.example"])), Some("a.com"))
            },
        );
        self.tell(
            "authentication-failure-back",
            "infra.c.com says to b.com's neighbour a.com that it is b.com",
            (403, "authentication-failure"),
            |play| {
                play.stage.receive(Side::A, Some(&play.stage.identity(&["infra.c.com"])), Some("b.com"))
            },
        );
    }

    fn egress(&mut self) {
        for (name, story, expected, domain) in [
            (
                "call-denied",
                "brig at a.com calls c.com, which is not on a.com's allow list",
                (400, "federation-denied"),
                "c.com",
            ),
            (
                "call-invalid-domain",
                "brig at a.com calls absent.com, which has no SRV record",
                (422, "invalid-domain"),
                "absent.com",
            ),
            (
                "call-service-not-offered",
                "brig at a.com calls closed.com, which takes no calls",
                (422, "invalid-domain"),
                "closed.com",
            ),
            (
                "call-discovery-failure",
                "brig at a.com calls x.broken.example (SERVFAIL)",
                (400, "discovery-failure"),
                "x.broken.example",
            ),
            (
                "call-connection-refused",
                "brig at a.com calls down.com, where nobody listens",
                (521, "federation-connection-refused"),
                "down.com",
            ),
            (
                "call-tls-error",
                "brig at a.com calls false.com, whose server has another name's certificate",
                (525, "federation-tls-error"),
                "false.com",
            ),
            (
                "call-failover",
                "brig at a.com calls spare.com, whose first target is down: the second answers",
                (200, ""),
                "spare.com",
            ),
        ] {
            self.tell(name, story, expected, |play| play.stage.send(Side::A, domain));
        }
        self.tell(
            "call-invalid-endpoint",
            "brig at a.com asks its egress for what is no call",
            (403, "invalid-endpoint"),
            |play| {
                Local::new(play.stage.egress(Side::A))
                    .unexplained("what is no call is about no domain")
                    .request("POST", "/users/search", &[])
            },
        );
    }

    fn changes(&mut self) {
        self.administer(Side::A, &["domain", "remove", "b.com"]);
        self.tell(
            "out-of-step",
            "a.com removes b.com from its list: b.com's calls come back with a.com's reason",
            (533, "federation-remote-error"),
            |play| until(PATIENCE, || play.stage.send(Side::B, "a.com"), |answer| answer.status != 200),
        );
        self.tell(
            "removed",
            "and a.com's own calls to b.com stay at home",
            (400, "federation-denied"),
            |play| play.stage.send(Side::A, "b.com"),
        );
        self.administer(Side::A, &["domain", "add", "b.com"]);
        self.tell("added", "a.com adds b.com again", (200, ""), |play| {
            until(PATIENCE, || play.stage.send(Side::A, "b.com"), |answer| answer.status == 200)
        });
        self.tell(
            "moved",
            "moved.com moves its SRV record from old. to new.moved.com",
            (200, ""),
            Self::receive_after_move,
        );
        self.stage.kill_control_plane(Side::B);
        let brig = self.stage.identity(&["infra.a.com"]);
        self.tell(
            "without-control-plane",
            "b.com's control plane is killed: the verdict on a.com is still valid",
            (200, ""),
            |play| play.stage.receive(Side::B, Some(&brig), Some("a.com")),
        );
        let moved = self.stage.identity(&["new.moved.com"]);
        self.tell(
            "verdict-unavailable",
            "b.com's control plane is killed: the verdict on moved.com ends",
            (503, "verdict-unavailable"),
            |play| {
                let receive = || play.stage.receive(Side::B, Some(&moved), Some("moved.com"));
                until(PATIENCE, receive, |answer| answer.status != 200)
            },
        );
        self.stage.restart_control_plane(Side::B);
        self.tell("healed", "b.com's control plane is back", (200, ""), |play| {
            let receive = || play.stage.receive(Side::B, Some(&moved), Some("moved.com"));
            until(PATIENCE, receive, |answer| answer.status == 200)
        });
    }

    /// Admitted by the old name's certificate; then, once the record has moved, by the new one's.
    fn receive_after_move(&self) -> Result<Answer, CallError> {
        let [old, new] = ["old.moved.com", "new.moved.com"].map(|name| self.stage.identity(&[name]));
        let before = self.stage.receive(Side::B, Some(&old), Some("moved.com"))?;
        if before.status != 200 {
            return Ok(before);
        }
        let owner = service("moved.com");
        self.stage.update_dns(&[
            &format!("update delete {owner} SRV"),
            &format!("update add {owner} 5 SRV 10 5 443 new.moved.com."),
        ]);
        let receive = || self.stage.receive(Side::B, Some(&new), Some("moved.com"));
        until(PATIENCE, receive, |answer| answer.status == 200)
    }

    fn administer(&self, side: Side, command: &[&str]) {
        self.stage.administer(side, command).expect("the allow list can be changed");
    }
}

/// Makes a request again and again until its answer is the wanted one, or for so long.
pub fn until(
    patience: Duration,
    request: impl Fn() -> Result<Answer, CallError>,
    is_wanted: impl Fn(&Answer) -> bool,
) -> Result<Answer, CallError> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = request();
        if answer.as_ref().is_ok_and(&is_wanted) || Instant::now() > deadline {
            return answer;
        }
    }
}

// === impl Side ===

impl Side {
    /// The backend domain.
    pub fn domain(self) -> &'static str {
        match self {
            Self::A => "a.com",
            Self::B => "b.com",
        }
    }

    /// The infrastructure domain.
    pub fn infrastructure(self) -> &'static str {
        match self {
            Self::A => "infra.a.com",
            Self::B => "infra.b.com",
        }
    }

    /// The other backend.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

// === impl Scenario ===

impl Scenario {
    /// Whether it became what it should.
    pub fn is_ok(&self) -> bool {
        let (status, label) = self.outcome();
        (status, label.as_str()) == self.expected
    }

    /// Status and label.
    pub fn outcome(&self) -> (u16, String) {
        match &self.outcome {
            Outcome::Answer(Ok(answer)) => (answer.status, answer.label()),
            Outcome::Answer(Err(_)) => (NO_ANSWER.0, NO_ANSWER.1.to_owned()),
            Outcome::Check(findings) => findings.outcome(),
        }
    }

    /// What the caller was told, or what the other backend received.
    pub fn message(&self) -> String {
        let answer = match &self.outcome {
            Outcome::Answer(Ok(answer)) => answer.json(),
            Outcome::Answer(Err(CallError(error))) => return error.clone(),
            Outcome::Check(findings) => return findings.message(),
        };
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        if !text("message").is_empty() {
            return text("message").to_owned();
        }
        let headers = answer["headers"].as_array();
        let origin = headers.and_then(|headers| headers.iter().find(|h| h[0] == "wire-origin-domain"));
        let origin = origin.and_then(|header| header[1].as_str()).unwrap_or("nobody");
        format!("{} received {} {} from {origin}", text("component"), text("method"), text("path"))
    }
}

/// One line for machines: `ok|FAIL <name> <status> <label>`.
impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (status, label) = self.outcome();
        let verdict = if self.is_ok() { "ok" } else { "FAIL" };
        write!(f, "{verdict} {} {status} {}", self.name, if label.is_empty() { "-" } else { &label })
    }
}
