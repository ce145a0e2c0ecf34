//! What one of everything costs, measured on one control plane, or some.

use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use tokio::runtime::Runtime;

use super::super::cores::Cores;
use super::super::load::failed;
use super::super::report::progress;
use super::super::site::Admin;
use super::super::watchers::until;
use super::group::{Group, Spent, domain, pass};
use super::model::number;

/// Removals in each series.
const REMOVALS: usize = 100;
/// Readers, where what each costs is measured.
const READERS: usize = 100;
/// Domains, where what each costs at the start is measured.
const DOMAINS: usize = 20_000;
/// Readers of the whole table.
const TABLES: usize = 10;
/// Domains that are looked up again and again.
const RENEWED: usize = 1000;
/// How long what goes on all the time is watched.
const WHILE: Duration = Duration::from_secs(10);
/// Discovery, where nothing is looked up meanwhile; and where everything is, all the time.
pub(super) const CALM: &str = "min_ttl = \"1h\"";
pub(super) const BRISK: &str = "min_ttl = \"2s\"\nmax_ttl = \"2s\"";

/// In seconds of a core.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    /// A second of a control plane that has nothing to do.
    pub(crate) plane_idle: f64,
    /// The same at all members together, for each control plane.
    pub(crate) member_idle: f64,
    /// The same where there is none.
    pub(crate) member_base: f64,
    /// A removal, at the control plane that is asked for it.
    pub(crate) write: f64,
    /// The same at each member.
    pub(crate) member_write: f64,
    /// That a member tells a control plane of it.
    pub(crate) member_tell: f64,
    /// That a control plane hears of it.
    pub(crate) hear: f64,
    /// That a control plane answers an Envoy that waits for it.
    pub(crate) tell: f64,
    /// That the Envoy, here a reader, takes it in.
    pub(crate) learn: f64,
    /// How long etcd waited for its disks, of each removal.
    pub(crate) waits: Vec<f64>,
    /// A domain, as a control plane loads it.
    pub(crate) load: f64,
    /// The same at the members.
    pub(crate) member_load: f64,
    /// A domain in a whole table, as it is told.
    pub(crate) table: f64,
    /// The same as it is read.
    pub(crate) read: f64,
    /// A domain that is looked up again, and written.
    pub(crate) look: f64,
    /// The same at another control plane.
    pub(crate) hear_found: f64,
    /// The same for each Envoy.
    pub(crate) renew: f64,
    /// The same at all members together.
    pub(crate) member_find: f64,
    /// The same there, for each control plane.
    pub(crate) member_find_tell: f64,
}

/// Measures all of them.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Costs, CallError> {
    let mut costs = Costs::default();
    removals(&mut costs, runtime, cores)?;
    start(&mut costs, runtime, cores)?;
    findings(&mut costs, runtime, cores)?;
    progress("many: what findings cost is measured");
    Ok(costs)
}

impl Costs {
    /// A second of all members together, when so many control planes have nothing to do.
    pub(crate) fn members_idle(&self, planes: f64) -> f64 {
        self.member_base + planes * self.member_idle
    }

    /// What each removal cost that control plane, and all members; not what goes on beside.
    fn of_removals(&self, spent: &Spent, plane: usize) -> (f64, f64) {
        let idle = self.members_idle(number(spent.planes.len()));
        let each = |cost: f64, idle: f64| ((cost - idle * spent.elapsed) / number(REMOVALS)).max(0.0);
        (each(spent.planes[plane], self.plane_idle), each(spent.members, idle))
    }
}

/// What goes on in a second: at each control plane, and at all members.
fn idle(group: &Group) -> (f64, f64) {
    let before = group.cpu();
    pass(WHILE);
    let Spent { elapsed, planes, members, .. } = group.spent(&before);
    (planes.iter().sum::<f64>() / number(planes.len()) / elapsed, members / elapsed)
}

/// What a removal costs, and what nothing costs: at two control planes, at five, and with readers at the last.
fn removals(costs: &mut Costs, runtime: &Runtime, cores: Option<&Cores>) -> Result<(), CallError> {
    let mut group = Group::start(2, 3 * REMOVALS, CALM, cores);
    group.list(3 * REMOVALS)?;
    let (plane_idle, members_of_two) = idle(&group);
    let before = group.cpu();
    let took = remove(&group.admin(), 0)?;
    let two = group.spent(&before);
    group.add(3);
    let members_of_five = idle(&group).1;
    costs.plane_idle = plane_idle;
    costs.member_idle = ((members_of_five - members_of_two) / 3.0).max(0.0);
    costs.member_base = (members_of_two - 2.0 * costs.member_idle).max(0.0);
    let before = group.cpu();
    remove(&group.admin(), REMOVALS)?;
    let five = group.spent(&before);
    progress("many: what a removal costs is measured");
    costs.write = costs.of_removals(&two, 0).0;
    costs.hear = costs.of_removals(&two, 1).0;
    let [members_of_two, members_of_five] = [&two, &five].map(|spent| costs.of_removals(spent, 1).1);
    costs.member_tell = ((members_of_five - members_of_two) / 3.0).max(0.0);
    costs.member_write = ((members_of_two - 2.0 * costs.member_tell) / 3.0).max(0.0);
    let computed = costs.write + members_of_two;
    costs.waits = took.iter().map(|took| (took - computed).max(0.0)).collect();

    let admin = group.admin();
    let (spent, _) = group.watched(runtime, 1, READERS, async |seen| {
        let before = group.cpu();
        for n in 2 * REMOVALS..3 * REMOVALS {
            seen.borrow_mut().removed.clear();
            let admin = admin.clone();
            let removed = tokio::task::spawn_blocking(move || admin.remove(&domain(n)));
            removed.await.map_err(failed)?.map_err(failed)?;
            until(seen, "all have the removal", |seen| seen.removed.len() >= READERS).await?;
        }
        Ok(group.spent(&before))
    })?;
    let with_readers = costs.of_removals(&spent, 4).0;
    costs.tell = ((with_readers - costs.hear) / number(READERS)).max(0.0);
    costs.learn = spent.readers / number(REMOVALS) / number(READERS);
    Ok(())
}

/// Removes domains, one after the other; how long each took, in seconds.
fn remove(admin: &Admin, from: usize) -> Result<Vec<f64>, CallError> {
    let mut took = vec![];
    for n in from..from + REMOVALS {
        let begun = Instant::now();
        admin.remove(&domain(n)).map_err(failed)?;
        took.push(begun.elapsed().as_secs_f64());
    }
    Ok(took)
}

/// What a domain costs at the start.
fn start(costs: &mut Costs, runtime: &Runtime, cores: Option<&Cores>) -> Result<(), CallError> {
    let mut group = Group::start(1, DOMAINS, CALM, cores);
    group.list(DOMAINS)?;
    progress(&format!("many: {DOMAINS} domains are listed"));
    group.stop();
    let (domains, before) = (number(DOMAINS), group.cpu().members());
    group.restart();
    let loaded = group.cpu();
    costs.load = loaded.plane() / domains;
    costs.member_load = (loaded.members() - before) / domains;
    let tables = number(TABLES) * domains;
    let (spent, _) = group.watched(runtime, 1, TABLES, async |_| Ok(group.spent(&loaded)))?;
    (costs.table, costs.read) = (spent.planes[0] / tables, spent.readers / tables);
    Ok(())
}

/// What a domain costs that is looked up again: at one control plane, at three, and with readers at the last.
fn findings(costs: &mut Costs, runtime: &Runtime, cores: Option<&Cores>) -> Result<(), CallError> {
    let mut group = Group::start(1, RENEWED, BRISK, cores);
    group.list(RENEWED)?;
    // Of a finding: at all control planes, at all members, and of the last control plane.
    let each = |group: &Group, spent: &Spent, lookups: usize| {
        let findings = number(group.lookups() - lookups);
        let number_of = number(spent.planes.len());
        let planes = spent.planes.iter().sum::<f64>() - costs.plane_idle * number_of * spent.elapsed;
        let members = spent.members - costs.members_idle(number_of) * spent.elapsed;
        (planes / findings, members / findings)
    };
    let watch = |group: &Group| {
        let (before, lookups) = (group.cpu(), group.lookups());
        pass(WHILE);
        each(group, &group.spent(&before), lookups)
    };
    let one = watch(&group);
    group.add(2);
    let three = watch(&group);
    let (watched, _) = group.watched(runtime, 1, READERS, async |_| {
        let (before, lookups) = (group.cpu(), group.lookups());
        tokio::time::sleep(WHILE).await;
        Ok(each(&group, &group.spent(&before), lookups))
    })?;
    costs.look = one.0;
    // Each is looked up by one, and heard by the other two.
    costs.hear_found = ((three.0 - one.0) / 2.0).max(0.0);
    costs.renew = ((watched.0 - three.0) / number(READERS)).max(0.0);
    costs.member_find_tell = ((three.1 - one.1) / 2.0).max(0.0);
    costs.member_find = (one.1 - costs.member_find_tell).max(0.0);
    Ok(())
}
