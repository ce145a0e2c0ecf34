//! The memory's part of a store in etcd, where every control plane hears of what another one found.
//!
//! Each finding is lent to the store, and gone with its lease: so nobody has to sweep.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedgate_store::StoreError;
use fedgate_store::etcd::{Etcd, Event, Item, MAX_OCTETS, MAX_OPERATIONS, Operation, WatchEnd};
use fedgate_store::sqlite::{millis, time};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::finding::{HOST, Kept, Key};
use super::when::When;
use super::{Heard, Keep, Watched};

const FINDINGS: &str = "finding/";
const END: &str = "finding0";
/// How long to wait before what broke is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest lease; the others are twice as long, each time.
const SHORTEST: u64 = 64;

/// Findings, one to a key.
pub(crate) struct EtcdFindings {
    etcd: Etcd,
    /// Leases that may be used again, by how many seconds they lasted at first, and when they were had.
    leases: HashMap<u64, (i64, Instant)>,
    /// Who we are among those who write: at random.
    by: u64,
}

/// A finding, as it is kept.
#[derive(Serialize, Deserialize)]
struct Row {
    /// Who found it.
    by: u64,
    basis: String,
    /// In milliseconds since 1970.
    found_at: i64,
    boot: String,
    booted_ms: i64,
    life_ms: u64,
    finding: String,
}

// === impl EtcdFindings ===

impl EtcdFindings {
    pub(crate) fn new(etcd: Etcd) -> Self {
        // Where there is no randomness, we hear of our own findings as well, which changes nothing.
        let by = getrandom::u64().unwrap_or_default();
        Self { etcd, leases: HashMap::new(), by }
    }

    /// A lease that outlasts `life`.
    async fn lease(&mut self, life: Duration) -> Result<i64, StoreError> {
        let mut length = SHORTEST;
        while length < life.as_secs().saturating_add(1) {
            length = length.saturating_mul(2);
        }
        // Each lease takes findings for as long as it lasts at first, and has as much to go then.
        if let Some((lease, since)) = self.leases.get(&length)
            && since.elapsed().as_secs() < length
        {
            return Ok(*lease);
        }
        let had = Instant::now();
        let seconds = i64::try_from(length.saturating_mul(2)).unwrap_or(i64::MAX);
        let lease = self.etcd.lease(seconds).await?;
        self.leases.insert(length, (lease, had));
        Ok(lease)
    }

    async fn put(&mut self, changes: &[(Key, Option<Kept>)]) -> Result<(), StoreError> {
        let (mut batch, mut room) = (Vec::new(), MAX_OCTETS);
        for (key, kept) in changes {
            let name = format!("{FINDINGS}{}/{}", key.kind, key.name);
            let operation = match kept {
                Some(kept) => {
                    let lease = self.lease(kept.life).await?;
                    Operation::Lend(name, row(kept, self.by)?, lease)
                }
                None => Operation::Delete(name),
            };
            if batch.len() == MAX_OPERATIONS || (room < operation.octets() && !batch.is_empty()) {
                self.etcd.commit(&[], &std::mem::take(&mut batch)).await?;
                room = MAX_OCTETS;
            }
            room = room.saturating_sub(operation.octets());
            batch.push(operation);
        }
        if !batch.is_empty() {
            self.etcd.commit(&[], &batch).await?;
        }
        Ok(())
    }
}

impl Keep for EtcdFindings {
    /// Nothing: what is there is the others' as well, and watched.
    fn recall(&mut self) -> Result<Vec<(Key, Kept)>, StoreError> {
        Ok(Vec::new())
    }

    fn write(&mut self, changes: &[(Key, Option<Kept>)]) -> Result<(), StoreError> {
        let etcd = self.etcd.clone();
        let written = etcd.wait(self.put(changes));
        if written.is_err() {
            // One may have ended while nobody could be reached.
            self.leases.clear();
        }
        written
    }

    fn watch(&mut self) -> Option<Watched> {
        let (tell, news) = mpsc::channel(64);
        let (before, read) = self.etcd.wait(all(&self.etcd, None)).unwrap_or_else(|error| {
            tracing::warn!(%error, "what others discovered cannot be read, so all is looked up anew");
            (Vec::new(), 0)
        });
        self.etcd.runtime().spawn(follow(self.etcd.clone(), read, self.by, tell));
        Some(Watched { before, news })
    }

    fn sweep(&mut self, _: &When) -> Result<(), StoreError> {
        Ok(())
    }

    fn step(&mut self, _: &When) -> Result<(), StoreError> {
        Ok(())
    }
}

/// All that is there, in the order in which it was written, but for what is by `but`; and up to where that was read.
async fn all(etcd: &Etcd, but: Option<u64>) -> Result<(Vec<Heard>, i64), StoreError> {
    let (items, read) = etcd.range(FINDINGS, END, 0).await?;
    // Hosts last: they are of use to us where domains point at them.
    let is_host = |item: &Item| item.key.strip_prefix(FINDINGS).is_some_and(|key| key.starts_with(HOST));
    let (hosts, mut items): (Vec<_>, Vec<_>) = items.into_iter().partition(is_host);
    items.sort_by_key(|item| item.changed_at);
    let written = items.chunk_by(|one, other| one.changed_at == other.changed_at);
    let mut heard: Vec<_> = written
        .map(|items| Heard {
            findings: items.iter().filter_map(|item| finding(&item.key, &item.value, but)).collect(),
            revision: items.last().map_or(0, |item| item.changed_at),
        })
        .collect();
    let findings = hosts.iter().filter_map(|item| finding(&item.key, &item.value, but)).collect();
    heard.push(Heard { findings, revision: read });
    Ok((heard, read))
}

/// Tells of every finding behind that revision, until nobody listens.
async fn follow(etcd: Etcd, mut read: i64, by: u64, tell: mpsc::Sender<Heard>) {
    while !tell.is_closed() {
        let mut watch = match etcd.watch(FINDINGS, read.saturating_add(1)).await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::debug!(%error, "what others discover is not heard");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let end = loop {
            tokio::select! {
                events = watch.next() => match events {
                    Ok(events) => {
                        read = events.last().map_or(read, |event| event.at);
                        let findings = events.iter().filter_map(|event| heard(event, by)).collect();
                        if tell.send(Heard { findings, revision: read }).await.is_err() {
                            return;
                        }
                    }
                    Err(end) => break end,
                },
                () = tell.closed() => return,
            }
        };
        tracing::debug!(%end, "what others discover is watched anew");
        match end {
            WatchEnd::Broke(_) => etcd.leave_after(&watch),
            WatchEnd::Compacted | WatchEnd::Senseless(_) => match all(&etcd, Some(by)).await {
                Ok((heard, revision)) => {
                    read = revision;
                    for heard in heard {
                        if tell.send(heard).await.is_err() {
                            return;
                        }
                    }
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
}

/// That a finding is gone says nothing: its lease has ended, or its domain is no longer listed.
fn heard(event: &Event, by: u64) -> Option<(Key, Kept)> {
    finding(&event.key, event.value.as_deref()?, Some(by))
}

/// A finding, unless it is by `but`.
fn finding(key: &str, value: &[u8], but: Option<u64>) -> Option<(Key, Kept)> {
    let (kind, name) = key.strip_prefix(FINDINGS)?.split_once('/')?;
    let key = Key { kind: kind.to_owned(), name: name.to_owned() };
    let row: Row = serde_json::from_slice(value)
        .inspect_err(|error| tracing::warn!(name, %error, "what was discovered means nothing to us"))
        .ok()
        .filter(|row: &Row| Some(row.by) != but)?;
    let found = When { wall: time(row.found_at), boot: Arc::from(row.boot), booted_ms: row.booted_ms };
    let life = Duration::from_millis(row.life_ms);
    Some((key, Kept { basis: row.basis, found, life, finding: row.finding }))
}

fn row(kept: &Kept, by: u64) -> Result<Vec<u8>, StoreError> {
    let row = Row {
        by,
        basis: kept.basis.clone(),
        found_at: millis(kept.found.wall),
        boot: kept.found.boot.to_string(),
        booted_ms: kept.found.booted_ms,
        life_ms: u64::try_from(kept.life.as_millis()).unwrap_or(u64::MAX),
        finding: kept.finding.clone(),
    };
    serde_json::to_vec(&row).map_err(|error| StoreError::Failed(error.to_string()))
}
