//! What is there, and what others make of it: the list read as a whole, then every change as it happens.
//!
//! Events are what is quick; what is certain is the *beat*, a read of the head which a majority confirms. It says
//! that nothing newer is there than what events have told; and where they have not, or where the list is older than
//! it was, as after a backup was restored, the list is read as a whole again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fedgate_policy::Domain;
use fedgate_store::StoreError;
use fedgate_store::etcd::{Event, Item, PAGE, Watch, WatchEnd};
use fedgate_store::sqlite::time;
use tokio::sync::mpsc;

use super::row::{self, EntryRow, Head, TokenRow};
use super::{EtcdList, Sighting, keys};
use crate::state::Names;
use crate::{Change, State, Token, Told};

/// How often a majority is asked whether there is anything newer.
const BEAT: Duration = Duration::from_millis(250);
/// How long events may lag behind that before they are watched anew, of another member if need be.
const LAG: Duration = Duration::from_millis(200);
/// How long before the list is read as a whole.
const LOSS: Duration = Duration::from_secs(2);

/// Reads all of the list, as it is at one revision of the cluster.
pub(super) async fn load(list: &EtcdList) -> Result<(State, Sighting), StoreError> {
    loop {
        let begun = Instant::now();
        list.head().await?;
        // The head once more, with all else at the same revision.
        let mut state = State::default();
        let mut names = Names::default();
        let mut sighting = None;
        let now = SystemTime::now();
        let take = |item: Item| {
            if item.key == keys::HEAD {
                let head = Head::read(&item.value)?;
                sighting = Some(Sighting { head, at: item.changed_at, heard: begun });
            } else if let Some(name) = item.key.strip_prefix(keys::DOMAIN) {
                let mut entry = row::read::<EntryRow>("entry", &item.value)?.entry(now);
                names.share(&mut entry);
                state.domains.insert(domain(name)?, entry);
            } else if item.key.strip_prefix(keys::TOKEN).is_some() {
                let token: Token = row::read::<TokenRow>("token", &item.value)?.into();
                state.tokens.insert(token.name.clone(), token);
            } else {
                tracing::warn!(
                    key = item.key,
                    "a key of the store means nothing to us: it is passed over"
                );
            }
            Ok(())
        };
        let at = list.etcd.each(keys::LIST, &keys::end(keys::LIST), 0, PAGE, take).await?;
        // Deleted by hand in between: it is made anew.
        let Some(sighting) = sighting else { continue };
        if sighting.head.parts > 0 {
            let apply = |change| {
                let change = match change {
                    Change::Put(domain, mut entry) => {
                        names.share(&mut entry);
                        Change::Put(domain, entry)
                    }
                    other @ (Change::Remove(..)
                    | Change::Lapse(_)
                    | Change::Strategy(..)
                    | Change::Token(_)
                    | Change::Revoke(..)
                    | Change::Seal(..)) => other,
                };
                state.apply(change);
            };
            list.each_change(&sighting.head, at, apply).await?;
        }
        let Head { revision, strategy, strategy_revision, ref tag, .. } = sighting.head;
        state.seal = tag.as_str().into();
        (state.revision, state.strategy, state.strategy_revision) =
            (revision, strategy, strategy_revision);
        let (used, _) = list.etcd.range(keys::USED, &keys::end(keys::USED), 0).await?;
        for item in used {
            let name = item.key.strip_prefix(keys::USED).unwrap_or_default();
            if let (Some(token), Some(at)) = (state.tokens.get_mut(name), row::used(&item.value)) {
                token.last_used_at = Some(time(at));
            }
        }
        list.clear_away(&sighting.head).await?;
        return Ok((state, sighting));
    }
}

fn domain(name: &str) -> Result<Domain, StoreError> {
    Domain::parse(name.as_bytes()).map_err(|reason| StoreError::Row {
        what: "domain",
        value: name.to_owned(),
        reason: reason.to_string(),
    })
}

/// Tells what others write, until nobody listens.
pub(super) async fn follow(list: EtcdList, tell: mpsc::Sender<Told>) {
    let Some(head) = list.seen.get() else { return };
    let (beat, mut beats) = mpsc::channel(1);
    let beating = tokio::spawn(heartbeat(list.clone(), beat));
    let mut so_far = SoFar { head, since: Instant::now(), behind: None };
    while let Some(end) = until_broken(&list, &mut so_far, &mut beats, &tell).await {
        if let End::Broke(cause) = &end {
            tracing::debug!(cause, "the store is watched anew");
            continue;
        }
        tracing::info!(cause = %end, "the list is read as a whole again");
        match load(&list).await {
            Ok((state, sighting)) => {
                list.seen.set(sighting.clone());
                let known_at = sighting.heard;
                so_far = SoFar { head: sighting, since: Instant::now(), behind: None };
                for told in [Told::All(Box::new(state)), Told::Heard(known_at)] {
                    if tell.send(told).await.is_err() {
                        break;
                    }
                }
            }
            Err(error) => {
                if tell.send(Told::Trouble(error)).await.is_err() {
                    break;
                }
                tokio::time::sleep(BEAT).await;
            }
        }
    }
    beating.abort();
}

/// What has been told.
struct SoFar {
    head: Sighting,
    /// When that was.
    since: Instant,
    /// A head that a majority has confirmed, and events have not told yet.
    behind: Option<Sighting>,
}

impl SoFar {
    fn tell(&mut self, head: Sighting) {
        (self.head, self.since) = (head, Instant::now());
    }

    /// Takes in a head that a majority has confirmed. Returns since when nothing is newer than what was told, where that
    /// is known; or that the store went back.
    fn hear(&mut self, now: Sighting) -> Result<Option<Instant>, WentBack> {
        // What was asked before the last events came is older than they are.
        if now.at < self.head.at && now.heard > self.since {
            return Err(WentBack);
        }
        let caught_up = self.behind.take_if(|behind| behind.at <= self.head.at).map(|it| it.heard);
        if now.at <= self.head.at {
            self.behind = None;
            return Ok(Some(now.heard));
        }
        self.behind.get_or_insert(now);
        Ok(caught_up)
    }

    /// For how long something is newer than what was told.
    fn lag(&self) -> Duration {
        self.behind
            .as_ref()
            .filter(|it| it.at > self.head.at)
            .map_or(Duration::ZERO, |it| it.heard.elapsed())
    }
}

/// The store says less than it did.
struct WentBack;

/// Why events are no longer enough.
#[derive(Debug, thiserror::Error)]
enum End {
    /// They can be had anew, from where they broke off.
    #[error("{0}")]
    Broke(String),
    /// Some are missing.
    #[error("{0}")]
    Missing(String),
}

impl From<WatchEnd> for End {
    fn from(end: WatchEnd) -> Self {
        match end {
            WatchEnd::Broke(cause) => Self::Broke(cause),
            WatchEnd::Compacted | WatchEnd::Senseless(_) => Self::Missing(end.to_string()),
        }
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away { .. } => Self::Broke(error.to_string()),
            StoreError::Open { .. }
            | StoreError::Row { .. }
            | StoreError::Full(_)
            | StoreError::Overtaken
            | StoreError::Unknown
            | StoreError::Failed(_) => Self::Missing(error.to_string()),
        }
    }
}

/// Events from behind what was told. None where nobody listens.
async fn until_broken(
    list: &EtcdList,
    so_far: &mut SoFar,
    beats: &mut mpsc::Receiver<Result<Sighting, StoreError>>,
    tell: &mpsc::Sender<Told>,
) -> Option<End> {
    let opened = Instant::now();
    let mut watch = list.etcd.watch(keys::LIST, so_far.head.at.saturating_add(1)).await.ok();
    loop {
        tokio::select! {
            events = next(&mut watch) => {
                let writes = match events {
                    Ok(events) => learn(list, so_far, events).await,
                    Err(end) => {
                        watch.inspect(|watch| list.etcd.leave_after(watch));
                        return Some(end.into());
                    }
                };
                match writes {
                    Ok(writes) if writes.is_empty() => {}
                    Ok(writes) => tell.send(Told::Writes(writes)).await.ok()?,
                    Err(error) => return Some(error.into()),
                }
            }
            beat = beats.recv() => match beat? {
                Ok(now) => {
                    let revision = now.head.revision;
                    list.seen.answered(now.heard);
                    match so_far.hear(now) {
                        Ok(Some(heard)) => tell.send(Told::Heard(heard)).await.ok()?,
                        Ok(None) => {}
                        Err(WentBack) => {
                            tracing::warn!(
                                before = so_far.head.head.revision, now = revision,
                                "the store is older than it was, as after a backup was restored: what it says counts"
                            );
                            return Some(End::Missing("the store went back".to_owned()));
                        }
                    }
                    if so_far.lag() > LOSS {
                        return Some(End::Missing("events lag behind".to_owned()));
                    }
                    if watch.is_none() || (so_far.lag() > LAG && opened.elapsed() > LAG) {
                        return Some(End::Broke("events lag behind, or are not to be had".to_owned()));
                    }
                }
                Err(error) => tell.send(Told::Trouble(error)).await.ok()?,
            },
            () = tell.closed() => return None,
        }
    }
}

async fn next(watch: &mut Option<Watch>) -> Result<Vec<Event>, WatchEnd> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// Asks for the head, from time to time.
async fn heartbeat(list: EtcdList, tell: mpsc::Sender<Result<Sighting, StoreError>>) {
    loop {
        let beat = list.head_if_any().await.and_then(|head| {
            head.ok_or_else(|| {
                StoreError::Failed("the store's head is gone: restore a backup".to_owned())
            })
        });
        if tell.send(beat).await.is_err() {
            return;
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// What events make of the list, write by write.
async fn learn(
    list: &EtcdList,
    so_far: &mut SoFar,
    events: Vec<Event>,
) -> Result<Vec<(Vec<Change>, Arc<str>)>, StoreError> {
    let mut all = Vec::new();
    for write in events.chunk_by(|one, other| one.at == other.at) {
        let head = write.iter().find(|event| event.key == keys::HEAD);
        // A large write, being spread: the head that named it has told.
        let Some((head, at)) = head.map(|event| (event.value.as_deref(), event.at)) else { continue };
        let before = so_far.head.clone();
        if at <= before.at {
            continue;
        }
        let gone = || StoreError::Failed("the store's head was deleted".to_owned());
        let head = Head::read(head.ok_or_else(gone)?)?;
        let mut changes = Vec::new();
        if head.revision > before.head.revision {
            changes = if head.parts > 0 {
                let mut all = Vec::new();
                list.each_change(&head, at, |change| all.push(change)).await?;
                all
            } else {
                changes_of(&before.head, &head, write)?
            };
            let count = i64::try_from(changes.len()).unwrap_or(i64::MAX);
            if before.head.revision.saturating_add(count) != head.revision {
                return Err(StoreError::Failed("events do not make up the list's revision".to_owned()));
            }
        }
        if head.tag != before.head.tag {
            all.push((changes, Arc::from(head.tag.as_str())));
        }
        let sighting = Sighting { head, at, heard: before.heard };
        list.seen.advance(sighting.clone());
        so_far.tell(sighting);
    }
    Ok(all)
}

/// The changes of one write, in the order of their revisions.
fn changes_of(before: &Head, head: &Head, write: &[Event]) -> Result<Vec<Change>, StoreError> {
    let now = SystemTime::now();
    let mut made = BTreeMap::new();
    let mut gone: Vec<Box<dyn FnOnce(i64) -> Change>> = Vec::new();
    if head.strategy_revision > before.strategy_revision {
        made.insert(head.strategy_revision, Change::Strategy(head.strategy, head.strategy_revision));
    }
    for event in write {
        let (name, value) = (event.key.as_str(), event.value.as_deref());
        match (name.strip_prefix(keys::DOMAIN), name.strip_prefix(keys::TOKEN), value) {
            (Some(name), _, Some(value)) => {
                let entry = row::read::<EntryRow>("entry", value)?.entry(now);
                made.insert(entry.revision, Change::Put(domain(name)?, entry));
            }
            (_, Some(_), Some(value)) => {
                let token: Token = row::read::<TokenRow>("token", value)?.into();
                made.insert(token.revision, Change::Token(token));
            }
            (Some(name), _, None) => {
                let domain = domain(name)?;
                gone.push(Box::new(move |revision| Change::Remove(domain, revision)));
            }
            (_, Some(name), None) => {
                let name = Arc::from(name);
                gone.push(Box::new(move |revision| Change::Revoke(name, revision)));
            }
            (None, None, _) => {}
        }
    }
    // What is gone says no revision: each has one of those that are left.
    let mut revision = before.revision;
    for gone in gone {
        revision = revision.saturating_add(1);
        while made.contains_key(&revision) {
            revision = revision.saturating_add(1);
        }
        made.insert(revision, gone(revision));
    }
    Ok(made.into_values().collect())
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
