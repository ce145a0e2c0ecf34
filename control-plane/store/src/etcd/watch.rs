//! What others write, as it happens.

use etcd_client::{Client, EventType, WatchOptions, WatchStream};

use super::LONGEST_ANSWER;
use crate::StoreError;

/// Events in the order in which they happened.
pub struct Watch {
    stream: WatchStream,
    /// The length of our prefix.
    prefix: usize,
    /// Whose turn it was.
    turn: u64,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key, without our prefix.
    pub key: String,
    /// What stands there since; none where nothing does.
    pub value: Option<Vec<u8>>,
    /// The cluster's revision since. All that one transaction wrote has the same.
    pub at: i64,
}

/// Why no more events come.
#[derive(Debug, thiserror::Error)]
pub enum WatchEnd {
    /// What happened since is no longer known to the cluster.
    #[error("what happened since was compacted away")]
    Compacted,
    /// The connection broke, or its member has no leader.
    #[error("the watch broke: {0}")]
    Broke(String),
    /// What came means nothing.
    #[error(transparent)]
    Senseless(#[from] StoreError),
}

impl Watch {
    pub(super) async fn open(
        client: Client,
        beginning: String,
        prefix: usize,
        turn: u64,
        from: i64,
    ) -> Result<Self, etcd_client::Error> {
        let options = WatchOptions::new().with_prefix().with_start_revision(from);
        let mut watch = client.watch_client().max_decoding_message_size(LONGEST_ANSWER);
        let stream = watch.watch(beginning, Some(options)).await?;
        Ok(Self { stream, prefix, turn })
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    /// What happened next: all of one or more transactions.
    pub async fn next(&mut self) -> Result<Vec<Event>, WatchEnd> {
        let broke = |cause: String| WatchEnd::Broke(cause);
        loop {
            let told = self.stream.message().await.map_err(|error| broke(error.to_string()))?;
            let told = told.ok_or_else(|| broke("it was ended".to_owned()))?;
            if told.compact_revision() > 0 {
                return Err(WatchEnd::Compacted);
            }
            if told.canceled() {
                return Err(broke(told.cancel_reason().to_owned()));
            }
            if told.events().is_empty() {
                continue;
            }
            let mut events = Vec::with_capacity(told.events().len());
            for event in told.events() {
                let Some(item) = event.kv() else { continue };
                let value = match event.event_type() {
                    EventType::Put => Some(item.value().to_vec()),
                    EventType::Delete => None,
                };
                let key = below(item.key(), self.prefix)?;
                events.push(Event { key, value, at: item.mod_revision() });
            }
            return Ok(events);
        }
    }
}

/// A key without our prefix, whose length that is.
pub(super) fn below(key: &[u8], prefix: usize) -> Result<String, StoreError> {
    let text = key.get(prefix..).and_then(|key| std::str::from_utf8(key).ok());
    text.map(str::to_owned).ok_or_else(|| StoreError::Row {
        what: "key",
        value: String::from_utf8_lossy(key).into_owned(),
        reason: "is none of ours".to_owned(),
    })
}
