//! Records: found, trimmed, and those of ends, which every control plane sees; and when tokens were used.

use std::sync::Arc;
use std::time::SystemTime;

use fedgate_store::etcd::{Item, MAX_OPERATIONS, Operation};
use fedgate_store::sqlite::millis;

use super::row::{self, Head, RecordRow, SCHEMA};
use super::{EtcdList, keys};
use crate::audit::{Order, Query, Retention};
use crate::{Past, Record, StoreError, Whole};

/// How many records are read at a time.
const WINDOW: i64 = 2_000;
/// How many records are read at the start: a filter that has missed no more goes on with us.
const REMEMBERED: i64 = 1_000;
/// How many records are deleted at a time.
const TRIMMED: i64 = 1_000;

impl EtcdList {
    pub(super) async fn find_records(&self, query: &Query) -> Result<Vec<(i64, Record)>, StoreError> {
        let head = self.settled().await?;
        let mut low = query.after.map_or(1, |after| after.saturating_add(1)).max(1);
        let mut high = query.before.unwrap_or(i64::MAX).min(head.records);
        let mut found = Vec::new();
        if query.order == Order::Oldest {
            low = self.first_record(low, high).await?.unwrap_or(high);
        }
        while low < high && found.len() < query.limit {
            let (from, to) = match query.order {
                Order::Newest => (high.saturating_sub(WINDOW).max(low), high),
                Order::Oldest => (low, low.saturating_add(WINDOW).min(high)),
            };
            let mut window = self.records(from, to).await?;
            match query.order {
                Order::Newest => {
                    // Where there are none, those before were trimmed.
                    if window.is_empty() {
                        break;
                    }
                    window.reverse();
                    high = from;
                }
                Order::Oldest => low = to,
            }
            let wanted = window.into_iter().filter(|(_, record)| is_wanted(query, record));
            found.extend(wanted.take(query.limit.saturating_sub(found.len())));
        }
        Ok(found)
    }

    /// The head, once the records of a large write are where they belong.
    async fn settled(&self) -> Result<Head, StoreError> {
        let seen = self.head().await?;
        if seen.head.parts == 0 {
            return Ok(seen.head);
        }
        self.spread(&seen).await?;
        Ok(self.head().await?.head)
    }

    /// The last writes before that head, as their records tell of them.
    pub(super) async fn past(&self, head: &Head) -> Result<Vec<Past>, StoreError> {
        // Records of a large write are not where they belong yet.
        if head.parts > 0 {
            return Ok(Vec::new());
        }
        let from = head.records.saturating_sub(REMEMBERED).max(1);
        let (items, _) = self.etcd.range(&keys::audit(from), &keys::audit(head.records), 0).await?;
        let rows: Result<Vec<RecordRow>, _> =
            items.iter().map(|item| row::read("record", &item.value)).collect();
        Ok(past(rows?, head))
    }

    async fn records(&self, from: i64, to: i64) -> Result<Vec<(i64, Record)>, StoreError> {
        let (items, _) = self.etcd.range(&keys::audit(from), &keys::audit(to), 0).await?;
        items.iter().map(record).collect()
    }

    /// The number of the first record that has not been trimmed, if there is one in between.
    async fn first_record(&self, from: i64, to: i64) -> Result<Option<i64>, StoreError> {
        let first = self.etcd.first(&keys::audit(from), &keys::audit(to)).await?;
        first.map(|item| number(&item)).transpose()
    }

    pub(super) async fn trim_records(
        &self,
        keep: Retention,
        now: SystemTime,
    ) -> Result<usize, StoreError> {
        let head = self.settled().await?;
        let Some(first) = self.first_record(1, head.records).await? else { return Ok(0) };
        let last = first.saturating_add(TRIMMED).min(head.records);
        let too_many = head.records.saturating_sub(i64::from(keep.count));
        let oldest = now.checked_sub(keep.age).map_or(0, millis);
        let records = self.records(first, last).await?;
        let goes = |(number, record): &&(i64, Record)| *number < too_many || millis(record.at) < oldest;
        let gone: Vec<_> = records.iter().take_while(goes).map(|(number, _)| *number).collect();
        let Some(end) = gone.last() else { return Ok(0) };
        let delete = Operation::DeleteRange(keys::audit(first), keys::audit(end.saturating_add(1)));
        self.etcd.commit(&[], &[delete]).await?;
        Ok(gone.len())
    }

    /// Writes down that entries came to their end, of which every control plane tells: once for all.
    pub(super) async fn write_down_ends(&self, records: &[Record]) -> Result<(), StoreError> {
        for record in records {
            let Some(domain) = &record.domain else { continue };
            let key = keys::lapsed(domain);
            let this = row::write(&record.before)?;
            let (noted, _) = self.etcd.get(&key).await?;
            if noted.as_ref().is_some_and(|noted| noted.value == this) {
                continue;
            }
            let at = noted.map_or(0, |noted| noted.changed_at);
            // Whoever comes first has it written; the note goes first, so that no end is told twice.
            if self.etcd.commit(&[(&key, at)], &[Operation::Put(key.clone(), this)]).await?.is_some() {
                self.commit(None, &[], std::slice::from_ref(record)).await?;
            }
        }
        Ok(())
    }

    /// Notes when tokens were used, where nobody has noted a later use.
    pub(super) async fn note_uses(&self, tokens: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError> {
        for (name, at) in tokens {
            let (key, at) = (keys::used(name), millis(*at));
            let (noted, _) = self.etcd.get(&key).await?;
            if noted.as_ref().and_then(|it| row::used(&it.value)).is_some_and(|noted| noted >= at) {
                continue;
            }
            let before = noted.map_or(0, |it| it.changed_at);
            let note = [Operation::Put(key.clone(), at.to_string().into_bytes())];
            // Whoever comes first has noted about the same.
            let _ = self.etcd.commit(&[(&key, before)], &note).await?;
        }
        Ok(())
    }

    /// Makes an empty store what another one is.
    pub(super) async fn take_over(&self, whole: &Whole) -> Result<(), StoreError> {
        let in_use = || StoreError::Failed(format!("{}: there is a list already", self.etcd.place()));
        let before = self.head_if_any().await?;
        if before.as_ref().is_some_and(|it| it.head.revision > 0 || it.head.records > 1) {
            return Err(in_use());
        }
        let at = before.map_or(0, |it| it.at);
        let mut operations = Vec::new();
        for (domain, entry) in &whole.state.domains {
            operations
                .push(Operation::Put(keys::domain(domain), row::write(&row::EntryRow::from(entry))?));
        }
        for token in whole.state.tokens.values() {
            operations.push(Operation::Put(
                keys::token(&token.name),
                row::write(&row::TokenRow::from(token))?,
            ));
        }
        let tag = super::random()?;
        for (number, record) in &whole.records {
            operations
                .push(Operation::Put(keys::audit(*number), row::write(&RecordRow::of(record, &tag))?));
        }
        let head = Head {
            schema: SCHEMA,
            identity: whole.identity.clone(),
            revision: whole.state.revision,
            strategy: whole.state.strategy,
            strategy_revision: whole.state.strategy_revision,
            records: whole
                .records
                .iter()
                .map(|(number, _)| *number)
                .max()
                .unwrap_or(0)
                .saturating_add(1),
            tag,
            parts: 0,
        };
        let guard = [(keys::HEAD, at)];
        for piece in operations.chunks(MAX_OPERATIONS) {
            let is_small =
                piece.iter().map(Operation::octets).sum::<usize>() < fedgate_store::etcd::MAX_OCTETS;
            let pieces = if is_small { piece.chunks(MAX_OPERATIONS) } else { piece.chunks(1) };
            for piece in pieces {
                self.etcd.commit(&guard, piece).await?.ok_or_else(in_use)?;
            }
        }
        // The head last: until then nothing of it is read.
        let last = [Operation::Put(keys::HEAD.to_owned(), row::write(&head)?)];
        self.etcd.commit(&guard, &last).await?.ok_or_else(in_use)?;
        Ok(())
    }
}

/// The writes that these records, in their order, are of; as far as none is missing up to the head.
fn past(rows: Vec<RecordRow>, head: &Head) -> Vec<Past> {
    let mut writes: Vec<Past> = Vec::new();
    for row in rows {
        let Some(revision) = row.revision else { continue };
        // Every change has a revision of its own, and a record.
        if writes.last().is_some_and(|write| write.revision.saturating_add(1) != revision) {
            writes.clear();
        }
        if let Some(write) = writes.last_mut().filter(|write| *write.seal == *row.tag) {
            write.revision = revision;
            write.domains.extend(row.domain);
        } else {
            let (seal, domains) = (row.tag.into(), row.domain.into_iter().collect());
            writes.push(Past { revision, seal, domains });
        }
    }
    if writes.last().is_none_or(|last| last.revision != head.revision || *last.seal != *head.tag) {
        writes.clear();
    }
    writes
}

fn number(item: &Item) -> Result<i64, StoreError> {
    keys::audit_number(&item.key).ok_or_else(|| StoreError::Row {
        what: "record",
        value: item.key.clone(),
        reason: "has no number".to_owned(),
    })
}

fn record(item: &Item) -> Result<(i64, Record), StoreError> {
    let row: RecordRow = row::read("record", &item.value)?;
    Ok((number(item)?, row.into()))
}

fn is_wanted(query: &Query, record: &Record) -> bool {
    let Query { domain, by, deeds, since, until, .. } = query;
    (domain.is_none() || *domain == record.domain)
        && by.as_ref().is_none_or(|by| **by == *record.by)
        && (deeds.is_empty() || deeds.contains(&record.deed))
        && since.is_none_or(|since| millis(record.at) >= millis(since))
        && until.is_none_or(|until| millis(record.at) < millis(until))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::audit::record;
    use crate::{Author, Change, State};

    fn head(revision: i64, tag: &str) -> Head {
        let text = format!(
            r#"{{"schema":1,"identity":"i","revision":{revision},"strategy":"allowDynamic","strategy_revision":0,
                "records":1,"tag":"{tag}"}}"#
        );
        Head::read(text.as_bytes()).unwrap()
    }

    fn row(revision: Option<i64>, tag: &str) -> RecordRow {
        let author = Author { by: "admin".into(), at: UNIX_EPOCH, request_id: None };
        let domain = "a.com".parse().unwrap();
        let change =
            revision.map_or(Change::Lapse(domain), |it| Change::Remove("a.com".parse().unwrap(), it));
        RecordRow::of(&record(&State::default(), &change, &author).unwrap(), tag)
    }

    fn writes(rows: &[(Option<i64>, &str)], head: &Head) -> Vec<(i64, String, usize)> {
        let rows = rows.iter().map(|(revision, tag)| row(*revision, tag)).collect();
        past(rows, head).iter().map(|it| (it.revision, it.seal.to_string(), it.domains.len())).collect()
    }

    #[test]
    fn the_last_writes_are_known_by_their_records_as_far_as_none_is_missing() {
        let rows = [(Some(3), "a"), (None, "end"), (Some(4), "b"), (Some(5), "b"), (Some(6), "c")];
        let all = [(3, "a".to_owned(), 1), (5, "b".to_owned(), 2), (6, "c".to_owned(), 1)];
        assert_eq!(writes(&rows, &head(6, "c")), all);
        for (head, reason) in
            [(head(7, "d"), "a write has no record"), (head(6, "x"), "another history")]
        {
            assert_eq!(writes(&rows, &head), [], "{reason}");
        }
        let gap = [(Some(1), "a"), (Some(3), "b"), (Some(4), "c")];
        assert_eq!(writes(&gap, &head(4, "c")), [(3, "b".to_owned(), 1), (4, "c".to_owned(), 1)]);
        assert_eq!(writes(&[], &head(0, "")), []);
    }
}
