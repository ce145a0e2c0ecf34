//! Says that something has changed, and no more: the script then fetches the page that is open. One task looks for all
//! who watch, the less often the more they are; and how it stands is gathered once for all who ask at the same time.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use tokio::sync::{Mutex, watch};

use super::Pages;
use super::session::Visitor;
use crate::api::problem::Problem;
use crate::api::{Api, status};
use crate::brig::Brig;
use crate::contract::StatusBody;

/// From one look to the next at least, and for each page that is open: each fetches itself anew when told, and all of
/// them together are not to be a load.
const LOOK: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_millis(200);
/// For how long what was gathered may be shown, where nothing has changed since; and where the list has not.
const FRESH: Duration = Duration::from_secs(10);
const RECENT: Duration = Duration::from_secs(3);
/// So often something is sent where nothing changes: who has gone is noticed, and a session's end, too.
const ALIVE: Duration = Duration::from_secs(15);

/// A handle.
#[derive(Clone)]
pub(super) struct Live(Arc<Inner>);

struct Inner {
    revision: watch::Sender<u64>,
    /// Counts what verdicts tell of.
    verdicts: AtomicU64,
    gathered: Mutex<Option<Gathered>>,
    stopped: watch::Receiver<bool>,
}

struct Gathered {
    at: Instant,
    /// The list's revision then.
    list: i64,
    mark: u64,
    status: Arc<StatusBody>,
}

// === impl Live ===

impl Live {
    /// Looks from now on, whenever somebody watches.
    pub(super) fn start(api: &Api, stopped: watch::Receiver<bool>) -> Self {
        let inner = Inner {
            revision: watch::Sender::new(0),
            verdicts: AtomicU64::new(0),
            gathered: Mutex::default(),
            stopped: stopped.clone(),
        };
        let live = Self(Arc::new(inner));
        let told = live.clone();
        api.verdicts.follow(move |_| {
            told.0.verdicts.fetch_add(1, Ordering::Relaxed);
        });
        tokio::spawn(live.clone().look(api.clone(), stopped));
        live
    }

    async fn look(self, api: Api, mut stopped: watch::Receiver<bool>) {
        let mut before = 0;
        loop {
            let open = u32::try_from(self.0.revision.receiver_count()).unwrap_or(u32::MAX);
            tokio::select! {
                () = tokio::time::sleep(LOOK.max(EACH.saturating_mul(open))) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            if open > 0 {
                let mark = self.mark(&api);
                if mark != before {
                    before = mark;
                    self.0.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
                }
            }
        }
    }

    /// Another number, if anything that a page shows may be another.
    fn mark(&self, api: &Api) -> u64 {
        let mut hasher = DefaultHasher::new();
        api.list.revision().hash(&mut hasher);
        self.0.verdicts.load(Ordering::Relaxed).hash(&mut hasher);
        api.partners.events().hash(&mut hasher);
        (api.partners.streams.count(), api.partners.polls.count()).hash(&mut hasher);
        api.guard.failures().count().hash(&mut hasher);
        api.verdicts.dns().is_some().hash(&mut hasher);
        let brig = api.brig.as_ref().map(Brig::report);
        brig.map(|it| (it.is_in_step(), it.drift.len(), it.failing.is_some())).hash(&mut hasher);
        hasher.finish()
    }

    /// How it stands with all of it: just gathered, or a moment ago for somebody else.
    pub(super) async fn status(&self, api: &Api) -> Result<Arc<StatusBody>, Problem> {
        let mut gathered = self.0.gathered.lock().await;
        let (mark, list) = (self.mark(api), api.list.revision());
        if let Some(it) = &*gathered {
            let age = it.at.elapsed();
            if it.list == list && (age < RECENT || it.mark == mark && age < FRESH) {
                return Ok(it.status.clone());
            }
        }
        let status = Arc::new(status::gather(api).await?);
        *gathered = Some(Gathered { at: Instant::now(), list, mark, status: status.clone() });
        Ok(status)
    }
}

/// Sends a revision at first, and whenever something has changed; ends with the session, and with us.
pub(super) async fn live(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
) -> impl IntoResponse {
    let revisions = pages.live.0.revision.subscribe();
    let stopped = pages.live.0.stopped.clone();
    let start = (pages, visitor, revisions, stopped, true);
    let events =
        stream::unfold(start, |(pages, visitor, mut revisions, mut stopped, is_first)| async move {
            if !is_first {
                tokio::select! {
                    changed = revisions.changed() => changed.ok()?,
                    _ = stopped.wait_for(|stopped| *stopped) => return None,
                    () = over(&pages, &visitor) => return None,
                }
            }
            let revision = *revisions.borrow_and_update();
            let event = Event::default().data(revision.to_string());
            Some((Ok::<_, Infallible>(event), (pages, visitor, revisions, stopped, false)))
        });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}

/// Waits until the session is over, or its token counts no more.
async fn over(pages: &Pages, visitor: &Visitor) {
    let idle = async {
        while pages.sessions.lasts(visitor.key, Instant::now()) {
            tokio::time::sleep(ALIVE).await;
        }
    };
    tokio::select! {
        () = idle => {}
        _ = pages.api.guard.revoked(&visitor.caller) => {}
    }
}
