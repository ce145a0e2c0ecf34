//! What each process holds, from time to time: memory and descriptors have to stay flat.

use std::collections::BTreeMap;
use std::fs;

use super::facts::{Violation, Wrong};
use super::fault::Ms;

/// Samples of the first moments are those of a program that is still starting.
const WARM_UP: Ms = 10_000;
/// Below this span nothing can be said.
const SPAN: Ms = 60_000;

/// What one process held at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Ms,
    pub(crate) process: u32,
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: u64,
}

/// By the name of the program, all its processes' one after the other.
pub(crate) type Samples = BTreeMap<String, Vec<Sample>>;

/// The first and the last of what a program held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trend {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) most: u64,
}

/// Looks at a process; nothing where it has ended.
pub(crate) fn look(process: u32, at: Ms) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let memory_kib = line.split_whitespace().next()?.parse().ok()?;
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
    Some(Sample { at, process, memory_kib, descriptors })
}

/// How memory and descriptors of a program went over the campaign: the middle value of the first third of the
/// samples and of the last third, without those of young processes. Nothing where there are too few.
pub(crate) fn trends(samples: &[Sample]) -> Option<[Trend; 2]> {
    let mut born = BTreeMap::new();
    for sample in samples {
        born.entry(sample.process).or_insert(sample.at);
    }
    let grown: Vec<_> =
        samples.iter().filter(|s| s.at >= born.get(&s.process).unwrap_or(&0) + WARM_UP).collect();
    let (first, last) = (grown.first()?, grown.last()?);
    if last.at - first.at < SPAN {
        return None;
    }
    let third = (last.at - first.at) / 3;
    let trend = |value: fn(&Sample) -> u64| {
        let of = |from, to| {
            let mut values: Vec<_> =
                grown.iter().filter(|s| (from..=to).contains(&s.at)).map(|s| value(s)).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Trend {
            first: of(first.at, first.at + third),
            last: of(last.at - third, last.at),
            most: grown.iter().map(|s| value(s)).max().unwrap_or_default(),
        }
    };
    Some([trend(|s| s.memory_kib), trend(|s| s.descriptors)])
}

/// What is not flat: a quarter more than at first, and more than what is only noise.
pub(crate) fn grown(samples: &Samples, at: Ms) -> Vec<Violation> {
    let mut wrong = vec![];
    for (program, samples) in samples {
        let Some(trends) = trends(samples) else { continue };
        for (trend, noise, what) in [(trends[0], 16 << 10, "KiB"), (trends[1], 32, "descriptors")] {
            if trend.last > trend.first + trend.first / 4 + noise {
                let Trend { first, last, .. } = trend;
                let what = format!("{program} held {first} {what} at first, and {last} at the end");
                wrong.push(Violation { kind: Wrong::Grew, at, what });
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of two minutes' life, then another.
    fn program(memory_kib: impl Fn(Ms) -> u64, descriptors: impl Fn(Ms) -> u64) -> Samples {
        let samples = (0..120).map(|n| {
            let at = n * 2000;
            let process = if at < 120_000 { 1 } else { 2 };
            Sample { at, process, memory_kib: memory_kib(at), descriptors: descriptors(at) }
        });
        [("envoy".to_owned(), samples.collect())].into()
    }

    fn count(samples: &Samples) -> usize {
        grown(samples, 0).len()
    }

    #[test]
    fn what_grows_over_the_campaign_is_told() {
        assert_eq!(count(&program(|_| 80_000, |_| 40)), 0);
        assert_eq!(count(&program(|at| 80_000 + at / 3, |_| 40)), 1, "memory");
        assert_eq!(count(&program(|_| 80_000, |at| 40 + at / 2000)), 1, "descriptors");
    }

    #[test]
    fn a_young_process_and_a_single_peak_are_no_growth() {
        let young = |at: Ms| if at % 120_000 < WARM_UP { 10_000 } else { 80_000 };
        assert_eq!(count(&program(young, |_| 40)), 0);
        let peak = |at: Ms| if (200_000..204_000).contains(&at) { 900_000 } else { 80_000 };
        assert_eq!(count(&program(peak, |_| 40)), 0);
    }

    #[test]
    fn a_living_process_can_be_looked_at() {
        let sample = look(std::process::id(), 7).unwrap();
        assert!(sample.memory_kib > 100 && sample.descriptors > 2, "{sample:?}");
        assert!(look(u32::MAX >> 2, 7).is_none());
    }
}
