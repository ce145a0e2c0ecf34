//! Taking brig's list over, once: from then on ours is the master.

use std::collections::BTreeMap;

use fedgate_allow_list::{Author, Condition, Effects, State, WriteError};
use fedgate_policy::Domain;

use super::client::CallError;
use super::ledger::Written;
use super::{Brig, Mode};

/// Why brig's rows cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// They come by themselves.
    #[error("brig is the master (`[brig] mode = \"follow\"`): its rows come by themselves")]
    Follows,
    /// Brig cannot be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Some mean nothing to us.
    #[error(
        "brig's list has rows that mean nothing to us, so nothing was imported: mend them in brig first"
    )]
    Rows(Vec<String>),
    /// Our list does not take them.
    #[error(transparent)]
    Write(#[from] WriteError),
}

// === impl Brig ===

impl Brig {
    /// Takes brig's rows over into our list, all or none, and notes them as ours to change. Closed ones stand
    /// for "removed", and are passed over. What it did to each, or would do.
    pub(crate) async fn import(&self, author: Author, dry_run: bool) -> Result<Effects, ImportError> {
        if self.0.settings.mode == Mode::Follow {
            return Err(ImportError::Follows);
        }
        let seen = self.0.client.list().await?;
        if seen.count() > seen.rows.len() {
            let unreadable = seen.unreadable.iter().map(Domain::to_string);
            return Err(ImportError::Rows(unreadable.chain(seen.strange).collect()));
        }
        let rows: BTreeMap<_, _> =
            seen.rows.into_iter().filter(|(_, policy)| !policy.is_closed()).collect();
        let wanted = rows.iter().map(|(domain, policy)| (domain.clone(), policy.change())).collect();
        if dry_run {
            let put = |state: &State| state.put_all(wanted, false, &Condition::None, &author);
            return Ok(self.0.list.look(put)?.0);
        }
        let effects = self.0.list.put_all(wanted, false, Condition::None, author).await?;
        // After the list: a row that is ours, and of which the list has nothing, is one to close.
        let ours = |policy| Some(Written { policy, confirmed: true });
        let note = rows.into_iter().map(|(domain, policy)| (domain, ours(policy))).collect();
        self.note(move |_| note).await.map_err(WriteError::from)?;
        self.0.changed.notify_one();
        Ok(effects)
    }
}
