//! What is seen to beside requests: entries and tokens come to their end, it is written down when they were used and who was
//! refused, and old records of the audit go.

use std::time::{Duration, SystemTime};

use fedgate_allow_list::AllowList;
use fedgate_allow_list::audit::Retention;
use tokio::task::JoinHandle;

use crate::auth::Guard;

/// From one look for old records to the next.
const TRIMMING: Duration = Duration::from_secs(60 * 60);

/// A task that sees to it.
pub(crate) struct Upkeep {
    list: AllowList,
    guard: Guard,
    task: JoinHandle<()>,
}

// === impl Upkeep ===

impl Upkeep {
    /// Begins, for those whom `guard` lets in and refuses.
    pub(crate) fn start(list: &AllowList, guard: &Guard, audit: Retention) -> Self {
        let (list, guard) = (list.clone(), guard.clone());
        let task = tokio::spawn({
            let (list, guard) = (list.clone(), guard.clone());
            async move {
                let (tokens, failures) = (guard.tokens(), guard.failures());
                tokio::join!(
                    list.keep_time(),
                    tokens.keep_time(),
                    tokens.keep_uses(&list),
                    failures.tell(),
                    failures.write_down(&list),
                    trim(&list, audit),
                );
            }
        });
        Self { list, guard, task }
    }

    /// Ends, and writes down what was not.
    pub(crate) async fn end(self) {
        self.task.abort();
        let uses = self.guard.tokens().write_uses(&self.list).await;
        let refused = self.guard.failures().write_rest(&self.list).await;
        if let Err(error) = uses.and(refused) {
            tracing::warn!(%error, "the last uses of tokens and refused calls are not all written down");
        }
    }
}

/// Deletes records that need not be kept any longer: now, and once in an hour, for ever.
async fn trim(list: &AllowList, audit: Retention) {
    loop {
        match list.trim_audit(audit, SystemTime::now()).await {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, "old records of the audit are deleted"),
            Err(error) => tracing::warn!(%error, "old records of the audit cannot be deleted"),
        }
        tokio::time::sleep(TRIMMING).await;
    }
}
