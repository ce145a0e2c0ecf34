//! Section `many`: what becomes of many control planes and Envoys, more than a machine holds. What one of everything costs
//! is measured ([`costs`]); a model ([`model`]) says what follows from that; what it says of a few is held against a few
//! real ones ([`group`]), and then it says what 100 control planes, 10,000 Envoys and 100,000 domains come to.

mod costs;
mod group;
mod model;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fedgate_tests::caller::CallError;
use fedgate_tests::rng::Rng;
use serde_json::{Map, json};
use tokio::runtime::Runtime;

use super::cores::Cores;
use super::load::failed;
use super::report::{Report, progress, quantile, rounded};
use super::watchers::until;
use costs::{BRISK, CALM, Costs};
use group::{Group, domain, pass};
use model::{Busy, Layout, Machines, number};

/// What is held against the model.
const FEW: Layout = Layout { planes: 3, envoys: 150, domains: 10_000, machines: Machines::Here };
/// What it is asked about: each control plane and each member of etcd on a machine with two cores.
const MANY: Layout = Layout {
    planes: 100,
    envoys: 100,
    domains: 100_000,
    machines: Machines::Own { cores: 2, hop: 0.000_25 },
};
/// Removals of which each is made when the last one is everywhere.
const REMOVALS: usize = 100;
/// Domains that are looked up again and again, and how long that is watched.
const RENEWED: usize = 500;
const WHILE: Duration = Duration::from_secs(10);
/// For how long DNS says what it says of the many.
const TTL: f64 = 3600.0;
/// A domain is looked up again after this part of its life.
const RENEWED_AFTER: f64 = 0.8;
/// Removals of the many, at random times.
const MANY_REMOVALS: usize = 500;

/// What the model says, and what was seen.
struct Pair {
    what: &'static str,
    unit: &'static str,
    model: f64,
    seen: f64,
}

/// Measures, holds the model against what is there, and asks it.
pub(crate) fn measure(runtime: &Runtime, cores: Option<&Cores>) -> Result<Report, CallError> {
    let costs = costs::measure(runtime, cores)?;
    let mut pairs = vec![];
    removals(&mut pairs, &costs, runtime, cores)?;
    start(&mut pairs, &costs, runtime, cores)?;
    steady(&mut pairs, &costs, cores)?;
    Ok(report(&costs, &pairs))
}

/// Removals at one of three control planes, with readers at all of them.
fn removals(
    pairs: &mut Vec<Pair>,
    costs: &Costs,
    runtime: &Runtime,
    cores: Option<&Cores>,
) -> Result<(), CallError> {
    let group = Group::start(FEW.planes, REMOVALS, CALM, cores);
    group.list(REMOVALS)?;
    let (admin, readers) = (group.admin(), FEW.planes * FEW.envoys);
    let (seen, _) = group.watched(runtime, FEW.planes, FEW.envoys, async |seen| {
        let mut delays = vec![];
        for n in 0..REMOVALS {
            seen.borrow_mut().removed.clear();
            let (admin, begun) = (admin.clone(), Instant::now());
            let removed = tokio::task::spawn_blocking(move || admin.remove(&domain(n)));
            removed.await.map_err(failed)?.map_err(failed)?;
            until(seen, "all have the removal", |seen| seen.removed.len() >= readers).await?;
            delays.extend(seen.borrow().removed.iter().map(|at| at.duration_since(begun).as_secs_f64()));
        }
        Ok(delays)
    })?;
    let apart: Vec<_> = (0..u32::try_from(REMOVALS).unwrap_or_default()).map(f64::from).collect();
    let idle = Busy { plane: 0.0, member: 0.0 };
    let model = model::removals(costs, FEW, &apart, idle, &mut Rng::new(1));
    for (what, q) in [("a removal is at half of the Envoys", 0.5), ("at 99 of 100", 0.99)] {
        let [model, seen] = [&model, &seen].map(|delays| quantile(delays, q) * 1e3);
        pairs.push(Pair { what, unit: "ms", model, seen });
    }
    Ok(())
}

/// Three control planes begin at once, and readers with nothing come to all of them.
fn start(
    pairs: &mut Vec<Pair>,
    costs: &Costs,
    runtime: &Runtime,
    cores: Option<&Cores>,
) -> Result<(), CallError> {
    const READERS: usize = 10;
    let mut group = Group::start(FEW.planes, FEW.domains, CALM, cores);
    group.list(FEW.domains)?;
    group.stop();
    let begun = Instant::now();
    group.restart();
    group.watched(runtime, FEW.planes, READERS, async |_| Ok(()))?;
    let seen = begun.elapsed().as_secs_f64();
    let model = model::start(costs, Layout { envoys: READERS, ..FEW });
    pairs.push(Pair { what: "all have their tables after a start", unit: "s", model, seen });
    Ok(())
}

/// Three control planes look domains up again and again.
fn steady(pairs: &mut Vec<Pair>, costs: &Costs, cores: Option<&Cores>) -> Result<(), CallError> {
    let group = Group::start(FEW.planes, RENEWED, BRISK, cores);
    group.list(RENEWED)?;
    let (before, lookups) = (group.cpu(), group.lookups());
    pass(WHILE);
    let spent = group.spent(&before);
    let findings = number(group.lookups() - lookups) / spent.elapsed;
    let model = model::steady(costs, Layout { envoys: 0, ..FEW }, findings);
    let plane = spent.planes.iter().sum::<f64>() / spent.elapsed / number(FEW.planes);
    let member = spent.members / spent.elapsed / 3.0;
    pairs.push(Pair {
        what: "a control plane is busy",
        unit: "% of a core",
        model: model.plane * 1e2,
        seen: plane * 1e2,
    });
    pairs.push(Pair {
        what: "a member of etcd is busy",
        unit: "% of a core",
        model: model.member * 1e2,
        seen: member * 1e2,
    });
    progress(&format!("many: {findings:.0} domains are looked up a second"));
    Ok(())
}

// === the report ===

fn report(costs: &Costs, pairs: &[Pair]) -> Report {
    let mut table = "what one costs, in microseconds of a core\n".to_owned();
    for (name, cost) in told(costs) {
        let _ = writeln!(table, "{name:<30} {cost:>12.1}");
    }
    let _ = writeln!(
        table,
        "\n{} control planes, {} readers each, on one core: the model, and what was seen",
        FEW.planes, FEW.envoys
    );
    let mut few = Map::new();
    for Pair { what, unit, model, seen } in pairs {
        let _ = writeln!(table, "{what:<40} {model:>9.2} {seen:>9.2} {unit:<12} {:>5.2}", model / seen);
        few.insert(
            (*what).to_owned(),
            json!({ "model": rounded(*model), "seen": rounded(*seen), "unit": unit }),
        );
    }
    let _ = writeln!(
        table,
        "\n{} control planes with {} Envoys each, {} domains, a TTL of {TTL} s: the model",
        MANY.planes, MANY.envoys, MANY.domains
    );
    let mut many = Map::new();
    let mut say = |what: &str, value: f64, unit: &str| {
        let _ = writeln!(table, "{what:<50} {value:>9.2} {unit}");
        many.insert(what.to_owned(), json!({ "model": rounded(value), "unit": unit }));
    };
    let busy = model::steady(costs, MANY, number(MANY.domains) / (TTL * RENEWED_AFTER));
    say("a control plane is busy", busy.plane * 1e2, "% of a core");
    say("a member of etcd is busy", busy.member * 1e2, "% of a core");
    for a_second in [1.0, 10.0, 50.0] {
        let mut rng = Rng::new(1);
        let mut at = 0.0;
        let asked: Vec<f64> = std::iter::repeat_with(|| {
            // So that they come as chance has it.
            let even =
                f64::from(u32::try_from(rng.between(1, 1 << 20)).unwrap_or(1)) / f64::from(1 << 20);
            at -= even.ln() / a_second;
            at
        })
        .take(MANY_REMOVALS)
        .collect();
        let delays = model::removals(costs, MANY, &asked, busy, &mut rng);
        for (name, q) in [("half", 0.5), ("99 of 100", 0.99), ("the last", 1.0)] {
            let what = format!("{a_second} removals a second: at {name} of the Envoys");
            say(&what, quantile(&delays, q) * 1e3, "ms");
        }
    }
    say("all begins at once: all have their tables after", model::start(costs, MANY), "s");
    let costs = told(costs).into_iter().map(|(name, cost)| (name.to_owned(), rounded(cost)));
    let json = json!({ "costs": costs.collect::<Map<_, _>>(), "few": few, "many": many });
    Report { json: Map::from_iter([("many".to_owned(), json)]), table }
}

/// In microseconds of a core, but for the waits, which take none.
fn told(costs: &Costs) -> Vec<(&'static str, f64)> {
    let us = |(name, cost): (&'static str, f64)| (name, cost * 1e6);
    let all = [
        ("control_plane_idle_us_per_s", costs.plane_idle),
        ("members_idle_us_per_s", costs.member_base),
        ("members_idle_for_each_us_per_s", costs.member_idle),
        ("write_us", costs.write),
        ("member_write_us", costs.member_write),
        ("member_tell_us", costs.member_tell),
        ("wait_p50_us", quantile(&costs.waits, 0.5)),
        ("wait_p99_us", quantile(&costs.waits, 0.99)),
        ("hear_us", costs.hear),
        ("tell_us", costs.tell),
        ("learn_us", costs.learn),
        ("load_us", costs.load),
        ("member_load_us", costs.member_load),
        ("table_us", costs.table),
        ("read_us", costs.read),
        ("look_us", costs.look),
        ("hear_found_us", costs.hear_found),
        ("renew_us", costs.renew),
        ("member_find_us", costs.member_find),
        ("member_find_tell_us", costs.member_find_tell),
    ];
    all.map(us).into()
}
