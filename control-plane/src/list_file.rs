//! Domains as code: the list is kept in step with a file of entries, which an operator's own tools write.
//!
//! The file is looked at every two seconds. What it says counts once two looks saw the same, so that one that is being
//! written is not read half; at start, and where somebody asks for it, at once. A file that cannot be read, or says
//! nothing, changes nothing. It is the change of the file that is acted on, not what else becomes of the list: so that
//! control planes of one store, whose files change one after the other, do not undo what the first has done.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fedgate_allow_list::{AllowList, Entry, Outcome, Wanted, WriteError};
use fedgate_policy::Domain;
use fedgate_store::rights;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::portable::{self, Format, Portable};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(2);
/// The longest file, in octets: as long as a list may be that is sent to the API.
const LONGEST: u64 = 32 << 20;

/// Keeps the list in step with a file.
#[derive(Clone)]
pub(crate) struct ListFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    list: AllowList,
    known: Mutex<Known>,
    asked: Notify,
}

/// What is known of the file, and of the list beside it.
#[derive(Default)]
struct Known {
    /// What it held at the last look.
    seen: Option<Hash>,
    /// The list's revision then.
    revision: i64,
    /// What it held when the list was brought in step with it.
    kept: Option<Kept>,
    /// What is wrong since then.
    trouble: Option<(SystemTime, String)>,
}

/// What the list was brought in step with.
#[derive(Clone)]
struct Kept {
    /// None while that is to be done again: a write has failed, of which nobody may know whether it counts; or the list
    /// went back, as a backup's does.
    hash: Option<Hash>,
    wanted: Arc<Wanted>,
    /// Entries of somebody else that were left as they were.
    conflicts: Vec<Domain>,
}

type Hash = [u8; 32];

/// How it stands.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) path: PathBuf,
    /// How many entries it names.
    pub(crate) entries: usize,
    /// Domains of it that somebody else has listed otherwise, and by whom.
    pub(crate) conflicts: Vec<(Domain, Arc<str>)>,
    /// Since when it is not kept in step with, and why.
    pub(crate) failing: Option<(SystemTime, String)>,
}

/// What a file of entries says, or what is wrong with it, in a sentence for each.
pub(crate) fn read(path: &Path) -> Result<Wanted, Vec<String>> {
    parse(path, &text(path).map_err(|error| vec![error])?)
}

fn text(path: &Path) -> Result<String, String> {
    let unreadable =
        |error: std::io::Error| format!("cannot be read: {}", rights::unreadable(path, &error));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > LONGEST {
        return Err(format!("has {length} octets, more than {LONGEST}"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn parse(path: &Path, text: &str) -> Result<Wanted, Vec<String>> {
    let Some(format) = Format::of(path) else {
        return Err(vec!["is neither .toml nor .jsonl, so nobody knows how to read it".to_owned()]);
    };
    let Portable { strategy, domains } = portable::read(text, format)?;
    if strategy.is_some() {
        return Err(vec![
            "sets a strategy, and holds entries alone: `fedgate strategy set` does that".to_owned(),
        ]);
    }
    let says_none = || text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("domains"));
    if domains.is_empty() && !(format == Format::Toml && says_none()) {
        return Err(vec![
            "names no domain: where there is to be none, write `domains = []` in a .toml file"
                .to_owned(),
        ]);
    }
    Ok(domains)
}

// === impl ListFile ===

impl ListFile {
    /// Nothing is read yet; but what it owns is guarded from now on.
    pub(crate) fn new(path: PathBuf, list: AllowList) -> Self {
        list.guard_file();
        Self(Arc::new(Inner { path, list, known: Mutex::default(), asked: Notify::new() }))
    }

    /// Looks for ever.
    pub(crate) async fn run(self) {
        loop {
            let is_asked = tokio::time::timeout(INTERVAL, self.0.asked.notified()).await.is_ok();
            self.look(is_asked).await;
        }
    }

    /// Has it looked at soon, as somebody says that it is whole.
    pub(crate) fn ask(&self) {
        self.0.asked.notify_one();
    }

    /// Looks at the file, and brings the list in step with it if it has changed; also while it may be being written, if
    /// it `is_whole`.
    pub(crate) async fn look(&self, is_whole: bool) {
        let path = self.0.path.clone();
        let read = tokio::task::spawn_blocking(move || text(&path)).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        let done = match read {
            Err(error) => Err(error),
            Ok(text) => self.take(text, is_whole).await,
        };
        match done {
            Ok(false) => {}
            Ok(true) => self.note(None),
            Err(cause) => self.note(Some(cause)),
        }
    }

    /// Whether the list is in step with that; otherwise it is to be seen once more.
    async fn take(&self, text: String, is_whole: bool) -> Result<bool, String> {
        let hash: Hash = Sha256::digest(&text).into();
        let (was_seen, kept) = self.known().see(hash, self.0.list.revision());
        match kept {
            Some(kept) if kept.hash == Some(hash) => self.take_up(hash, kept).await.map(|()| true),
            Some(_) | None if was_seen || is_whole => self.keep(hash, text).await.map(|()| true),
            Some(_) | None => Ok(false),
        }
    }

    /// Brings the list in step with a file that has changed.
    async fn keep(&self, hash: Hash, text: String) -> Result<(), String> {
        let path = self.0.path.clone();
        let parsed = tokio::task::spawn_blocking(move || parse(&path, &text)).await;
        let parsed = parsed.map_err(|error| error.to_string())?;
        let wanted = Arc::new(parsed.map_err(|errors| errors.join("; "))?);
        if let Some(kept) = &mut self.known().kept {
            kept.hash = None;
        }
        let done = self.0.list.keep_file(wanted.clone(), SystemTime::now()).await;
        self.kept(hash, wanted, done)
    }

    /// The file is as it was; but what was in its way may have gone.
    async fn take_up(&self, hash: Hash, kept: Kept) -> Result<(), String> {
        let Kept { wanted, conflicts, .. } = kept;
        if self.0.list.look(|state| state.conflicts(&wanted)) == conflicts {
            return Ok(());
        }
        let done = self.0.list.take_up(wanted.clone(), conflicts, SystemTime::now()).await;
        self.kept(hash, wanted, done)
    }

    /// Notes what came of that, and tells.
    fn kept(
        &self,
        hash: Hash,
        wanted: Arc<Wanted>,
        done: Result<(Outcome, Vec<Domain>), WriteError>,
    ) -> Result<(), String> {
        let (outcome, conflicts) = done.map_err(|error| error.to_string())?;
        let (file, entries) = (self.0.path.display(), wanted.len());
        let (added, changed, removed) =
            (outcome.added.len(), outcome.changed.len(), outcome.removed.len());
        tracing::info!(%file, entries, added, changed, removed, "the list is in step with its file");
        for domain in &conflicts {
            tracing::warn!(
                %file, %domain,
                "somebody else has listed this domain otherwise than the file: what the list says counts"
            );
        }
        self.known().kept = Some(Kept { hash: Some(hash), wanted, conflicts });
        Ok(())
    }

    /// Says what trouble has begun, or has ended.
    fn note(&self, cause: Option<String>) {
        let mut known = self.known();
        let file = self.0.path.display();
        let before = known.trouble.take();
        let is_new = before.as_ref().map(|(_, cause)| cause) != cause.as_ref();
        let since = before.map_or_else(SystemTime::now, |(since, _)| since);
        known.trouble = cause.map(|cause| (since, cause));
        match &known.trouble {
            Some((_, cause)) if is_new => tracing::error!(
                %file, cause, "the list is not kept in step with its file; what the list says counts"
            ),
            None if is_new => tracing::info!(%file, "the list is kept in step with its file again"),
            Some(_) | None => {}
        }
    }

    /// How it stands.
    pub(crate) fn report(&self) -> Report {
        let known = self.known();
        let wanted = known.kept.as_ref().map(|kept| kept.wanted.clone()).unwrap_or_default();
        let failing = known.trouble.clone();
        drop(known);
        let by = |entry: &Entry| entry.updated.by.clone();
        let conflicts = self.0.list.look(|state| {
            let of = |domain: Domain| {
                let by = state.domains.get(&domain).map(by).unwrap_or_default();
                (domain, by)
            };
            state.conflicts(&wanted).into_iter().map(of).collect()
        });
        Report { path: self.0.path.clone(), entries: wanted.len(), conflicts, failing }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    /// Notes a look. Whether the one before saw the same, and what the list was brought in step with.
    fn see(&mut self, hash: Hash, revision: i64) -> (bool, Option<Kept>) {
        if std::mem::replace(&mut self.revision, revision) > revision
            && let Some(kept) = &mut self.kept
        {
            kept.hash = None;
        }
        (self.seen.replace(hash) == Some(hash), self.kept.clone())
    }
}

#[cfg(test)]
#[path = "list_file_tests.rs"]
mod tests;
