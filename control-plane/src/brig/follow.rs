//! One round where brig is the master: GET, see what that makes of our list, and write it.

use std::sync::Arc;
use std::time::SystemTime;

use fedgate_allow_list::{Author, Condition, WriteError};

use super::steps::{BY, Steps, steps};
use super::{Brig, Seen};

/// Does it; whether there is more to do at once. Otherwise why not.
pub(super) async fn round(brig: &Brig) -> Result<bool, String> {
    let seen = Arc::new(brig.0.client.list().await.map_err(|error| error.to_string())?);
    let (steps, revision) = take(brig, seen);
    let author = Author { by: BY.into(), at: SystemTime::now(), request_id: None };
    let (put, removed) = (steps.put.len(), steps.remove.len());
    // Removals first, each only if nobody has changed the entry meanwhile; then the next round sees.
    let mut raced = false;
    for (domain, revision) in steps.remove {
        let at = Condition::Revision(vec![revision]);
        raced |= was_late(brig.0.list.remove(domain, at, author.clone()).await)?;
    }
    if removed == 0 && put > 0 {
        let wanted = steps.put.iter().map(|(domain, row)| (domain.clone(), row.change())).collect();
        let at = Condition::Revision(vec![revision]);
        raced |= was_late(brig.0.list.put_all(wanted, false, at, author).await)?;
    }
    if put > 0 || removed > 0 {
        tracing::info!(put, removed, "our list follows brig's");
    }
    let again = raced || (removed > 0 && put > 0);
    if !again {
        brig.tell_drift(&brig.compare());
    }
    Ok(again)
}

/// Takes an answer in, and says what it makes of our list, which is at that revision.
fn take(brig: &Brig, seen: Arc<Seen>) -> (Steps, i64) {
    let mut known = brig.known();
    let absent = std::mem::take(&mut known.absent);
    let (mut steps, revision) = brig.0.list.look(|state| (steps(state, &seen, &absent), state.revision));
    known.seen = Some(seen);
    known.absent = std::mem::take(&mut steps.absent);
    match (std::mem::replace(&mut known.doubt, steps.doubt), steps.doubt) {
        (None, Some((gone, of))) => tracing::error!(
            gone,
            of,
            "brig's list lacks more rows than are believed to be removed: what came from it stays. Those that \
             are meant to be gone, take off with `fedgate domain remove`"
        ),
        (Some(_), None) => tracing::info!("brig's list has its rows again"),
        (None, None) | (Some(_), Some(_)) => {}
    }
    (steps, revision)
}

/// Whether somebody else was faster.
fn was_late<T>(written: Result<T, WriteError>) -> Result<bool, String> {
    match written {
        Ok(_) => Ok(false),
        Err(WriteError::Precondition) => Ok(true),
        Err(error) => Err(error.to_string()),
    }
}
