//! What a campaign came to: a table for people, JSON for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Lacking;
use super::book::{Book, Pages, Run, STARVED};
use super::facts::Wrong;
use super::fault::{Component, Fault, Kind, Ms};
use super::machine;
use super::usage;

/// As many violations are shown; the JSON has all.
const SHOWN: usize = 50;

/// Tells whoever waits how far it is.
pub(crate) fn progress(book: &Book, end: Ms, faults: &[Fault]) {
    let now = book.now();
    let pages = book.pages();
    let Some(run) = pages.faults.last() else { return };
    let healed = run.healed_in.map_or("not healed".to_owned(), |after| format!("healed in {after} ms"));
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    eprintln!(
        "torture: {:>4} of {} s, {} faults, {} calls, {} violations; {}: {healed}",
        now / 1000,
        end / 1000,
        pages.faults.len(),
        pages.calls.all,
        pages.violations.len(),
        faults.join(", "),
    );
}

/// The table.
pub(crate) fn table(seed: u64, pages: &Pages, now: Ms, lacking: &Lacking) -> String {
    let mut text = format!("seed {seed}, {} s, {} faults\n\n", now / 1000, pages.faults.len());
    let kinds: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| pages.faults.iter().any(|r| r.fault.kind == *kind))
        .collect();
    let _ = write!(text, "{:<14}", "faults");
    for kind in &kinds {
        let _ = write!(text, "{:>14}", kind.name());
    }
    let _ = writeln!(text, "{:>22}", "healed in p50 / max");
    for component in Component::ALL {
        let of = |r: &&Run| r.fault.component == component;
        let runs: Vec<_> = pages.faults.iter().filter(of).collect();
        if runs.is_empty() {
            continue;
        }
        let _ = write!(text, "{:<14}", component.name());
        for kind in &kinds {
            let count = runs.iter().filter(|run| run.fault.kind == *kind).count();
            let _ = write!(text, "{:>14}", if count == 0 { String::new() } else { count.to_string() });
        }
        let (p50, max) = healed(&runs);
        let _ = writeln!(text, "{:>22}", format!("{p50} / {max} ms"));
    }
    let calls = pages.calls;
    let [acknowledged, refused, unknown] = pages.writes;
    let (worst, often) = late(pages);
    let busy = busy(pages, now).map_or("an unknown part".to_owned(), |percent| format!("{percent} %"));
    let _ = writeln!(
        text,
        "\ncalls {}: passed {}, refused {}, of partners hurt by a fault {}; longest {} ms\n\
         a removal was outlived by {} ms at most where the feed was well, by {} ms where it was not\n\
         writes {acknowledged} acknowledged, {refused} refused, {unknown} without an answer; lists read {}\n\
         this machine was late by {worst} ms at worst, {often} times by {STARVED} ms or more; somebody \
         waited for a processor for {busy} of the time",
        calls.all,
        calls.passed,
        calls.refused,
        calls.hurt,
        calls.longest,
        calls.outlived[0],
        calls.outlived[1],
        pages.reads,
    );
    for (program, samples) in &pages.samples {
        if let Some([memory, descriptors]) = usage::trends(samples) {
            let mib = |kib: u64| kib / 1024;
            let _ = writeln!(
                text,
                "{program}: {} MiB at first, {} at the end, {} at most; descriptors {}, {}, {}",
                mib(memory.first),
                mib(memory.last),
                mib(memory.most),
                descriptors.first,
                descriptors.last,
                descriptors.most,
            );
        }
    }
    for (fault, why) in lacking {
        let _ = writeln!(text, "not tried: {fault}: {why}");
    }
    text += "\nviolations:";
    for kind in Wrong::ALL {
        let count = pages.violations.iter().filter(|told| told.violation.kind == kind).count();
        let _ = write!(text, " {} {count}", kind.name());
    }
    let starved = pages.violations.iter().filter(|told| told.late >= STARVED).count();
    let _ = writeln!(text, "; {starved} of them while this machine starved");
    for told in pages.violations.iter().take(SHOWN) {
        let (kind, what) = (told.violation.kind.name(), &told.violation.what);
        let _ = write!(text, "  {kind}: {what}\n    meanwhile: {}", told.meanwhile);
        if told.late >= STARVED {
            let _ = write!(text, "; this machine was late by {} ms just before", told.late);
        }
        text.push('\n');
    }
    if pages.violations.len() > SHOWN {
        text += "  …\n";
    }
    text
}

/// The same for machines.
pub(crate) fn json(seed: u64, pages: &Pages, now: Ms, lacking: &Lacking) -> Value {
    let faults = pages.faults.iter().map(|run| {
        json!({
            "component": run.fault.component.name(), "kind": run.fault.kind.name(),
            "at": run.fault.side.domain(), "from_ms": run.from, "lifted_ms": run.lifted,
            "healed_in_ms": run.healed_in,
        })
    });
    let violations = pages.violations.iter().map(|told| {
        json!({
            "kind": told.violation.kind.name(), "at_ms": told.violation.at, "what": told.violation.what,
            "meanwhile": told.meanwhile, "machine_late_ms": told.late,
        })
    });
    let programs = pages.samples.iter().filter_map(|(program, samples)| {
        let [memory, descriptors] = usage::trends(samples)?.map(|t| json!([t.first, t.last, t.most]));
        Some((program.clone(), json!({"memory_kib": memory, "descriptors": descriptors})))
    });
    let calls = pages.calls;
    let [acknowledged, refused, unknown] = pages.writes;
    let (worst, often) = late(pages);
    json!({
        "seed": seed, "lasted_ms": now,
        "faults": faults.collect::<Vec<_>>(),
        "violations": violations.collect::<Vec<_>>(),
        "calls": {"all": calls.all, "passed": calls.passed, "refused": calls.refused,
                  "hurt": calls.hurt, "longest_ms": calls.longest},
        "removal_outlived_ms": {"feed_well": calls.outlived[0], "feed_hurt": calls.outlived[1]},
        "writes": {"acknowledged": acknowledged, "refused": refused, "unknown": unknown},
        "lists_read": pages.reads,
        "machine": {"late_at_worst_ms": worst, "late_often": often, "waiting_percent": busy(pages, now)},
        "programs_first_last_most": programs.collect::<serde_json::Map<_, _>>(),
        "not_tried": lacking.iter().map(|(fault, why)| format!("{fault}: {why}")).collect::<Vec<_>>(),
    })
}

fn healed(runs: &[&Run]) -> (Ms, Ms) {
    let mut times: Vec<_> = runs.iter().filter_map(|run| run.healed_in).collect();
    times.sort_unstable();
    let p50 = times.get(times.len() / 2).copied().unwrap_or_default();
    (p50, times.last().copied().unwrap_or_default())
}

fn late(pages: &Pages) -> (Ms, usize) {
    let worst = pages.late.iter().map(|(_, by)| *by).max().unwrap_or_default();
    (worst, pages.late.iter().filter(|(_, by)| *by >= STARVED).count())
}

/// For which part of the time somebody on this machine waited for a processor.
fn busy(pages: &Pages, now: Ms) -> Option<Ms> {
    let waited = machine::pressure()?.checked_sub(pages.pressure?)?;
    (waited * 100).checked_div(now)
}
