//! `scripts/demo --ha`: several control planes and Envoys of one backend, of which some are lost.

use std::io::{self, Write};
use std::process::ExitCode;

use fedgate_tests::etcd::Etcd;
use fedgate_tests::process::eventually;
use fedgate_tests::several::{Several, insist};

/// What both Envoys are to say of a.com, for short and as a label.
const PERMITTED: &str = "";
const DENIED: &str = "federation-denied";

/// Something that is done, and what both Envoys are to make of a.com then.
type Step = (&'static str, &'static str, fn(&Etcd, &mut Several), &'static str);

const STEPS: [Step; 7] = [
    ("listed", "a.com is listed by the first control plane", |_, it| put(it, 0), PERMITTED),
    ("removed", "and taken off by the third", |_, it| remove(it, 2), DENIED),
    (
        "leader-killed",
        "etcd's leader is killed, and a.com listed by the second",
        |etcd, it| {
            etcd.kill(leader(etcd));
            put(it, 1);
        },
        PERMITTED,
    ),
    (
        "control-plane-killed",
        "the first control plane is killed, and a.com taken off by the second",
        |_, it| {
            it.control_planes()[0].kill();
            remove(it, 1);
        },
        DENIED,
    ),
    (
        "control-plane-back",
        "it is started again, and lists a.com",
        |_, it| {
            it.control_planes()[0].restart();
            put(it, 0);
        },
        PERMITTED,
    ),
    (
        "control-plane-frozen",
        "the second control plane is frozen, and a.com taken off by the third",
        |_, it| {
            it.control_planes()[1].freeze();
            remove(it, 2);
        },
        DENIED,
    ),
    (
        "all-back",
        "all are back, and a.com is listed by the second",
        |etcd, it| {
            it.control_planes()[1].thaw();
            (0..fedgate_tests::etcd::MEMBERS)
                .filter(|member| etcd.is_dead(*member))
                .for_each(|it| etcd.start_member(it));
            etcd.wait();
            put(it, 1);
        },
        PERMITTED,
    ),
];

/// Plays all steps, one line for each that comes true: `ok ha-NAME`, and what each Envoy says. It panics where one does
/// not.
pub(crate) fn play() -> ExitCode {
    eprintln!("demo: starting three members of etcd, three control planes and two Envoys of b.com");
    let etcd = Etcd::start();
    let mut several = Several::start(&etcd.url_of("fedgate"), &[]);
    let mut is_ok = true;
    for (name, story, act, expected) in STEPS {
        eprintln!("demo: {story}");
        act(&etcd, &mut several);
        let labels = eventually("both Envoys answer", || {
            let labels = several.labels("a.com").ok()?;
            // Until both have heard of it, or it is plain that they do not.
            labels.iter().all(|label| label == expected).then_some(labels)
        });
        let [one, other] =
            labels.map(|label| if label.is_empty() { "permitted".to_owned() } else { label });
        let was_told = writeln!(io::stdout(), "ok ha-{name} {one} {other}");
        is_ok &= was_told.is_ok();
    }
    if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn put(several: &mut Several, by: usize) {
    administer(several, by, &["domain", "add", "a.com"]);
}

fn remove(several: &mut Several, by: usize) {
    administer(several, by, &["domain", "remove", "a.com"]);
}

fn administer(several: &mut Several, by: usize, command: &[&str]) {
    let control_plane = &several.control_planes()[by];
    insist(|| control_plane.cli(command));
}

fn leader(etcd: &Etcd) -> usize {
    eventually("etcd has a leader", || etcd.leader())
}
