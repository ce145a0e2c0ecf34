//! Writes that are too large for one transaction: laid down in parts, named by the head, spread to where they belong.
//!
//! A part is read by nobody until the head names it, which is one transaction: so a large write is done as a whole,
//! or not at all. Spreading it writes the same however often it is done, and compares the head each time: whoever
//! comes by may do it, and nobody can write in between.

use std::time::{Duration, SystemTime};

use fedgate_store::etcd::{Item, MAX_OCTETS, MAX_OPERATIONS, Operation};
use fedgate_store::sqlite::millis;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::row::{self, ChangeRow, Part, RecordRow};
use super::{EtcdList, Head, Sighting, keys};
use crate::{Change, StoreError};

/// How many changes a part has at most, each with its record: terms are of some kilobytes at most.
const PIECE: usize = 500;
/// The most octets of a part's JSON.
const PART_OCTETS: usize = MAX_OCTETS;
/// How many transactions are under way at one time; and how many of whole parts.
const AT_ONCE: usize = 16;
const FEW_AT_ONCE: usize = 4;
/// How many parts are read at a time.
const PARTS: i64 = 2;
/// How often that is tried, and the pause between.
const TRIES: usize = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// How old a part is that nobody will name any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// What these changes and records write.
pub(super) fn operations(
    changes: &[ChangeRow],
    records: &[(i64, RecordRow)],
) -> Result<Vec<Operation>, StoreError> {
    let mut operations = Vec::with_capacity(changes.len().saturating_add(records.len()));
    for change in changes {
        operations.extend(match change {
            ChangeRow::Put(domain, entry) => {
                Some(Operation::Put(keys::domain(domain), row::write(entry)?))
            }
            ChangeRow::Remove(domain, _) => Some(Operation::Delete(keys::domain(domain))),
            // It stands in the head.
            ChangeRow::Strategy(..) => None,
            ChangeRow::Token(token) => {
                Some(Operation::Put(keys::token(&token.name), row::write(token)?))
            }
            ChangeRow::Revoke(name, _) => Some(Operation::Delete(keys::token(name))),
        });
    }
    for (number, record) in records {
        operations.push(Operation::Put(keys::audit(*number), row::write(record)?));
    }
    Ok(operations)
}

/// Whether they go into one transaction, together with the head.
pub(super) fn fit(operations: &[Operation]) -> bool {
    operations.len() < MAX_OPERATIONS && octets(operations) < MAX_OCTETS
}

fn octets(operations: &[Operation]) -> usize {
    operations.iter().map(Operation::octets).fold(0, usize::saturating_add)
}

/// The same in parts, as JSON.
pub(super) fn split(
    changes: Vec<ChangeRow>,
    records: Vec<(i64, RecordRow)>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let at = millis(SystemTime::now());
    let (mut changes, mut records) = (changes.into_iter().peekable(), records.into_iter().peekable());
    let (mut parts, mut piece) = (Vec::new(), PIECE);
    let mut held: Option<Part> = None;
    while held.is_some() || changes.peek().is_some() || records.peek().is_some() {
        let part = held.take().unwrap_or_else(|| Part {
            at,
            changes: changes.by_ref().take(piece).collect(),
            records: records.by_ref().take(piece).collect(),
        });
        let json = row::write(&part)?;
        if json.len() <= PART_OCTETS || part.changes.len().max(part.records.len()) <= 1 {
            parts.push(json);
            continue;
        }
        // Rare: terms with a thousand teams. From here on by halves.
        piece = piece.div_ceil(2).max(1);
        let Part { changes: mut first, records: mut noted, .. } = part;
        let (rest, later) =
            (first.split_off(piece.min(first.len())), noted.split_off(piece.min(noted.len())));
        changes = rest.into_iter().chain(changes).collect::<Vec<_>>().into_iter().peekable();
        records = later.into_iter().chain(records).collect::<Vec<_>>().into_iter().peekable();
        held = Some(Part { at, changes: first, records: noted });
    }
    Ok(parts)
}

/// The same in the order of transactions that etcd takes.
fn batches(operations: Vec<Operation>) -> Vec<Vec<Operation>> {
    let (mut batches, mut batch, mut room) = (Vec::new(), Vec::new(), MAX_OCTETS);
    for operation in operations {
        if batch.len() == MAX_OPERATIONS || (room < operation.octets() && !batch.is_empty()) {
            batches.push(std::mem::take(&mut batch));
            room = MAX_OCTETS;
        }
        room = room.saturating_sub(operation.octets());
        batch.push(operation);
    }
    batches.push(batch);
    batches
}

impl EtcdList {
    /// Lays parts down, which mean nothing yet.
    pub(super) async fn lay_down(&self, tag: &str, parts: &[Vec<u8>]) -> Result<(), StoreError> {
        let put = |(number, part): (usize, &Vec<u8>)| {
            let (etcd, operation) =
                (self.etcd.clone(), [Operation::Put(keys::part(tag, number), part.clone())]);
            async move { etcd.commit(&[], &operation).await }
        };
        let puts = stream::iter(parts.iter().enumerate().map(put)).buffer_unordered(FEW_AT_ONCE);
        puts.try_for_each(async |_| Ok(())).await
    }

    /// Takes parts up again that no head will name.
    pub(super) async fn take_up(&self, tag: &str) -> Result<(), StoreError> {
        let beginning = keys::parts(tag);
        let parts = [Operation::DeleteRange(beginning.clone(), keys::end(&beginning))];
        self.etcd.commit(&[], &parts).await.map(|_| ())
    }

    /// The parts that a head names, at that revision of the cluster, one after the other.
    pub(super) async fn each_part(
        &self,
        head: &Head,
        at: i64,
        mut take: impl FnMut(Part),
    ) -> Result<(), StoreError> {
        let (beginning, mut count) = (keys::parts(&head.tag), 0_usize);
        let read = |item: Item| {
            count = count.saturating_add(1);
            take(row::read("part", &item.value)?);
            Ok(())
        };
        self.etcd.each(&beginning, &keys::end(&beginning), at, PARTS, read).await?;
        if count != head.parts {
            return Err(StoreError::Row {
                what: "head",
                value: head.tag.clone(),
                reason: format!("names {} parts, of which there are {count}", head.parts),
            });
        }
        Ok(())
    }

    /// The changes of a large write, one after the other.
    pub(super) async fn each_change(
        &self,
        head: &Head,
        at: i64,
        mut take: impl FnMut(Change),
    ) -> Result<(), StoreError> {
        let now = SystemTime::now();
        let take = |part: Part| part.changes.into_iter().map(|it| it.change(now)).for_each(&mut take);
        self.each_part(head, at, take).await
    }

    /// Writes what stands in parts to where it belongs, and tries again where that fails. Where we give up, the next
    /// write does it, whoever's it is.
    pub(super) async fn spread_soon(&self) {
        for _ in 0..TRIES {
            let Some(seen) = self.seen.get().filter(|seen| seen.head.parts > 0) else { return };
            let Err(error) = self.spread(&seen).await else { return };
            tracing::warn!(%error, "a large write is done, but still stands in parts");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes what stands in parts to where it belongs. It ends at once where others have done so.
    pub(super) async fn spread(&self, seen: &Sighting) -> Result<(), StoreError> {
        // Whoever comes while it is done waits, and finds it done.
        let _alone = self.spreading.lock().await;
        if self.seen.get().is_some_and(|now| now.at > seen.at) {
            return Ok(());
        }
        let guard = [(keys::HEAD, seen.at)];
        let mut written = Vec::new();
        for part in self.parts_if_named(seen).await? {
            written.extend(batches(operations(&part.changes, &part.records)?));
        }
        let commit = |batch: Vec<Operation>| {
            let etcd = self.etcd.clone();
            async move { etcd.commit(&guard, &batch).await }
        };
        let mut commits = stream::iter(written.into_iter().map(commit)).buffer_unordered(AT_ONCE);
        while let Some(done) = commits.next().await {
            if done?.is_none() {
                return Ok(());
            }
        }
        drop(commits);
        let head = Head { parts: 0, ..seen.head.clone() };
        let beginning = keys::parts(&head.tag);
        let end = [
            Operation::Put(keys::HEAD.to_owned(), row::write(&head)?),
            Operation::DeleteRange(beginning.clone(), keys::end(&beginning)),
        ];
        if let Some(at) = self.etcd.commit(&guard, &end).await? {
            self.seen.advance(Sighting { head, at, heard: seen.heard });
        }
        Ok(())
    }

    /// None where the head names them no longer.
    async fn parts_if_named(&self, seen: &Sighting) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        match self.each_part(&seen.head, 0, |part| parts.push(part)).await {
            Ok(()) => Ok(parts),
            Err(error) => match self.head_if_any().await? {
                Some(now) if now.at != seen.at => Ok(Vec::new()),
                _ => Err(error),
            },
        }
    }

    /// Takes away parts of writes that were never done.
    pub(super) async fn clear_away(&self, head: &Head) -> Result<(), StoreError> {
        let oldest = SystemTime::now().checked_sub(ABANDONED).map_or(0, millis);
        let (ours, mut abandoned) = (keys::parts(&head.tag), Vec::new());
        let look = |item: Item| {
            let is_old = row::read::<Part>("part", &item.value).is_ok_and(|part| part.at < oldest);
            if is_old && !item.key.starts_with(&ours) {
                abandoned.push(Operation::Delete(item.key));
            }
            Ok(())
        };
        self.etcd.each(keys::PART, &keys::end(keys::PART), 0, PARTS, look).await?;
        for part in abandoned {
            self.etcd.commit(&[], &[part]).await?;
        }
        Ok(())
    }
}
