//! The allow list in etcd, where several control planes share it.
//!
//! Every write compares one key, the *head*, and changes it: so writes follow one another whoever makes them, and
//! the revision of the list counts them all. A write is decided on what is in memory; where others have written
//! meanwhile, it is decided anew once that is there too.
//!
//! A write that is too large for one transaction is laid down in parts first, which nobody reads until the head
//! names them; then they are [spread](parts) to where they belong.

mod follow;
mod keys;
mod parts;
mod records;
mod row;

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fedgate_policy::Strategy;
use fedgate_store::etcd::{Etcd, Item, Operation};
use tokio::sync::mpsc;

use crate::audit::{Query, Retention};
use crate::{Change, Health, Record, State, Store, StoreError, Told, Whole};
use row::{ChangeRow, Head, RecordRow, SCHEMA};

/// How long a majority may be silent before no write is sent: then it is certain that nothing was written.
const SILENT: Duration = Duration::from_secs(3);
/// How long it is looked into whether a write was done of which nobody has said so.
const FINDING_OUT: Duration = Duration::from_secs(2);
/// How often a write is tried while others write what changes nothing of the list.
const TRIES: usize = 20;

/// The allow list's part of a cluster.
#[derive(Clone)]
pub struct EtcdList {
    etcd: Etcd,
    seen: Seen,
    /// Held by whoever spreads a large write.
    spreading: Arc<tokio::sync::Mutex<()>>,
}

/// The head as it was seen last: by whoever reads, writes or watches.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Known>>);

#[derive(Clone, Default)]
struct Known {
    head: Option<Sighting>,
    /// When a majority was last asked that has answered.
    answered: Option<Instant>,
}

#[derive(Clone)]
struct Sighting {
    head: Head,
    /// The cluster's revision at its last change.
    at: i64,
    /// When a majority last confirmed that nothing was newer.
    heard: Instant,
}

// === impl EtcdList ===

impl EtcdList {
    /// The list there; nobody is asked yet.
    pub fn new(etcd: Etcd) -> Self {
        Self { etcd, seen: Seen::default(), spreading: Arc::default() }
    }

    /// The head; made where there is none yet.
    async fn head(&self) -> Result<Sighting, StoreError> {
        loop {
            if let Some(sighting) = self.head_if_any().await? {
                return Ok(sighting);
            }
            let head = Head {
                schema: SCHEMA,
                identity: random()?,
                revision: 0,
                strategy: Strategy::default(),
                strategy_revision: 0,
                records: 1,
                tag: random()?,
                parts: 0,
            };
            let made = [Operation::Put(keys::HEAD.to_owned(), row::write(&head)?)];
            if self.etcd.commit(&[(keys::HEAD, 0)], &made).await?.is_some() {
                tracing::info!("a new store is made: its list is empty");
            }
        }
    }

    async fn head_if_any(&self) -> Result<Option<Sighting>, StoreError> {
        let begun = Instant::now();
        let (item, _) = self.etcd.get(keys::HEAD).await?;
        let Some(item) = item else { return Ok(None) };
        Ok(Some(Sighting { head: Head::read(&item.value)?, at: item.changed_at, heard: begun }))
    }

    /// What stands under these keys.
    async fn look(&self, keys: &[&str]) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for key in keys {
            items.extend(self.etcd.get(key).await?.0);
        }
        Ok(items)
    }

    /// Whether a majority has answered of late.
    fn answers_within(&self, limit: Duration) -> Result<(), StoreError> {
        let silence = self.seen.lock().answered.map(|answered| answered.elapsed());
        match silence {
            Some(silence) if silence < limit => Ok(()),
            silence => Err(StoreError::Away {
                place: self.etcd.place().to_string(),
                cause: format!(
                    "no majority has answered for {} s",
                    silence.unwrap_or_default().as_secs()
                ),
            }),
        }
    }

    /// Writes, where the list is still at `base`; returns the name of the write.
    async fn commit(
        &self,
        base: Option<i64>,
        changes: &[Change],
        records: &[Record],
    ) -> Result<String, StoreError> {
        let tag = random()?;
        for _ in 0..TRIES {
            let Some(seen) = self.seen.get() else { return Err(StoreError::Overtaken) };
            self.answers_within(SILENT)?;
            if base.is_some_and(|base| base != seen.head.revision) {
                return Err(StoreError::Overtaken);
            }
            if seen.head.parts > 0 {
                self.spread(&seen).await?;
                let head = self.head().await?;
                self.seen.advance(head);
                continue;
            }
            let write = Prepared::of(&seen.head, &tag, changes, records)?;
            if write.head.parts > 0 {
                self.lay_down(&tag, &write.parts).await?;
            }
            let record = keys::audit(seen.head.records);
            let (when, keys) = ([(keys::HEAD, seen.at)], [keys::HEAD, record.as_str()]);
            let now = match self.etcd.commit_or_read(&when, &write.operations, &keys).await {
                Ok(Ok(at)) => {
                    let now = Instant::now();
                    self.seen.answered(now);
                    self.seen.advance(Sighting { head: write.head, at, heard: now });
                    return Ok(tag);
                }
                Ok(Err(now)) => now,
                Err(StoreError::Unknown) => {
                    let found = tokio::time::timeout(FINDING_OUT, self.look(&keys)).await;
                    let Ok(Ok(now)) = found else { return Err(StoreError::Unknown) };
                    return if is_done(&now, &tag)? { Ok(tag) } else { Err(StoreError::Unknown) };
                }
                Err(error) => return Err(error),
            };
            // It may have been written by a try whose answer was lost.
            if is_done(&now, &tag)? {
                return Ok(tag);
            }
            if write.head.parts > 0 {
                self.take_up(&tag).await?;
            }
            let Some(head) = now.iter().find(|item| item.key == keys::HEAD) else {
                return Err(StoreError::Failed("the store's head is gone: restore a backup".to_owned()));
            };
            let (head, at) = (Head::read(&head.value)?, head.changed_at);
            if base.is_some_and(|base| base != head.revision) {
                return Err(StoreError::Overtaken);
            }
            self.seen.advance(Sighting { head, at, heard: seen.heard });
        }
        Err(StoreError::Overtaken)
    }
}

/// Whether the write of this name was done: the head has its name, until another write, or so has the first record that
/// goes with it, which a large write has by then.
fn is_done(now: &[Item], tag: &str) -> Result<bool, StoreError> {
    for item in now {
        let name = if item.key == keys::HEAD {
            Head::read(&item.value)?.tag
        } else {
            row::read::<RecordRow>("record", &item.value)?.tag
        };
        if name == tag {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A write, as it goes into one transaction, and what it leaves to parts.
struct Prepared {
    head: Head,
    operations: Vec<Operation>,
    parts: Vec<Vec<u8>>,
}

impl Prepared {
    /// What a write makes of the head before it.
    fn of(before: &Head, tag: &str, changes: &[Change], records: &[Record]) -> Result<Self, StoreError> {
        let mut head = before.clone();
        if !changes.is_empty() {
            tag.clone_into(&mut head.tag);
        }
        for change in changes {
            match change {
                Change::Put(_, entry) => head.revision = entry.revision,
                Change::Token(token) => head.revision = token.revision,
                Change::Remove(_, revision) | Change::Revoke(_, revision) => head.revision = *revision,
                Change::Strategy(strategy, revision) => {
                    (head.strategy, head.strategy_revision) = (*strategy, *revision);
                    head.revision = *revision;
                }
                Change::Lapse(_) | Change::Seal(..) => {}
            }
        }
        let numbered = records.iter().zip(before.records..).map(|(record, number)| (number, record));
        let records: Vec<_> =
            numbered.map(|(number, record)| (number, RecordRow::of(record, tag))).collect();
        let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
        head.records = before.records.saturating_add(count);
        let changes: Vec<_> = changes.iter().filter_map(ChangeRow::of).collect();
        let mut operations = parts::operations(&changes, &records)?;
        if parts::fit(&operations) {
            operations.push(Operation::Put(keys::HEAD.to_owned(), row::write(&head)?));
            return Ok(Self { head, operations, parts: Vec::new() });
        }
        let parts = parts::split(changes, records)?;
        head.parts = parts.len();
        tag.clone_into(&mut head.tag);
        let operations = vec![Operation::Put(keys::HEAD.to_owned(), row::write(&head)?)];
        Ok(Self { head, operations, parts })
    }
}

impl Store for EtcdList {
    fn identity(&mut self) -> Result<String, StoreError> {
        self.etcd.wait(async { Ok(self.head().await?.head.identity) })
    }

    fn load(&mut self) -> Result<State, StoreError> {
        let (mut state, sighting) = self.etcd.wait(follow::load(self))?;
        state.past = self.etcd.wait(self.past(&sighting.head))?;
        self.seen.set(sighting);
        Ok(state)
    }

    fn watch(&mut self) -> Option<mpsc::Receiver<Told>> {
        let (tell, told) = mpsc::channel(64);
        self.etcd.runtime().spawn(follow::follow(self.clone(), tell));
        Some(told)
    }

    fn keep(
        &mut self,
        base: i64,
        changes: &[Change],
        records: &[Record],
    ) -> Result<Option<Arc<str>>, StoreError> {
        let base = (!changes.is_empty()).then_some(base);
        let seal = self.etcd.wait(self.commit(base, changes, records))?;
        if self.seen.get().is_some_and(|seen| seen.head.parts > 0) {
            let list = self.clone();
            self.etcd.runtime().spawn(async move { list.spread_soon().await });
        }
        Ok(Some(seal.into()))
    }

    fn confirm(&mut self, base: i64) -> Result<(), StoreError> {
        let now = self.etcd.wait(self.head())?;
        if now.head.revision == base { Ok(()) } else { Err(StoreError::Overtaken) }
    }

    fn lapse(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.etcd.wait(self.write_down_ends(records))
    }

    fn audit(&mut self, query: &Query) -> Result<Vec<(i64, Record)>, StoreError> {
        self.etcd.wait(self.find_records(query))
    }

    fn trim_audit(&mut self, keep: Retention, now: SystemTime) -> Result<usize, StoreError> {
        self.etcd.wait(self.trim_records(keep, now))
    }

    fn used(&mut self, tokens: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError> {
        self.etcd.wait(self.note_uses(tokens))
    }

    fn whole(&mut self) -> Result<Whole, StoreError> {
        self.etcd.wait(async {
            let (state, sighting) = follow::load(self).await?;
            // Others may write meanwhile: of that, nothing.
            let before = Some(sighting.head.records);
            let all = Query { limit: usize::MAX, before, ..Query::default() };
            let records = self.find_records(&all).await?;
            Ok(Whole { identity: sighting.head.identity, state, records })
        })
    }

    fn fill(&mut self, whole: &Whole) -> Result<(), StoreError> {
        self.etcd.wait(self.take_over(whole))
    }

    fn copy(&mut self) -> Result<File, StoreError> {
        let whole = self.whole()?;
        crate::sqlite::file_of(&whole)
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.answers_within(crate::SILENCE)
    }

    fn health(&mut self) -> Health {
        let tried = self.etcd.wait(async {
            self.head().await?;
            self.etcd.octets().await
        });
        let (octets, trouble) = match tried {
            Ok(octets) => (octets, None),
            Err(error) => (0, Some(error)),
        };
        let schema = usize::try_from(SCHEMA).unwrap_or_default();
        Health { place: self.etcd.place().to_string(), octets, schema, trouble }
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

// === impl Seen ===

impl Seen {
    fn get(&self) -> Option<Sighting> {
        self.lock().head.clone()
    }

    fn set(&self, head: Sighting) {
        self.answered(head.heard);
        self.lock().head = Some(head);
    }

    /// Takes in a sighting, unless a later one is known.
    fn advance(&self, head: Sighting) {
        let known = &mut self.lock().head;
        if known.as_ref().is_none_or(|known| known.at <= head.at) {
            *known = Some(head);
        }
    }

    /// A majority was asked then, and has answered.
    fn answered(&self, asked: Instant) {
        let mut known = self.lock();
        known.answered = known.answered.max(Some(asked));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that nobody else has.
fn random() -> Result<String, StoreError> {
    let number = getrandom::u64().map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(format!("{number:016x}"))
}
