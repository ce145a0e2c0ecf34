//! How long an Envoy's worker is held by what it does, by Envoy's own account: while it does one thing,
//! every connection on it waits.
//!
//! A thread of Envoy takes turns: it waits for something to happen, then does all that there is to do,
//! as applying a page of the feed. `dispatcher.loop_duration_us` has the length of each turn without
//! the wait. Its buckets are a tenth wide or less, and nothing is lost between them.

use std::collections::BTreeMap;

use fedgate_tests::process::eventually;
use serde_json::Value;

use super::proxy::Proxy;

/// The turns of the one worker.
const WORKER: &str = "listener_manager.worker_0.dispatcher.loop_duration_us";

/// Turns since Envoy's start: how many, by the length in microseconds that none of them is above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns(BTreeMap<u64, u64>);

/// Has an Envoy measure its turns.
pub(crate) fn be_timed(bootstrap: &mut Value) {
    bootstrap["enable_dispatcher_stats"] = true.into();
    bootstrap["stats_flush_interval"] = "0.1s".into();
}

impl Turns {
    /// The worker's turns so far.
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let query = format!("format=json&histogram_buckets=detailed&filter=^{WORKER}$");
        // They are gathered from the worker every 0.1 s, for the first time a little after the start.
        eventually("Envoy has gathered its turns", || {
            Self::read(&proxy.stats(&query)).filter(|turns| !turns.0.is_empty())
        })
    }

    fn read(stats: &str) -> Option<Self> {
        let stats: Value = serde_json::from_str(stats).ok()?;
        let histograms = stats["stats"].as_array()?.iter().find_map(|stat| stat.get("histograms"))?;
        let buckets = histograms["details"][0]["totals"].as_array()?;
        let bucket = |bucket: &Value| {
            let upper = bucket["lower_bound"].as_f64()? + bucket["width"].as_f64()?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a length in whole microseconds, which is not negative"
            )]
            let upper = upper.ceil() as u64;
            Some((upper, bucket["count"].as_u64()?))
        };
        buckets.iter().map(bucket).collect::<Option<_>>().map(Self)
    }

    /// The turns since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |upper| earlier.0.get(upper).copied().unwrap_or_default();
        let counts = self.0.iter().map(|(upper, count)| (*upper, count.saturating_sub(before(upper))));
        Self(counts.filter(|(_, count)| *count > 0).collect())
    }

    /// The longest turn, or a little more: the upper end of its bucket.
    pub(crate) fn longest_us(&self) -> u64 {
        self.0.keys().next_back().copied().unwrap_or_default()
    }

    /// How many turns may have been longer than that.
    pub(crate) fn longer_than(&self, us: u64) -> u64 {
        self.0.iter().filter(|(upper, _)| **upper > us).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn turns(buckets: &Value) -> Turns {
        let stats = json!({"stats": [{"histograms": {"details": [{"totals": buckets}]}}]});
        Turns::read(&stats.to_string()).unwrap()
    }

    #[test]
    fn the_longest_turn_is_that_of_the_time_between() {
        let before = turns(&json!([
            {"lower_bound": 10, "width": 1, "count": 5},
            {"lower_bound": 90_000, "width": 10_000, "count": 1},
        ]));
        let after = turns(&json!([
            {"lower_bound": 10, "width": 1, "count": 9},
            {"lower_bound": 1500, "width": 100, "count": 2},
            {"lower_bound": 90_000, "width": 10_000, "count": 1},
        ]));
        let between = after.since(&before);
        assert_eq!(before.longest_us(), 100_000);
        assert_eq!(between.longest_us(), 1600);
        assert_eq!(between.longer_than(1000), 2);
        assert_eq!(between.longer_than(1600), 0);
        assert_eq!(after.since(&after), Turns::default());
    }
}
