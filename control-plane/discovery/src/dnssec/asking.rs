//! How DNSSEC's questions are put to the DNS servers.

use hickory_proto::op::{Message, Query};

use super::super::asking::Asking;
use super::validator::Ask;

impl Ask for Asking {
    async fn ask(&self, query: &Query) -> Result<Message, String> {
        Self::ask(self, query, true).await.map_err(|unanswered| unanswered.to_string())
    }
}
