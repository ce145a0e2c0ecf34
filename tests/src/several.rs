//! One backend with several control planes, which share a store, and several Envoys.

use std::time::{Duration, Instant};

use crate::World;
use crate::address::Address;
use crate::caller::{CallError, Caller};
use crate::control_plane::{ControlPlane, Store};
use crate::dns::srv;
use crate::process::eventually;

/// The host that speaks for all partners.
const HOST: &str = "infra.x.com";
/// Partners that DNS knows; none is listed yet.
pub const PARTNERS: [&str; 2] = ["a.com", "c.com"];

/// Two Envoys of `b.com` and three control planes of one store; the first two are those of the worlds.
///
/// Fields are in the order in which they are to end.
#[derive(Debug)]
pub struct Several {
    /// Each with an Envoy, and a control plane that it asks first.
    pub worlds: [World; 2],
    /// Which both Envoys ask later.
    pub third: ControlPlane,
    _dir: tempfile::TempDir,
    _address: Address,
}

impl Several {
    /// With the store at `url`, and these replacements in Envoy's configuration.
    pub fn start(url: &str, edits: &[(&str, &str)]) -> Self {
        let [first, second, address]: [Address; 3] = std::array::from_fn(|_| Address::claim());
        let [one, two, three] = [&first, &second, &address].map(Address::ip);
        let builder = |at: Address, order: &[_]| {
            let builder = World::builder().at(at).store(url).control_planes(order);
            edits.iter().fold(builder, |builder, (from, to)| builder.edit(from, to))
        };
        let records = PARTNERS.map(|domain| srv(domain, 3600, &format!("{HOST}.")));
        let dir = tempfile::tempdir().expect("a folder for a control plane");
        // The control planes that are not there yet are passed over.
        let first = builder(first, &[one, two, three]).records(records).start();
        let second = builder(second, &[two, three, one]).joins(&first).start();
        let dns = [first.dns.address()];
        let store = Store::Shared(url.to_owned());
        let third = ControlPlane::with_store(&[], three, dir.path(), &dns, "", store);
        Self { worlds: [first, second], third, _dir: dir, _address: address }
    }

    /// All three.
    pub fn control_planes(&mut self) -> [&mut ControlPlane; 3] {
        let [one, two] = &mut self.worlds;
        [one.control_plane(), two.control_plane(), &mut self.third]
    }

    /// A partner at the door of each Envoy.
    pub fn callers(&self) -> [Caller; 2] {
        let identity = self.worlds[0].identity(&[HOST]);
        self.worlds.each_ref().map(|world| world.caller(&identity))
    }

    /// The labels of the answers to a partner at each Envoy; empty where he is let in.
    pub fn labels(&self, domain: &str) -> Result<[String; 2], CallError> {
        let [one, two] = self.callers();
        let label = |world: &World, caller: &Caller| {
            let headers = [("wire-origin-domain", domain.as_bytes())];
            let answer = world.run(async { caller.http2().await?.call("labels", &headers).await });
            answer.map(|answer| answer.label())
        };
        Ok([label(&self.worlds[0], &one)?, label(&self.worlds[1], &two)?])
    }

    /// Waits until both Envoys say so of a partner; how long that took.
    pub fn until(&self, domain: &str, expected: &str) -> Duration {
        let begun = Instant::now();
        eventually("both Envoys have heard of it", || {
            let labels = self.labels(domain).ok()?;
            labels.iter().all(|label| label == expected).then_some(())
        });
        begun.elapsed()
    }
}

/// Makes a write until it is taken: while etcd elects a leader, none is.
#[allow(clippy::print_stderr, reason = "what was refused meanwhile is told")]
pub fn insist(write: impl Fn() -> Result<String, String>) {
    eventually("a control plane takes the write", || {
        match write() {
            Ok(said) => Some(said),
            // It was done by a try whose answer was lost.
            Err(error) if error.contains("is not on the allow list") => Some(error),
            Err(error) => {
                eprintln!("not yet: {error}");
                None
            }
        }
    });
}
