//! The model: what happens to a removal, to findings, and when all begins at once, where there are more control planes
//! and Envoys than a machine holds. Its input is what one of each costs ([`Costs`]).
//!
//! ```text
//!  write ─► etcd ─┬─► control plane ─► its Envoys, one after the other
//!                 ├─► control plane ─► …
//!                 └─► …
//! ```
//!
//! Whatever is computed takes a core of its machine, and stands in line for it. What etcd waits for (its disks, its
//! majority) takes none.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fedgate_tests::etcd::MEMBERS;
use fedgate_tests::rng::Rng;

use super::costs::Costs;

/// How many there are, and on what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Control planes.
    pub(crate) planes: usize,
    /// Envoys of each, with one worker.
    pub(crate) envoys: usize,
    /// Domains on the list.
    pub(crate) domains: usize,
    /// Where all that runs.
    pub(crate) machines: Machines,
}

/// Which machines there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Machines {
    /// One core for all servers, and one for all who read the feed, as the benchmark has it.
    Here,
    /// One for each control plane and each member of etcd, with so many cores; one for each Envoy; and so many seconds
    /// from one to another.
    Own { cores: usize, hop: f64 },
}

/// What is computed in a second, in cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    /// At each control plane.
    pub(crate) plane: f64,
    /// At each member of etcd.
    pub(crate) member: f64,
}

/// What is due next, and of which removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A control plane is asked for it.
    Asked,
    /// etcd is asked for it.
    Proposed,
    /// The majority has it.
    Committed,
    /// A member tells this control plane.
    Heard(usize),
    /// This control plane tells its Envoys.
    Applied(usize),
    /// An Envoy is told.
    Told,
    /// An Envoy refuses.
    Known,
}

/// In the order of time, which is in nanoseconds so that it has one.
type Queue = BinaryHeap<Reverse<(u64, usize, Step)>>;

/// When each core of a machine is free.
struct Machine(Vec<f64>);

// === impl Machine ===

impl Machine {
    fn new(cores: usize) -> Self {
        Self(vec![0.0; cores])
    }

    /// When what costs so much is done, if it is there at `at`, behind all that was there before.
    fn work(&mut self, at: f64, cost: f64) -> f64 {
        let free = self.0.iter_mut().min_by(|one, other| one.total_cmp(other)).expect("a core");
        *free = free.max(at) + cost;
        *free
    }
}

/// All machines of a layout.
struct World {
    layout: Layout,
    members: Vec<Machine>,
    planes: Vec<Machine>,
    readers: Machine,
}

impl World {
    fn new(layout: Layout) -> Self {
        let (members, planes, cores) = match layout.machines {
            Machines::Here => (0, 1, 1),
            Machines::Own { cores, .. } => (MEMBERS, layout.planes, cores),
        };
        let machines = |number| std::iter::repeat_with(|| Machine::new(cores)).take(number).collect();
        Self { layout, members: machines(members), planes: machines(planes), readers: Machine::new(1) }
    }

    fn hop(&self) -> f64 {
        match self.layout.machines {
            Machines::Here => 0.0,
            Machines::Own { hop, .. } => hop,
        }
    }

    fn member(&mut self, number: usize) -> &mut Machine {
        self.members.get_mut(number).unwrap_or(&mut self.planes[0])
    }

    fn plane(&mut self, number: usize) -> &mut Machine {
        let last = self.planes.len() - 1;
        &mut self.planes[number.min(last)]
    }

    fn learn(&mut self, at: f64, cost: f64) -> f64 {
        match self.layout.machines {
            Machines::Here => self.readers.work(at, cost),
            Machines::Own { .. } => at + cost,
        }
    }
}

/// Removals at the first control plane, at these times: after how many seconds each Envoy has heard of each, while
/// `busy` goes on beside.
pub(crate) fn removals(
    costs: &Costs,
    layout: Layout,
    asked: &[f64],
    busy: Busy,
    rng: &mut Rng,
) -> Vec<f64> {
    let mut world = World::new(layout);
    let hop = world.hop();
    // What runs beside leaves less of each core.
    let [on_plane, on_member] = [busy.plane, busy.member].map(|busy| match layout.machines {
        Machines::Here => 1.0,
        Machines::Own { cores, .. } => 1.0 / (1.0 - busy / number(cores)).max(0.01),
    });
    let mut queue: Queue =
        asked.iter().enumerate().map(|(n, at)| Reverse((nanos(*at), n, Step::Asked))).collect();
    let mut delays = vec![];
    // Each write compares the head that the one before has made.
    let mut head = 0;
    while let Some(Reverse((time, removal, step))) = queue.pop() {
        let at = seconds(time);
        let mut then = |at: f64, step| queue.push(Reverse((nanos(at), removal, step)));
        match step {
            Step::Asked => then(world.plane(0).work(at, costs.write * on_plane) + hop, Step::Proposed),
            Step::Proposed if time < head => then(seconds(head), Step::Proposed),
            Step::Proposed => {
                let done =
                    (0..MEMBERS).map(|it| world.member(it).work(at, costs.member_write * on_member));
                let done = done.fold(at, f64::max);
                let waits = rng.between(0, costs.waits.len() as u64);
                let wait = costs.waits[usize::try_from(waits).expect("it is small")];
                let committed = done + wait + 2.0 * hop;
                head = nanos(committed);
                then(committed, Step::Committed);
            }
            Step::Committed => {
                then(at + hop, Step::Applied(0));
                for plane in 1..layout.planes {
                    let told = world.member(plane % MEMBERS).work(at, costs.member_tell * on_member);
                    then(told + hop, Step::Heard(plane));
                }
            }
            Step::Heard(plane) => {
                then(world.plane(plane).work(at, costs.hear * on_plane), Step::Applied(plane));
            }
            Step::Applied(plane) => {
                for _ in 0..layout.envoys {
                    then(world.plane(plane).work(at, costs.tell * on_plane) + hop, Step::Told);
                }
            }
            Step::Told => then(world.learn(at, costs.learn), Step::Known),
            Step::Known => delays.push(at - asked[removal]),
        }
    }
    delays
}

/// What it takes that so many findings a second are renewed, each by one control plane, and heard by all.
pub(crate) fn steady(costs: &Costs, layout: Layout, findings: f64) -> Busy {
    let planes = number(layout.planes);
    let (own, others) = (findings / planes, findings * (planes - 1.0) / planes);
    let told = findings * number(layout.envoys) * costs.renew;
    let etcd =
        costs.members_idle(planes) + findings * (costs.member_find + planes * costs.member_find_tell);
    Busy {
        plane: costs.plane_idle + own * costs.look + others * costs.hear_found + told,
        member: etcd / number(MEMBERS),
    }
}

/// After how many seconds all control planes, begun at once on a list that is there, have told all their Envoys, which
/// hold nothing.
pub(crate) fn start(costs: &Costs, layout: Layout) -> f64 {
    let [planes, envoys, domains] = [layout.planes, layout.envoys, layout.domains].map(number);
    let (load, etcd) = (domains * costs.load, domains * costs.member_load * planes);
    let tables = domains * envoys * costs.table;
    let read = domains * costs.read;
    match layout.machines {
        // Who reads does so while others are answered, and the last one after.
        Machines::Here => (etcd + planes * (load + tables)).max(planes * envoys * read),
        Machines::Own { cores, .. } => {
            // A control plane loads its list with one core, and answers with all.
            etcd / number(MEMBERS) / number(cores) + load + tables / number(cores) + read
        }
    }
}

pub(crate) fn number(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some minutes, and none before the first"
)]
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[allow(clippy::cast_precision_loss, reason = "some minutes")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Busy = Busy { plane: 0.0, member: 0.0 };

    fn costs() -> Costs {
        Costs { write: 0.001, tell: 0.001, waits: vec![0.01], ..Costs::default() }
    }

    fn layout(planes: usize, envoys: usize, machines: Machines) -> Layout {
        Layout { planes, envoys, domains: 0, machines }
    }

    fn delays(layout: Layout, asked: &[f64], busy: Busy) -> Vec<f64> {
        let mut delays = removals(&costs(), layout, asked, busy, &mut Rng::new(1));
        delays.sort_by(f64::total_cmp);
        delays.into_iter().map(|delay| (delay * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn envoys_of_one_control_plane_hear_one_after_the_other() {
        let own = Machines::Own { cores: 1, hop: 0.0 };
        assert_eq!(delays(layout(1, 3, own), &[0.0], IDLE), [0.012, 0.013, 0.014]);
    }

    #[test]
    fn control_planes_with_machines_of_their_own_do_not_wait_for_each_other_and_on_one_core_they_do() {
        let own = Machines::Own { cores: 1, hop: 0.0 };
        assert_eq!(delays(layout(2, 2, own), &[0.0], IDLE), [0.012, 0.012, 0.013, 0.013]);
        assert_eq!(delays(layout(2, 2, Machines::Here), &[0.0], IDLE), [0.012, 0.013, 0.014, 0.015]);
    }

    #[test]
    fn a_second_core_a_hop_and_other_work_count() {
        let own = |cores, hop| Machines::Own { cores, hop };
        assert_eq!(delays(layout(1, 2, own(2, 0.0)), &[0.0], IDLE), [0.012, 0.012]);
        assert_eq!(delays(layout(1, 1, own(1, 0.001)), &[0.0], IDLE), [0.017]);
        let half = Busy { plane: 0.5, member: 0.0 };
        assert_eq!(delays(layout(1, 1, own(1, 0.0)), &[0.0], half), [0.014]);
    }

    #[test]
    fn removals_that_come_together_stand_in_line() {
        let own = Machines::Own { cores: 1, hop: 0.0 };
        assert_eq!(delays(layout(1, 1, own), &[0.0, 0.0], IDLE), [0.012, 0.022]);
        assert_eq!(delays(layout(1, 1, own), &[0.0, 1.0], IDLE), [0.012, 0.012]);
    }

    #[test]
    fn findings_cost_whoever_looks_and_whoever_hears() {
        let costs = Costs {
            look: 0.01,
            hear_found: 0.001,
            renew: 0.0001,
            member_find: 0.003,
            ..Costs::default()
        };
        let own = Machines::Own { cores: 1, hop: 0.0 };
        let busy = steady(&costs, layout(2, 10, own), 10.0);
        assert!((busy.plane - (0.05 + 0.005 + 0.01)).abs() < 1e-9, "{busy:?}");
        assert!((busy.member - 0.01).abs() < 1e-9, "{busy:?}");
    }
}
