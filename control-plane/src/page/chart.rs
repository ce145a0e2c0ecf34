//! Refusals and failed calls over time: a chart as SVG, drawn here, and the same as a table.

use std::time::{Duration, Instant};

use crate::moment;
use crate::partners::Seen;

/// Hours that are shown.
pub(super) const HOURS: u64 = 48;
/// The size of the drawing: width of an hour, height of all.
const WIDTH: u64 = 10;
const HEIGHT: u64 = 80;

/// What was seen, hour by hour.
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// Hours in which there was anything, the last first.
    pub(super) rows: Vec<Hour>,
    pub(super) most: u64,
}

/// An hour, drawn: refusals from the ground, failed calls above them.
pub(super) struct Bar {
    pub(super) x: u64,
    pub(super) refused: u64,
    pub(super) refused_y: u64,
    pub(super) failed: u64,
    pub(super) failed_y: u64,
}

/// An hour, in numbers.
pub(super) struct Hour {
    pub(super) from: String,
    pub(super) refused: u64,
    pub(super) failed: u64,
}

// === impl Chart ===

impl Chart {
    /// Of what was seen of a domain.
    pub(super) fn of(seen: Option<&Seen>, now: Instant) -> Self {
        let hours: Vec<_> = seen.map(|seen| seen.hours.all(now).collect()).unwrap_or_default();
        let most = hours.iter().map(|it| it.refused.saturating_add(it.failed)).max().unwrap_or_default();
        let scaled = |count: u64| (count.saturating_mul(HEIGHT)).div_ceil(most.max(1));
        let bars = hours
            .iter()
            .filter(|it| it.ago < HOURS)
            .map(|it| {
                let (refused, both) = (scaled(it.refused), scaled(it.refused.saturating_add(it.failed)));
                let failed = both.saturating_sub(refused);
                Bar {
                    x: HOURS.saturating_sub(1).saturating_sub(it.ago).saturating_mul(WIDTH),
                    refused,
                    refused_y: HEIGHT.saturating_sub(refused),
                    failed,
                    failed_y: HEIGHT.saturating_sub(both),
                }
            })
            .collect();
        let from = |ago: u64| {
            let ago = Duration::from_secs(ago.saturating_add(1).saturating_mul(3600));
            now.checked_sub(ago).map(|at| moment::of(at, now)).unwrap_or_default()
        };
        let rows = hours.iter().rev();
        let rows = rows.map(|it| Hour { from: from(it.ago), refused: it.refused, failed: it.failed });
        Self { bars, rows: rows.collect(), most }
    }
}
