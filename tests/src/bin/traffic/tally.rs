//! What became of calls, by kind.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde_json::{Value, json};

/// At most so many broken calls of a kind are told one by one; all are counted.
const TOLD: usize = 20;

/// All calls since the beginning.
#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
}

#[derive(Debug, Default)]
struct Kind {
    /// By status, and label where it is no 200.
    answers: BTreeMap<String, u64>,
    broken: u64,
    /// Seconds since the beginning, and why; of the first ones.
    told: Vec<(f64, String)>,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), kinds: Mutex::default() }
    }

    /// An answer: its status, and its label where it has one.
    pub(crate) fn answered(&self, kind: &'static str, status: u16, label: &str) {
        let answer = format!("{status} {label}");
        let mut kinds = self.kinds();
        let kind = kinds.entry(kind).or_default();
        if status != 200 {
            kind.tell(self.seconds(), &answer);
        }
        *kind.answers.entry(answer.trim_end().to_owned()).or_default() += 1;
    }

    /// No answer, or none that can be its own.
    pub(crate) fn broken(&self, kind: &'static str, why: &str) {
        let mut kinds = self.kinds();
        let kind = kinds.entry(kind).or_default();
        kind.broken += 1;
        kind.tell(self.seconds(), why);
    }

    /// `{KIND: {"answers": {ANSWER: number}, "broken": number, "told": [[seconds, why]…]}}`.
    pub(crate) fn json(&self) -> Value {
        let kinds = self.kinds();
        let told = kinds.iter().map(|(name, kind)| {
            let value = json!({"answers": kind.answers, "broken": kind.broken, "told": kind.told});
            ((*name).to_owned(), value)
        });
        Value::Object(told.collect())
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<&'static str, Kind>> {
        self.kinds.lock().expect("no holder panics")
    }
}

impl Kind {
    fn tell(&mut self, seconds: f64, what: &str) {
        if self.told.len() < TOLD {
            self.told.push(((seconds * 1e3).round() / 1e3, what.trim_end().to_owned()));
        }
    }
}
