//! A reader of the feed, on a connection of its own, as each worker of an Envoy has one.

use std::net::SocketAddr;
use std::time::Duration;

use fedgate_tests::caller::CallError;
use fedgate_tests::control_plane::FILTER_TOKEN;
use http::Request;
use serde_json::Value;

use super::load::{Connections, failed};

/// Where a reader stands.
pub(crate) struct Reader {
    connection: Connections,
    cursor: String,
}

// === impl Reader ===

impl Reader {
    /// Connects, and has read nothing yet.
    pub(crate) async fn open(verdicts: SocketAddr) -> Result<Self, CallError> {
        Ok(Self { connection: Connections::open_plain(verdicts, 1).await?, cursor: String::new() })
    }

    /// The next page; where nothing is new, that is waited for so long.
    pub(crate) async fn next(&mut self, wait: Duration) -> Result<Value, CallError> {
        let uri = format!("http://verdicts/v1/verdicts?cursor={}&wait={}", self.cursor, wait.as_secs());
        let request = Request::get(uri)
            .header("authorization", format!("Bearer {FILTER_TOKEN}"))
            .body(())
            .map_err(failed)?;
        let (status, body) = self.connection.send(request).await?;
        if status != 200 {
            return Err(failed(format!("a page of the feed was answered with {status}")));
        }
        let page: Value = serde_json::from_slice(&body).map_err(failed)?;
        let cursor = page["cursor"].as_str().ok_or_else(|| failed("a page has no cursor"))?;
        cursor.clone_into(&mut self.cursor);
        Ok(page)
    }

    /// Reads until no page is left.
    pub(crate) async fn catch_up(&mut self) -> Result<(), CallError> {
        while self.next(Duration::ZERO).await?["more"] == true {}
        Ok(())
    }
}
