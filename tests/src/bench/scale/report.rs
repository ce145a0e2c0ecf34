//! The section's figures, for machines and for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Scale;
use super::table::INSTANCES;
use crate::bench::race::Runner;
use crate::bench::report::{Report, median, quantile, rounded};

/// A worker is not to be held for longer than this.
const LONG_US: u64 = 2_000;

/// There are four runners for each scale, in the same order: `bare` and Fedgate with requests of all
/// domains, `bare` and Fedgate with requests of one.
pub(super) fn report(scales: &[Scale], runners: &[Runner]) -> Report {
    let mut sizes = Map::new();
    let mut requests = format!(
        "{:>7} {:>14}  {:<13} {:>5} {:>12}  {:<13} {:>5}\n",
        "domains", "all: added µs", "(quartiles)", "ratio", "one: added", "(quartiles)", "ratio"
    );
    let mut memory = format!(
        "{:>7} {:>10} {:>17} {:>18}\n",
        "domains", "Envoy MiB", "per instance MiB", "control plane MiB"
    );
    let mut loading = format!(
        "{:>7} {:>20} {:>20} {:>26} {:>7}\n",
        "domains",
        "from start: ms (max)",
        "discovered: ms (max)",
        "longest turn: µs (p50 max)",
        "> 2 ms"
    );
    let mut smallest = None;
    for (scale, runners) in scales.iter().zip(runners.chunks_exact(4)) {
        let [bare_of_all, of_all, bare_of_one, of_one] = runners else { continue };
        let size = scale.domains.len();
        let (all, one) = (of_all.added(bare_of_all), of_one.added(bare_of_one));
        let least = *smallest.get_or_insert((all, one, scale.envoy_mib));
        let ratios = [all.median / least.0.median, one.median / least.1.median];
        let per_instance = (scale.envoy_mib - least.2) / f64::from(INSTANCES);
        let _ = writeln!(
            requests,
            "{size:>7} {:>14.1}  {:<13} {:>5.2} {:>12.1}  {:<13} {:>5.2}",
            all.median,
            all.quartiles(),
            ratios[0],
            one.median,
            one.quartiles(),
            ratios[1]
        );
        let _ = writeln!(
            memory,
            "{size:>7} {:>10.1} {per_instance:>17.1} {:>18.1}",
            scale.envoy_mib, scale.control_plane_mib
        );
        let starts = millis(scale.starts.iter().copied());
        let loads = millis(scale.loads.iter().map(|load| load.took));
        let held: Vec<_> = scale.loads.iter().map(|load| micros(load.turns.longest_us())).collect();
        let long: Vec<_> =
            scale.loads.iter().map(|load| micros(load.turns.longer_than(LONG_US))).collect();
        let [held_least, held_median, held_most] =
            [quantile(&held, 0.0), median(&held), quantile(&held, 1.0)];
        let _ = writeln!(
            loading,
            "{size:>7} {:>20} {:>20} {:>26} {:>7}",
            format!("{:.0} ({:.0})", median(&starts), quantile(&starts, 1.0)),
            format!("{:.0} ({:.0})", median(&loads), quantile(&loads, 1.0)),
            format!("{held_least:.0} ({held_median:.0} {held_most:.0})"),
            median(&long),
        );
        let measures = json!({
            "added_cpu_us": rounded(all.median),
            "added_cpu_us_quartiles": all.quartiles_json(),
            "added_cpu_relative_to_10": rounded(ratios[0]),
            "added_cpu_of_one_domain_us": rounded(one.median),
            "added_cpu_of_one_domain_us_quartiles": one.quartiles_json(),
            "added_cpu_of_one_domain_relative_to_10": rounded(ratios[1]),
            "envoy_mib": rounded(scale.envoy_mib),
            "memory_per_worker_mib": rounded(per_instance),
            "control_plane_mib": rounded(scale.control_plane_mib),
            "table_from_start_p50_ms": rounded(median(&starts)),
            "table_from_start_max_ms": rounded(quantile(&starts, 1.0)),
            "table_discovered_p50_ms": rounded(median(&loads)),
            "table_discovered_max_ms": rounded(quantile(&loads, 1.0)),
            "pages": scale.loads.iter().map(|load| load.pages).max(),
            "longest_hold_us": rounded(held_least),
            "longest_hold_p50_us": rounded(held_median),
            "longest_hold_max_us": rounded(held_most),
            "holds_over_2_ms": rounded(median(&long)),
        });
        sizes.insert(size.to_string(), measures);
    }
    Report {
        json: Map::from_iter([("scale".to_owned(), Value::from(sizes))]),
        table: format!("{requests}\n{memory}\n{loading}"),
    }
}

fn millis(values: impl Iterator<Item = Duration>) -> Vec<f64> {
    values.map(|value| value.as_secs_f64() * 1e3).collect()
}

fn micros(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
