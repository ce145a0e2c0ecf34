//! What the system says of this process, by the names that Prometheus' own clients give it.

use std::fmt;
use std::fs;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};

use super::facts::seconds;

/// What is known of this process; what the system does not say is absent.
#[derive(Debug)]
pub(super) struct Process {
    started_at: SystemTime,
    resident: Option<u64>,
    processor: Option<f64>,
    files: Option<u64>,
}

// === impl Process ===

impl Process {
    /// As it is now, having begun then.
    pub(super) fn read(started_at: SystemTime) -> Self {
        Self {
            started_at,
            resident: resident(),
            processor: processor(),
            files: fs::read_dir("/proc/self/fd").ok().and_then(|files| files.count().try_into().ok()),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = [
            (
                "process_start_time_seconds",
                "When the process started, since 1970",
                Some(seconds(self.started_at)),
            ),
            ("process_resident_memory_bytes", "Memory that is in use", whole(self.resident)),
            ("process_open_fds", "Open files and connections", whole(self.files)),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                ConstGauge::new(value).encode(encoder.encode_descriptor(
                    name,
                    help,
                    None,
                    MetricType::Gauge,
                )?)?;
            }
        }
        let Some(processor) = self.processor else { return Ok(()) };
        let help = "Time of processors that was spent";
        let metric =
            encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(processor).encode(metric)
    }
}

fn whole(value: Option<u64>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

/// The second number of `/proc/self/statm` (`proc_pid_statm(5)`), in octets.
fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(u64::try_from(page_size()).ok()?))
}

/// The numbers 14 and 15 of `/proc/self/stat` (`proc_pid_stat(5)`), in seconds; the second is a name in parentheses.
fn processor() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let numbers = after_name.split_ascii_whitespace().skip(11).take(2);
    let ticks = numbers.map(str::parse::<u32>).sum::<Result<u32, _>>().ok()?;
    let per_second = u32::try_from(clock_ticks_per_second()).ok()?;
    Some(f64::from(ticks) / f64::from(per_second))
}
