//! Refused calls on their way into the audit: a few records a minute, however many calls there are.
//!
//! A source has a record at once, and then one in a minute, with the number of calls since. Of a minute's records there
//! are [`RECORDS`] at most; where there would be more, those with fewest calls become one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use fedgate_allow_list::{Author, Deed, Record};
use serde_json::json;

use super::failures::Source;

/// The shortest time from one record of a source to the next.
const MINUTE: Duration = Duration::from_secs(60);
/// Records in a minute, but for that of all others.
const RECORDS: usize = 60;
/// Sources that are told apart.
const SOURCES: usize = 1024;

/// What was not written down yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sources: HashMap<Source, Account>,
    /// Calls of sources that found no room.
    others: u64,
    /// When the present minute began.
    minute: Option<Instant>,
    /// How many records it has.
    records: usize,
}

#[derive(Debug, Default)]
struct Account {
    calls: u64,
    written: Option<Instant>,
}

/// A number of calls from one source; or from all others.
pub(super) type Entry = (Option<Source>, u64);

// === impl Ledger ===

impl Ledger {
    /// That many more calls of a source.
    pub(super) fn count(&mut self, source: Option<&Source>, calls: u64) {
        let has_room = self.sources.len() < SOURCES;
        let sum = match source {
            Some(source) if has_room || self.sources.contains_key(source) => {
                &mut self.sources.entry(source.clone()).or_default().calls
            }
            Some(_) | None => &mut self.others,
        };
        *sum = sum.saturating_add(calls);
    }

    /// What is to be written down now, after which it counts as written.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Entry> {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= MINUTE;
        let begins = self.minute.is_none_or(is_over);
        if begins {
            self.minute = Some(now);
            self.records = 0;
        }
        let is_due = |it: &Account| it.calls > 0 && it.written.is_none_or(is_over);
        let mut due: Vec<_> = self.sources.iter_mut().filter(|(_, it)| is_due(it)).collect();
        due.sort_by_key(|(_, account)| Reverse(account.calls));
        let room = RECORDS.saturating_sub(self.records);
        let rest = due.split_off(due.len().min(room));
        self.records = self.records.saturating_add(due.len());
        let take = |(source, account): (&Source, &mut Account)| {
            account.written = Some(now);
            (Some(source.clone()), mem::take(&mut account.calls))
        };
        let mut entries: Vec<Entry> = due.into_iter().map(take).collect();
        // Within a minute they wait: they may yet be among those with most.
        if begins {
            let rest = rest.into_iter().map(|(_, account)| mem::take(&mut account.calls));
            let others = rest.fold(mem::take(&mut self.others), u64::saturating_add);
            entries.extend((others > 0).then_some((None, others)));
            self.sources.retain(|_, it| it.calls > 0 || it.written.is_some_and(|at| !is_over(at)));
        }
        entries
    }

    /// All that was not written down, as if a minute began.
    pub(super) fn rest(&mut self, now: Instant) -> Vec<Entry> {
        self.minute = None;
        self.sources.values_mut().for_each(|account| account.written = None);
        self.due(now)
    }
}

/// An entry as a record, at a moment of its author's.
pub(super) fn record((source, calls): &Entry, system: &Author) -> Record {
    let Some(Source { network, listener, refused }) = source else {
        return system.did(Deed::CallsRefused, json!({ "reason": "others", "calls": calls }));
    };
    let by = refused.name().unwrap_or(&system.by).clone();
    let (listener, reason) = (listener.name(), refused.to_string());
    let after = json!({ "network": network, "listener": listener, "reason": reason, "calls": calls });
    Author { by, ..system.clone() }.did(Deed::CallsRefused, after)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::SystemTime;

    use super::*;
    use crate::auth::{Refused, Role};
    use crate::listener::Listener;

    fn source(number: u32) -> Source {
        let network = IpAddr::V4(number.into());
        Source { network, listener: Listener::Admin, refused: Refused::Unknown }
    }

    fn calls(entries: &[Entry]) -> u64 {
        entries.iter().map(|(_, calls)| calls).sum()
    }

    #[test]
    fn a_source_has_a_record_at_once_and_then_one_in_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ledger = Ledger::default();
        let (mine, theirs) = (source(1), source(2));
        assert!(ledger.due(at(0)).is_empty());
        ledger.count(Some(&mine), 1);
        assert_eq!(ledger.due(at(1)), [(Some(mine.clone()), 1)]);
        ledger.count(Some(&mine), 999);
        assert!(ledger.due(at(2)).is_empty());
        ledger.count(Some(&theirs), 5);
        assert_eq!(ledger.due(at(30)), [(Some(theirs), 5)]);
        assert!(ledger.due(at(60)).is_empty());
        assert_eq!(ledger.due(at(61)), [(Some(mine.clone()), 999)]);
        ledger.due(at(200));
        assert!(ledger.sources.is_empty(), "whoever was quiet is forgotten");
        ledger.count(Some(&mine), 1);
        ledger.due(at(201));
        ledger.count(Some(&mine), 2);
        assert_eq!(ledger.rest(at(202)), [(Some(mine), 2)], "at the end, all of it");
    }

    #[test]
    fn records_and_memory_are_bounded_and_no_call_is_lost() {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        let (mut written, mut counted) = (0_u64, 0_u64);
        for second in 0..300_u32 {
            for number in 0..20 {
                ledger.count(Some(&source(second * 20 + number)), 1);
                counted += 1;
            }
            ledger.count(Some(&source(0)), 10);
            counted += 10;
            let entries = ledger.due(start + Duration::from_secs(second.into()));
            assert!(entries.len() <= RECORDS + 1 && ledger.sources.len() <= SOURCES);
            written += calls(&entries);
            if second > 0 && second.is_multiple_of(60) {
                assert!(entries.contains(&(Some(source(0)), 600)), "who calls most is told of");
                assert!(entries.iter().any(|(source, _)| source.is_none()));
                assert_eq!(entries.len(), RECORDS + 1);
            } else {
                assert!(ledger.records <= RECORDS);
            }
        }
        let rest = ledger.rest(start + Duration::from_secs(300));
        assert!(rest.len() <= RECORDS + 1);
        assert_eq!(written + calls(&rest), counted);
    }

    #[test]
    fn a_record_names_the_token_where_it_is_known() {
        let system = Author::system(SystemTime::UNIX_EPOCH);
        let role = Refused::Role { name: "bob".into(), role: Role::Viewer, needed: "admin".to_owned() };
        for (entry, by, after) in [
            (
                (Some(source(1)), 3),
                "system",
                r#"{"calls":3,"listener":"admin","network":"0.0.0.1","reason":"we do not know this token"}"#,
            ),
            (
                (Some(Source { refused: role, ..source(2) }), 1),
                "bob",
                r#"{"calls":1,"listener":"admin","network":"0.0.0.2","reason":"the token 'bob' has the role viewer, and this needs admin"}"#,
            ),
            ((None, 7), "system", r#"{"calls":7,"reason":"others"}"#),
        ] {
            let record = record(&entry, &system);
            assert_eq!((&*record.by, record.after.unwrap().to_string().as_str()), (by, after));
        }
    }
}
